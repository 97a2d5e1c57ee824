export type CsvFault = { row: number; kind: 'stray_quote' | 'open_quote' }
/** `row` counts records from 1, as a spreadsheet does, whatever line breaks stand inside quotes. */
export type CsvRecord = { row: number; fields: string[] }

/** A comma-separated table (RFC 4180); LF alone ends a record too, a record without any text is left out. */
export function parseCsv(text: string): { records: CsvRecord[]; fault: CsvFault | null } {
  const records: CsvRecord[] = []
  let fields: string[] = []
  let row = 1
  let at = 0

  function endRecord(): void {
    if (fields.length > 1 || fields[0] !== '') records.push({ row, fields })
    fields = []
    row += 1
  }

  while (at < text.length) {
    const quoted = text[at] === '"'
    const end = quoted ? closingQuote(text, at + 1) : endOfPlain(text, at)
    if (end === -1) return { records, fault: { row, kind: 'open_quote' } }
    const field = quoted ? text.slice(at + 1, end).replaceAll('""', '"') : text.slice(at, end)
    if (!quoted && field.includes('"')) return { records, fault: { row, kind: 'stray_quote' } }
    fields.push(field)
    at = quoted ? end + 1 : end
    const isBreak = text.startsWith('\r\n', at) || text[at] === '\n'
    if (at >= text.length || isBreak) {
      endRecord()
      at += text[at] === '\r' ? 2 : 1
    } else if (text[at] === ',') {
      at += 1
      // A comma at the very end begins one more field, an empty one.
      if (at >= text.length) {
        fields.push('')
        endRecord()
      }
    } else {
      return { records, fault: { row, kind: 'stray_quote' } }
    }
  }
  return { records, fault: null }
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
