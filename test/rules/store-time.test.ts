import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { weekdays } from '../../src/rules/names.ts'
import { isWithin, weekSpans } from '../../src/rules/roster.ts'
import { createStoreTime, isTimezone } from '../../src/rules/store-time.ts'
import { dayMs, hourMs, minuteMs, shift } from '../support/rules.ts'

type StoreTime = typeof createStoreTime

/** The wall clock as the platform prints it, one formatted date a minute: slow, and with no arithmetic of ours. */
function wallClock(timezone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  return atMs => {
    const parts = Object.fromEntries(
      format.formatToParts(atMs).map(({ type, value }) => [type, value]),
    )
    const days: string[] = [...weekdays]
    const day = days.indexOf(parts['weekday']?.toLowerCase() ?? '')
    return day * 1440 + Number(parts['hour']) * 60 + Number(parts['minute'])
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
  { zone: 'Asia/Kathmandu', changes: [Date.UTC(2026, 11, 31, 18, 15)] },
  { zone: 'Asia/Shanghai', changes: [Date.UTC(2026, 11, 31, 16)] },
  { zone: 'Pacific/Kiritimati', changes: [Date.UTC(2026, 11, 31, 10)] },
  { zone: 'UTC', changes: [Date.UTC(2027, 0, 1)] },
]

function agreesWithTheWall(storeTime: StoreTime, zone: string, changes: readonly number[]): void {
  const ours = storeTime(zone)
  const wall = wallClock(zone)
  for (const change of changes) {
    for (let atMs = change - 5 * hourMs; atMs < change + 5 * hourMs; atMs += minuteMs) {
      const at = { at: new Date(atMs).toISOString() }
      expect({ ...at, minute: ours(atMs) }).toEqual({ ...at, minute: wall(atMs) })
    }
  }
}

const utcDay: StoreTime = () => createStoreTime('UTC')
const hourlyOffset: StoreTime = zone => {
  const exact = createStoreTime(zone)
  return atMs => {
    const hour = Math.floor(atMs / hourMs) * hourMs
    return (exact(hour) + Math.floor((atMs - hour) / minuteMs)) % (7 * 1440)
  }
}

describe('store time', () => {
  it.each(places)(
    'is what the wall says at each minute around the changes of $zone',
    ({ zone, changes }) => {
      agreesWithTheWall(createStoreTime, zone, changes)
    },
  )

  it('is what the wall says at any instant, asked in any order', () => {
    const ours = new Map(places.map(({ zone }) => [zone, createStoreTime(zone)]))
    const walls = new Map(places.map(({ zone }) => [zone, wallClock(zone)]))
    const instant = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2031, 0, 1) })
    fc.assert(
      fc.property(fc.constantFrom(...ours.keys()), instant, (zone, atMs) => {
        expect(ours.get(zone)?.(atMs)).toBe(walls.get(zone)?.(atMs))
      }),
      { numRuns: 2000 },
    )
  })

  it('turns the day at midnight in Beijing, not at 08:00', () => {
    const minuteOfWeek = createStoreTime('Asia/Shanghai')
    const midnight = Date.UTC(2026, 10, 22, 16)
    expect(minuteOfWeek(midnight - 1)).toBe(7 * 1440 - 1)
    expect(minuteOfWeek(midnight)).toBe(0)
    expect(minuteOfWeek(midnight + 8 * hourMs - 1)).toBe(8 * 60 - 1)
    expect(minuteOfWeek(midnight + 8 * hourMs)).toBe(8 * 60)
  })

  it('puts a guide on shift at the same instants whether the shift is read in the zone or in UTC', () => {
    const berlin = createStoreTime('Europe/Berlin')
    const spans =
      weekSpans({ weekly: [shift(['sun'], '01:30', '03:30', ['A'])] }, ['A']).get('A') ?? []
    const hoursOn = (dayStartMs: number) => {
      let minutes = 0
      for (let atMs = dayStartMs; atMs < dayStartMs + dayMs; atMs += minuteMs) {
        if (isWithin(spans, berlin(atMs))) minutes += 1
      }
      return minutes / 60
    }
    expect(hoursOn(Date.UTC(2026, 2, 21, 23))).toBe(2)
    expect(hoursOn(Date.UTC(2026, 2, 28, 23))).toBe(1)
    expect(hoursOn(Date.UTC(2026, 9, 24, 22))).toBe(3)
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
  it('catch a day that is reckoned in UTC', () => {
    expect(() => agreesWithTheWall(utcDay, 'Asia/Shanghai', [Date.UTC(2026, 11, 31, 16)])).toThrow()
  })

  it('catch an offset that is looked up once an hour', () => {
    expect(() =>
      agreesWithTheWall(hourlyOffset, 'Australia/Lord_Howe', [Date.UTC(2026, 9, 3, 15, 30)]),
    ).toThrow()
  })
})
