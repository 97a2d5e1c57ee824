import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { calendarOf, isTimezone } from '../../src/rules/calendar.ts'
import { isOnShift, readRoster } from '../../src/rules/roster.ts'
import { dayMs, hourMs, minuteMs, shift } from '../support/rules.ts'

type CreateCalendar = typeof calendarOf

/** The wall clock as the platform prints it, one formatted date a minute: slow, and with no arithmetic of ours. */
function wallClock(timezone: string): (atMs: number) => { day: number; minute: number } {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    dateStyle: 'short',
    timeStyle: 'short',
    hourCycle: 'h23',
  })
  return atMs => {
    const parts = Object.fromEntries(
      format.formatToParts(atMs).map(({ type, value }) => [type, value]),
    )
    const date = `${parts['year']}-${parts['month']}-${parts['day']}T00:00Z`
    return {
      day: Date.parse(date) / dayMs,
      minute: Number(parts['hour']) * 60 + Number(parts['minute']),
    }
  }
}

/** Around each change of the clocks in 2026, where there is one, and around the new year. */
const places = [
  { zone: 'Europe/Berlin', changes: [Date.UTC(2026, 2, 29, 1), Date.UTC(2026, 9, 25, 1)] },
  { zone: 'America/New_York', changes: [Date.UTC(2026, 2, 8, 7), Date.UTC(2026, 10, 1, 6)] },
  // Half an hour, not a whole one.
  {
    zone: 'Australia/Lord_Howe',
    changes: [Date.UTC(2026, 3, 4, 15), Date.UTC(2026, 9, 3, 15, 30)],
  },
  {
    zone: 'America/St_Johns',
    changes: [Date.UTC(2026, 2, 8, 5, 30), Date.UTC(2026, 10, 1, 4, 30)],
  },
  { zone: 'Pacific/Chatham', changes: [Date.UTC(2026, 3, 4, 14), Date.UTC(2026, 8, 26, 14)] },
  // Two hours at once, and midnight itself is in the gap.
  { zone: 'Antarctica/Troll', changes: [Date.UTC(2026, 2, 29, 1), Date.UTC(2026, 9, 25, 1)] },
  { zone: 'Africa/Cairo', changes: [Date.UTC(2026, 3, 23, 22), Date.UTC(2026, 9, 29, 21)] },
  { zone: 'Asia/Kathmandu', changes: [Date.UTC(2026, 11, 31, 18, 15)] },
  { zone: 'Asia/Shanghai', changes: [Date.UTC(2026, 11, 31, 16)] },
  { zone: 'Pacific/Kiritimati', changes: [Date.UTC(2026, 11, 31, 10)] },
  { zone: 'UTC', changes: [Date.UTC(2027, 0, 1)] },
]

function agreesWithTheWall(
  createOne: CreateCalendar,
  zone: string,
  changes: readonly number[],
): void {
  const { momentAt } = createOne(zone)
  const wall = wallClock(zone)
  for (const change of changes) {
    for (let atMs = change - 5 * hourMs; atMs < change + 5 * hourMs; atMs += minuteMs) {
      const { day, minute } = momentAt(atMs)
      const told = { at: new Date(atMs).toISOString(), day, minute }
      expect(told).toEqual({ at: told.at, ...wall(atMs) })
    }
  }
}

/** Each minute that the wall showed leads back to the first instant that showed it; each that it left out, to the end of the gap. */
function leadsBack(createOne: CreateCalendar, zone: string, changes: readonly number[]): void {
  const { instantOf } = createOne(zone)
  const wall = wallClock(zone)
  for (const change of changes) {
    const shown = new Map<number, number>()
    for (let atMs = change - 30 * hourMs; atMs < change + 30 * hourMs; atMs += minuteMs) {
      const { day, minute } = wall(atMs)
      const key = day * 1440 + minute
      if (!shown.has(key)) shown.set(key, atMs)
    }
    const keys = [...shown.keys()].toSorted((a, b) => a - b)
    const [first = 0, last = 0] = [keys.at(0), keys.at(-1)]
    for (let key = first; key <= last; key++) {
      const day = Math.floor(key / 1440)
      const wanted = shown.get(key) ?? change
      expect({ key, atMs: instantOf(day, key - day * 1440) }).toEqual({ key, atMs: wanted })
    }
  }
}

