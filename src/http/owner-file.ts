import { setImmediate as nextTick } from 'node:timers/promises'
import { z } from 'zod'
import { guideIdSchema } from '../rules/names.ts'
import { type CsvFault, parseCsv } from './csv.ts'
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

/** The value of a blank row is undefined. */
type RawRow = { row: number; value: unknown } | { row: number; fault: string }
type Say = (en: string, zh: string) => string

const maxOwnerRows = 100_000
/** How many errors are told; who finds one more stops looking. */
export const maxRowErrors = 100

const sliceMs = 8

/** Lets the event loop turn once the work since its last turn took a few milliseconds. */
export function createBreather(): () => Promise<void> {
  let startedMs = performance.now()
  return async () => {
    if (performance.now() - startedMs < sliceMs) return
    await nextTick()
    startedMs = performance.now()
  }
}

/** Members' owners from a table with a header (RFC 4180), or from one JSON object a line; of a wrong file its beginning. */
export async function readOwnerFile(
  text: string,
  format: 'csv' | 'ndjson',
  language: Language,
): Promise<OwnerFile> {
  const say: Say = (en, zh) => (language === 'zh' ? zh : en)
  const isTable = format === 'csv'
  const lastRow = isTable ? maxOwnerRows + 1 : maxOwnerRows
  const file: OwnerFile = { rows: [], errors: [] }
  const breathe = createBreather()
  for (const one of isTable ? readTable(text, say) : readLines(text, say)) {
    await breathe()
    if (one.row > lastRow) {
      const message = say(`more than ${maxOwnerRows} rows`, `超过 ${maxOwnerRows} 行`)
      return { rows: [], errors: [{ row: maxOwnerRows + 1, column: '', message }] }
    }
    if (file.errors.length > maxRowErrors) break
    if ('fault' in one) {
      file.errors.push({ row: one.row, column: '', message: one.fault })
      continue
    }
    if (one.value === undefined) continue
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

function* readTable(text: string, say: Say): Generator<RawRow> {
  let header: string[] | null = null
  for (const record of parseCsv(text)) {
    const { row } = record
    if ('fault' in record) return yield { row, fault: csvSentence(record, say) }
    const { fields } = record
    if (fields.length === 1 && fields[0] === '') yield { row, value: undefined }
    else if (!header) {
      const wrong = headerFault(fields, say)
      if (wrong !== null) return yield { row, fault: wrong }
      header = fields
    } else if (fields.length === header.length) yield { row, value: named(header, fields) }
    else {
      const { length } = header
      yield { row, fault: say(`must have ${length} fields`, `应有 ${length} 个字段`) }
    }
  }
  if (!header) yield { row: 1, fault: say('the header row is missing', '缺少表头') }
}

function csvSentence({ fault }: CsvFault, say: Say): string {
  switch (fault) {
    case 'open_quote':
      return say('a quote is not closed', '引号没有闭合')
    case 'stray_quote':
      return say('a quote stands inside a field', '字段中间出现引号')
    case 'too_many_fields':
      return say('has too many fields', '字段过多')
  }
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

function* readLines(text: string, say: Say): Generator<RawRow> {
  let row = 1
  for (let at = 0; at < text.length; row++) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end === -1 ? text.length : end)
    at += line.length + 1
    yield lineRow(row, line, say)
  }
}

function lineRow(row: number, line: string, say: Say): RawRow {
  if (line.trim() === '') return { row, value: undefined }
  try {
    return { row, value: JSON.parse(line) }
  } catch {
    return { row, fault: say('is not JSON', '不是有效的 JSON') }
  }
}
