import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dateOf, dayNumber, weekdayOf, weekdays } from '../../src/rules/names.ts'
import {
  defaultRoster,
  isOnShift,
  minutesPerDay,
  missedNight,
  type Presence,
  type Roster,
  readRoster,
  rosterSchema,
} from '../../src/rules/roster.ts'
import { shift } from '../support/rules.ts'

type Shift = Roster['weekly'][number]
type Read = typeof readRoster

const monday = dayNumber('2026-11-23')
const minutesPerWeek = 7 * minutesPerDay

function onMinutes(weekly: Shift[], guide = 'A', read: Read = readRoster): boolean[] {
  const presence = read({ weekly }, [guide])
  return Array.from({ length: minutesPerWeek }, (_, at) =>
    isOnShift(presence, guide, {
      day: monday + Math.floor(at / minutesPerDay),
      minute: at % minutesPerDay,
    }),
  )
}

function minuteOf(day: (typeof weekdays)[number], time: string): number {
  const [hours, minutes] = time.split(':').map(Number)
  return weekdays.indexOf(day) * 1440 + (hours ?? 0) * 60 + (minutes ?? 0)
}

function isOn(weekly: Shift[], day: (typeof weekdays)[number], time: string): boolean {
  return onMinutes(weekly)[minuteOf(day, time)] ?? false
}

function isOnAt(roster: Roster, guide: string, date: string, time: string): boolean {
  const presence = readRoster(rosterSchema.parse(roster), ['A', 'B', 'C'])
  return isOnShift(presence, guide, { day: dayNumber(date), minute: minuteOf('mon', time) })
}

function clock(minute: number): string {
  const [hours, minutes] = [Math.floor(minute / 60), minute % 60]
  return `${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`
}

type Worked = Pick<Shift, 'from' | 'to' | 'guides'>

/** The shifts of a day as the words have it, absences taken out. */
function worksByTheBook({ weekly, dates = [], away = [] }: Roster, guide: string, date: string) {
  const isAway = away.some(
    one =>
      one.guide === guide &&
      ((one.left !== undefined && date >= one.left) ||
        (one.from !== undefined && one.to !== undefined && date >= one.from && date <= one.to)),
  )
  const special = dates.filter(one => one.date === date)
  if (isAway || special.some(({ mode }) => mode === 'closed')) return []
  const shifts: Worked[] = special.flatMap(({ shifts: own }) => own ?? [])
  if (!special.some(({ mode }) => mode === 'replace')) {
    const today = weekdayOf(dayNumber(date))
    shifts.push(...weekly.filter(({ days }) => days.includes(today)))
  }
  return shifts.filter(({ guides }) => guides.some(id => id === '*' || id === guide))
}

/** The rules read aloud, in dates and times that are text: on a shift of today after its start, or of yesterday before its end. */
function isOnByTheBook(roster: Roster, guide: string, day: number, minute: number): boolean {
  const time = clock(minute)
  const isLate = ({ from, to }: Worked) => to <= from
  const today = worksByTheBook(roster, guide, dateOf(day))
  const yesterday = worksByTheBook(roster, guide, dateOf(day - 1))
  return (
    today.some(one => time >= one.from && (isLate(one) || time < one.to)) ||
    yesterday.some(one => isLate(one) && time < one.to)
  )
}

const aTime = fc.integer({ min: 0, max: minutesPerDay - 1 }).map(clock)
const someDays = fc.subarray([...weekdays], { minLength: 1 })
const someGuides = fc.oneof(fc.subarray(['A', 'B', 'C']), fc.constant<string[]>(['*']))
const aDate = fc.integer({ min: monday - 1, max: monday + 8 }).map(dateOf)

const aRoster: fc.Arbitrary<Roster> = fc
  .record({
    weekly: fc.array(
      fc
        .tuple(someDays, aTime, aTime, someGuides)
        .map(([days, from, to, guides]) => shift(days, from, to, guides)),
      { maxLength: 4 },
    ),
    dates: fc.array(
      fc
        .tuple(aDate, fc.constantFrom('replace', 'add', 'closed'), aTime, aTime, someGuides)
        .map(([date, mode, from, to, guides]) =>
          mode === 'closed'
            ? { date, mode }
            : { date, mode, shifts: [{ shift: 's', from, to, guides }] },
        ),
      { maxLength: 4 },
    ),
    away: fc.array(
      fc
        .tuple(fc.constantFrom('A', 'B', 'C'), aDate, fc.integer({ min: 0, max: 3 }), fc.boolean())
        .map(([guide, from, days, isLeave]) =>
          isLeave
            ? { guide, from, to: dateOf(dayNumber(from) + days) }
            : { guide, left: from, cover: 'Z' },
        ),
      { maxLength: 3 },
    ),
  })
  .map(roster => rosterSchema.parse(roster))

