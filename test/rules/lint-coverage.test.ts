import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, type Question } from '../../src/rules/decide.ts'
import { type Crew, gatherCrew, type KnownGuide } from '../../src/rules/eligibility.ts'
import { lint, type Warning } from '../../src/rules/lint.ts'
import { dateOf, dayNumber, weekdays } from '../../src/rules/names.ts'
import { type Plan, planSchema } from '../../src/rules/plan.ts'
import { rosterSchema } from '../../src/rules/roster.ts'
import { staffSchema } from '../../src/rules/staff.ts'
import { aQuestion, dayMs, hourMs, minuteMs } from '../support/rules.ts'
import { atLength } from '../support/thorough.ts'

type Lint = typeof lint
type Documents = Parameters<Lint>[0]
type Store = {
  documents: Documents
  world: Parameters<Lint>[1]
  /** Near a change of the clocks, where there is one. */
  nearMs: number
}

const ids = ['A', 'B', 'C', 'D'] as const
const places = [
  { timezone: 'Europe/Berlin', nearMs: Date.UTC(2026, 2, 29, 1) },
  { timezone: 'Europe/Berlin', nearMs: Date.UTC(2026, 9, 25, 1) },
  { timezone: 'America/New_York', nearMs: Date.UTC(2026, 10, 1, 6) },
  { timezone: 'Australia/Lord_Howe', nearMs: Date.UTC(2026, 3, 4, 15) },
  { timezone: 'Australia/Lord_Howe', nearMs: Date.UTC(2026, 9, 3, 15, 30) },
  // The clocks change at midnight: the day before is shown again, or 00:30 never.
  { timezone: 'America/Havana', nearMs: Date.UTC(2026, 2, 8, 5) },
  { timezone: 'Atlantic/Azores', nearMs: Date.UTC(2026, 9, 25, 1) },
  { timezone: 'Asia/Beirut', nearMs: Date.UTC(2026, 9, 24, 21) },
  { timezone: 'Asia/Kathmandu', nearMs: Date.UTC(2026, 11, 31, 18, 15) },
  { timezone: 'Asia/Shanghai', nearMs: Date.UTC(2026, 9, 1) },
]

const aTime = fc.oneof(
  fc.constantFrom('00:00', '00:30', '02:00', '02:30', '09:00', '21:00', '23:59'),
  fc.nat(1439).map(minute => {
    const padded = (number: number) => String(number).padStart(2, '0')
    return `${padded(Math.floor(minute / 60))}:${padded(minute % 60)}`
  }),
)
const someDays = fc.subarray([...weekdays], { minLength: 1 })
const hours = {
  shift: fc.constant('s'),
  from: aTime,
  to: aTime,
  guides: fc.oneof(fc.subarray([...ids], { minLength: 1 }), fc.constant(['*'])),
}
const aShift = fc.record(hours)
const weekly = fc.array(fc.record({ ...hours, days: someDays }), { maxLength: 5 })

const aDate = (nearMs: number) =>
  fc.integer({ min: -3, max: 3 }).map(days => dateOf(Math.floor(nearMs / dayMs) + days))

function dates(nearMs: number) {
  const mode = fc.constantFrom('replace', 'add', 'closed')
  const one = fc.record({ date: aDate(nearMs), mode, shifts: fc.array(aShift, { maxLength: 2 }) })
  return fc.array(
    one.map(({ shifts, ...date }) => (date.mode === 'closed' ? date : { ...date, shifts })),
    { maxLength: 3 },
  )
}

function away(nearMs: number) {
  const leave = fc.tuple(aDate(nearMs), fc.nat(3)).map(([from, days]) => ({
    from,
    to: dateOf(dayNumber(from) + days),
  }))
  const left = aDate(nearMs).map(date => ({ left: date }))
  return fc.array(
    fc
      .tuple(fc.constantFrom(...ids), fc.oneof(leave, leave, left), fc.constantFrom(null, ...ids))
      .map(([guide, days, cover]) =>
        cover === null || cover === guide ? { guide, ...days } : { guide, ...days, cover },
      ),
    { maxLength: 4 },
  )
}

