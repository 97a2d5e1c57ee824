import { z } from 'zod'
import { guideIdSchema } from '../rules/names.ts'
import { parseCsv } from './csv.ts'
import { instantSchema, opaque } from './edge.ts'
import type { Language } from './language.ts'
import { localized, sentenceFor } from './sentences.ts'

export const memberIdSchema = opaque(128)

const rowSchema = z.strictObject({
  member_id: memberIdSchema,
  guide_id: guideIdSchema,
  since: instantSchema.optional(),
  expires_at: instantSchema.optional(),
})

const columns = ['member_id', 'guide_id', 'since', 'expires_at'] as const
const needed: readonly string[] = ['member_id', 'guide_id']

/** A row as it was sent; `row` counts from 1, a header being the first. */
export type OwnerRow = {
  row: number
  memberId: string
  guideId: string
  sinceMs: number | null
  expiresAtMs: number | null
}

export type RowError = { row: number; column: string; message: string }
export type OwnerFile = { rows: OwnerRow[]; errors: RowError[] }

type RawRow = { row: number; value: unknown } | { row: number; fault: string }
type Say = (en: string, zh: string) => string

export const maxOwnerRows = 100_000

/** Members' owners from a table with a header (RFC 4180), or from one JSON object a line. */
export function readOwnerFile(
  text: string,
  format: 'csv' | 'ndjson',
  language: Language,
): OwnerFile {
  const say: Say = (en, zh) => (language === 'zh' ? zh : en)
  const raw = format === 'csv' ? readTable(text, say) : readLines(text, say)
  if (raw.length > maxOwnerRows) {
    const message = say(`more than ${maxOwnerRows} rows`, `超过 ${maxOwnerRows} 行`)
    return { rows: [], errors: [{ row: maxOwnerRows + 1, column: '', message }] }
  }
  const file: OwnerFile = { rows: [], errors: [] }
  for (const one of raw) {
    if ('fault' in one) {
      file.errors.push({ row: one.row, column: '', message: one.fault })
      continue
    }
    const read = rowSchema.safeParse(one.value, { error: issue => sentenceFor(issue, language) })
    if (read.success) file.rows.push(asRow(one.row, read.data))
    else file.errors.push(...rowErrors(one.row, read.error.issues, language))
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

function rowErrors(
  row: number,
  issues: readonly z.core.$ZodIssue[],
  language: Language,
): RowError[] {
  const byColumn = new Map<string, RowError>()
  for (const issue of issues) {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
    const column = String(issue.path[0] ?? unknown ?? '').slice(0, 64)
    if (byColumn.has(column)) continue
    byColumn.set(column, { row, column, message: localized(issue, language) })
  }
  return [...byColumn.values()]
}

function readTable(text: string, say: Say): RawRow[] {
  const { records, fault } = parseCsv(text)
  const [header, ...body] = records
  const rows: RawRow[] = []
  if (header) {
    const wrong = headerFault(header.fields, say)
    if (wrong !== null) return [{ row: header.row, fault: wrong }]
    const { length } = header.fields
    for (const { row, fields } of body) {
      if (fields.length === length) rows.push({ row, value: named(header.fields, fields) })
      else rows.push({ row, fault: say(`must have ${length} fields`, `应有 ${length} 个字段`) })
    }
  }
  if (fault) {
    const unclosed = say('a quote is not closed', '引号没有闭合')
    const stray = say('a quote stands inside a field', '字段中间出现引号')
    rows.push({ row: fault.row, fault: fault.kind === 'open_quote' ? unclosed : stray })
  } else if (!header) {
    rows.push({ row: 1, fault: say('the header row is missing', '缺少表头') })
  }
  return rows
}

function headerFault(header: readonly string[], say: Say): string | null {
  const known: readonly string[] = columns
  const fits =
    header.every(name => known.includes(name)) &&
    needed.every(name => header.includes(name)) &&
    new Set(header).size === header.length
  if (fits) return null
  return say(
    `the header must name member_id and guide_id, and may name since and expires_at`,
    `表头须有 member_id 和 guide_id，可有 since 和 expires_at`,
  )
}

/** An empty cell says nothing, as an absent field. */
function named(header: readonly string[], fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    header.flatMap((name, index) => {
      const field = fields[index] ?? ''
      return field === '' && !needed.includes(name) ? [] : [[name, field]]
    }),
  )
}

function readLines(text: string, say: Say): RawRow[] {
  const rows: RawRow[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const row = index + 1
    try {
      rows.push({ row, value: JSON.parse(line) })
    } catch {
      rows.push({ row, fault: say('is not JSON', '不是有效的 JSON') })
    }
  }
  return rows
}
