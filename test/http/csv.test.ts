import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCsv } from '../../src/http/csv.ts'

const fieldsOf = (text: string) =>
  [...parseCsv(text)].map(one => ('fields' in one ? one.fields : one.fault))

describe('a comma-separated table', () => {
  it.each<[text: string, records: string[][]]>([
    ['', []],
    ['\n\r\n\n', [[''], [''], ['']]],
    ['a', [['a']]],
    [
      'a,b\r\nc,d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'a,b\nc,d\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [',\n', [['', '']]],
    ['a,', [['a', '']]],
    [
      'a,\r\n,b',
      [
        ['a', ''],
        ['', 'b'],
      ],
    ],
    ['""', [['']]],
    ['"",""', [['', '']]],
    ['"a""b","c,d","e\r\nf"', [['a"b', 'c,d', 'e\r\nf']]],
    ['""""', [['"']]],
    [' a , b ', [[' a ', ' b ']]],
    ['a\rb', [['a\rb']]],
  ])('%j', (text, records) => {
    expect(fieldsOf(text)).toEqual(records)
  })

  it.each([
    ['a\n"b', 2, 'open_quote'],
    ['"a""', 1, 'open_quote'],
    ['a\nb\nc"d', 3, 'stray_quote'],
    ['"a"b', 1, 'stray_quote'],
    ['"a" ,b', 1, 'stray_quote'],
    [`a\n${','.repeat(4_000_000)}`, 2, 'too_many_fields'],
  ])('refuses %.20j in row %i: %s', (text, row, fault) => {
    expect([...parseCsv(text)].at(-1)).toEqual({ row, fault })
  })

  it('counts records as a spreadsheet counts rows', () => {
    const records = [...parseCsv('h\n"two\nlines"\n\nfour')]
    expect(records.map(({ row }) => row)).toEqual([1, 2, 3, 4])
    expect(records[3]).toEqual({ row: 4, fields: ['four'] })
  })

  it('gives back whatever was written by the rules', () => {
    const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', '店', ' ') })
    const table = fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { maxLength: 5 })
    fc.assert(
      fc.property(table, fc.constantFrom('\n', '\r\n'), (rows, end) => {
        const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`
        const text = rows.map(row => row.map(quoted).join(',') + end).join('')
        expect(fieldsOf(text)).toEqual(rows)
      }),
    )
  })
})
