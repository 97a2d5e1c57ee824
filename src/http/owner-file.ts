import { z } from 'zod'
import { guideIdSchema } from '../rules/names.ts'
import { instantSchema, opaque } from './edge.ts'
import type { Language } from './language.ts'
import { type FileFormat, type RowError, readFileRows } from './table-file.ts'

export const memberIdSchema = opaque(128)

const rowSchema = z.strictObject({
  member_id: memberIdSchema,
  guide_id: guideIdSchema,
  since: instantSchema.optional(),
  expires_at: instantSchema.optional(),
})

const shape = {
  schema: rowSchema,
  needed: ['member_id', 'guide_id'],
  optional: ['since', 'expires_at'],
  maxRows: 100_000,
}

/** A row as it was sent; `row` counts from 1, a header being the first. */
export type OwnerRow = {
  row: number
  memberId: string
  guideId: string
  sinceMs: number | null
  expiresAtMs: number | null
}

export type OwnerFile = { rows: OwnerRow[]; errors: RowError[] }

/** How many errors are told; who finds one more stops looking. */
export const maxRowErrors = 100

/** Members' owners from a file; of a wrong one its beginning. */
export async function readOwnerFile(
  text: string,
  format: FileFormat,
  language: Language,
): Promise<OwnerFile> {
  const file: OwnerFile = { rows: [], errors: [] }
  for await (const one of readFileRows(text, format, shape, language)) {
    if (one.kind === 'too_long') return { rows: [], errors: one.errors }
    if (one.kind === 'wrong' || one.kind === 'unreadable') file.errors.push(...one.errors)
    else file.rows.push(asRow(one.row, one.value))
    if (file.errors.length > maxRowErrors) break
  }
  return file
}

function asRow(row: number, read: z.infer<typeof rowSchema>): OwnerRow {
  return {
    row,
    memberId: read.member_id,
    guideId: read.guide_id,
    sinceMs: read.since === undefined ? null : Date.parse(read.since),
    expiresAtMs: read.expires_at === undefined ? null : Date.parse(read.expires_at),
  }
}
