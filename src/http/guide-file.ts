import { z } from 'zod'
import { AppError } from '../errors.ts'
import { newGuideSchema } from '../guides/fields.ts'
import type { ReadRow } from '../guides/imports.ts'
import type { Mirror } from '../mirror/mirror.ts'
import { say } from '../rules/names.ts'
import type { Language } from './language.ts'
import { looksLikeField } from './problem.ts'
import { type FileFormat, type RowError, readFileRows } from './table-file.ts'

// In a table all cells are text.
const storeIdCell = z.union([
  z.int().positive(),
  z
    .string()
    .refine(text => /^[1-9]\d{0,14}$/.test(text), say('must be a store_id', '应为门店ID'))
    .transform(Number),
])

const shape = {
  schema: newGuideSchema.extend({ store_id: storeIdCell }),
  needed: ['store_id', 'corpid', 'userid', 'name', 'mobile', 'qr_code', 'avatar'],
  optional: ['group_qrcode'],
  maxRows: 10_000,
}

/**
 * Guides to be registered, from a file; a wrong row says which column and why, and does not keep the others out.
 *
 * @throws AppError invalid_request when it has no row at all, or too many
 */
export async function readGuideFile(
  text: string,
  format: FileFormat,
  mirror: Mirror,
  language: Language,
): Promise<ReadRow[]> {
  const sentence = (en: string, zh: string) => (language === 'zh' ? zh : en)
  const rows: ReadRow[] = []
  const firstRow = new Map<string, number>()
  for await (const one of readFileRows(text, format, shape, language)) {
    const { row } = one
    if (one.kind === 'too_long' || one.kind === 'unreadable') {
      throw unreadable(one.errors, sentence('The file cannot be read.', '文件无法读取。'))
    }
    if (one.kind === 'wrong') {
      rows.push({
        row,
        fields: null,
        // They are kept, unsealed: a column that nobody knows may be a name.
        errors: one.errors.map(({ column, message }) => ({
          column: looksLikeField(column) ? column : '',
          message,
        })),
      })
      continue
    }
    const refuse = (column: string, message: string) =>
      rows.push({ row, fields: null, errors: [{ column, message }] })
    const { store_id, userid } = one.value
    const first = firstRow.get(`${store_id}/${userid}`)
    if (first !== undefined) {
      refuse('userid', sentence(`stands in row ${first} already`, `已出现在第 ${first} 行`))
    } else if (!mirror.store(store_id)) {
      refuse(
        'store_id',
        sentence('is not known here: PUT /stores first', '门店不存在，请先登记门店'),
      )
    } else {
      firstRow.set(`${store_id}/${userid}`, row)
      rows.push({ row, fields: one.value, errors: [] })
    }
  }
  if (rows.length > 0) return rows
  throw new AppError('invalid_request', sentence('The file has no rows.', '文件没有任何行。'))
}

function unreadable(fields: readonly RowError[], detail: string): AppError {
  return new AppError('invalid_request', detail, { fields })
}
