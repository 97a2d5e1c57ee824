import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { weekdays } from '../../src/rules/names.ts'
import {
  defaultRoster,
  isWithin,
  minutesPerWeek,
  type Roster,
  weekSpans,
} from '../../src/rules/roster.ts'
import { shift } from '../support/rules.ts'

type Shift = Roster['weekly'][number]
type Spans = typeof weekSpans

function onMinutes(weekly: Shift[], guide = 'A', spansOf: Spans = weekSpans): boolean[] {
  const spans = spansOf({ weekly }, [guide]).get(guide) ?? []
  return Array.from({ length: minutesPerWeek }, (_, minute) => isWithin(spans, minute))
}

function minuteOf(day: (typeof weekdays)[number], time: string): number {
  const [hours, minutes] = time.split(':').map(Number)
  return weekdays.indexOf(day) * 1440 + (hours ?? 0) * 60 + (minutes ?? 0)
}

function isOn(weekly: Shift[], day: (typeof weekdays)[number], time: string): boolean {
  return onMinutes(weekly)[minuteOf(day, time)] ?? false
}

/** The rule read aloud, minute by minute: on a shift of today after its start, or of yesterday before its end. */
function isOnByTheBook({ days, from, to }: Shift, minute: number): boolean {
  const today = weekdays[Math.floor(minute / 1440)]
  const yesterday = weekdays[(Math.floor(minute / 1440) + 6) % 7]
  const time = `${String(Math.floor((minute % 1440) / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`
  const overnight = to <= from
  if (today && days.includes(today) && time >= from && (overnight || time < to)) return true
  return yesterday !== undefined && days.includes(yesterday) && overnight && time < to
}

const aTime = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
  .map(
    ([hours, minutes]) => `${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`,
  )
const someDays = fc.subarray([...weekdays], { minLength: 1 })

function readsAsWritten(spansOf: Spans) {
  return fc.property(someDays, aTime, aTime, (days, from, to) => {
    const one = shift(days, from, to, ['A'])
    const wrong = onMinutes([one], 'A', spansOf).findIndex(
      (isOnNow, minute) => isOnNow !== isOnByTheBook(one, minute),
    )
    expect(wrong).toBe(-1)
  })
}

function leavesNoGapAndNoOverlap(spansOf: Spans) {
  const cuts = fc.uniqueArray(aTime, { minLength: 2, maxLength: 6 }).map(times => times.toSorted())
  return fc.property(cuts, times => {
    const weekly = times.map((from, index) =>
      shift([...weekdays], from, times[(index + 1) % times.length] ?? from, [`G${index}`]),
    )
    const covers = weekly.map((_, index) => onMinutes(weekly, `G${index}`, spansOf))
    const counts = new Set(
      Array.from({ length: minutesPerWeek }, (_, minute) => covers.filter(on => on[minute]).length),
    )
    expect(counts).toEqual(new Set([1]))
  })
}

const closedEnds: Spans = (roster, staff) =>
  new Map(
    [...weekSpans(roster, staff)].map(([id, spans]) => [
      id,
      spans.map(({ from, to }) => ({ from, to: to + 1 })),
    ]),
  )
const endsAtMidnight: Spans = (roster, staff) =>
  new Map(
    [...weekSpans(roster, staff)].map(([id, spans]) => [
      id,
      spans.map(({ from, to }) => ({
        from,
        to: Math.min(to, (Math.floor(from / 1440) + 1) * 1440),
      })),
    ]),
  )

describe('a shift', () => {
  it('holds at each minute of the week exactly when its words say so', () => {
    fc.assert(readsAsWritten(weekSpans), { numRuns: 40 })
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
    fc.assert(leavesNoGapAndNoOverlap(weekSpans), { numRuns: 20 })
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
    const spans = weekSpans(defaultRoster, ['A', 'B'])
    for (const id of ['A', 'B']) {
      for (let minute = 0; minute < minutesPerWeek; minute++) {
        if (!isWithin(spans.get(id) ?? [], minute)) throw new Error(`${id} is off at ${minute}`)
      }
    }
    expect([...spans.keys()]).toEqual(['A', 'B'])
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
})

describe('the checkers above', () => {
  const fixed = { seed: 1, numRuns: 20 }

  it('catch a shift whose last minute is in', () => {
    expect(() => fc.assert(readsAsWritten(closedEnds), fixed)).toThrow()
    expect(() => fc.assert(leavesNoGapAndNoOverlap(closedEnds), fixed)).toThrow()
  })

  it('catch a night shift that ends at midnight', () => {
    expect(() => fc.assert(readsAsWritten(endsAtMidnight), fixed)).toThrow()
    expect(() => fc.assert(leavesNoGapAndNoOverlap(endsAtMidnight), fixed)).toThrow()
  })
})
