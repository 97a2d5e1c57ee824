import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Moment } from '../../src/rules/calendar.ts'
import { dayNumber, minutesOf, weekdayOf, weekdays } from '../../src/rules/names.ts'
import { channels, type When } from '../../src/rules/plan.ts'
import { type Circumstance, holdsWhen } from '../../src/rules/when.ts'

type Holds = typeof holdsWhen

const nothingSaid: Circumstance = { channel: null, amountFen: null, memberLevel: null }

/** On Monday 23 November 2026. */
function at(time: string, days = 0): Moment {
  return { atMs: 0, day: dayNumber('2026-11-23') + days, minute: minutesOf(time) }
}

function holds(when: When, order: Partial<Circumstance> = {}, moment = at('12:00')): boolean {
  return holdsWhen(when, { ...nothingSaid, ...order }, moment)
}

const aTime = fc
  .integer({ min: 0, max: 1439 })
  .map(
    minute =>
      `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`,
  )
const amount = fc.integer({ min: 0, max: 5 })
const aWhen: fc.Arbitrary<Required<When>> = fc.record({
  channel: fc.subarray([...channels], { minLength: 1 }),
  min_amount: amount,
  max_amount: amount,
  member_level: fc.subarray(['金', '银', '铜'], { minLength: 1 }),
  between: fc.tuple(aTime, aTime),
  days: fc.subarray([...weekdays], { minLength: 1 }),
})
const anOrder: fc.Arbitrary<Circumstance> = fc.record({
  channel: fc.constantFrom(null, ...channels),
  amountFen: fc.option(amount, { nil: null }),
  memberLevel: fc.constantFrom(null, '金', '银', '铜'),
})
const aMoment = fc
  .tuple(aTime, fc.integer({ min: -7, max: 7 }))
  .map(([time, days]) => at(time, days))

function allMustHold(holdsOne: Holds) {
  return fc.property(
    aWhen,
    fc.subarray(Object.keys({ channel: 0, min_amount: 0, max_amount: 0, member_level: 0 })),
    fc.subarray(['between', 'days']),
    anOrder,
    aMoment,
    (full, some, more, order, moment) => {
      const parts: When[] = Object.entries(full)
        .filter(([name]) => [...some, ...more].includes(name))
        .map(([name, value]) => ({ [name]: value }))
      const together: When = Object.assign({}, ...parts)
      expect(holdsOne(together, order, moment)).toBe(
        parts.every(part => holdsOne(part, order, moment)),
      )
    },
  )
}

function betweenIsHalfOpen(holdsOne: Holds) {
  return fc.property(aTime, aTime, aTime, (from, to, now) => {
    const told = holdsOne({ between: [from, to] }, nothingSaid, at(now))
    const beforeEnd = now < to
    const afterStart = now >= from
    expect(told).toBe(from < to ? afterStart && beforeEnd : afterStart || beforeEnd)
  })
}

describe('when', () => {
  it('holds for every order when nothing is given', () => {
    fc.assert(
      fc.property(anOrder, aMoment, (order, moment) => {
        expect(holdsWhen(undefined, order, moment)).toBe(true)
        expect(holdsWhen({}, order, moment)).toBe(true)
      }),
    )
  })

  it('holds when all that is given holds, and only then', () => {
    fc.assert(allMustHold(holdsWhen), { numRuns: 1000 })
  })

  it.each<[string, When, Partial<Circumstance>, boolean]>([
    ['a channel of the list', { channel: ['app', 'h5'] }, { channel: 'h5' }, true],
    ['a channel that is not listed', { channel: ['app'] }, { channel: 'h5' }, false],
    ['an order without a channel', { channel: [...channels] }, {}, false],
    ['an amount at the minimum', { min_amount: 50_000 }, { amountFen: 50_000 }, true],
    ['an amount a fen below', { min_amount: 50_000 }, { amountFen: 49_999 }, false],
    ['an amount at the maximum', { max_amount: 50_000 }, { amountFen: 50_000 }, true],
    ['an amount a fen above', { max_amount: 50_000 }, { amountFen: 50_001 }, false],
    ['an order for nothing', { min_amount: 0, max_amount: 0 }, { amountFen: 0 }, true],
    ['an order without an amount, though the minimum be 0', { min_amount: 0 }, {}, false],
    ['an order without an amount, under any maximum', { max_amount: 10_000_000_000 }, {}, false],
    ['a level of the list', { member_level: ['金', '银'] }, { memberLevel: '银' }, true],
    ['another level', { member_level: ['金'] }, { memberLevel: '银' }, false],
    ['nobody’s order', { member_level: ['金'] }, {}, false],
  ])('is right about %s', (_, when, order, expected) => {
    expect(holds(when, order)).toBe(expected)
  })

  it('has `between` half-open: its first minute is in, its last is out', () => {
    const between = ['18:00', '22:00'] as [string, string]
    const told = ['17:59', '18:00', '21:59', '22:00'].map(time => holds({ between }, {}, at(time)))
    expect(told).toEqual([false, true, true, false])
  })

  it('lets `between` run past midnight, and take the whole day when both ends are the same', () => {
    const between = ['22:00', '02:00'] as [string, string]
    const times = ['21:59', '22:00', '23:59', '00:00', '01:59', '02:00']
    expect(times.map(time => holds({ between }, {}, at(time)))).toEqual([
      false,
      true,
      true,
      true,
      true,
      false,
    ])
    for (const time of times)
      expect(holds({ between: ['09:00', '09:00'] }, {}, at(time))).toBe(true)
    fc.assert(betweenIsHalfOpen(holdsWhen), { numRuns: 500 })
  })

  it('has days of the store, whatever the hour', () => {
    for (let days = -10; days <= 10; days++) {
      for (const time of ['00:00', '12:00', '23:59']) {
        const moment = at(time, days)
        const held = weekdays.filter(day => holds({ days: [day] }, {}, moment))
        expect(held).toEqual([weekdayOf(moment.day)])
      }
    }
    expect(holds({ days: ['mon'] })).toBe(true)
  })
})

describe('the checkers above', () => {
  const fixed = { seed: 1, numRuns: 1000 }

  it('catch a `when` of which one part is enough', () => {
    const anyHolds: Holds = (when, order, moment) =>
      Object.keys(when ?? {}).length === 0 ||
      Object.entries(when ?? {}).some(([name, value]) =>
        holdsWhen({ [name]: value }, order, moment),
      )
    expect(() => fc.assert(allMustHold(anyHolds), fixed)).toThrow()
  })

  it('catch an evening that does not run past midnight', () => {
    const noWrap: Holds = (when, order, moment) => {
      const [from = '', to = ''] = when?.between ?? []
      return from < to && holdsWhen(when, order, moment)
    }
    expect(() => fc.assert(betweenIsHalfOpen(noWrap), fixed)).toThrow()
  })
})
