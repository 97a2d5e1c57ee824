import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { drawn } from '../../src/rules/draw.ts'
import { at, sum } from '../support/rules.ts'

type Draw = typeof drawn
type Entry = { id: string; weight: number }

const numbers = 20_000
const pools: Entry[][] = [
  [1, 1],
  [1, 1, 1],
  [3, 1],
  [1, 2, 3, 4],
  [100, 1, 1],
  [7, 7, 7, 7, 7, 7],
].map(weights => weights.map((weight, index) => ({ id: `G${index}`, weight })))

const sequences: [string, (index: number) => string][] = [
  ['numbers in a row', index => String(4_200_000_000 + index)],
  ['a date and a padded number', index => `20261123${String(index).padStart(6, '0')}`],
  ['numbers with a long tail', index => `S${index}-1900000109-till-7`],
  ['numbers that go by 16', index => `A${(index * 16).toString(16)}`],
  ['scattered numbers', index => Math.imul(index + 1, 2_654_435_761).toString(36)],
]

/** Within six standard deviations: chance alone would fail one test in half a thousand million. */
function weightsAreKept(draw: Draw, numberOf: (index: number) => string): void {
  for (const pool of pools) {
    const counts = new Map(pool.map(({ id }) => [id, 0]))
    for (let index = 0; index < numbers; index++) {
      const { id } = draw(pool, numberOf(index))
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    const total = sum(pool.map(({ weight }) => weight))
    for (const { id, weight } of pool) {
      const share = weight / total
      const deviation = Math.sqrt(numbers * share * (1 - share))
      expect(Math.abs((counts.get(id) ?? 0) - numbers * share)).toBeLessThan(6 * deviation)
    }
  }
}

/** Who served the order before tells nothing of who serves the next. */
function neighboursAreStrangers(draw: Draw, numberOf: (index: number) => string): void {
  const pool = at(pools, 0)
  let same = 0
  for (let index = 0; index < numbers; index++) {
    if (draw(pool, numberOf(index)) === draw(pool, numberOf(index + 1))) same += 1
  }
  expect(Math.abs(same - numbers / 2)).toBeLessThan(6 * Math.sqrt(numbers / 4))
}

const aPool = fc
  .array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 30 })
  .map(weights => weights.map((weight, index) => ({ id: `G${index}`, weight })))

describe('a draw', () => {
  it('is one of the pool, and the same whenever the same number is drawn again', () => {
    fc.assert(
      fc.property(aPool, fc.string({ unit: 'binary' }), (pool, number) => {
        const first = drawn(pool, number)
        expect(pool).toContain(first)
        expect(drawn([...pool.map(one => ({ ...one }))], number)).toEqual(first)
      }),
    )
  })

  it('does not change when every weight is scaled', () => {
    fc.assert(
      fc.property(aPool, fc.string(), fc.constantFrom(2, 4, 8, 64), (pool, number, scale) => {
        const scaled = pool.map(one => ({ ...one, weight: one.weight * scale }))
        expect(drawn(scaled, number).id).toBe(drawn(pool, number).id)
      }),
    )
  })

  it.each(sequences)('keeps the weights over 20,000 orders with %s', (_, numberOf) => {
    weightsAreKept(drawn, numberOf)
  })

  it.each(sequences)('gives neighbours to either guide alike, with %s', (_, numberOf) => {
    neighboursAreStrangers(drawn, numberOf)
  })
})

describe('the checkers above', () => {
  const inARow = at(sequences, 0)[1]

  it('catch a draw that does not look at the weights', () => {
    const evenly: Draw = (pool, seed) =>
      drawn(
        pool.map(one => ({ one, weight: 1 })),
        seed,
      ).one
    expect(() => weightsAreKept(evenly, inARow)).toThrow()
  })

  it('catch a draw by the last digit: numbers in a row draw in a row', () => {
    const lastDigit: Draw = (pool, seed) => at(pool, Number(seed.at(-1)) % pool.length)
    expect(() => neighboursAreStrangers(lastDigit, inARow)).toThrow()
  })

  it('catch FNV-1a without the final mix', () => {
    const unmixed: Draw = (pool, seed) => {
      let value = 0x811c9dc5
      for (const char of seed) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193)
      return at(pool, Math.floor(((value >>> 0) / 2 ** 32) * pool.length))
    }
    expect(() => neighboursAreStrangers(unmixed, inARow)).toThrow()
  })
})
