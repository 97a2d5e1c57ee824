import { and, asc, eq, gt, inArray, isNotNull, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { StartError } from '../errors.ts'
import { guides } from './schema.ts'
import type { Vault } from './vault.ts'

/** What is known of the person; a link is known only of guides who were registered or changed here. */
export type Profile = {
  name: string | null
  mobile: string | null
  avatar?: string
  qrCode?: string
  groupQrcode?: string
}

export type Guide = {
  guideId: string
  storeId: number
  state: 'registered' | 'quarantined' | 'gone'
  userid: string | null
  workId: string | null
  profile: Profile | null
  missedSyncs: number
  seenAtMs: number | null
  erasedAtMs: number | null
}

/** A guide as WeChat Pay, or a registration, tells of them. */
export type Sighting = Pick<Guide, 'guideId' | 'storeId' | 'userid' | 'workId'> & {
  profile: Profile
}

export type Guides = ReturnType<typeof openGuides>

type Row = typeof guides.$inferSelect

/** After so many syncs in a row without them, a guide is believed to be gone: one bad answer takes nobody out. */
const believedGoneAfter = 2
const resealedAtOnce = 200

/**
 * The guides that WeChat Pay has, as far as we were told. Names, mobiles and links are sealed by the vault.
 *
 * `changed` is told of each guide whom decisions may see otherwise from now on.
 */
export function openGuides(
  db: Db,
  vault: Vault,
  changed: (guideId: string, storeId: number) => void,
) {
  const byId = db
    .select()
    .from(guides)
    .where(eq(guides.guideId, sql.placeholder('guideId')))
    .prepare()
  refuseLostKey()

  function find(guideId: string): Guide | null {
    const row = byId.get({ guideId })
    return row ? read(row) : null
  }

  function read({ mobileIndex: _, profile, ...row }: Row): Guide {
    return { ...row, profile: profile === null ? null : openProfile(profile, row.guideId) }
  }

  function openProfile(sealed: string, guideId: string): Profile | null {
    const text = vault.open(sealed, guideId)
    return text === null ? null : JSON.parse(text)
  }

  function sealed(guideId: string, profile: Profile): Pick<Row, 'profile' | 'mobileIndex'> {
    return {
      profile: vault.seal(JSON.stringify(profile), guideId),
      mobileIndex: profile.mobile === null ? null : (vault.indexes(profile.mobile)[0] ?? null),
    }
  }

  // Names that cannot be opened any more would be overwritten by the next sync without a word.
  function refuseLostKey(): void {
    const [sample] = db.select().from(guides).where(isNotNull(guides.profile)).limit(1).all()
    if (sample && read(sample).profile === null) {
      throw new StartError(
        'PII_KEY_FILE does not hold the key that names and mobiles in this data directory were sealed with: bring that file back.',
      )
    }
  }

  return {
    find,

    byUserid(storeId: number, userid: string): Guide | null {
      const row = db
        .select()
        .from(guides)
        .where(and(eq(guides.storeId, storeId), eq(guides.userid, userid)))
        .limit(1)
        .get()
      return row ? read(row) : null
    },

    byMobile(mobile: string): Guide[] {
      const rows = db
        .select()
        .from(guides)
        .where(inArray(guides.mobileIndex, vault.indexes(mobile)))
        .limit(1000)
        .all()
      return rows.map(read)
    },

    /** The names of those who have one here and pass `isWanted`; no other profile is opened. */
    names(
      guideIds: readonly string[],
      isWanted: (guideId: string, storeId: number) => boolean,
    ): Map<string, string> {
      const rows = db
        .select({ guideId: guides.guideId, storeId: guides.storeId, profile: guides.profile })
        .from(guides)
        .where(sql`${guides.guideId} IN (SELECT value FROM json_each(${JSON.stringify(guideIds)}))`)
        .all()
      const names = new Map<string, string>()
      for (const { guideId, storeId, profile } of rows) {
        if (profile === null || !isWanted(guideId, storeId)) continue
        const name = openProfile(profile, guideId)?.name
        if (name) names.set(guideId, name)
      }
      return names
    },

    ofStore: (storeId: number): Guide[] =>
      db.select().from(guides).where(eq(guides.storeId, storeId)).all().map(read),

    /** By guide_id, from the one after `after` on. */
    list(after: string, limit: number, storeId: number | null): Guide[] {
      const beyond = gt(guides.guideId, after)
      return db
        .select()
        .from(guides)
        .where(storeId === null ? beyond : and(beyond, eq(guides.storeId, storeId)))
        .orderBy(asc(guides.guideId))
        .limit(limit)
        .all()
        .map(read)
    },

    /** Writes down a guide who was seen: registered, whatever they were before. Of an erased one no profile is kept. */
    keep({ guideId, storeId, userid, workId, profile }: Sighting, nowMs: number): void {
      const before = find(guideId)
      const told = { ...before?.profile, ...known(profile) }
      const kept = before?.erasedAtMs
        ? { profile: null, mobileIndex: null }
        : sealed(guideId, { ...told, name: told.name ?? null, mobile: told.mobile ?? null })
      const row = { storeId, userid, workId, ...kept, missedSyncs: 0, seenAtMs: nowMs }
      const state = 'registered'
      db.insert(guides)
        .values({ guideId, state, ...row })
        .onConflictDoUpdate({ target: guides.guideId, set: { state, ...row } })
        .run()
      if (before?.state !== state || before.storeId !== storeId) changed(guideId, storeId)
    },

    /** Nothing about these is new but that they are still there. */
    seen(guideIds: readonly string[], nowMs: number): void {
      db.update(guides)
        .set({ seenAtMs: nowMs, missedSyncs: 0 })
        .where(sql`${guides.guideId} IN (SELECT value FROM json_each(${JSON.stringify(guideIds)}))`)
        .run()
    },

    /** A sync did not find the guide; true when that is believed from now on. */
    miss({ guideId, storeId, missedSyncs }: Guide): boolean {
      const missed = missedSyncs + 1
      const isGone = missed >= believedGoneAfter
      db.update(guides)
        .set({ missedSyncs: missed, ...(isGone ? { state: 'gone' as const } : {}) })
        .where(eq(guides.guideId, guideId))
        .run()
      if (isGone) changed(guideId, storeId)
      return isGone
    },

    setProfile(guideId: string, profile: Profile): void {
      db.update(guides)
        .set({ ...sealed(guideId, profile), erasedAtMs: null })
        .where(eq(guides.guideId, guideId))
        .run()
    },

    /** Forgets name, mobile and links for good: no sync brings them back. */
    erase(guideId: string, nowMs: number): void {
      db.update(guides)
        .set({ profile: null, mobileIndex: null, erasedAtMs: nowMs })
        .where(eq(guides.guideId, guideId))
        .run()
    },

    /** Seals anew what an older key sealed, a part at a time; true when there is nothing left to do. */
    reseal(): boolean {
      const rows = db
        .select()
        .from(guides)
        .where(and(isNotNull(guides.profile), sql`profile NOT LIKE ${`${vault.keyId}.%`}`))
        .limit(resealedAtOnce)
        .all()
      db.transaction(() => {
        for (const { guideId, profile } of rows) {
          const opened = profile === null ? null : openProfile(profile, guideId)
          const row = opened ? sealed(guideId, opened) : { profile: null, mobileIndex: null }
          db.update(guides).set(row).where(eq(guides.guideId, guideId)).run()
        }
      })
      return rows.length < resealedAtOnce
    },
  }
}

/** What a sighting says; what it could not read it does not say. */
function known({ name, mobile, ...links }: Profile): Partial<Profile> {
  return {
    ...links,
    ...(name === null ? {} : { name }),
    ...(mobile === null ? {} : { mobile }),
  }
}
