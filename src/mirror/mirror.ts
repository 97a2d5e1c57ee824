import { hash } from 'node:crypto'
import { and, asc, desc, eq, gt, lte, ne, sql } from 'drizzle-orm'
import type { Standing } from '../db/change-log.ts'
import type { Db } from '../db/open.ts'
import { StartError } from '../errors.ts'
import type { Owner, Rules } from '../rules/decide.ts'
import { gatherCrew, type KnownGuide } from '../rules/eligibility.ts'
import { defaultPlan, type Plan } from '../rules/plan.ts'
import { defaultRoster, type Roster } from '../rules/roster.ts'
import { defaultStaff, type Staff } from '../rules/staff.ts'
import { guideStanding } from './guide-standing.ts'
import { createOwnerImport } from './owner-import.ts'
import {
  documents,
  guides,
  installation,
  merchants,
  owners,
  pauses,
  stores,
  syncs,
} from './schema.ts'

export type StoreDocuments = { staff: Staff; roster: Roster; plan: Plan }
export type DocumentKind = keyof StoreDocuments
export const documentKinds = ['staff', 'roster', 'plan'] as const satisfies readonly DocumentKind[]

/** One version of a document. Version 0 is the default, which nobody wrote. */
export type Version<T> = {
  version: number
  body: T
  author: string | null
  writtenAtMs: number | null
  effectiveAtMs: number
}

type Written = { author: string; atMs: number; effectiveAtMs?: number }

export type Store = typeof stores.$inferSelect
export type Pause = typeof pauses.$inferSelect
export type MemberOwner = typeof owners.$inferSelect
export type MerchantSettings = Omit<typeof merchants.$inferSelect, 'merchant'>
export type Installation = { mode: 'direct' | 'partner'; mchid: string }

/** A store as the hot path needs it: whose it is, its documents made ready, and who is paused. */
export type ReadyStore = Store & {
  rules: Rules
  isPaused(guideId: string, nowMs: number): boolean
  /** Another version of a document takes effect then. */
  readyUntilMs: number
}

export type Mirror = ReturnType<typeof openMirror>

const syncsKept = 100
const defaultSettings: MerchantSettings = {
  edition: 'standard',
  platformAutoAssign: false,
  assignWindowSeconds: null,
}

/**
 * The local copy of what is true elsewhere: merchants, stores, guides, members' owners, and the rule documents.
 * Stores that decide orders stay ready in memory, at most `maxReady` of them, until something of theirs changes.
 */
