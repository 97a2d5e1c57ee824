import { and, asc, desc, eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { StartError } from '../errors.ts'
import type { Rules } from '../rules/decide.ts'
import { gatherCrew, type KnownGuide } from '../rules/eligibility.ts'
import { defaultPlan, type Plan } from '../rules/plan.ts'
import { defaultRoster, type Roster } from '../rules/roster.ts'
import { defaultStaff, type Staff } from '../rules/staff.ts'
import { documents, guides, installation, merchants, owners, stores } from './schema.ts'

export type StoreDocuments = { staff: Staff; roster: Roster; plan: Plan }
export type DocumentKind = keyof StoreDocuments

export type Store = typeof stores.$inferSelect
export type MerchantSettings = Omit<typeof merchants.$inferSelect, 'merchant'>
export type Installation = { mode: 'direct' | 'partner'; mchid: string }

/** A store as the hot path needs it: whose it is, and its documents made ready. */
export type ReadyStore = Store & { rules: Rules }

export type Mirror = ReturnType<typeof openMirror>

const defaultSettings: MerchantSettings = {
  edition: 'standard',
  platformAutoAssign: false,
  assignWindowSeconds: null,
}

/**
 * The local copy of what is true elsewhere: merchants, stores, guides, members' owners, and the rule documents.
 * Stores that decide orders stay ready in memory, at most `maxReady` of them, until something of theirs changes.
 */
export function openMirror(db: Db, maxReady = 2048) {
  const statements = prepare(db)
  const ready = new Map<number, ReadyStore>()

  function store(storeId: number): ReadyStore | null {
    const warm = ready.get(storeId)
    if (warm) return warm
    const row = statements.store.get({ storeId })
    if (!row) return null
    const made = { ...row, rules: makeReady(row) }
    const oldest = ready.size >= maxReady ? ready.keys().next().value : undefined
    if (oldest !== undefined) ready.delete(oldest)
    ready.set(storeId, made)
    return made
  }

  function makeReady(row: Store): Rules {
    const { staff, roster, plan } = currentDocuments(row)
    return {
      crew: gatherCrew(row.storeId, staff.body, roster.body, knownGuides(staff.body)),
      plan: plan.body,
      versions: { staff: staff.version, roster: roster.version, plan: plan.version },
    }
  }

  function currentDocuments({ storeId, timezone }: Store) {
    return {
      staff: current<Staff>(storeId, 'staff', () => defaultStaff(timezone, guidesOf(storeId))),
      roster: current<Roster>(storeId, 'roster', () => defaultRoster),
      plan: current<Plan>(storeId, 'plan', () => defaultPlan),
    }
  }

  function current<T>(storeId: number, kind: DocumentKind, fallback: () => T) {
    const row = statements.document.get({ storeId, kind })
    if (!row) return { version: 0, body: fallback() }
    const body: T = JSON.parse(row.body)
    return { version: row.version, body }
  }

  function guidesOf(storeId: number): string[] {
    return statements.guidesOf.all({ storeId }).map(({ guideId }) => guideId)
  }

  function knownGuides(staff: Staff): Map<string, KnownGuide> {
    const ids = staff.guides.map(({ id }) => id)
    const rows = db.select().from(guides).where(inArray(guides.guideId, ids)).all()
    return new Map(
      rows.map(({ guideId, storeId, state }) => [guideId, { id: guideId, storeId, state }]),
    )
  }

  return {
    store,

    stores: (): Store[] => db.select().from(stores).orderBy(asc(stores.storeId)).all(),

    settings(merchant: string): MerchantSettings {
      return statements.settings.get({ merchant }) ?? defaultSettings
    },

    setSettings(merchant: string, settings: MerchantSettings): void {
      db.insert(merchants)
        .values({ merchant, ...settings })
        .onConflictDoUpdate({ target: merchants.merchant, set: settings })
        .run()
    },

    putStore(row: Store): void {
      const { merchant, name, timezone } = row
      db.insert(stores)
        .values(row)
        .onConflictDoUpdate({ target: stores.storeId, set: { merchant, name, timezone } })
        .run()
      ready.delete(row.storeId)
    },

    putGuide(guide: KnownGuide): void {
      const { id, storeId, state } = guide
      db.insert(guides)
        .values({ guideId: id, storeId, state })
        .onConflictDoUpdate({ target: guides.guideId, set: { storeId, state } })
        .run()
      // A guide may stand on the staff of more stores than their own, even before they are registered.
      ready.clear()
    },

    /** Takes a guide out of every decision until they are registered anew. */
    quarantine(guideId: string): void {
      const { changes } = db
        .update(guides)
        .set({ state: 'quarantined' })
        .where(eq(guides.guideId, guideId))
        .run()
      if (changes > 0) ready.clear()
    },

    guidesOf,

    putDocument<K extends DocumentKind>(
      storeId: number,
      kind: K,
      body: StoreDocuments[K],
      written: { author: string; atMs: number },
    ): number {
      const version = (statements.document.get({ storeId, kind })?.version ?? 0) + 1
      db.insert(documents)
        .values({
          storeId,
          kind,
          version,
          body: JSON.stringify(body),
          author: written.author,
          writtenAtMs: written.atMs,
        })
        .run()
      ready.delete(storeId)
      return version
    },

    setOwner(
      merchant: string,
      memberId: string,
      guideId: string,
      expiresAtMs: number | null,
    ): void {
      db.insert(owners)
        .values({ merchant, memberId, guideId, expiresAtMs })
        .onConflictDoUpdate({
          target: [owners.merchant, owners.memberId],
          set: { guideId, expiresAtMs },
        })
        .run()
    },

    ownerOf(merchant: string, memberId: string, nowMs: number): string | null {
      const owner = statements.owner.get({ merchant, memberId })
      if (!owner) return null
      return owner.expiresAtMs !== null && owner.expiresAtMs <= nowMs ? null : owner.guideId
    },

    /** Makes the file that merchant's, if it is nobody's yet. */
    claim({ mode, mchid }: Installation): void {
      db.insert(installation).values({ id: 1, mode, mchid }).onConflictDoNothing().run()
    },

    /** @throws StartError when the file holds another merchant's orders */
    refuseOther({ mode, mchid }: Installation): void {
      const known = db.select().from(installation).get()
      if (!known) return
      if (known.mode !== mode || known.mchid !== mchid) {
        throw new StartError(
          `The data directory belongs to ${known.mode} merchant ${known.mchid}, and the configuration names ${mode} merchant ${mchid}: set DATA_DIR to another directory.`,
        )
      }
    },
  }
}

function prepare(db: Db) {
  const at = sql.placeholder
  return {
    store: db
      .select()
      .from(stores)
      .where(eq(stores.storeId, at('storeId')))
      .prepare(),
    guidesOf: db
      .select({ guideId: guides.guideId })
      .from(guides)
      .where(eq(guides.storeId, at('storeId')))
      .orderBy(asc(guides.guideId))
      .prepare(),
    document: db
      .select({ version: documents.version, body: documents.body })
      .from(documents)
      .where(and(eq(documents.storeId, at('storeId')), eq(documents.kind, at('kind'))))
      .orderBy(desc(documents.version))
      .limit(1)
      .prepare(),
    owner: db
      .select({ guideId: owners.guideId, expiresAtMs: owners.expiresAtMs })
      .from(owners)
      .where(and(eq(owners.merchant, at('merchant')), eq(owners.memberId, at('memberId'))))
      .prepare(),
    settings: db
      .select({
        edition: merchants.edition,
        platformAutoAssign: merchants.platformAutoAssign,
        assignWindowSeconds: merchants.assignWindowSeconds,
      })
      .from(merchants)
      .where(eq(merchants.merchant, at('merchant')))
      .prepare(),
  }
}
