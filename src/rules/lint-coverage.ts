import { type Calendar, sayInstant } from './calendar.ts'
import type { Crew, Member } from './eligibility.ts'
import { partsOfDay, reachOf } from './lint-plan.ts'
import { offsetAt, type Subject, type Warning } from './lint-subject.ts'
import { weekdayOf } from './names.ts'
import type { Condition, Step, When } from './plan.ts'
import { minutesPerDay, readRoster } from './roster.ts'
import { gaps, intersection, type Stretch, union } from './stretches.ts'
import { type Circumstance, holdsWhen } from './when.ts'

const minuteMs = 60_000
const dayMs = 86_400_000

/**
 * The times at which an order that says nothing of itself would get no guide, were nobody paused and no cap reached.
 *
 * Reckoned on the wall, where shifts are whole minutes, and brought to instants with the offset that counts at the time.
 * A day that was closed on purpose is no hole, nor is the part of its night shift that would have run into the next day.
 */
export function coverageHoles(subject: Subject): Warning[] {
  const { calendar, fromMs, untilMs } = subject
  const range = wallRange(subject)
  const covered = union([
    ...covers(subject, subject.crew, range),
    ...closedOnPurpose(subject, range),
  ])
  const instants = offsets(calendar, fromMs, untilMs).flatMap(({ from, to, offsetMs }) =>
    intersection(covered, [{ from: from + offsetMs, to: to + offsetMs }]).map(stretch => ({
      from: stretch.from - offsetMs,
      to: stretch.to - offsetMs,
    })),
  )
  return gaps(union(instants), { from: fromMs, to: untilMs }).map(hole => describe(hole, calendar))
}

function describe({ from, to }: Stretch, calendar: Calendar): Warning {
  const [start, end] = [sayInstant(from, calendar), sayInstant(to, calendar)]
  return {
    code: 'COVERAGE_HOLE',
    pointer: '/roster',
    en: `From ${start.en} to ${end.en} no guide can be chosen for an order that does not ask for one.`,
    zh: `${start.zh} 至 ${end.zh} 无法为未指定服务人员的订单选出服务人员。`,
    witness: new Date(from).toISOString(),
    until: new Date(to).toISOString(),
  }
}

/** Local days, both inclusive. A day to spare on each side: a clock that is put back may show the day before again. */
type Days = { first: number; last: number }

function wallRange({ calendar, fromMs, untilMs }: Subject): Days {
  return { first: calendar.momentAt(fromMs).day - 2, last: calendar.momentAt(untilMs).day + 1 }
}

function daysOf({ first, last }: Days): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function onDay(day: number, fromMinute: number, toMinute: number): Stretch {
  return { from: day * dayMs + fromMinute * minuteMs, to: day * dayMs + toMinute * minuteMs }
}

/** When some step of the plan would yield a guide for a plain order. */
function covers({ plan }: Subject, crew: Crew, range: Days): Stretch[] {
  return plan.steps.flatMap(step => {
    const window = windowOf(step, range)
    return window === null ? [] : intersection(availability(step, crew, range), window)
  })
}

const plain: Circumstance = { channel: null, amountFen: null, memberLevel: null }

/** When the conditions of a step hold for a plain order; null for never. */
function windowOf(step: Step, range: Days): Stretch[] | null {
  if (step.use === 'hint' || step.use === 'owner' || step.use === 'none') return null
  const { between, days, ...ofTheOrder }: When = step.when ?? {}
  if (!holdsWhen(ofTheOrder, plain, { atMs: 0, day: 0, minute: 0 })) return null
  return union(
    daysOf(range)
      .filter(day => !days || days.includes(weekdayOf(day)))
      .flatMap(day => partsOfDay(between).map(({ from, to }) => onDay(day, from, to))),
  )
}

function availability(step: Step, crew: Crew, range: Days): Stretch[] {
  const { who, condition } = reachOf(step, crew)
  const serving = who.filter(({ barred }) => barred === null)
  if (serving.length === 0) return []
  return union(daysOf(range).flatMap(day => availableOn(day, serving, condition, crew)))
}

function availableOn(
  day: number,
  serving: readonly Member[],
  condition: Condition,
  { presence, dayStartsAtMinute }: Crew,
): Stretch[] {
  if (condition === 'always') return [onDay(day, 0, minutesPerDay)]
  const spans = presence.spansOn(day)
  const present = serving.filter(({ id }) => spans.has(id) && presence.absenceOn(id, day) === null)
  // Guides of one shift share its span, and all on the staff the list of `*`.
  const lists = new Set(present.flatMap(({ id }) => spans.get(id) ?? []))
  const shifts = [...new Set([...lists].flat())].map(({ from, to }) => onDay(day, from, to))
  if (condition === 'on_shift' || present.length === 0) return shifts
  return [...shifts, onDay(day, dayStartsAtMinute, dayStartsAtMinute + minutesPerDay)]
}

function closedOnPurpose(subject: Subject, range: Days): Stretch[] {
  const closed = subject.overrides.filter(
    ({ day, override }) => override.mode === 'closed' && day >= range.first && day <= range.last,
  )
  if (closed.length === 0) return []
  const open = {
    ...subject.roster,
    dates: (subject.roster.dates ?? []).filter(({ mode }) => mode !== 'closed'),
  }
  const presence = readRoster(
    open,
    subject.crew.members.map(({ id }) => id),
  )
  return [
    ...closed.map(({ day }) => onDay(day, 0, minutesPerDay)),
    ...covers(subject, { ...subject.crew, presence }, range),
  ]
}

type Offset = Stretch & { offsetMs: number }

/** The span cut where the clocks change. */
function offsets(calendar: Calendar, fromMs: number, untilMs: number): Offset[] {
  const found: Offset[] = []
  for (let from = fromMs; from < untilMs; ) {
    const to = nextChange(calendar, from, untilMs)
    found.push({ from, to, offsetMs: offsetAt(calendar, from) })
    from = to
  }
  return found
}

// No zone changes its clocks twice within a day.
function nextChange(calendar: Calendar, fromMs: number, untilMs: number): number {
  const offsetMs = offsetAt(calendar, fromMs)
  for (let atMs = fromMs; atMs < untilMs; atMs += dayMs) {
    const end = Math.min(atMs + dayMs, untilMs)
    if (offsetAt(calendar, end) !== offsetMs) return changeWithin(calendar, atMs, end)
  }
  return untilMs
}

function changeWithin(calendar: Calendar, fromMs: number, untilMs: number): number {
  const before = offsetAt(calendar, fromMs)
  let [early, late] = [Math.floor(fromMs / minuteMs), Math.ceil(untilMs / minuteMs)]
  while (late - early > 1) {
    const middle = Math.floor((early + late) / 2)
    if (offsetAt(calendar, middle * minuteMs) === before) early = middle
    else late = middle
  }
  return late * minuteMs
}