const utcDay: CreateCalendar = () => calendarOf('UTC')
const hourlyOffset: CreateCalendar = zone => {
  const exact = calendarOf(zone)
  return {
    ...exact,
    momentAt(atMs) {
      const hour = Math.floor(atMs / hourMs) * hourMs
      const { day, minute } = exact.momentAt(hour)
      const total = day * 1440 + minute + Math.floor((atMs - hour) / minuteMs)
      return { atMs, day: Math.floor(total / 1440), minute: total % 1440 }
    },
  }
}
const offsetOfTheSameUtcInstant: CreateCalendar = zone => {
  const exact = calendarOf(zone)
  return {
    ...exact,
    instantOf(day, minute) {
      const wallMs = day * dayMs + minute * minuteMs
      const there = exact.momentAt(wallMs)
      return wallMs - (there.day * dayMs + there.minute * minuteMs - wallMs)
    },
  }
}
const secondOfTwo: CreateCalendar = zone => {
  const exact = calendarOf(zone)
  return {
    ...exact,
    instantOf(day, minute) {
      const first = exact.instantOf(day, minute)
      const again = exact.momentAt(first + hourMs)
      return again.day === day && again.minute === minute ? first + hourMs : first
    },
  }
}
const pastTheGap: CreateCalendar = zone => {
  const exact = calendarOf(zone)
  return {
    ...exact,
    instantOf(day, minute) {
      const found = exact.instantOf(day, minute)
      const there = exact.momentAt(found)
      const gap = there.day * 1440 + there.minute - (day * 1440 + minute)
      return gap > 0 ? exact.instantOf(day, minute + 60) : found
    },
  }
}

