import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxDepth, refuseAmbiguous, shapeOf } from '../../src/http/json-shape.ts'

const bytes = (text: string) => Buffer.from(text)

function said(text: string | Buffer, maxFields = 100): string {
  try {
    refuseAmbiguous(Buffer.from(text), maxFields)
    return 'fine'
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

function reckon(value: unknown): { depth: number; fields: number } {
  if (typeof value !== 'object' || value === null) return { depth: 0, fields: 0 }
  const within = Object.values(value).map(reckon)
  return {
    depth: 1 + Math.max(0, ...within.map(({ depth }) => depth)),
    fields:
      (Array.isArray(value) ? 0 : within.length) +
      within.reduce((sum, { fields }) => sum + fields, 0),
  }
}

describe('the shape of a JSON text', () => {
  it('is that of the value that it stands for', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), text => {
        expect(shapeOf(bytes(text))).toEqual(reckon(JSON.parse(text)))
      }),
    )
  })

  it.each([
    ['{}', 'fine'],
    ['{"a":"\\"","b":"{[:"}', 'fine'],
    ['{"a":1,"a":1}', 'The body names a field twice.'],
    ['{"a":{"b":1,"\\u0062":2}}', 'The body names a field twice.'],
    ['[{"a":1},{"a":1}]', 'fine'],
    ['{"__proto__":1}', 'fine'],
    ['{"__proto__":1,"__proto__":2}', 'The body names a field twice.'],
    ['{"a":', 'The body is not JSON.'],
    ['"', 'The body is not JSON.'],
    [Buffer.from([0x22, 0xff, 0x22]), 'The body is not UTF-8.'],
    [Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'The body is not UTF-8.'],
    [Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'The body is not UTF-8.'],
    ['['.repeat(maxDepth) + ']'.repeat(maxDepth), 'fine'],
    ['['.repeat(maxDepth + 1) + ']'.repeat(maxDepth + 1), 'The body nests deeper than 32.'],
    ['['.repeat(1_000_000), 'The body nests deeper than 32.'],
    [`[${Array(101).fill('{"a":1}')}]`, 'The body has more than 100 fields.'],
  ])('%s: %s', (text, says) => {
    expect(said(text)).toBe(says)
  })
})
