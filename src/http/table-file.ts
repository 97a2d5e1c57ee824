import type { z } from 'zod'
import { createBreather } from '../clock.ts'
import { AppError } from '../errors.ts'
import { type CsvFault, parseCsv } from './csv.ts'
import type { Language } from './language.ts'
import { localized, sentenceFor } from './sentences.ts'

/** `row` counts from 1, a header being the first; `column` is empty where the fault is of the whole row. */
export type RowError = { row: number; column: string; message: string }

/** A row as its schema reads it, or all that is wrong with it; what cannot be read on, or is too long, ends there. */
export type FileRow<T> =
  | { kind: 'read'; row: number; value: T }
  | { kind: 'wrong'; row: number; errors: RowError[] }
  | { kind: 'unreadable'; row: number; errors: RowError[] }
  | { kind: 'too_long'; row: number; errors: RowError[] }

export type FileFormat = 'csv' | 'ndjson'

/** What the rows of a file hold: `needed` and `optional` name its columns. */
export type RowShape<S extends z.ZodType> = {
  schema: S
  needed: readonly string[]
  optional: readonly string[]
  maxRows: number
}

/** The value of a blank row is undefined. */
type RawRow = { row: number; value: unknown } | { row: number; fault: string; isEnd: boolean }
type Say = (en: string, zh: string) => string
type Columns = Pick<RowShape<z.ZodType>, 'needed' | 'optional'>

/** The rows of a table with a header (RFC 4180), or of one JSON object a line, until the reader has enough. */
export async function* readFileRows<S extends z.ZodType>(
  text: string,
  format: FileFormat,
  { schema, maxRows, ...columns }: RowShape<S>,
  language: Language,
): AsyncGenerator<FileRow<z.output<S>>> {
  const say: Say = (en, zh) => (language === 'zh' ? zh : en)
  const lastRow = format === 'csv' ? maxRows + 1 : maxRows
  const breathe = createBreather()
  for (const one of format === 'csv' ? readTable(text, columns, say) : readLines(text, say)) {
    await breathe()
    const { row } = one
    if (row > lastRow) {
      const message = say(`more than ${maxRows} rows`, `超过 ${maxRows} 行`)
      yield { kind: 'too_long', row, errors: [{ row: maxRows + 1, column: '', message }] }
      return
    }
    if ('fault' in one) {
      yield {
        kind: one.isEnd ? 'unreadable' : 'wrong',
        row,
        errors: [{ row, column: '', message: one.fault }],
      }
      continue
    }
    if (one.value === undefined) continue
    const read = schema.safeParse(one.value, { error: issue => sentenceFor(issue, language) })
    yield read.success
      ? { kind: 'read', row, value: read.data }
      : { kind: 'wrong', row, errors: rowErrors(row, read.error.issues, language) }
  }
}

export function formatOf(contentType: string | undefined): FileFormat {
  return /^text\/csv/i.test(contentType ?? '') ? 'csv' : 'ndjson'
}

/** Excel in Chinese saves CSV as GBK unless it is told otherwise. @throws AppError invalid_request */
export function decodeFile(bytes: ArrayBuffer, language: Language): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new AppError(
      'invalid_request',
      language === 'zh'
        ? '文件不是 UTF-8 编码：请在 Excel 中另存为“CSV UTF-8”。'
        : 'The file is not UTF-8: in Excel, save it as "CSV UTF-8".',
    )
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

function* readTable(text: string, columns: Columns, say: Say): Generator<RawRow> {
  let header: string[] | null = null
  for (const record of parseCsv(text)) {
    const { row } = record
    if ('fault' in record) {
      const fault = `${csvSentence(record, say)}${oneLineHint(text, say)}`
      return yield { row, fault, isEnd: true }
    }
    const { fields } = record
    if (fields.length === 1 && fields[0] === '') yield { row, value: undefined }
    else if (!header) {
      const wrong = headerFault(fields, columns, say)
      if (wrong !== null) {
        const known = columns.needed.length + columns.optional.length
        const hint = fields.length > known ? oneLineHint(text, say) : ''
        return yield { row, fault: `${wrong}${hint}`, isEnd: true }
      }
      header = fields
    } else if (fields.length === header.length) yield { row, value: named(header, fields, columns) }
    else {
      const { length } = header
      yield { row, fault: say(`must have ${length} fields`, `应有 ${length} 个字段`), isEnd: false }
    }
  }
  if (!header) yield { row: 1, fault: say('the header row is missing', '缺少表头'), isEnd: true }
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

function headerFault(
  header: readonly string[],
  { needed, optional }: Columns,
  say: Say,
): string | null {
  const known = [...needed, ...optional]
  const fits =
    header.every(name => known.includes(name)) &&
    needed.every(name => header.includes(name)) &&
    new Set(header).size === header.length
  if (fits) return null
  return say(
    `the header must name ${listed(needed, 'and')}, and may name ${listed(optional, 'and')}`,
    `表头须有 ${listed(needed, '和')}，可有 ${listed(optional, '和')}`,
  )
}

/** `curl -d @file` takes the line breaks out, and the rows become one. */
function oneLineHint(text: string, say: Say): string {
  if (text.includes('\n')) return ''
  return say(
    '; the file came as one line: with curl use --data-binary @FILE, for -d takes the line breaks out',
    '；文件只有一行：curl 请用 --data-binary @文件，-d 会去掉换行',
  )
}

function listed(names: readonly string[], and: string): string {
  const [last = '', ...before] = names.toReversed()
  return before.length === 0 ? last : `${before.toReversed().join(', ')} ${and} ${last}`
}

/** An empty cell says nothing, as an absent field. */
function named(
  header: readonly string[],
  fields: readonly string[],
  { needed }: Columns,
): Record<string, string> {
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
    return { row, fault: say('is not JSON', '不是有效的 JSON'), isEnd: false }
  }
}