describe('the calendar', () => {
  it.each(places)(
    'is what the wall says at each minute around the changes of $zone',
    ({ zone, changes }) => {
      agreesWithTheWall(calendarOf, zone, changes)
    },
  )

  it('is what the wall says at any instant, asked in any order', () => {
    const ours = new Map(places.map(({ zone }) => [zone, calendarOf(zone)]))
    const walls = new Map(places.map(({ zone }) => [zone, wallClock(zone)]))
    const instant = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2031, 0, 1) })
    fc.assert(
      fc.property(fc.constantFrom(...ours.keys()), instant, (zone, atMs) => {
        expect(ours.get(zone)?.momentAt(atMs)).toEqual({ atMs, ...walls.get(zone)?.(atMs) })
      }),
      { numRuns: 2000 },
    )
  })

  it.each(places)(
    'leads back from each minute on the wall to its first instant, from a gap to its end, around the changes of $zone',
    ({ zone, changes }) => {
      leadsBack(calendarOf, zone, changes)
    },
  )

  it('leads back from any moment to its instant, or to the same wall an hour or half of one before', () => {
    const ours = new Map(places.map(({ zone }) => [zone, calendarOf(zone)]))
    const minute = fc
      .integer({ min: Date.UTC(2024, 0, 1) / minuteMs, max: Date.UTC(2031, 0, 1) / minuteMs })
      .map(minutes => minutes * minuteMs)
    fc.assert(
      fc.property(fc.constantFrom(...ours.keys()), minute, (zone, atMs) => {
        const calendar = ours.get(zone) ?? calendarOf(zone)
        const there = calendar.momentAt(atMs)
        const back = calendar.instantOf(there.day, there.minute)
        expect(calendar.momentAt(back)).toEqual({ ...there, atMs: back })
        expect([0, 0.5, 1, 2].map(hours => hours * hourMs)).toContain(atMs - back)
      }),
      { numRuns: 2000 },
    )
  })

  it('ends a gap of a whole day at its end: Samoa had no 30 December 2011', () => {
    const apia = calendarOf('Pacific/Apia')
    const skipped = Date.UTC(2011, 11, 30) / dayMs
    for (const minute of [0, 720, 1439]) {
      expect(apia.instantOf(skipped, minute)).toBe(Date.UTC(2011, 11, 30, 10))
    }
  })

  it('turns the day at midnight in Beijing, not at 08:00', () => {
    const { momentAt } = calendarOf('Asia/Shanghai')
    const monday = Date.UTC(2026, 10, 23) / dayMs
    const midnight = Date.UTC(2026, 10, 22, 16)
    const told = (atMs: number) => [momentAt(atMs).day, momentAt(atMs).minute]
    expect(told(midnight - 1)).toEqual([monday - 1, 1439])
    expect(told(midnight)).toEqual([monday, 0])
    expect(told(midnight + 8 * hourMs - 1)).toEqual([monday, 479])
    expect(told(midnight + 8 * hourMs)).toEqual([monday, 480])
  })

  it('puts a guide on shift at the same instants whether the shift is read in the zone or in UTC', () => {
    const berlin = calendarOf('Europe/Berlin')
    const presence = readRoster({ weekly: [shift(['sun'], '01:30', '03:30', ['A'])] }, ['A'])
    const hoursOn = (dayStartMs: number) => {
      let minutes = 0
      for (let atMs = dayStartMs; atMs < dayStartMs + dayMs; atMs += minuteMs) {
        if (isOnShift(presence, 'A', berlin.momentAt(atMs))) minutes += 1
      }
      return minutes / 60
    }
    expect(hoursOn(Date.UTC(2026, 2, 21, 23))).toBe(2)
    expect(hoursOn(Date.UTC(2026, 2, 28, 23))).toBe(1)
    expect(hoursOn(Date.UTC(2026, 9, 24, 22))).toBe(3)
  })

  it('leaves no gap and no overlap between consecutive shifts, though the clocks change', () => {
    for (const { zone, changes } of places) {
      const { momentAt } = calendarOf(zone)
      const all = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
      const weekly = [
        shift([...all], '01:30', '02:30', ['A']),
        shift([...all], '02:30', '23:30', ['B']),
        shift([...all], '23:30', '01:30', ['C']),
      ]
      const presence = readRoster({ weekly }, ['A', 'B', 'C'])
      for (const change of changes) {
        for (let atMs = change - dayMs; atMs < change + dayMs; atMs += 5 * minuteMs) {
          const on = ['A', 'B', 'C'].filter(id => isOnShift(presence, id, momentAt(atMs)))
          expect(on).toHaveLength(1)
        }
      }
    }
  })
})

describe('a time zone', () => {
  it.each(['Asia/Shanghai', 'Europe/Berlin', 'Asia/Kathmandu', 'UTC'])('may be %s', zone => {
    expect(isTimezone(zone)).toBe(true)
  })

  it.each([
    '',
    'Beijing',
    'Asia/Shangai',
    '+08:00',
    '-0330',
    '+8',
    'GMT+8',
    'Asia/Shanghai ',
    '__proto__',
  ])('may not be %j', zone => {
    expect(isTimezone(zone)).toBe(false)
  })
})

describe('the checkers above', () => {
  const berlin = [Date.UTC(2026, 2, 29, 1), Date.UTC(2026, 9, 25, 1)]

  it('catch a day that is reckoned in UTC', () => {
    expect(() => agreesWithTheWall(utcDay, 'Asia/Shanghai', [Date.UTC(2026, 11, 31, 16)])).toThrow()
  })

  it('catch an offset that is looked up once an hour', () => {
    expect(() =>
      agreesWithTheWall(hourlyOffset, 'Australia/Lord_Howe', [Date.UTC(2026, 9, 3, 15, 30)]),
    ).toThrow()
  })

  it('catch an instant reckoned with the offset of another', () => {
    expect(() => leadsBack(offsetOfTheSameUtcInstant, 'Europe/Berlin', berlin)).toThrow()
  })

  it('catch the second of two instants taken for the first', () => {
    expect(() => leadsBack(secondOfTwo, 'Europe/Berlin', berlin)).toThrow()
  })

  it('catch a gap that ends as far behind its end as the wall was into it', () => {
    expect(() => leadsBack(pastTheGap, 'Europe/Berlin', berlin)).toThrow()
  })
})