/** At the seams, where faults live, and anywhere. */
function seamsOf({ weekly, dates = [] }: Roster): number[] {
  const shifts: Worked[] = [...weekly, ...dates.flatMap(({ shifts: own }) => own ?? [])]
  const times = shifts.flatMap(({ from, to }) => [minuteOf('mon', from), minuteOf('mon', to)])
  return [0, 1439, ...times, ...times.map(minute => (minute + 1439) % minutesPerDay)]
}

function readsAsWritten(read: Read) {
  const anywhere = fc.array(fc.integer({ min: 0, max: minutesPerDay - 1 }), { maxLength: 20 })
  return fc.property(aRoster, anywhere, (roster, minutes) => {
    const presence = read(roster, ['A', 'B', 'C'])
    for (let day = monday - 2; day <= monday + 9; day++) {
      for (const minute of [...seamsOf(roster), ...minutes]) {
        for (const guide of ['A', 'B', 'C', 'Z']) {
          const told = { guide, on: dateOf(day), at: clock(minute) }
          expect({ ...told, is: isOnShift(presence, guide, { day, minute }) }).toEqual({
            ...told,
            is: guide !== 'Z' && isOnByTheBook(roster, guide, day, minute),
          })
        }
      }
    }
  })
}

function leavesNoGapAndNoOverlap(read: Read) {
  const cuts = fc.uniqueArray(aTime, { minLength: 2, maxLength: 6 }).map(times => times.toSorted())
  return fc.property(cuts, times => {
    const weekly = times.map((from, index) =>
      shift([...weekdays], from, times[(index + 1) % times.length] ?? from, [`G${index}`]),
    )
    const covers = weekly.map((_, index) => onMinutes(weekly, `G${index}`, read))
    const counts = new Set(
      Array.from({ length: minutesPerWeek }, (_, minute) => covers.filter(on => on[minute]).length),
    )
    expect(counts).toEqual(new Set([1]))
  })
}

function withSpans(change: (from: number, to: number) => number): Read {
  return (roster, staff) => {
    const presence = readRoster(roster, staff)
    return {
      ...presence,
      spansOn: day =>
        new Map(
          [...presence.spansOn(day)].map(([id, spans]) => [
            id,
            spans.map(list => list.map(({ from, to }) => ({ from, to: change(from, to) }))),
          ]),
        ),
    }
  }
}

const closedEnds = withSpans((_, to) => to + 1)
const endsAtMidnight = withSpans((_, to) => Math.min(to, minutesPerDay))
const withRoster =
  (change: (roster: Roster) => Roster): Read =>
  (roster, staff) =>
    readRoster(change(roster), staff)
const addsInPlaceOfReplacing = withRoster(roster => ({
  ...roster,
  dates: (roster.dates ?? []).map(one => (one.mode === 'replace' ? { ...one, mode: 'add' } : one)),
}))
const opensWhenClosed = withRoster(roster => ({
  ...roster,
  dates: (roster.dates ?? []).filter(({ mode }) => mode !== 'closed'),
}))
const lastDayWorked = withRoster(roster => ({
  ...roster,
  away: (roster.away ?? []).filter(({ from, to }) => from !== to),
}))
const overrideBeatsAway: Read = (roster, staff) => {
  const presence = readRoster(roster, staff)
  const special = new Set(roster.dates?.map(({ date }) => dayNumber(date)))
  return {
    ...presence,
    absenceOn: (id, day) => (special.has(day) ? null : presence.absenceOn(id, day)),
  }
}

