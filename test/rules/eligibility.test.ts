import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  businessDay,
  type Crew,
  countingFrom,
  type Member,
  type NotChosen,
  type State,
  whyNot,
} from '../../src/rules/eligibility.ts'
import { dayNumber, weekdays } from '../../src/rules/names.ts'
import type { Condition } from '../../src/rules/plan.ts'
import type { Roster } from '../../src/rules/roster.ts'
import { aStore, dayMs, hourMs, minuteMs, shanghai, shift } from '../support/rules.ts'

const idle: State = { isPaused: () => false, tally: () => ({ hour: 0, day: 0 }) }
const conditions: Condition[] = ['on_shift', 'on_roster_today', 'always']

function memberOf({ byId }: Crew, id: string): Member {
  const member = byId.get(id)
  if (!member) throw new Error(`${id} is not on the staff`)
  return member
}

function why(
  { crew }: { crew: Crew },
  atMs: number,
  { id = 'A', if: condition = 'on_shift' as Condition, state = {} as Partial<State> } = {},
): NotChosen | null {
  const moment = crew.calendar.momentAt(atMs)
  return whyNot(memberOf(crew, id), condition, crew, moment, { ...idle, ...state })
}

function whyEach(store: { crew: Crew }, atMs: number, state: Partial<State> = {}) {
  return conditions.map(condition => why(store, atMs, { if: condition, state }))
}

const office: Roster['weekly'] = [shift([...weekdays], '09:00', '21:00', ['A'])]