const condition = fc.constantFrom('on_shift', 'on_roster_today', 'always')
const hoursAndDays = { between: fc.tuple(aTime, aTime), days: someDays }
const ofTheOrder = {
  channel: fc.constantFrom(['app'], ['app', 'h5']),
  min_amount: fc.constantFrom(0, 100),
  max_amount: fc.constantFrom(100, 1000),
  member_level: fc.constantFrom(['gold'], ['gold', 'silver']),
}
const when = fc.oneof(
  fc.constant(undefined),
  fc.record(hoursAndDays, { requiredKeys: [] }),
  fc.record({ ...hoursAndDays, ...ofTheOrder }, { requiredKeys: [] }),
)
const aStep = fc
  .oneof(
    fc.record({ use: fc.constant('hint'), if: condition, when }),
    fc.record({
      use: fc.constant('owner'),
      if: condition,
      max_age_days: fc.constantFrom(30, 365),
      follow_cover: fc.boolean(),
      when,
    }),
    fc.record({ use: fc.constant('guide'), id: fc.constantFrom(...ids), if: condition, when }),
    fc.record({
      use: fc.constant('rotate'),
      by: fc.constantFrom('fair', 'listed', 'random'),
      among: fc.record(
        {
          on_shift: fc.constantFrom(true, true, true, false),
          tag: fc.constantFrom('x', 'y'),
        },
        { requiredKeys: [] },
      ),
      when,
    }),
  )
  .map(({ when: given, ...step }) => (given ? { ...step, when: given } : step))

const fates = {
  fine: {},
  quarantined: { state: 'quarantined' },
  borrowed: { storeId: 2 },
  foreign: { merchant: 'other' },
  unknown: null,
} as const
const aGuide = fc.record({
  rotates: fc.constantFrom(true, true, true, false),
  tags: fc.subarray(['x', 'y']),
  fate: fc.constantFrom<keyof typeof fates>(
    'fine',
    'fine',
    'fine',
    'borrowed',
    'quarantined',
    'foreign',
    'unknown',
  ),
})

const aStore: fc.Arbitrary<Store> = fc.constantFrom(...places).chain(({ timezone, nearMs }) =>
  fc
    .record({
      guides: fc.tuple(aGuide, aGuide, aGuide, aGuide),
      day_starts_at: aTime,
      weekly,
      dates: dates(nearMs),
      away: away(nearMs),
      steps: fc.array(aStep, { minLength: 1, maxLength: 4 }),
    })
    .map(({ guides, day_starts_at, steps, ...roster }) => ({
      nearMs,
      documents: {
        staff: staffSchema.parse({
          timezone,
          day_starts_at,
          guides: ids.map((id, index) => ({
            id,
            rotates: guides[index]?.rotates,
            tags: guides[index]?.tags,
          })),
        }),
        roster: rosterSchema.parse(roster),
        plan: planSchema.parse({ steps: [...steps, { use: 'none' }] }),
      },
      world: { storeId: 1, merchant: 'm', guides: mirrored(guides.map(({ fate }) => fate)) },
    })),
)

function mirrored(fateOf: readonly (keyof typeof fates)[]): Map<string, KnownGuide> {
  const known = new Map<string, KnownGuide>()
  for (const [index, id] of ids.entries()) {
    const fate = fates[fateOf[index] ?? 'unknown']
    if (fate) known.set(id, { id, storeId: 1, merchant: 'm', state: 'registered', ...fate })
  }
  return known
}

function crewOf({ staff, roster }: Documents, { merchant, guides }: Store['world']): Crew {
  return gatherCrew(merchant, staff, roster, guides)
}

/** Whether `decide` gives a plain order to anybody, or the shop is closed on purpose: with no arithmetic of ours. */
function yieldsOrClosed({ documents, world }: Store): (atMs: number) => boolean {
  const { roster, plan } = documents
  const closed = (roster.dates ?? []).filter(({ mode }) => mode === 'closed')
  const open = { ...roster, dates: (roster.dates ?? []).filter(({ mode }) => mode !== 'closed') }
  const yieldsFor = (crew: Crew) => (atMs: number) =>
    decide({ crew, plan, versions: { staff: 1, roster: 1, plan: 1 } }, aQuestion({ atMs }))
      .guideId !== null
  const crew = crewOf(documents, world)
  const yields = yieldsFor(crew)
  const wouldYield = yieldsFor(crewOf({ ...documents, roster: open }, world))
  return atMs => {
    if (yields(atMs)) return true
    if (closed.length === 0) return false
    const today = dateOf(crew.calendar.momentAt(atMs).day)
    return closed.some(({ date }) => date === today) || wouldYield(atMs)
  }
}