describe('a shift', () => {
  it('holds at each minute of the week exactly when its words say so', () => {
    fc.assert(
      fc.property(someDays, aTime, aTime, (days, from, to) => {
        const weekly = [shift(days, from, to, ['A'])]
        const wrong = onMinutes(weekly).findIndex((isOnNow, at) => {
          const day = monday + Math.floor(at / minutesPerDay)
          return isOnNow !== isOnByTheBook({ weekly }, 'A', day, at % minutesPerDay)
        })
        expect(wrong).toBe(-1)
      }),
      { numRuns: 40 },
    )
  })

  it('begins with its first minute and has ended at its last', () => {
    const early = [shift(['mon'], '09:00', '15:00', ['A'])]
    expect(isOn(early, 'mon', '08:59')).toBe(false)
    expect(isOn(early, 'mon', '09:00')).toBe(true)
    expect(isOn(early, 'mon', '14:59')).toBe(true)
    expect(isOn(early, 'mon', '15:00')).toBe(false)
    expect(isOn(early, 'tue', '09:00')).toBe(false)
  })

  it('that follows another leaves no minute to nobody and none to both', () => {
    fc.assert(leavesNoGapAndNoOverlap(readRoster), { numRuns: 20 })
  })

  it('that ends on the next day belongs to the day on which it starts', () => {
    const late = [shift(['fri'], '22:00', '02:00', ['A'])]
    expect(isOn(late, 'fri', '01:59')).toBe(false)
    expect(isOn(late, 'fri', '22:00')).toBe(true)
    expect(isOn(late, 'sat', '00:00')).toBe(true)
    expect(isOn(late, 'sat', '01:59')).toBe(true)
    expect(isOn(late, 'sat', '02:00')).toBe(false)
    expect(isOn(late, 'sat', '22:00')).toBe(false)
  })

  it('of Sunday night runs into Monday morning', () => {
    const late = [shift(['sun'], '22:00', '06:00', ['A'])]
    expect(isOn(late, 'sun', '23:59')).toBe(true)
    expect(isOn(late, 'mon', '00:00')).toBe(true)
    expect(isOn(late, 'mon', '05:59')).toBe(true)
    expect(isOn(late, 'mon', '06:00')).toBe(false)
    expect(isOn(late, 'sun', '21:59')).toBe(false)
  })

  it.each(['00:00', '09:00', '23:59'])('from %s to the same time is a whole day', time => {
    const on = onMinutes([shift(['wed'], time, time, ['A'])])
    expect(on.filter(Boolean)).toHaveLength(1440)
    expect(on.indexOf(true)).toBe(minuteOf('wed', time))
  })

  it('to 00:00 has 23:59 in it; to 23:59 has not', () => {
    expect(isOn([shift(['mon'], '18:00', '00:00', ['A'])], 'mon', '23:59')).toBe(true)
    expect(isOn([shift(['mon'], '18:00', '00:00', ['A'])], 'tue', '00:00')).toBe(false)
    expect(isOn([shift(['mon'], '18:00', '23:59', ['A'])], 'mon', '23:59')).toBe(false)
  })
})

describe('a roster', () => {
  it('has all on the staff on at every minute until somebody writes one', () => {
    const presence = readRoster(defaultRoster, ['A', 'B'])
    for (const id of ['A', 'B']) {
      for (let at = 0; at < minutesPerWeek; at++) {
        const moment = { day: monday + Math.floor(at / 1440), minute: at % 1440 }
        if (!isOnShift(presence, id, moment)) throw new Error(`${id} is off at ${at}`)
      }
    }
    expect([...presence.spansOn(monday).keys()]).toEqual(['A', 'B'])
  })

  it('has a guide on in any of their shifts, and one that it does not name never', () => {
    const weekly = [
      shift(['mon'], '09:00', '12:00', ['A']),
      shift(['mon'], '18:00', '20:00', ['A', 'B']),
    ]
    const on = onMinutes(weekly)
    expect(on.filter(Boolean)).toHaveLength(300)
    expect(onMinutes(weekly, 'B').filter(Boolean)).toHaveLength(120)
    expect(onMinutes(weekly, 'C').some(Boolean)).toBe(false)
  })

  it.each(['__proto__', 'constructor', '007'])('takes a guide called %s for a guide', id => {
    const weekly = [shift(['mon'], '09:00', '10:00', [id])]
    expect(onMinutes(weekly, id).filter(Boolean)).toHaveLength(60)
    expect(onMinutes(weekly, 'toString').some(Boolean)).toBe(false)
  })

  it('with overrides and leave holds at each minute exactly when its words say so', () => {
    fc.assert(readsAsWritten(readRoster))
  })

  it('reads the same however far and often it is asked', () => {
    const dates = Array.from({ length: 200 }, (_, index) => ({
      date: dateOf(monday + index),
      mode: 'replace' as const,
      shifts: [{ shift: 's', from: '09:00', to: '10:00', guides: index % 2 ? ['A'] : ['B'] }],
    }))
    const presence = readRoster({ weekly: [], dates }, [])
    for (const day of [0, 199, 1, 150, 0, 64, 65, 63, 199]) {
      const names = [...presence.spansOn(monday + day).keys()]
      expect(names).toEqual([day % 2 ? 'A' : 'B'])
    }
  })
})

