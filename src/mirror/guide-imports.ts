import { setImmediate as nextTick } from 'node:timers/promises'
import { and, asc, eq, gt, isNotNull, isNull, or, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { guideImportRows, guideImports } from './schema.ts'
import { sealedBy } from './sealed-by.ts'
import type { Vault } from './vault.ts'

export type GuideImport = typeof guideImports.$inferSelect
export type ImportFault = { column: string; message: string }

/** `registered` here and now, `known` to WeChat Pay before, or `refused` with the reasons. */
export type RowResult =
  | { status: 'registered' | 'known'; guideId: string }
  | { status: 'refused'; errors: ImportFault[] }

export type ImportRow = { row: number } & (
  | { status: 'waiting'; guideId: null; errors: null }
  | { status: 'registered' | 'known'; guideId: string; errors: null }
  | { status: 'refused'; guideId: null; errors: ImportFault[] }
)

export type ImportCounts = Record<ImportRow['status'], number>

export type GuideImports = ReturnType<typeof openGuideImports>

const resealedAtOnce = 200

/** Where a row's content is sealed for. */
export const placeOfRow = (importId: string, row: number): string => `${importId}/${row}`
const rowsASlice = 200
/** Of those that have ended; their results can be asked for as long. */
const endedKept = 50

type NewRow = { row: number; content: string | null; errors: ImportFault[] }

/** Files of guides to be registered, row by row; what a row holds is sealed until it has its result, and gone then. */
export function openGuideImports(db: Db, vault: Vault) {
  const ofRow = (importId: string, row: number) =>
    and(eq(guideImportRows.importId, importId), eq(guideImportRows.row, row))

  const insertRow = prepareInsertRow(db)
  const gathering = new Set<string>()

  function insertRows(importId: string, rows: readonly NewRow[]): void {
    db.transaction(
      () => {
        for (const { row, content, errors } of rows) {
          const sealed = content === null ? null : vault.seal(content, placeOfRow(importId, row))
          insertRow.run({
            importId,
            row,
            sealed,
            status: sealed === null ? 'refused' : 'waiting',
            errors: sealed === null ? JSON.stringify(errors) : null,
          })
        }
      },
      { behavior: 'immediate' },
    )
  }

  /** One that ended long ago, or was never opened: the process ended while its rows were gathered. */
  function stale(): GuideImport | undefined {
    const hasWaiting = sql`EXISTS (
      SELECT 1 FROM guide_import_rows WHERE import_id = ${guideImports.id} AND status = 'waiting')`
    const isOld = sql`${guideImports.id} IN (
      SELECT id FROM guide_imports WHERE ended_at_ms IS NOT NULL
      ORDER BY created_at_ms DESC, id DESC LIMIT -1 OFFSET ${endedKept})`
    return db
      .select()
      .from(guideImports)
      .where(and(isNotNull(guideImports.endedAtMs), or(hasWaiting, isOld)))
      .all()
      .find(({ id }) => !gathering.has(id))
  }

  return {
    /**
     * Takes the file in, all of it or nothing, over several turns of the event loop: it stands as ended until its last
     * row is written, and is opened then.
     */
    async create(entry: Omit<GuideImport, 'endedAtMs'>, rows: Iterable<NewRow>): Promise<void> {
      const { id, createdAtMs } = entry
      gathering.add(id)
      try {
        db.insert(guideImports)
          .values({ ...entry, endedAtMs: createdAtMs })
          .run()
        for (const slice of slicesOf(rows)) {
          insertRows(id, slice)
          await nextTick()
        }
        db.update(guideImports).set({ endedAtMs: null }).where(eq(guideImports.id, id)).run()
      } finally {
        gathering.delete(id)
      }
    },

    /** Forgets imports that nobody needs any more, a part at a time; true when there is nothing left to do. */
    purge(): boolean {
      const found = stale()
      if (!found) return true
      const ofImport = eq(guideImportRows.importId, found.id)
      db.transaction(
        () => {
          const { changes } = db
            .delete(guideImportRows)
            .where(
              and(
                ofImport,
                sql`row IN (SELECT row FROM guide_import_rows WHERE import_id = ${found.id} LIMIT ${rowsASlice})`,
              ),
            )
            .run()
          if (changes < rowsASlice) {
            db.delete(guideImports).where(eq(guideImports.id, found.id)).run()
          }
        },
        { behavior: 'immediate' },
      )
      return false
    },

    find: (id: string): GuideImport | null =>
      db.select().from(guideImports).where(eq(guideImports.id, id)).get() ?? null,

    counts(id: string): ImportCounts {
      const counts: ImportCounts = { waiting: 0, registered: 0, known: 0, refused: 0 }
      const rows = db
        .select({ status: guideImportRows.status, count: sql<number>`count(*)` })
        .from(guideImportRows)
        .where(eq(guideImportRows.importId, id))
        .groupBy(guideImportRows.status)
        .all()
      for (const { status, count } of rows) counts[status] = count
      return counts
    },

    /** Rows after `after`, in the order of the file. */
    rows: (id: string, after: number, limit: number): ImportRow[] =>
      db
        .select()
        .from(guideImportRows)
        .where(and(eq(guideImportRows.importId, id), gt(guideImportRows.row, after)))
        .orderBy(asc(guideImportRows.row))
        .limit(limit)
        .all()
        .map(({ row, status, guideId, errors }) => {
          const read = { row, status, guideId, errors: errors === null ? null : JSON.parse(errors) }
          return read as ImportRow
        }),

    /** Rows that have no result yet, after `after`. A row that cannot be opened any more has null. */
    waiting: (
      id: string,
      after: number,
      limit: number,
    ): { row: number; content: string | null }[] =>
      db
        .select()
        .from(guideImportRows)
        .where(
          and(
            eq(guideImportRows.importId, id),
            gt(guideImportRows.row, after),
            eq(guideImportRows.status, 'waiting'),
          ),
        )
        .orderBy(asc(guideImportRows.row))
        .limit(limit)
        .all()
        .map(({ row, sealed }) => ({
          row,
          content: sealed === null ? null : vault.open(sealed, placeOfRow(id, row)),
        })),

    settle(id: string, row: number, result: RowResult): void {
      const { status } = result
      db.update(guideImportRows)
        .set({
          status,
          sealed: null,
          guideId: status === 'refused' ? null : result.guideId,
          errors: status === 'refused' ? JSON.stringify(result.errors) : null,
        })
        .where(and(ofRow(id, row), eq(guideImportRows.status, 'waiting')))
        .run()
    },

    end(id: string, nowMs: number): void {
      db.update(guideImports).set({ endedAtMs: nowMs }).where(eq(guideImports.id, id)).run()
    },

    /** Seals anew what waits and an older key sealed, a part at a time; true when there is nothing left to do. */
    reseal(): boolean {
      const rows = db
        .select()
        .from(guideImportRows)
        .where(
          and(
            eq(guideImportRows.status, 'waiting'),
            isNotNull(guideImportRows.sealed),
            sql`${sealedBy(guideImportRows.sealed)} <> ${vault.keyId}`,
          ),
        )
        .limit(resealedAtOnce)
        .all()
      db.transaction(() => {
        for (const { importId, row, sealed } of rows) {
          const place = placeOfRow(importId, row)
          const content = sealed === null ? null : vault.open(sealed, place)
          db.update(guideImportRows)
            .set({ sealed: content === null ? null : vault.seal(content, place) })
            .where(ofRow(importId, row))
            .run()
        }
      })
      return rows.length < resealedAtOnce
    },

    /** Those that an earlier process left, oldest first. */
    unfinished: (): GuideImport[] =>
      db
        .select()
        .from(guideImports)
        .where(isNull(guideImports.endedAtMs))
        .orderBy(asc(guideImports.createdAtMs))
        .all(),
  }
}

function* slicesOf(rows: Iterable<NewRow>): Generator<NewRow[]> {
  let slice: NewRow[] = []
  for (const row of rows) {
    slice.push(row)
    if (slice.length < rowsASlice) continue
    yield slice
    slice = []
  }
  if (slice.length > 0) yield slice
}

function prepareInsertRow(db: Db) {
  const at = sql.placeholder
  return db
    .insert(guideImportRows)
    .values({
      importId: at('importId'),
      row: at('row'),
      sealed: at('sealed'),
      status: at('status'),
      errors: at('errors'),
    })
    .prepare()
}