function holesOf(warnings: readonly Warning[]): { from: number; to: number }[] {
  return warnings
    .filter(({ code }) => code === 'COVERAGE_HOLE')
    .map(({ witness = '', until = '' }) => ({ from: Date.parse(witness), to: Date.parse(until) }))
}

/** Minute by minute; shifts and clocks change at whole minutes. */
function holesByHand(store: Store, fromMs: number, untilMs: number) {
  const isCovered = yieldsOrClosed(store)
  const holes: { from: number; to: number }[] = []
  for (let atMs = fromMs; atMs < untilMs; ) {
    const next = Math.min(untilMs, (Math.floor(atMs / minuteMs) + 1) * minuteMs)
    const last = holes.at(-1)
    if (!isCovered(atMs)) {
      if (last?.to === atMs) last.to = next
      else holes.push({ from: atMs, to: next })
    }
    atMs = next
  }
  return holes
}

const startMs = fc.integer({ min: -36 * hourMs, max: 6 * hourMs })

function findsTheHolesOfEachMinute(lintOne: Lint) {
  return fc.property(aStore, startMs, (store, offsetMs) => {
    const fromMs = store.nearMs + offsetMs
    const found = holesOf(lintOne(store.documents, store.world, { fromMs, days: 2 }))
    expect(found).toEqual(holesByHand(store, fromMs, fromMs + 2 * dayMs))
  })
}

function isTrueAtAnyInstant(lintOne: Lint) {
  const anyMs = fc.array(fc.nat(14 * dayMs - 1), { minLength: 60, maxLength: 60 })
  return fc.property(aStore, startMs, anyMs, (store, offsetMs, later) => {
    const fromMs = store.nearMs + offsetMs
    const holes = holesOf(lintOne(store.documents, store.world, { fromMs, days: 14 }))
    const isCovered = yieldsOrClosed(store)
    const edges = holes.flatMap(({ from, to }) => [from - 1, from, to - 1, to])
    const instants = [...later.map(ms => fromMs + ms), ...edges]
    for (const atMs of instants) {
      if (atMs < fromMs || atMs >= fromMs + 14 * dayMs) continue
      const inHole = holes.some(({ from, to }) => atMs >= from && atMs < to)
      expect({ atMs, isCovered: isCovered(atMs) }).toEqual({ atMs, isCovered: !inHole })
    }
  })
}

/** A lint that reads other documents than those it was given. */
function reading(change: (documents: Documents) => Documents): Lint {
  return (documents, ...rest) => lint(change(documents), ...rest)
}

const withRoster = (change: (roster: Documents['roster']) => object) =>
  reading(({ roster, ...others }) => ({ ...others, roster: rosterSchema.parse(change(roster)) }))
const withSteps = (change: (step: Plan['steps'][number]) => object) =>
  reading(({ plan, ...others }) => ({
    ...others,
    plan: planSchema.parse({ ...plan, steps: plan.steps.map(change) }),
  }))
const withGuides = (change: object) =>
  reading(({ staff, ...others }) => ({
    ...others,
    staff: { ...staff, guides: staff.guides.map(guide => ({ ...guide, ...change })) },
  }))

type Shifts = Documents['roster']['weekly']
const cutAtMidnight = (shifts: Shifts) =>
  shifts.map(shift => (shift.to <= shift.from ? { ...shift, to: '00:00' } : shift))

function withoutConditions(step: Plan['steps'][number], keep: readonly string[] = []): object {
  if (step.use === 'none' || !step.when) return step
  const kept = Object.entries(step.when).filter(([name]) => keep.includes(name))
  return { ...step, when: Object.fromEntries(kept) }
}