describe('a date override', () => {
  const weekly = [shift([...weekdays], '09:00', '15:00', ['A'])]
  const extra = { shift: '加班', from: '14:00', to: '20:00', guides: ['B'] }

  it('that replaces leaves nothing of the week on that day, and touches no other', () => {
    const roster: Roster = {
      weekly,
      dates: [{ date: '2026-10-01', mode: 'replace', shifts: [extra] }],
    }
    expect(isOnAt(roster, 'A', '2026-10-01', '10:00')).toBe(false)
    expect(isOnAt(roster, 'B', '2026-10-01', '14:00')).toBe(true)
    expect(isOnAt(roster, 'A', '2026-09-30', '10:00')).toBe(true)
    expect(isOnAt(roster, 'A', '2026-10-02', '10:00')).toBe(true)
    expect(isOnAt(roster, 'B', '2026-10-02', '14:00')).toBe(false)
  })

  it('that adds keeps the week', () => {
    const roster: Roster = { weekly, dates: [{ date: '2026-10-01', mode: 'add', shifts: [extra] }] }
    expect(isOnAt(roster, 'A', '2026-10-01', '10:00')).toBe(true)
    expect(isOnAt(roster, 'B', '2026-10-01', '19:59')).toBe(true)
    expect(isOnAt(roster, 'B', '2026-10-01', '20:00')).toBe(false)
  })

  it('that closes the day has nobody on, whatever else is said of it', () => {
    const dates: Roster['dates'] = [
      { date: '2026-10-01', mode: 'add', shifts: [extra] },
      { date: '2026-10-01', mode: 'closed' },
      { date: '2026-10-01', mode: 'replace', shifts: [extra] },
    ]
    for (const guide of ['A', 'B'])
      expect(isOnAt({ weekly, dates }, guide, '2026-10-01', '14:30')).toBe(false)
  })

  it('that closes a day leaves the night before it to its end, and takes its own night with it', () => {
    const roster: Roster = {
      weekly: [shift([...weekdays], '22:00', '02:00', ['A'])],
      dates: [{ date: '2026-10-02', mode: 'closed' }],
    }
    expect(isOnAt(roster, 'A', '2026-10-02', '01:59')).toBe(true)
    expect(isOnAt(roster, 'A', '2026-10-02', '22:00')).toBe(false)
    expect(isOnAt(roster, 'A', '2026-10-03', '01:00')).toBe(false)
    expect(isOnAt(roster, 'A', '2026-10-03', '22:00')).toBe(true)
  })

  it('may have all on the staff on', () => {
    const dates: Roster['dates'] = [
      { date: '2026-10-01', mode: 'replace', shifts: [{ ...extra, guides: ['*'] }] },
    ]
    for (const guide of ['A', 'B', 'C'])
      expect(isOnAt({ weekly: [], dates }, guide, '2026-10-01', '15:00')).toBe(true)
    expect(isOnAt({ weekly: [], dates }, 'Z', '2026-10-01', '15:00')).toBe(false)
  })
})