describe('a condition', () => {
  it('on_shift asks for the shift, on_roster_today for any shift of the day, always for neither', () => {
    const store = aStore({ guides: ['A', 'B'], roster: { weekly: office } })
    expect(whyEach(store, shanghai('2026-11-23', '10:00'))).toEqual([null, null, null])
    expect(whyEach(store, shanghai('2026-11-23', '08:59'))).toEqual(['OFF_SHIFT', null, null])
    expect(whyEach(store, shanghai('2026-11-23', '21:00'))).toEqual(['OFF_SHIFT', null, null])
    const b = conditions.map(one =>
      why(store, shanghai('2026-11-23', '10:00'), { id: 'B', if: one }),
    )
    expect(b).toEqual(['OFF_SHIFT', 'OFF_SHIFT', null])
  })

  it('on_roster_today is of the business day: until it begins, it is still yesterday', () => {
    const store = aStore({
      guides: ['A'],
      dayStartsAt: '04:00',
      roster: { weekly: [shift(['mon'], '09:00', '21:00', ['A'])] },
    })
    const told = (date: string, time: string) =>
      why(store, shanghai(date, time), { if: 'on_roster_today' })
    expect(told('2026-11-23', '03:59')).toBe('OFF_SHIFT')
    expect(told('2026-11-23', '04:00')).toBeNull()
    expect(told('2026-11-24', '03:59')).toBeNull()
    expect(told('2026-11-24', '04:00')).toBe('OFF_SHIFT')
  })

  it('on_roster_today holds for who is on shift, though their night began yesterday', () => {
    const night = aStore({
      guides: ['A'],
      roster: {
        weekly: [shift(['fri'], '22:00', '06:00', ['A'])],
        away: [{ guide: 'A', from: '2026-11-28', to: '2026-11-28' }],
      },
    })
    expect(whyEach(night, shanghai('2026-11-28', '01:00'))).toEqual([null, null, null])
    expect(whyEach(night, shanghai('2026-11-28', '06:00'))).toEqual(['AWAY', 'AWAY', null])
  })

  it('that is stronger never holds where a weaker one fails', () => {
    fc.assert(
      fc.property(
        fc.record({
          days: fc.subarray([...weekdays], { minLength: 1 }),
          from: fc.constantFrom('00:00', '02:00', '09:00', '22:00'),
          to: fc.constantFrom('00:00', '02:00', '05:00', '21:00'),
          dayStartsAt: fc.constantFrom('00:00', '02:00', '04:00'),
          leave: fc.integer({ min: 22, max: 27 }),
          paused: fc.boolean(),
          quarantined: fc.boolean(),
        }),
        fc.integer({ min: 0, max: 7 * 24 * 4 }),
        ({ days, from, to, dayStartsAt, leave, paused, quarantined }, quarter) => {
          const on = `2026-11-${leave}`
          const store = aStore({
            guides: ['A'],
            dayStartsAt,
            roster: {
              weekly: [shift(days, from, to, ['A'])],
              away: [{ guide: 'A', from: on, to: on }],
            },
            known: { A: { state: quarantined ? 'quarantined' : 'registered' } },
          })
          const [shiftNow, today, always] = whyEach(
            store,
            shanghai('2026-11-22') + quarter * 15 * minuteMs,
            { isPaused: () => paused },
          )
          if (shiftNow === null) expect(today).toBeNull()
          if (today === null) expect(always).toBeNull()
          expect(always).toBe(quarantined ? 'QUARANTINED' : null)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('of two reasons', () => {
  const away = [{ guide: 'A', from: '2026-11-23', to: '2026-11-23' }]
  const onlyToday: Roster['dates'] = [
    {
      date: '2026-11-23',
      mode: 'add',
      shifts: [{ shift: '加班', from: '00:00', to: '00:00', guides: ['A'] }],
    },
  ]
  const noon = shanghai('2026-11-23', '12:00')
  const paused = { isPaused: () => true }
  const full = { tally: () => ({ hour: 9, day: 9 }) }

  it('quarantine comes before away, away before the override, the override before the week, the week before a pause, a pause before a cap', () => {
    const guides = [{ id: 'A', caps: { per_day: 1, per_hour: 1 } }]
    const told = (roster: Roster, known = {}, state: Partial<State> = {}) =>
      why(aStore({ guides, roster, known: { A: known } }), noon, { state })
    const all = { ...paused, ...full }
    expect(told({ weekly: office, dates: onlyToday, away }, { state: 'quarantined' }, all)).toBe(
      'QUARANTINED',
    )
    expect(told({ weekly: office, dates: onlyToday, away }, {}, all)).toBe('AWAY')
    expect(told({ weekly: office, dates: [{ date: '2026-11-23', mode: 'closed' }] }, {}, all)).toBe(
      'OFF_SHIFT',
    )
    expect(told({ weekly: [], dates: onlyToday }, {}, all)).toBe('PAUSED')
    expect(told({ weekly: office }, {}, all)).toBe('PAUSED')
    expect(told({ weekly: office }, {}, full)).toBe('CAP_DAY')
    expect(told({ weekly: office })).toBeNull()
  })

  it('having left comes before leave, and both before being off shift', () => {
    const store = aStore({
      guides: ['A'],
      roster: { weekly: [], away: [...away, { guide: 'A', left: '2026-11-23' }] },
    })
    expect(why(store, noon - dayMs)).toBe('OFF_SHIFT')
    expect(why(store, noon)).toBe('LEFT')
    expect(why(store, noon + 9 * dayMs)).toBe('LEFT')
  })

  it('leave is told for the night that it empties, after midnight too', () => {
    const store = aStore({
      guides: ['A'],
      roster: { weekly: [shift([...weekdays], '22:00', '06:00', ['A'])], away },
    })
    expect(why(store, shanghai('2026-11-23', '05:00'))).toBeNull()
    expect(why(store, shanghai('2026-11-23', '23:00'))).toBe('AWAY')
    expect(why(store, shanghai('2026-11-24', '05:59'))).toBe('AWAY')
    expect(why(store, shanghai('2026-11-24', '06:00'))).toBe('OFF_SHIFT')
    expect(why(store, shanghai('2026-11-24', '22:00'))).toBeNull()
  })

  it('a pause matters on shift only', () => {
    const store = aStore({ guides: ['A'], roster: { weekly: office } })
    expect(whyEach(store, noon, paused)).toEqual(['PAUSED', null, null])
    expect(why(store, shanghai('2026-11-23', '22:00'), { state: paused })).toBe('OFF_SHIFT')
  })
})

describe('a guide of another store', () => {
  it.each([
    ['of the same merchant is borrowed', { storeId: 2 }, null],
    ['of another merchant is not', { storeId: 2, merchant: 'other' }, 'WRONG_STORE'],
    ['of another merchant with the same store number is not', { merchant: 'other' }, 'WRONG_STORE'],
    ['that is quarantined is not', { storeId: 2, state: 'quarantined' as const }, 'QUARANTINED'],
    ['whom nobody knows is not', null, 'UNREGISTERED'],
  ])('%s', (_, known, expected) => {
    const store = aStore({ known: { A: known } })
    expect(whyEach(store, shanghai('2026-11-23'))).toEqual([expected, expected, expected])
  })
})

describe('a cap', () => {
  const now = shanghai('2026-11-23', '12:30')
  const caps = { per_day: 60, per_hour: 15 }
  const told = (
    own: { per_day?: number; per_hour?: number } | undefined,
    tally: { hour: number; day: number },
    condition: Condition = 'on_shift',
  ) =>
    why(aStore({ guides: [own ? { id: 'A', caps: own } : 'A'] }), now, {
      if: condition,
      state: { tally: () => tally },
    })

  it.each<[NotChosen | null, number, number]>([
    [null, 0, 0],
    [null, 14, 59],
    ['CAP_HOUR', 15, 59],
    ['CAP_HOUR', 16, 16],
    ['CAP_DAY', 0, 60],
    ['CAP_DAY', 15, 60],
    ['CAP_DAY', 14, 61],
  ])('says %s at %d in the hour and %d in the day, for 15 and 60', (expected, hour, day) => {
    expect(told(caps, { hour, day })).toBe(expected)
  })

  it('that is not set stops nobody', () => {
    expect(told(undefined, { hour: 1e9, day: 1e9 })).toBeNull()
    expect(told({}, { hour: 1e9, day: 1e9 })).toBeNull()
    expect(told({ per_day: 60 }, { hour: 59, day: 59 })).toBeNull()
    expect(told({ per_hour: 15 }, { hour: 14, day: 1e9 })).toBeNull()
  })

  it('is reached exactly at its number, whatever the numbers are', () => {
    const count = fc.integer({ min: 0, max: 5 })
    const limit = fc.integer({ min: 1, max: 5 })
    fc.assert(
      fc.property(limit, limit, count, count, (per_day, per_hour, hour, day) => {
        const expected = day >= per_day ? 'CAP_DAY' : hour >= per_hour ? 'CAP_HOUR' : null
        expect(told({ per_day, per_hour }, { hour, day })).toBe(expected)
      }),
    )
  })

  it('is of those on shift: who is asked for by name at any hour is not counted out', () => {
    expect(told(caps, { hour: 99, day: 99 }, 'on_roster_today')).toBeNull()
    expect(told(caps, { hour: 99, day: 99 }, 'always')).toBeNull()
  })
})

type CountFrom = typeof countingFrom

function counting(
  countFrom: CountFrom,
  atMs: number,
  timezone = 'Asia/Shanghai',
  dayStartsAt = '00:00',
) {
  const { crew } = aStore({ timezone, dayStartsAt })
  const { hourMs: hour, dayMs: day } = countFrom(crew, crew.calendar.momentAt(atMs))
  return { hour: new Date(hour).toISOString(), day: new Date(day).toISOString() }
}

function startsAtMidnightInBeijing(countFrom: CountFrom): void {
  const midnight = '2026-11-22T16:00:00.000Z'
  const told = (atMs: number) => counting(countFrom, atMs).day
  expect(told(shanghai('2026-11-22', '23:59') + 59_999)).toBe('2026-11-21T16:00:00.000Z')
  for (const time of ['00:00', '07:59', '08:00', '08:01', '23:59']) {
    expect([time, told(shanghai('2026-11-23', time))]).toEqual([time, midnight])
  }
}

const zones = [
  'Asia/Shanghai',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Africa/Cairo',
  'America/St_Johns',
]
const aYear = fc
  .integer({ min: Date.UTC(2026, 0, 1) / minuteMs, max: Date.UTC(2027, 0, 1) / minuteMs })
  .map(minutes => minutes * minuteMs + 12_345)
const changes: [zone: string, atMs: number][] = [
  ['Europe/Berlin', Date.UTC(2026, 2, 29, 1)],
  ['Europe/Berlin', Date.UTC(2026, 9, 25, 1)],
  ['Australia/Lord_Howe', Date.UTC(2026, 3, 4, 15)],
  ['Australia/Lord_Howe', Date.UTC(2026, 9, 3, 15, 30)],
  ['Africa/Cairo', Date.UTC(2026, 9, 29, 21)],
  ['America/New_York', Date.UTC(2026, 10, 1, 6)],
]
const aPlaceAndTime: fc.Arbitrary<[zone: string, atMs: number]> = fc.oneof(
  fc.tuple(fc.constantFrom(...zones), aYear),
  fc
    .tuple(fc.constantFrom(...changes), fc.integer({ min: -3 * 60, max: 3 * 60 }))
    .map(([[zone, atMs], minutes]): [string, number] => [zone, atMs + minutes * minuteMs]),
)

function neverGoesBack(countFrom: CountFrom) {
  return fc.property(
    aPlaceAndTime,
    fc.constantFrom('00:00', '01:45', '02:30', '04:00', '23:30'),
    fc.integer({ min: 1, max: 180 }),
    ([timezone, atMs], dayStartsAt, minutes) => {
      const { crew } = aStore({ timezone, dayStartsAt })
      const now = countFrom(crew, crew.calendar.momentAt(atMs))
      const later = countFrom(crew, crew.calendar.momentAt(atMs + minutes * minuteMs))
      expect(now.hourMs).toBeLessThanOrEqual(atMs)
      expect(now.dayMs).toBeLessThanOrEqual(atMs)
      expect(later.hourMs).toBeGreaterThanOrEqual(now.hourMs)
      expect(later.dayMs).toBeGreaterThanOrEqual(now.dayMs)
      // The longest hour is the one that Lord Howe repeats half of; the longest day has 25.
      expect(atMs - now.hourMs).toBeLessThan(1.5 * hourMs)
      expect(atMs - now.dayMs).toBeLessThan(25 * hourMs)
    },
  )
}

function allOfAnHourCountFromItsStart(countFrom: CountFrom) {
  return fc.property(
    aPlaceAndTime,
    fc.constantFrom('00:00', '01:45', '02:30', '04:00', '23:30'),
    ([timezone, atMs], dayStartsAt) => {
      const { crew } = aStore({ timezone, dayStartsAt })
      const now = countFrom(crew, crew.calendar.momentAt(atMs))
      for (const since of [now.hourMs, now.dayMs]) {
        const from = countFrom(crew, crew.calendar.momentAt(since))
        const before = countFrom(crew, crew.calendar.momentAt(since - 1))
        if (since === now.hourMs) {
          expect(from.hourMs).toBe(since)
          expect(before.hourMs).toBeLessThan(since)
        }
        if (since === now.dayMs) {
          expect(from.dayMs).toBe(since)
          expect(before.dayMs).toBeLessThan(since)
        }
      }
    },
  )
}

describe('what a cap counts from', () => {
  it('is midnight in Beijing, not 08:00', () => {
    startsAtMidnightInBeijing(countingFrom)
  })

  it('is the start of the business day: 03:59 belongs to yesterday', () => {
    const told = (time: string) =>
      counting(countingFrom, shanghai('2026-11-23', time), undefined, '04:00').day
    expect(told('03:59')).toBe('2026-11-21T20:00:00.000Z')
    expect(told('04:00')).toBe('2026-11-22T20:00:00.000Z')
    expect(told('23:59')).toBe('2026-11-22T20:00:00.000Z')
    const monday = dayNumber('2026-11-23')
    expect(businessDay({ atMs: 0, day: monday, minute: 239 }, 240)).toBe(monday - 1)
    expect(businessDay({ atMs: 0, day: monday, minute: 240 }, 240)).toBe(monday)
  })

  it('is the clock hour of the store, in a zone of three quarters of an hour too', () => {
    const at = Date.UTC(2026, 10, 23, 6, 20, 7)
    expect(counting(countingFrom, at, 'Asia/Shanghai').hour).toBe('2026-11-23T06:00:00.000Z')
    expect(counting(countingFrom, at, 'Asia/Kathmandu').hour).toBe('2026-11-23T06:15:00.000Z')
    expect(counting(countingFrom, at, 'Asia/Kolkata').hour).toBe('2026-11-23T05:30:00.000Z')
  })

  it('has a day of 23 and one of 25 hours when the clocks change', () => {
    const told = (month: number, date: number, hour: number) =>
      counting(countingFrom, Date.UTC(2026, month, date, hour), 'Europe/Berlin', '04:00').day
    expect(told(2, 29, 1)).toBe('2026-03-28T03:00:00.000Z')
    expect(told(2, 29, 2)).toBe('2026-03-29T02:00:00.000Z')
    expect(told(9, 25, 2)).toBe('2026-10-24T02:00:00.000Z')
    expect(told(9, 25, 3)).toBe('2026-10-25T03:00:00.000Z')
  })

  it('begins a day whose start is in the gap at the end of the gap', () => {
    const told = (hour: number, minute: number) =>
      counting(countingFrom, Date.UTC(2026, 2, 29, hour, minute), 'Europe/Berlin', '02:30').day
    expect(told(0, 59)).toBe('2026-03-28T01:30:00.000Z')
    for (const minute of [0, 10, 29, 30, 45])
      expect(told(1, minute)).toBe('2026-03-29T01:00:00.000Z')
  })

  it('does not go back to yesterday when the clocks go back past the start of the day', () => {
    const told = (hour: number, minute: number) =>
      counting(countingFrom, Date.UTC(2026, 9, 25, hour, minute), 'Europe/Berlin', '02:30').day
    expect(told(0, 29)).toBe('2026-10-24T00:30:00.000Z')
    for (const [hour, minute] of [
      [0, 30],
      [1, 0],
      [1, 10],
      [1, 30],
      [2, 0],
    ] as const) {
      expect(told(hour, minute)).toBe('2026-10-25T00:30:00.000Z')
    }
  })

  it('takes the hour that the clocks repeat for an hour of its own', () => {
    const told = (hour: number, minute: number) =>
      counting(countingFrom, Date.UTC(2026, 9, 25, hour, minute), 'Europe/Berlin').hour
    expect(told(0, 59)).toBe('2026-10-25T00:00:00.000Z')
    expect(told(1, 10)).toBe('2026-10-25T01:00:00.000Z')
    expect(told(2, 10)).toBe('2026-10-25T02:00:00.000Z')
  })

  it('never lies ahead, never goes back, and no hour or day is longer than the wall makes it', () => {
    fc.assert(neverGoesBack(countingFrom), { numRuns: 1000 })
  })

  it('is the same for all of an hour and all of a day, and another before', () => {
    fc.assert(allOfAnHourCountFromItsStart(countingFrom), { numRuns: 500 })
  })
})

describe('the checkers above', () => {
  const fixed = { seed: 1, numRuns: 3000 }

  it('catch a day that begins at midnight UTC, 08:00 in Beijing', () => {
    const utcDay: CountFrom = (_, { atMs }) => ({
      hourMs: Math.floor(atMs / hourMs) * hourMs,
      dayMs: Math.floor(atMs / dayMs) * dayMs,
    })
    expect(() => startsAtMidnightInBeijing(utcDay)).toThrow()
  })

  it('catch a day reckoned by the wall when the clocks go back', () => {
    const byTheWall: CountFrom = (crew, moment) => ({
      ...countingFrom(crew, moment),
      dayMs: Math.min(
        moment.atMs,
        crew.calendar.instantOf(
          businessDay(moment, crew.dayStartsAtMinute),
          crew.dayStartsAtMinute,
        ),
      ),
    })
    expect(() => fc.assert(neverGoesBack(byTheWall), fixed)).toThrow()
  })

  it('catch an hour that is two hours long', () => {
    const firstOfTwo: CountFrom = (crew, moment) => ({
      ...countingFrom(crew, moment),
      hourMs: crew.calendar.instantOf(moment.day, moment.minute - (moment.minute % 60)),
    })
    expect(() => fc.assert(neverGoesBack(firstOfTwo), fixed)).toThrow()
  })

  it('catch the last sixty minutes taken for the clock hour', () => {
    const sliding: CountFrom = (crew, moment) => ({
      ...countingFrom(crew, moment),
      hourMs: moment.atMs - hourMs,
    })
    expect(() => fc.assert(allOfAnHourCountFromItsStart(sliding), fixed)).toThrow()
  })
})