/** The offset from UTC at the start of the span, for the whole of it. */
const oneOffset: Lint = ({ staff, ...others }, world, span) => {
  const { day, minute } = gatherCrew('m', staff, others.roster, new Map()).calendar.momentAt(
    span.fromMs,
  )
  const wallMs = day * dayMs + minute * minuteMs
  const aheadHours = (wallMs - Math.floor(span.fromMs / minuteMs) * minuteMs) / hourMs
  if (!Number.isInteger(aheadHours)) return lint({ staff, ...others }, world, span)
  const timezone = `Etc/GMT${aheadHours > 0 ? '-' : '+'}${Math.abs(aheadHours)}`
  return lint({ ...others, staff: { ...staff, timezone } }, world, span)
}

const movedBy =
  (field: 'witness' | 'until', ms: number): Lint =>
  (...given) =>
    lint(...given).map(warning => {
      const atMs = Date.parse(warning[field] ?? '')
      return Number.isNaN(atMs)
        ? warning
        : { ...warning, [field]: new Date(atMs + ms).toISOString() }
    })

const plantedInCoverage: [string, Lint][] = [
  ['ignores leave', withRoster(roster => ({ ...roster, away: [] }))],
  [
    'ignores who has left',
    withRoster(roster => ({
      ...roster,
      away: (roster.away ?? []).filter(({ left }) => left === undefined),
    })),
  ],
  ['ignores special dates', withRoster(roster => ({ ...roster, dates: [] }))],
  [
    'adds the shifts that should replace',
    withRoster(roster => ({
      ...roster,
      dates: (roster.dates ?? []).map(date =>
        date.mode === 'replace' ? { ...date, mode: 'add' } : date,
      ),
    })),
  ],
  [
    'takes a closed day for a hole',
    withRoster(roster => ({
      ...roster,
      dates: (roster.dates ?? []).map(date =>
        date.mode === 'closed' ? { ...date, mode: 'replace', shifts: [] } : date,
      ),
    })),
  ],
  [
    'ends a night shift at midnight',
    withRoster(roster => ({ ...roster, weekly: cutAtMidnight(roster.weekly) })),
  ],
  [
    'reckons the days in UTC',
    reading(({ staff, ...others }) => ({ ...others, staff: { ...staff, timezone: 'UTC' } })),
  ],
  ['keeps one offset for the whole span', oneOffset],
  [
    'starts the business day at midnight',
    reading(({ staff, ...others }) => ({ ...others, staff: { ...staff, day_starts_at: '00:00' } })),
  ],
  [
    'ignores what the mirror knows',
    (documents, world, span) =>
      lint(documents, { ...world, guides: mirrored(ids.map(() => 'fine')) }, span),
  ],
  ['ignores tags', withGuides({ tags: ['x', 'y'] })],
  ['lets all take turns', withGuides({ rotates: true })],
  ['ignores all conditions', withSteps(step => withoutConditions(step))],
  [
    'ignores the hours of a step',
    withSteps(step =>
      withoutConditions(step, ['channel', 'min_amount', 'max_amount', 'member_level', 'days']),
    ),
  ],
  [
    'ignores what is asked of the order',
    withSteps(step => withoutConditions(step, ['between', 'days'])),
  ],
  [
    'takes the roster of the day for the shift',
    withSteps(step =>
      'if' in step && step.if === 'on_roster_today' ? { ...step, if: 'on_shift' } : step,
    ),
  ],
  ['begins a hole a minute late', movedBy('witness', minuteMs)],
  ['ends a hole a moment early', movedBy('until', -1)],
  ['says nothing', () => []],
]

describe('coverage', () => {
  it('has the holes that a reading of each minute finds, from the first instant to the last', () => {
    fc.assert(findsTheHolesOfEachMinute(lint), { numRuns: atLength(50, 150) })
  }, 60_000)

  it('is true at any instant of 14 days: somebody can be chosen, or a hole is named', () => {
    fc.assert(isTrueAtAnyInstant(lint), { numRuns: atLength(120, 400) })
  }, 60_000)

  it.each(plantedInCoverage)(
    'is checked: a lint that %s is caught',
    (_, planted) => {
      const fixed = { seed: 7, numRuns: 600, endOnFailure: true }
      expect(() => fc.assert(isTrueAtAnyInstant(planted), fixed)).toThrow()
    },
    60_000,
  )
})