describe('leave', () => {
  const always: Roster = { weekly: [shift([...weekdays], '00:00', '00:00', ['*'])] }
  const nights: Roster = { weekly: [shift([...weekdays], '22:00', '06:00', ['A'])] }
  const oneDay = [{ guide: 'A', from: '2026-10-03', to: '2026-10-03' }]

  it('of one day is that whole day, from 00:00 to 23:59, and no minute more', () => {
    const roster = { ...always, away: oneDay }
    for (const [date, time, isOnThen] of [
      ['2026-10-02', '23:59', true],
      ['2026-10-03', '00:00', false],
      ['2026-10-03', '07:59', false],
      ['2026-10-03', '08:00', false],
      ['2026-10-03', '23:59', false],
      ['2026-10-04', '00:00', true],
    ] as const) {
      expect([date, time, isOnAt(roster, 'A', date, time)]).toEqual([date, time, isOnThen])
    }
    expect(isOnAt(roster, 'B', '2026-10-03', '12:00')).toBe(true)
  })

  it('has its last day in it', () => {
    const roster = { ...always, away: [{ guide: 'A', from: '2026-10-03', to: '2026-10-05' }] }
    const on = ['02', '03', '04', '05', '06'].map(day =>
      isOnAt(roster, 'A', `2026-10-${day}`, '12:00'),
    )
    expect(on).toEqual([true, false, false, false, true])
  })

  it('takes the night that starts on it, and leaves the one that ends on it', () => {
    const roster = { ...nights, away: oneDay }
    expect(isOnAt(roster, 'A', '2026-10-03', '05:59')).toBe(true)
    expect(isOnAt(roster, 'A', '2026-10-03', '22:00')).toBe(false)
    expect(isOnAt(roster, 'A', '2026-10-04', '05:59')).toBe(false)
    expect(isOnAt(roster, 'A', '2026-10-04', '22:00')).toBe(true)
  })

  it('is what empties the rest of the night, and says so after midnight', () => {
    const presence = readRoster({ ...nights, away: oneDay }, ['A'])
    const told = (date: string, time: string) =>
      missedNight(presence, 'A', { day: dayNumber(date), minute: minuteOf('mon', time) })?.kind
    expect(told('2026-10-04', '05:59')).toBe('AWAY')
    expect(told('2026-10-04', '06:00')).toBeUndefined()
    expect(told('2026-10-03', '05:59')).toBeUndefined()
  })

  it('of a guide who has left never ends, and comes before any leave they had asked for', () => {
    const presence: Presence = readRoster(
      {
        ...always,
        away: [
          { guide: 'A', from: '2026-09-25', to: '2026-10-10', cover: 'B' },
          { guide: 'A', left: '2026-09-30', cover: 'C' },
        ],
      },
      ['A'],
    )
    const told = (date: string) => presence.absenceOn('A', dayNumber(date))
    expect(told('2026-09-24')).toBeNull()
    expect(told('2026-09-29')).toEqual({ kind: 'AWAY', cover: 'B' })
    expect(told('2026-09-30')).toEqual({ kind: 'LEFT', cover: 'C' })
    expect(told('2099-01-01')).toEqual({ kind: 'LEFT', cover: 'C' })
  })

  it.each(['__proto__', 'constructor'])('may be of a guide called %s', guide => {
    const presence = readRoster(
      { ...always, away: [{ guide, from: '2026-10-03', to: '2026-10-03' }] },
      [],
    )
    expect(presence.absenceOn(guide, dayNumber('2026-10-03'))?.kind).toBe('AWAY')
    expect(presence.absenceOn('toString', dayNumber('2026-10-03'))).toBeNull()
  })
})

describe('the checkers above', () => {
  const fixed = { seed: 1, numRuns: 100 }

  it('catch a shift whose last minute is in', () => {
    expect(() => fc.assert(readsAsWritten(closedEnds), fixed)).toThrow()
    expect(() => fc.assert(leavesNoGapAndNoOverlap(closedEnds), fixed)).toThrow()
  })

  it('catch a night shift that ends at midnight', () => {
    expect(() => fc.assert(readsAsWritten(endsAtMidnight), fixed)).toThrow()
    expect(() => fc.assert(leavesNoGapAndNoOverlap(endsAtMidnight), fixed)).toThrow()
  })

  it.each([
    ['a replaced day that keeps the week', addsInPlaceOfReplacing],
    ['a closed day that is open', opensWhenClosed],
    ['a leave of one day that is forgotten', lastDayWorked],
    ['an override that brings back who is away', overrideBeatsAway],
  ])('catch %s', (_, faulty) => {
    expect(() => fc.assert(readsAsWritten(faulty), fixed)).toThrow()
  })
})
