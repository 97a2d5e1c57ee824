import { and, asc, eq, gt, inArray, isNotNull, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { guideStanding } from './guide-standing.ts'
import { guides } from './schema.ts'
import { sealedBy } from './sealed-by.ts'
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

/** Who was written since it was asked for; to be closed, for it grows with them. */
export type Written = { has(guideId: string): boolean; close(): void }

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
  let resealedTo = ''
  const upsert = prepareUpsert(db)
  const watches = new Set<Set<string>>()

  function wrote(guideId: string): void {
    for (const written of watches) written.add(guideId)
  }

  function find(guideId: string): Guide | null {
    const row = byId.get({ guideId })
    return row ? read(row) : null
  }

  function read({ mobileIndex: _, profile, ...row }: Row): Guide {
    return { ...row, profile: profile === null ? null : openProfile(profile, row.guideId) }
  }

  function record(guideId: string, storeId: number, work: () => void): void {
    const look = () => {
      const row = byId.get({ guideId })
      const profile = row?.profile
      return guideStanding(row, profile ? openProfile(profile, guideId) : null)
    }
    db.changes.record({ kind: 'guide', subject: guideId, storeId }, look, work)
  }

  function openProfile(sealed: string, guideId: string): Profile | null {
    const text = vault.open(sealed, guideId)
    return text === null ? null : JSON.parse(text)
  }

  function sealed(guideId: string, profile: Profile): Pick<Row, 'profile' | 'mobileIndex'> {
    return {
      profile: vault.seal(JSON.stringify(profile), guideId),
      mobileIndex:
        profile.mobile === null ? null : (vault.indexes(digitsOf(profile.mobile))[0] ?? null),
    }
  }

  return {
    find,

    /** Of those whom anybody keeps, changes or erases from now on. */
    watch(): Written {
      const written = new Set<string>()
      watches.add(written)
      return { has: guideId => written.has(guideId), close: () => watches.delete(written) }
    },

    /** All of the work is written, or nothing. */
    together: <T>(work: () => T): T => db.transaction(work, { behavior: 'immediate' }),

    byUserid(storeId: number, userid: string): Guide | null {
      const row = db
        .select()
        .from(guides)
        .where(and(eq(guides.storeId, storeId), eq(guides.userid, userid)))
        .limit(1)
        .get()
      return row ? read(row) : null
    },

    /** However it is written: with spaces, dashes, +86. */
    byMobile(mobile: string): Guide[] {
      const rows = db
        .select()
        .from(guides)
        .where(inArray(guides.mobileIndex, vault.indexes(digitsOf(mobile))))
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
      record(guideId, storeId, () =>
        upsert.run({ guideId, storeId, userid, workId, ...kept, nowMs }),
      )
      wrote(guideId)
      if (before?.state !== 'registered' || before.storeId !== storeId) changed(guideId, storeId)
    },

    /** Nothing about these is new but that they are still there. */
    seen(guideIds: readonly string[], nowMs: number): void {
      db.update(guides)
        .set({ seenAtMs: nowMs, missedSyncs: 0 })
        .where(sql`${guides.guideId} IN (SELECT value FROM json_each(${JSON.stringify(guideIds)}))`)
        .run()
    },

    /** A sync did not find the guide; true when that is believed from now on. */
    miss(guideId: string): boolean {
      const row = byId.get({ guideId })
      if (!row) return false
      const { storeId } = row
      const missedSyncs = row.missedSyncs + 1
      const state = missedSyncs >= believedGoneAfter ? 'gone' : row.state
      record(guideId, storeId, () =>
        db.update(guides).set({ missedSyncs, state }).where(eq(guides.guideId, guideId)).run(),
      )
      if (state !== 'gone') return false
      changed(guideId, storeId)
      return true
    },

    /**
     * Writes down what was changed of the guide who was `before`. Who was forgotten meanwhile stays so; who was forgotten
     * before is known again only by a new name or mobile.
     */
    change({ guideId, erasedAtMs }: Guide, changes: Partial<Profile>): void {
      const guide = find(guideId)
      if (!guide || guide.erasedAtMs !== erasedAtMs) return
      const isKnown = changes.name !== undefined || changes.mobile !== undefined
      if (erasedAtMs !== null && !isKnown) return
      const profile = { name: null, mobile: null, ...guide.profile, ...changes }
      record(guideId, guide.storeId, () =>
        db
          .update(guides)
          .set({ ...sealed(guideId, profile), erasedAtMs: null })
          .where(eq(guides.guideId, guideId))
          .run(),
      )
      wrote(guideId)
    },

    /** Forgets name, mobile and links for good: no sync brings them back. */
    erase(guideId: string, nowMs: number): void {
      const guide = byId.get({ guideId })
      if (!guide) return
      record(guideId, guide.storeId, () =>
        db
          .update(guides)
          .set({ profile: null, mobileIndex: null, erasedAtMs: nowMs })
          .where(eq(guides.guideId, guideId))
          .run(),
      )
      wrote(guideId)
    },

    /**
     * Seals anew what an older key sealed, a part at a time; true when there is nothing left to do. A damaged row is
     * emptied, for the next sync to fill: it would hold on to its key for ever.
     */
    reseal(): boolean {
      const isOlder = sql`${sealedBy(guides.profile)} <> ${vault.keyId}`
      const rows = db
        .select()
        .from(guides)
        .where(and(gt(guides.guideId, resealedTo), isNotNull(guides.profile), isOlder))
        .orderBy(asc(guides.guideId))
        .limit(resealedAtOnce)
        .all()
      db.transaction(() => {
        for (const { guideId, profile } of rows) {
          if (profile === null || !vault.knows(profile)) continue
          const opened = openProfile(profile, guideId)
          const row = opened ? sealed(guideId, opened) : { profile: null, mobileIndex: null }
          db.update(guides).set(row).where(eq(guides.guideId, guideId)).run()
        }
      })
      resealedTo = rows.at(-1)?.guideId ?? resealedTo
      return rows.length < resealedAtOnce
    },
  }
}

/** A mobile is looked up by its digits; +86 is that of all who do not write it. */
function digitsOf(mobile: string): string {
  const digits = mobile.replace(/\D/g, '')
  return digits.replace(/^(?:00)?86(?=1\d{10}$)/, '')
}

function prepareUpsert(db: Db) {
  const at = sql.placeholder
  return db
    .insert(guides)
    .values({
      guideId: at('guideId'),
      storeId: at('storeId'),
      state: 'registered',
      userid: at('userid'),
      workId: at('workId'),
      profile: at('profile'),
      mobileIndex: at('mobileIndex'),
      missedSyncs: 0,
      seenAtMs: at('nowMs'),
    })
    .onConflictDoUpdate({
      target: guides.guideId,
      set: {
        storeId: sql`excluded.store_id`,
        state: sql`excluded.state`,
        userid: sql`excluded.userid`,
        workId: sql`excluded.work_id`,
        profile: sql`excluded.profile`,
        mobileIndex: sql`excluded.mobile_index`,
        missedSyncs: sql`excluded.missed_syncs`,
        seenAtMs: sql`excluded.seen_at_ms`,
      },
    })
    .prepare()
}

/** What a sighting says; what it could not read it does not say. */
function known({ name, mobile, ...links }: Profile): Partial<Profile> {
  return {
    ...links,
    ...(name === null ? {} : { name }),
    ...(mobile === null ? {} : { mobile }),
  }
}