const anyOrder = fc
  .record({
    channel: fc.constantFrom(null, 'app', 'h5'),
    memberLevel: fc.constantFrom(null, 'gold', 'silver'),
    amountFen: fc.constantFrom(null, 0, 100, 101, 1000),
    hint: fc.constantFrom(null, 'stranger', ...ids),
    ownedBy: fc.constantFrom(null, 'stranger', ...ids),
    ageDays: fc.constantFrom(0, 40),
    paused: fc.subarray([...ids]),
    laterMs: fc.nat(6 * dayMs),
  })
  .map(({ ownedBy, ageDays, paused, laterMs, ...order }) => (fromMs: number): Question => {
    const atMs = fromMs + laterMs
    const owner = ownedBy === null ? null : { guideId: ownedBy, sinceMs: atMs - ageDays * dayMs }
    return aQuestion({
      ...order,
      atMs,
      owner,
      isPaused: id => paused.some(one => one === id),
    })
  })

/** A step that is said to be of no use decides no order at all. */
function condemnsNoUsefulStep(lintOne: Lint) {
  const orders = fc.array(anyOrder, { minLength: 60, maxLength: 60 })
  return fc.property(aStore, startMs, orders, ({ documents, world, nearMs }, offsetMs, asked) => {
    const fromMs = nearMs + offsetMs
    const useless = lintOne(documents, world, { fromMs, days: 1 })
      .filter(({ code }) => code === 'UNREACHABLE_STEP' || code === 'EMPTY_POOL')
      .map(({ pointer }) => Number(pointer.split('/').at(-1)))
    const versions = { staff: 1, roster: 1, plan: 1 }
    const rules = { crew: crewOf(documents, world), plan: documents.plan, versions }
    for (const order of asked) {
      const hit = decide(rules, order(fromMs)).steps.indexOf('hit')
      expect(useless).not.toContain(hit)
    }
  })
}

const plantedInPlan: [string, Lint][] = [
  ['ignores all conditions', withSteps(step => withoutConditions(step))],
  [
    'ignores the hours of a step',
    withSteps(step =>
      withoutConditions(step, ['channel', 'min_amount', 'max_amount', 'member_level', 'days']),
    ),
  ],
  [
    'takes a step on shift for one at all times',
    withSteps(step =>
      step.use === 'rotate' ? { ...step, among: { ...step.among, on_shift: false } } : step,
    ),
  ],
  [
    'takes all that is asked of a guide for the same',
    withSteps(step => ('if' in step ? { ...step, if: 'on_shift' } : step)),
  ],
  ['ignores tags', withGuides({ tags: ['x', 'y'] })],
  ['lets nobody have a tag', withGuides({ tags: [] })],
  ['ignores special dates', withRoster(roster => ({ ...roster, dates: [] }))],
  [
    'ignores the age of an owner',
    withSteps(step => (step.use === 'owner' ? { ...step, max_age_days: 30 } : step)),
  ],
  [
    'ignores what the mirror knows',
    (documents, world, span) =>
      lint(documents, { ...world, guides: mirrored(ids.map(() => 'fine')) }, span),
  ],
  [
    'condemns what follows a turn of all',
    ({ plan }) =>
      plan.steps.flatMap((step, index): Warning[] =>
        step.use !== 'none' && plan.steps[index - 1]?.use === 'rotate'
          ? [{ code: 'UNREACHABLE_STEP', pointer: `/plan/steps/${index}`, en: '', zh: '' }]
          : [],
      ),
  ],
]

describe('a step that is said to be useless', () => {
  it('decides no order, whatever the order says and whoever is paused', () => {
    fc.assert(condemnsNoUsefulStep(lint), { numRuns: 400 })
  }, 60_000)

  it.each(plantedInPlan)(
    'is checked: a lint that %s is caught',
    (_, planted) => {
      const fixed = { seed: 7, numRuns: 6000, endOnFailure: true }
      expect(() => fc.assert(condemnsNoUsefulStep(planted), fixed)).toThrow()
    },
    60_000,
  )
})