export function openMirror(db: Db, maxReady = 16_384) {
  const statements = prepare(db)
  const setOwners = createOwnerImport(db)
  // As SQL, for every order asks: drizzle would take longer to bind it than it runs.
  const ownerAt = db.$client.prepare<[merchant: string, memberId: string, nowMs: number], Owner>(`
    SELECT guide_id AS guideId, since_ms AS sinceMs FROM owners
    WHERE merchant = ? AND member_id = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)`)
  const ready = new Map<number, ReadyStore>()
  const warmSettings = new Map<string, MerchantSettings>()

  function readyStore(storeId: number, nowMs: number): ReadyStore | null {
    const warm = ready.get(storeId)
    if (warm && nowMs < warm.readyUntilMs) return warm
    const row = statements.store.get({ storeId })
    if (!row) return null
    const made = makeReady(row, nowMs)
    const oldest = ready.size >= maxReady ? ready.keys().next().value : undefined
    if (oldest !== undefined) ready.delete(oldest)
    ready.set(storeId, made)
    return made
  }

  function makeReady(row: Store, nowMs: number): ReadyStore {
    const { storeId } = row
    const { staff, roster, plan } = documentsAt(row, nowMs)
    const paused = new Map(
      statements.pauses.all({ storeId }).map(({ guideId, untilMs }) => [guideId, untilMs]),
    )
    return {
      ...row,
      rules: {
        ...rulesFor(row, { staff: staff.body, roster: roster.body, plan: plan.body }),
        versions: { staff: staff.version, roster: roster.version, plan: plan.version },
      },
      isPaused: (guideId, atMs) => (paused.get(guideId) ?? 0) > atMs,
      readyUntilMs: statements.nextEffect.get({ storeId, nowMs })?.atMs ?? Number.POSITIVE_INFINITY,
    }
  }

  /** The documents in force at that instant. */
  function documentsAt(store: Store, atMs: number) {
    return {
      staff: inForce(store, 'staff', atMs),
      roster: inForce(store, 'roster', atMs),
      plan: inForce(store, 'plan', atMs),
    }
  }

  function inForce<K extends DocumentKind>(store: Store, kind: K, atMs: number) {
    const row = statements.inForce.get({ storeId: store.storeId, kind, atMs })
    return row ? readVersion<K>(row) : defaultVersion(store, kind)
  }

  function defaultVersion<K extends DocumentKind>(
    store: Store,
    kind: K,
  ): Version<StoreDocuments[K]> {
    const made: StoreDocuments = {
      staff: defaultStaff(store.timezone, guidesOf(store.storeId)),
      roster: defaultRoster,
      plan: defaultPlan,
    }
    return { version: 0, body: made[kind], author: null, writtenAtMs: null, effectiveAtMs: 0 }
  }

  function guidesOf(storeId: number): string[] {
    return statements.guidesOf.all({ storeId }).map(({ guideId }) => guideId)
  }

  /** What is known of those guides; whoever is missing is not registered. */
  function knownGuides(ids: readonly string[]): Map<string, KnownGuide> {
    const rows = statements.known.all({ ids: JSON.stringify(ids) })
    return new Map(
      rows.flatMap(({ state, ...row }) => (state === 'gone' ? [] : [[row.id, { ...row, state }]])),
    )
  }

  /** Documents made ready as they would be for that store: the draft's own versions are 0. */
  function rulesFor(store: Store, { staff, roster, plan }: StoreDocuments): Rules {
    const known = knownGuides(staff.guides.map(({ id }) => id))
    return {
      crew: gatherCrew(store.merchant, staff, roster, known),
      plan,
      versions: { staff: 0, roster: 0, plan: 0 },
    }
  }

  function newest<K extends DocumentKind>(store: Store, kind: K): Version<StoreDocuments[K]> {
    const row = statements.newest.get({ storeId: store.storeId, kind })
    return row ? readVersion<K>(row) : defaultVersion(store, kind)
  }

  function insertVersion(
    storeId: number,
    kind: DocumentKind,
    body: StoreDocuments[DocumentKind],
    version: number,
    { author, atMs, effectiveAtMs = atMs }: Written,
  ): number {
    const row = { storeId, kind, version, body: JSON.stringify(body) }
    db.changes.record(
      { kind, subject: String(storeId), storeId },
      () => documentStanding(statements.newest.get({ storeId, kind })),
      () =>
        db
          .insert(documents)
          .values({ ...row, author, writtenAtMs: atMs, effectiveAtMs })
          .run(),
    )
    ready.delete(storeId)
    return version
  }

  function findSettings(merchant: string): MerchantSettings | null {
    return statements.settings.get({ merchant }) ?? null
  }

  function findStore(storeId: number): Store | null {
    return statements.store.get({ storeId }) ?? null
  }

  function findGuide(guideId: string): typeof guides.$inferSelect | undefined {
    return db.select().from(guides).where(eq(guides.guideId, guideId)).get()
  }

  function pauseStanding(storeId: number, guideId: string): Standing {
    const pause = statements.pauses.all({ storeId }).find(one => one.guideId === guideId)
    // Why is told in free words, which may be about a person.
    return pause ? { told: { until: isoOf(pause.untilMs) }, hidden: { why: pause.why } } : null
  }

  /** The member is known by a pseudonym alone. */
  function recordOwner<T>(merchant: string, memberId: string, work: () => T): T {
    return db.changes.record(
      { kind: 'owner', subject: db.changes.pseudonym(merchant, memberId), storeId: null },
      () => ownerStanding(statements.owner.get({ merchant, memberId })),
      work,
    )
  }

  return {
    readyStore,
    rulesFor,
    knownGuides,
    guidesOf,
    documentsAt,

    /** Of the last sync that ended; null before the first. */
    lastSync(): { endedAtMs: number; report: string } | null {
      return db.select().from(syncs).orderBy(desc(syncs.id)).limit(1).get() ?? null
    },

    keepSync(endedAtMs: number, report: string): void {
      const { lastInsertRowid } = db.insert(syncs).values({ endedAtMs, report }).run()
      db.delete(syncs)
        .where(lte(syncs.id, Number(lastInsertRowid) - syncsKept))
        .run()
    },

    store: findStore,

    stores: (): Store[] => db.select().from(stores).orderBy(asc(stores.storeId)).all(),

    settings(merchant: string): MerchantSettings {
      const warm = warmSettings.get(merchant)
      if (warm) return warm
      const read = findSettings(merchant) ?? defaultSettings
      if (warmSettings.size >= maxReady) warmSettings.clear()
      warmSettings.set(merchant, read)
      return read
    },

    /** The merchants whose orders are skipped because WeChat Pay assigns by itself. */
    autoAssigning: (): string[] =>
      db
        .select({ merchant: merchants.merchant })
        .from(merchants)
        .where(eq(merchants.platformAutoAssign, true))
        .orderBy(asc(merchants.merchant))
        .limit(1000)
        .all()
        .map(({ merchant }) => merchant),

    setSettings(merchant: string, settings: MerchantSettings): void {
      db.changes.record(
        { kind: 'settings', subject: merchant, storeId: null },
        () => settingsStanding(findSettings(merchant)),
        () =>
          db
            .insert(merchants)
            .values({ merchant, ...settings })
            .onConflictDoUpdate({ target: merchants.merchant, set: settings })
            .run(),
      )
      warmSettings.delete(merchant)
    },

    putStore(row: Store): void {
      const { storeId, merchant, name, timezone } = row
      db.changes.record(
        { kind: 'store', subject: String(storeId), storeId },
        () => storeStanding(findStore(storeId)),
        () =>
          db
            .insert(stores)
            .values(row)
            .onConflictDoUpdate({ target: stores.storeId, set: { merchant, name, timezone } })
            .run(),
      )
      ready.clear()
    },

    /** A guide may stand on the staff of more stores than their own, even before they are registered. */
    forgetReady(guideId: string, storeId: number): void {
      for (const [id, { rules }] of ready) {
        const isOnDefaultStaff = id === storeId && rules.versions.staff === 0
        if (isOnDefaultStaff || rules.crew.byId.has(guideId)) ready.delete(id)
      }
    },

    putGuide({ id, storeId, state }: Omit<KnownGuide, 'merchant'>): void {
      db.changes.record(
        { kind: 'guide', subject: id, storeId },
        () => guideStanding(findGuide(id)),
        () =>
          db
            .insert(guides)
            .values({ guideId: id, storeId, state })
            .onConflictDoUpdate({ target: guides.guideId, set: { storeId, state } })
            .run(),
      )
      // A guide may stand on the staff of more stores than their own, even before they are registered.
      ready.clear()
    },

    guideCounts(): Record<'registered' | 'quarantined' | 'gone', number> {
      const counts = { registered: 0, quarantined: 0, gone: 0 }
      const rows = db
        .select({ state: guides.state, count: sql<number>`count(*)` })
        .from(guides)
        .groupBy(guides.state)
        .all()
      for (const { state, count } of rows) counts[state] = count
      return counts
    },

    /** How many versions were ever published. */
    documentCounts(): Record<'staff' | 'roster' | 'plan', number> {
      const counts = { staff: 0, roster: 0, plan: 0 }
      const rows = db
        .select({ kind: documents.kind, count: sql<number>`count(*)` })
        .from(documents)
        .groupBy(documents.kind)
        .all()
      for (const { kind, count } of rows) counts[kind] = count
      return counts
    },

    /** Takes a guide out of every decision until they are registered anew. */
    quarantine(guideId: string): void {
      // Many orders of one guide are refused at once: the stores are made ready anew for the first alone.
      const known = findGuide(guideId)
      if (!known || known.state === 'quarantined') return
      db.changes.record(
        { kind: 'guide', subject: guideId, storeId: known.storeId },
        () => guideStanding(findGuide(guideId)),
        () =>
          db.update(guides).set({ state: 'quarantined' }).where(eq(guides.guideId, guideId)).run(),
      )
      ready.clear()
    },

    /** The newest version of a document, in force or not yet. */
    newest,

    version<K extends DocumentKind>(
      store: Store,
      kind: K,
      version: number,
    ): Version<StoreDocuments[K]> | null {
      if (version === 0) return defaultVersion(store, kind)
      const row = statements.version.get({ storeId: store.storeId, kind, version })
      return row ? readVersion<K>(row) : null
    },

    /** Every version that was written, newest first, without its body; at most 1,000. */
    versions: (storeId: number, kind: DocumentKind) => statements.versions.all({ storeId, kind }),

    /**
     * Writes the next version; null when the newest is not `ifVersion` any more.
     * Without `effectiveAtMs` it is in force at once.
     */
    putDocument<K extends DocumentKind>(
      storeId: number,
      kind: K,
      body: StoreDocuments[K],
      written: Written & { ifVersion?: number },
    ): number | null {
      return db.transaction(
        () => {
          const before = statements.newest.get({ storeId, kind })?.version ?? 0
          if (written.ifVersion !== undefined && written.ifVersion !== before) return null
          return insertVersion(storeId, kind, body, before + 1, written)
        },
        { behavior: 'immediate' },
      )
    },

    /** Writes the next version of each document that is given, all or none. */
    putDocuments(storeId: number, bodies: Partial<StoreDocuments>, written: Written): void {
      db.transaction(
        () => {
          for (const kind of documentKinds) {
            const body = bodies[kind]
            if (body === undefined) continue
            const before = statements.newest.get({ storeId, kind })?.version ?? 0
            insertVersion(storeId, kind, body, before + 1, written)
          }
        },
        { behavior: 'immediate' },
      )
    },

    pause(pause: Pause): void {
      const { storeId, guideId, untilMs, why, author } = pause
      db.changes.record(
        { kind: 'pause', subject: guideId, storeId },
        () => pauseStanding(storeId, guideId),
        () =>
          db
            .insert(pauses)
            .values(pause)
            .onConflictDoUpdate({
              target: [pauses.storeId, pauses.guideId],
              set: { untilMs, why, author },
            })
            .run(),
      )
      ready.delete(storeId)
    },

    /** False when the guide was not paused. */
    unpause(storeId: number, guideId: string): boolean {
      const { changes } = db.changes.record(
        { kind: 'pause', subject: guideId, storeId },
        () => pauseStanding(storeId, guideId),
        () =>
          db
            .delete(pauses)
            .where(and(eq(pauses.storeId, storeId), eq(pauses.guideId, guideId)))
            .run(),
      )
      ready.delete(storeId)
      return changes === 1
    },

    pauses: (storeId: number, nowMs: number): Pause[] =>
      statements.pauses.all({ storeId }).filter(({ untilMs }) => untilMs > nowMs),

    setOwner(row: MemberOwner): void {
      const { merchant, memberId } = row
      recordOwner(merchant, memberId, () => statements.setOwner.run(row))
    },

    setOwners,

    /** False when the member had no owner. */
    removeOwner: (merchant: string, memberId: string): boolean =>
      recordOwner(merchant, memberId, () =>
        db
          .delete(owners)
          .where(and(eq(owners.merchant, merchant), eq(owners.memberId, memberId)))
          .run(),
      ).changes === 1,

    owner: (merchant: string, memberId: string): MemberOwner | null =>
      statements.owner.get({ merchant, memberId }) ?? null,

    /** Whose customer the member is now. */
    ownerAt(merchant: string, memberId: string, nowMs: number): Owner | null {
      return ownerAt.get(merchant, memberId, nowMs) ?? null
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

const isoOf = (atMs: number): string => new Date(atMs).toISOString()

function settingsStanding(settings: MerchantSettings | null): Standing {
  if (!settings) return null
  const { edition, platformAutoAssign, assignWindowSeconds } = settings
  return {
    told: {
      edition,
      platform_auto_assign: platformAutoAssign,
      assign_window_seconds: assignWindowSeconds,
    },
  }
}

function storeStanding(store: Store | null): Standing {
  if (!store) return null
  const { merchant, name, timezone } = store
  return { told: { merchant, name, timezone } }
}

/** The versions keep the bodies; this says which they were. */
function documentStanding(row: typeof documents.$inferSelect | undefined): Standing {
  if (!row) return null
  const { version, body, effectiveAtMs } = row
  const effective = isoOf(effectiveAtMs)
  return { told: { version, effective_at: effective, sha256: hash('sha256', body, 'hex') } }
}

function ownerStanding(owner: MemberOwner | undefined): Standing {
  if (!owner) return null
  const { merchant, guideId, sinceMs, expiresAtMs } = owner
  const expires = expiresAtMs === null ? null : isoOf(expiresAtMs)
  return {
    told: { merchant, guide_id: guideId, since: isoOf(sinceMs), expires_at: expires },
  }
}

function readVersion<K extends DocumentKind>(
  row: typeof documents.$inferSelect,
): Version<StoreDocuments[K]> {
  const { version, author, writtenAtMs, effectiveAtMs } = row
  return { version, body: JSON.parse(row.body), author, writtenAtMs, effectiveAtMs }
}

function prepare(db: Db) {
  const at = sql.placeholder
  const ofStore = eq(documents.storeId, at('storeId'))
  const ofKind = and(ofStore, eq(documents.kind, at('kind')))
  return {
    store: db
      .select()
      .from(stores)
      .where(eq(stores.storeId, at('storeId')))
      .prepare(),
    guidesOf: db
      .select({ guideId: guides.guideId })
      .from(guides)
      .where(and(eq(guides.storeId, at('storeId')), ne(guides.state, 'gone')))
      .orderBy(asc(guides.guideId))
      .prepare(),
    known: db
      .select({
        id: guides.guideId,
        storeId: guides.storeId,
        state: guides.state,
        merchant: stores.merchant,
      })
      .from(guides)
      .innerJoin(stores, eq(stores.storeId, guides.storeId))
      // As one value: a statement takes 32,766 of them, and a roster may name more.
      .where(sql`${guides.guideId} IN (SELECT value FROM json_each(${at('ids')}))`)
      .prepare(),
    inForce: db
      .select()
      .from(documents)
      .where(and(ofKind, lte(documents.effectiveAtMs, at('atMs'))))
      .orderBy(desc(documents.effectiveAtMs), desc(documents.version))
      .limit(1)
      .prepare(),
    nextEffect: db
      .select({ atMs: sql<number | null>`min(${documents.effectiveAtMs})` })
      .from(documents)
      .where(and(ofStore, gt(documents.effectiveAtMs, at('nowMs'))))
      .prepare(),
    newest: db
      .select()
      .from(documents)
      .where(ofKind)
      .orderBy(desc(documents.version))
      .limit(1)
      .prepare(),
    version: db
      .select()
      .from(documents)
      .where(and(ofKind, eq(documents.version, at('version'))))
      .prepare(),
    versions: db
      .select({
        version: documents.version,
        author: documents.author,
        writtenAtMs: documents.writtenAtMs,
        effectiveAtMs: documents.effectiveAtMs,
      })
      .from(documents)
      .where(ofKind)
      .orderBy(desc(documents.version))
      .limit(1000)
      .prepare(),
    pauses: db
      .select()
      .from(pauses)
      .where(eq(pauses.storeId, at('storeId')))
      .prepare(),
    owner: db
      .select()
      .from(owners)
      .where(and(eq(owners.merchant, at('merchant')), eq(owners.memberId, at('memberId'))))
      .prepare(),
    setOwner: db
      .insert(owners)
      .values({
        merchant: at('merchant'),
        memberId: at('memberId'),
        guideId: at('guideId'),
        sinceMs: at('sinceMs'),
        expiresAtMs: at('expiresAtMs'),
      })
      .onConflictDoUpdate({
        target: [owners.merchant, owners.memberId],
        set: {
          guideId: sql`excluded.guide_id`,
          sinceMs: sql`excluded.since_ms`,
          expiresAtMs: sql`excluded.expires_at_ms`,
        },
      })
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
