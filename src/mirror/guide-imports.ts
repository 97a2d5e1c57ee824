import { and, asc, eq, gt, isNotNull, isNull, ne, sql } from 'drizzle-orm'
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

/** Files of guides to be registered, row by row; what a row holds is sealed until it has its result, and gone then. */
export function openGuideImports(db: Db, vault: Vault) {
  const ofRow = (importId: string, row: number) =>
    and(eq(guideImportRows.importId, importId), eq(guideImportRows.row, row))

  return {
    /** Takes the file in, all of it or nothing. */
    create(
      entry: Omit<GuideImport, 'endedAtMs'>,
      rows: readonly { row: number; content: string | null; errors: ImportFault[] }[],
    ): void {
      db.transaction(
        () => {
          db.insert(guideImports).values(entry).run()
          for (const { row, content, errors } of rows) {
            const sealed = content === null ? null : vault.seal(content, placeOfRow(entry.id, row))
            db.insert(guideImportRows)
              .values({
                importId: entry.id,
                row,
                sealed,
                status: sealed === null ? 'refused' : 'waiting',
                errors: sealed === null ? JSON.stringify(errors) : null,
              })
              .run()
          }
        },
        { behavior: 'immediate' },
      )
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
        .where(and(ofRow(id, row), ne(guideImportRows.status, status)))
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
