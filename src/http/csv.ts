/** `row` counts records from 1, as a spreadsheet does, whatever line breaks stand inside quotes. */
export type CsvRecord = { row: number; fields: string[] }
export type CsvFault = { row: number; fault: 'stray_quote' | 'open_quote' | 'too_many_fields' }

/** More than any table that is meant: a line of a million commas is not read to its end. */
const maxFields = 64

/**
 * A comma-separated table (RFC 4180), record by record up to the first fault; LF alone ends a record too. A record
 * without any text has the one field ''.
 */
export function* parseCsv(text: string): Generator<CsvRecord | CsvFault> {
  let fields: string[] = []
  let row = 1
  let at = 0

  function endRecord(): CsvRecord {
    const record = { row, fields }
    fields = []
    row += 1
    return record
  }

  while (at < text.length) {
    if (fields.length >= maxFields) return yield { row, fault: 'too_many_fields' }
    const quoted = text[at] === '"'
    const end = quoted ? closingQuote(text, at + 1) : endOfPlain(text, at)
    if (end === -1) return yield { row, fault: 'open_quote' }
    const field = quoted ? text.slice(at + 1, end).replaceAll('""', '"') : text.slice(at, end)
    if (!quoted && field.includes('"')) return yield { row, fault: 'stray_quote' }
    fields.push(field)
    at = quoted ? end + 1 : end
    const isBreak = text.startsWith('\r\n', at) || text[at] === '\n'
    if (at >= text.length || isBreak) {
      yield endRecord()
      at += text[at] === '\r' ? 2 : 1
    } else if (text[at] === ',') {
      at += 1
      // A comma at the very end begins one more field, an empty one.
      if (at >= text.length) {
        fields.push('')
        yield endRecord()
      }
    } else {
      return yield { row, fault: 'stray_quote' }
    }
  }
}

function closingQuote(text: string, from: number): number {
  let at = text.indexOf('"', from)
  while (at !== -1 && text[at + 1] === '"') at = text.indexOf('"', at + 2)
  return at
}

const plainEnd = /,|\r?\n/g

function endOfPlain(text: string, from: number): number {
  plainEnd.lastIndex = from
  return plainEnd.exec(text)?.index ?? text.length
}
