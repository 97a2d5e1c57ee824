import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Decision,
  decide,
  hitReasons,
  type Question,
  type Rules,
} from '../../src/rules/decide.ts'
import {
  type NotChosen,
  notChosenReasons,
  type State,
  whyNot,
} from '../../src/rules/eligibility.ts'
import { unitsPerOrder } from '../../src/rules/fairness.ts'
import { defaultPlan, type Step } from '../../src/rules/plan.ts'
import type { Roster } from '../../src/rules/roster.ts'
import {
  aBook,
  aLedger,
  aPlan,
  aQuestion,
  aRandom,
  aStore,
  at,
  dayMs,
  hourMs,
  minuteMs,
  mondayMs,
  shift,
  sum,
} from '../support/rules.ts'

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const ids = ['A', 'B', 'C', 'D', 'E'] as const
const stranger = 'stranger'

const aCondition = fc.constantFrom('on_shift', 'on_roster_today', 'always')
const aCount = fc.constantFrom('none', 'full', 'clamped')
const aWhen = fc.constantFrom<object>(
  {},
  {},
  {},
  { when: { min_amount: 500 } },
  { when: { channel: ['app'], max_amount: 500 } },
  { when: { between: ['18:00', '03:00'] } },
  { when: { member_level: ['金'], days: ['mon'] } },
)
const among = fc.constantFrom<object>(
  {},
  {},
  { among: { tag: '护肤' } },
  { among: { on_shift: false } },
  { among: { on_shift: false, tag: '护肤' } },
)

/** Any step but the last. */
const aStep: fc.Arbitrary<object> = fc.oneof(
  fc.tuple(aCondition, aCount, aWhen).map(([on, counts, when]) => ({
    use: 'hint',
    if: on,
    counts,
    ...when,
  })),
  fc
    .tuple(aCondition, aCount, aWhen, fc.boolean(), fc.boolean())
    .map(([on, counts, when, follow_cover, ages]) => ({
      use: 'owner',
      if: on,
      counts,
      follow_cover,
      ...(ages ? { max_age_days: 30 } : {}),
      ...when,
    })),
  fc
    .tuple(fc.constantFrom('fair', 'fair', 'listed', 'random'), among, aWhen, fc.boolean())
    .map(([by, pool, when, own]) => ({
      use: 'rotate',
      by,
      ...pool,
      ...(own ? { book: 'own' } : {}),
      ...when,
    })),
  fc
    .tuple(fc.constantFrom(stranger, ...ids), aCondition, aCount, aWhen)
    .map(([id, on, counts, when]) => ({ use: 'guide', id, if: on, counts, ...when })),
)

const aGuide = (id: (typeof ids)[number]) =>
  fc.record({
    id: fc.constant(id),
    weight: fc.integer({ min: 1, max: 9 }),
    rotates: fc.boolean(),
    tags: fc.subarray(['护肤', '彩妆']),
    caps: fc.constantFrom({}, {}, { per_day: 2 }, { per_hour: 2 }),
    fate: fc.constantFrom('fine', 'fine', 'fine', 'fine', 'quarantined', 'elsewhere', 'unknown'),
    onShift: fc.constantFrom(true, true, false),
    night: fc.boolean(),
    away: fc.constantFrom(null, null, null, 'leave', 'left'),
    cover: fc.constantFrom(...ids, stranger),
    paused: fc.constantFrom(false, false, true),
    served: fc.integer({ min: 0, max: 3 }),
    balance: fc.integer({ min: -3, max: 3 }),
    lastServed: fc.nat(5),
  })

const fates = {
  fine: {},
  quarantined: { state: 'quarantined' as const },
  elsewhere: { merchant: 'other' },
  unknown: null,
}

/** A store of five whose guides may be anything a guide can be, and a question about any order. */
const anything = fc
  .record({
    guides: fc.tuple(...ids.map(aGuide)),
    plan: fc
      .tuple(fc.array(aStep, { maxLength: 5 }), fc.constantFrom('orders', 'amount'))
      .map(([steps, fair_by]) => aPlan(steps, { fair_by })),
    dayStartsAt: fc.constantFrom('00:00', '04:00'),
    hint: fc.constantFrom(null, null, stranger, ...ids),
    owner: fc.option(
      fc.record({
        guideId: fc.constantFrom(stranger, ...ids),
        sinceMs: fc.constantFrom(mondayMs, mondayMs - 60 * dayMs),
      }),
      { nil: null },
    ),
    sticky: fc.constantFrom(null, null, null, null, stranger, ...ids),
    minute: fc.integer({ min: 0, max: 2 * 1440 - 1 }),
    outTradeNo: fc.string(),
    channel: fc.constantFrom(null, 'app', 'h5'),
    memberLevel: fc.constantFrom(null, '金'),
    amountFen: fc.constantFrom(null, 0, 1, 499, 500, 10_000_000_000),
  })
  .map(({ guides, plan, dayStartsAt, minute, ...facts }): { rules: Rules; question: Question } => {
    const roster: Roster = {
      weekly: [
        shift(
          ['mon'],
          '00:00',
          '12:00',
          guides.filter(({ onShift }) => onShift).map(({ id }) => id),
        ),
        shift(
          ['mon'],
          '20:00',
          '06:00',
          guides.filter(({ night }) => night).map(({ id }) => id),
        ),
      ],
      away: guides.flatMap(({ id, away, cover }): NonNullable<Roster['away']> => {
        if (away === null) return []
        const stand = cover === id ? {} : { cover }
        return away === 'left'
          ? [{ guide: id, left: '2026-11-01', ...stand }]
          : [{ guide: id, from: '2026-11-23', to: '2026-11-23', ...stand }]
      }),
    }
    const rules = aStore({
      guides: guides.map(({ id, weight, rotates, tags, caps }) => ({
        id,
        weight,
        rotates,
        tags,
        caps,
      })),
      dayStartsAt,
      plan,
      roster,
      known: Object.fromEntries(
        guides.map(({ id, fate }) => [id, fates[fate as keyof typeof fates]]),
      ),
    })
    const standings = Object.fromEntries(
      guides.map(({ id, balance, lastServed }) => [
        id,
        { balance: balance * unitsPerOrder, lastServed },
      ]),
    )
    const served = new Map<string, number>(guides.map(one => [one.id, one.served]))
    const paused = new Set<string>(guides.filter(one => one.paused).map(({ id }) => id))
    return {
      rules,
      question: aQuestion({
        ...facts,
        atMs: mondayMs + minute * minuteMs,
        openBook: name => aBook(standings, name),
        isPaused: id => paused.has(id),
        tally: id => ({ hour: served.get(id) ?? 0, day: served.get(id) ?? 0 }),
      }),
    }
  })

function candidatesOf({ turn }: Decision): string[] {
  return turn?.candidates.map(({ id }) => id) ?? []
}

function stateOf({ isPaused, tally }: Question): State {
  return { isPaused, tally: id => tally(id, { hourMs: 0, dayMs: 0 }) }
}

type Decide = typeof decide

function endsInOneStep(decideOne: Decide) {
  return fc.property(anything, ({ rules, question }) => {
    const { guideId, reason, steps } = decideOne(rules, question)
    expect(steps).toHaveLength(rules.plan.steps.length)
    if (reason === 'STICKY_CART') {
      expect(new Set(steps)).toEqual(new Set(['not_reached']))
      return
    }
    const end = guideId === null ? steps.indexOf('nobody') : steps.indexOf('hit')
    expect(end).toBeGreaterThanOrEqual(0)
    expect(steps.slice(end + 1).every(verdict => verdict === 'not_reached')).toBe(true)
    expect(
      steps.slice(0, end).every(verdict => !['hit', 'nobody', 'not_reached'].includes(verdict)),
    ).toBe(true)
  })
}

function accountsForEachGuideOnce(decideOne: Decide) {
  return fc.property(anything, ({ rules, question }) => {
    const decision = decideOne(rules, question)
    const onStaff = rules.crew.byId.has(decision.guideId ?? '') ? [decision.guideId] : []
    const others = candidatesOf(decision).filter(id => id !== decision.guideId)
    const named = [...onStaff, ...others, ...decision.blocked.map(([id]) => id)]
    expect(named.toSorted()).toEqual([...ids])
    for (const [, reason] of decision.blocked) expect(notChosenReasons).toContain(reason)
  })
}

/** A guide who could not have served on shift is told the reason for that, and no other. */
function tellsWhatBlocks(decideOne: Decide) {
  return fc.property(anything, ({ rules, question }) => {
    const { crew } = rules
    const moment = crew.calendar.momentAt(question.atMs)
    for (const [id, reason] of decideOne(rules, question).blocked) {
      const member = crew.byId.get(id)
      if (!member) throw new Error(`${id} is not on the staff`)
      const why = whyNot(member, 'on_shift', crew, moment, stateOf(question))
      const passed: NotChosen[] = [
        'NOT_IN_POOL',
        'LISTED_LATER',
        'NOT_DRAWN',
        'OWNER_EXPIRED',
        'STEP_NOT_REACHED',
      ]
      if (why === null) expect(passed).toContain(reason)
      else expect(reason).toBe(why)
    }
  })
}

function conditionOf(step: Step): 'on_shift' | 'on_roster_today' | 'always' {
  if (step.use === 'none') return 'always'
  if (step.use === 'rotate') return step.among.on_shift ? 'on_shift' : 'always'
  return step.if
}

function neverOneWhoMayNot(decideOne: Decide) {
  return fc.property(anything, ({ rules, question }) => {
    const { guideId, reason, steps, turn } = decideOne(rules, question)
    if (guideId === null) return
    const { crew } = rules
    const member = crew.byId.get(guideId)
    if (!member) throw new Error(`${guideId} is not on the staff`)
    const moment = crew.calendar.momentAt(question.atMs)
    const state = stateOf(question)
    expect(whyNot(member, 'always', crew, moment, state)).toBeNull()
    if (reason === 'STICKY_CART') return
    const step = at(rules.plan.steps, steps.indexOf('hit'))
    expect(whyNot(member, conditionOf(step), crew, moment, state)).toBeNull()
    if (step.use !== 'rotate') return
    for (const id of turn?.candidates.map(one => one.id) ?? [guideId]) {
      const one = crew.byId.get(id)
      if (!one) throw new Error(`${id} is not on the staff`)
      expect(one.rotates).toBe(true)
      expect(whyNot(one, conditionOf(step), crew, moment, state)).toBeNull()
      if (step.among.tag !== undefined) expect(one.tags).toContain(step.among.tag)
    }
  })
}

const turnReasons = ['FAIR_TURN', 'ONLY_ONE']
const countedReasons = ['HINT', 'OWNER', 'OWNER_COVER', 'NAMED']

function turnsSumToZero(decideOne: Decide) {
  return fc.property(anything, ({ rules, question }) => {
    const { reason, turn, guideId, steps } = decideOne(rules, question)
    if (turnReasons.includes(reason)) expect(turn).not.toBeNull()
    if (!turn) return
    expect([...turnReasons, ...countedReasons]).toContain(reason)
    expect(turn.candidates[turn.chosen]?.id).toBe(guideId)
    expect(turn.changes).toHaveLength(turn.candidates.length)
    expect(sum(turn.changes)).toBe(0)
    expect(turn.changes.every(Number.isSafeInteger)).toBe(true)
    const { crew } = rules
    const moment = crew.calendar.momentAt(question.atMs)
    for (const { id, weight } of turn.candidates) {
      const member = crew.byId.get(id)
      if (!member) throw new Error(`${id} is not on the staff`)
      const isInPool =
        member.rotates && whyNot(member, 'on_shift', crew, moment, stateOf(question)) === null
      // Who serves out of turn has no share; nobody else stands in a turn without one.
      const isShareless = countedReasons.includes(reason) && !isInPool
      expect(weight).toBe(isShareless ? 0 : member.weight)
      if (isShareless) expect(id).toBe(guideId)
    }
    const step = at(rules.plan.steps, steps.indexOf('hit'))
    if (step.use === 'rotate') {
      expect(reason === 'ONLY_ONE').toBe(turn.candidates.length === 1)
      const { fair_by } = rules.plan
      expect(turn.book).toBe(step.book === undefined ? fair_by : `${fair_by}/${step.book}`)
    } else {
      expect(turn.book).toBe(rules.plan.fair_by)
    }
    if ('counts' in step) expect(step.counts).not.toBe('none')
    if ('counts' in step && step.counts === 'clamped') {
      const before = turn.candidates[turn.chosen]?.balance ?? 0
      const after = before + at(turn.changes, turn.chosen)
      expect(after).toBeGreaterThanOrEqual(Math.min(before, -2 * unitsPerOrder))
    }
  })
}

/** Another step at the end is for those whom no step served; to all others it is not there. */
function newStepIsForTheUnserved(decideOne: Decide) {
  return fc.property(anything, aStep, ({ rules, question }, step) => {
    const before = decideOne(rules, question)
    const steps = [...rules.plan.steps.slice(0, -1), ...aPlan([step]).steps]
    const after = decideOne({ ...rules, plan: { ...rules.plan, steps } }, question)
    if (before.guideId !== null) {
      expect([after.guideId, after.reason, after.turn]).toEqual([
        before.guideId,
        before.reason,
        before.turn,
      ])
      expect(after.steps.slice(0, before.steps.length - 1)).toEqual(before.steps.slice(0, -1))
    } else if (after.guideId !== null) {
      expect(after.steps.at(-2)).toBe('hit')
    }
  })
}

function anOwner(guideId: string, sinceMs = mondayMs) {
  return { guideId, sinceMs }
}

describe('a decision', () => {
  it('ends in exactly one step, with a verdict for every step of the plan', () => {
    fc.assert(endsInOneStep(decide), { numRuns: 500 })
  })

  it('accounts for each guide of the staff once: chosen, passed over in the turn, or blocked with one reason', () => {
    fc.assert(accountsForEachGuideOnce(decide), { numRuns: 500 })
  })

  it('never falls on a guide who may not serve', () => {
    fc.assert(neverOneWhoMayNot(decide), { numRuns: 500 })
  })

  it('has a reason of the closed list, and no guide only when no step matched', () => {
    fc.assert(
      fc.property(anything, ({ rules, question }) => {
        const { guideId, reason } = decide(rules, question)
        if (guideId === null) expect(reason).toBe('NO_STEP_MATCHED')
        else expect(hitReasons).toContain(reason)
      }),
    )
  })

  it('takes a turn when it rotates fairly or counts a hit, at no other time, and the turn sums to zero', () => {
    fc.assert(turnsSumToZero(decide), { numRuns: 500 })
  })

  it('tells a guide who could not have served what stood in the way', () => {
    fc.assert(tellsWhatBlocks(decide), { numRuns: 300 })
  })

  it('is the same however often it is asked; the order of the staff matters to a list and a draw only', () => {
    fc.assert(
      fc.property(anything, ({ rules, question }) => {
        const first = decide(rules, question)
        expect(decide(rules, question)).toEqual(first)
        if (first.reason === 'LISTED' || first.reason === 'RANDOM') return
        const members = rules.crew.members.toReversed()
        const other = decide({ ...rules, crew: { ...rules.crew, members } }, question)
        expect([other.guideId, other.reason, other.steps]).toEqual([
          first.guideId,
          first.reason,
          first.steps,
        ])
        expect(other.blocked.toSorted()).toEqual(first.blocked.toSorted())
      }),
      { numRuns: 500 },
    )
  })

  it('changes only where nobody was found, when a step is added at the end', () => {
    fc.assert(newStepIsForTheUnserved(decide), { numRuns: 500 })
  })

  it('leaves what it is asked with as it was', () => {
    fc.assert(
      fc.property(anything, ({ rules, question }) => {
        const before = JSON.stringify([rules.crew.members, rules.plan, question])
        decide(rules, question)
        expect(JSON.stringify([rules.crew.members, rules.plan, question])).toBe(before)
      }),
    )
  })
})

describe('the default plan', () => {
  const rules = aStore({ roster: { weekly: [shift([...weekdays], '09:00', '21:00', ['A', 'B'])] } })
  const atMs = mondayMs + 10 * hourMs

  it("gives a member's order to the guide who owns them, and takes no turn", () => {
    expect(decide(rules, aQuestion({ atMs, owner: anOwner('B') }))).toMatchObject({
      guideId: 'B',
      reason: 'OWNER',
      turn: null,
      steps: ['hit', 'not_reached', 'not_reached'],
    })
  })

  it('rotates when the owner is off shift, and says so', () => {
    expect(decide(rules, aQuestion({ atMs, owner: anOwner('C') }))).toMatchObject({
      guideId: 'A',
      reason: 'FAIR_TURN',
      steps: ['OFF_SHIFT', 'hit', 'not_reached'],
      blocked: [['C', 'OFF_SHIFT']],
    })
  })

  it('rotates when the owner left the staff, and when there is no owner', () => {
    expect(decide(rules, aQuestion({ atMs, owner: anOwner(stranger) })).steps[0]).toBe(
      'not_on_staff',
    )
    expect(decide(rules, aQuestion({ atMs })).steps[0]).toBe('not_given')
  })

  it('finds nobody when nobody is on shift, with the reason of each', () => {
    expect(decide(rules, aQuestion({ atMs: mondayMs, owner: anOwner('A') }))).toEqual({
      guideId: null,
      reason: 'NO_STEP_MATCHED',
      turn: null,
      steps: ['OFF_SHIFT', 'nobody_eligible', 'nobody'],
      blocked: [
        ['A', 'OFF_SHIFT'],
        ['B', 'OFF_SHIFT'],
        ['C', 'OFF_SHIFT'],
      ],
    })
  })

  it('finds nobody in a store without guides', () => {
    expect(decide(aStore({ guides: [] }), aQuestion())).toMatchObject({
      guideId: null,
      blocked: [],
    })
  })

  it('says that a guide was the only one when there was no choice', () => {
    const alone = aStore({ guides: ['A'] })
    expect(decide(alone, aQuestion())).toMatchObject({ guideId: 'A', reason: 'ONLY_ONE' })
  })

  it('lets the book decide, not the list', () => {
    const book = aBook({ A: { balance: -5, lastServed: 1 }, B: { balance: 5, lastServed: 2 } })
    expect(decide(rules, aQuestion({ atMs, openBook: () => book })).guideId).toBe('B')
  })
})

describe('a guide whom the cashier names', () => {
  const rules = aStore({
    guides: ['A', 'B', { id: 'Z', rotates: false }],
    roster: { weekly: [shift(['mon'], '09:00', '21:00', ['A', 'Z'])] },
    plan: aPlan([{ use: 'hint' }, { use: 'owner' }, { use: 'rotate' }]),
  })
  const atMs = mondayMs + 10 * hourMs

  it('serves, and takes no turn', () => {
    expect(decide(rules, aQuestion({ atMs, hint: 'A', owner: anOwner('Z') }))).toMatchObject({
      guideId: 'A',
      reason: 'HINT',
      turn: null,
    })
  })

  it('may be one who does not rotate: that one is reached by name only', () => {
    expect(decide(rules, aQuestion({ atMs, hint: 'Z' })).guideId).toBe('Z')
    const rotated = decide(rules, aQuestion({ atMs }))
    expect(rotated).toMatchObject({ guideId: 'A', reason: 'ONLY_ONE' })
    expect(rotated.blocked).toContainEqual(['Z', 'NOT_IN_POOL'])
  })

  it('is passed over off shift, unless the plan says always', () => {
    expect(decide(rules, aQuestion({ atMs, hint: 'B' })).guideId).toBe('A')
    const always = aPlan([{ use: 'hint', if: 'always' }])
    expect(decide({ ...rules, plan: always }, aQuestion({ atMs, hint: 'B' })).guideId).toBe('B')
  })

  it('is ignored by a plan that does not ask for hints', () => {
    const plain = { ...rules, plan: defaultPlan }
    expect(decide(plain, aQuestion({ atMs, hint: 'Z' })).guideId).toBe('A')
  })

  it('leaves the others with the reason that their step was not reached', () => {
    const { blocked } = decide(rules, aQuestion({ atMs, hint: 'Z' }))
    expect(blocked).toEqual([
      ['A', 'STEP_NOT_REACHED'],
      ['B', 'OFF_SHIFT'],
    ])
  })
})

describe('an order of a cart that was served before', () => {
  const rules = aStore({
    roster: { weekly: [shift(['mon'], '09:00', '21:00', ['A', 'B'])] },
    known: { B: { state: 'quarantined' } },
  })
  const atMs = mondayMs + 10 * hourMs

  it('keeps its guide before any step, even after the end of the shift, and takes no turn', () => {
    for (const now of [atMs, mondayMs]) {
      expect(
        decide(rules, aQuestion({ atMs: now, sticky: 'C', owner: anOwner('A') })),
      ).toMatchObject({
        guideId: 'C',
        reason: 'STICKY_CART',
        turn: null,
      })
    }
  })

  it.each([
    ['quarantined', 'B'],
    ['no longer on the staff', stranger],
  ])('is decided anew when that guide is %s', (_, sticky) => {
    expect(decide(rules, aQuestion({ atMs, sticky }))).toMatchObject({
      guideId: 'A',
      reason: 'ONLY_ONE',
    })
  })
})

describe('a guide who may not serve', () => {
  it.each([
    ['quarantined', { state: 'quarantined' as const }, 'QUARANTINED'],
    ['of another merchant', { storeId: 2, merchant: 'other' }, 'WRONG_STORE'],
    ['not registered', null, 'UNREGISTERED'],
  ])('is not chosen when %s, by name or by turn', (_, known, reason) => {
    const rules = aStore({
      known: { A: known },
      plan: aPlan([{ use: 'hint', if: 'always' }, { use: 'owner' }, { use: 'rotate' }]),
    })
    const { guideId, steps, blocked } = decide(
      rules,
      aQuestion({ hint: 'A', owner: anOwner('A'), sticky: 'A' }),
    )
    expect(guideId).toBe('B')
    expect(steps).toEqual([reason, reason, 'hit', 'not_reached'])
    expect(blocked).toEqual([['A', reason]])
  })

  it('keeps the first of two reasons: off shift matters to nobody who is quarantined', () => {
    const rules = aStore({
      roster: { weekly: [] },
      known: { A: { state: 'quarantined', merchant: 'other' } },
    })
    expect(decide(rules, aQuestion()).blocked).toEqual([
      ['A', 'QUARANTINED'],
      ['B', 'OFF_SHIFT'],
      ['C', 'OFF_SHIFT'],
    ])
  })
})

describe('a rotation', () => {
  const guides = [
    { id: 'C', tags: ['护肤'] },
    { id: 'A', tags: ['护肤', '彩妆'] },
    { id: 'B', tags: [] },
    { id: 'Z', tags: ['护肤'], rotates: false },
  ]

  it('among a tag has nobody else in its pool, and the next step takes over when the tag is off shift', () => {
    const plan = aPlan([{ use: 'rotate', among: { tag: '护肤' } }, { use: 'rotate' }])
    const first = decide(aStore({ guides, plan }), aQuestion())
    expect(candidatesOf(first)).toEqual(['C', 'A'])
    expect(first.blocked).toEqual([
      ['B', 'NOT_IN_POOL'],
      ['Z', 'NOT_IN_POOL'],
    ])
    const roster: Roster = { weekly: [shift([...weekdays], '00:00', '00:00', ['B', 'Z'])] }
    const next = decide(aStore({ guides, plan, roster }), aQuestion())
    expect(next).toMatchObject({ guideId: 'B', steps: ['nobody_eligible', 'hit', 'not_reached'] })
  })

  it('by list takes the first who may serve, and no turn', () => {
    const plan = aPlan([{ use: 'rotate', by: 'listed' }])
    const told = (off: string[]) =>
      decide(aStore({ guides, plan }), aQuestion({ isPaused: id => off.includes(id) }))
    expect(told([])).toMatchObject({ guideId: 'C', reason: 'LISTED', turn: null })
    expect(told([]).blocked).toEqual([
      ['A', 'LISTED_LATER'],
      ['B', 'LISTED_LATER'],
      ['Z', 'NOT_IN_POOL'],
    ])
    expect(told(['C'])).toMatchObject({ guideId: 'A', reason: 'LISTED' })
    expect(told(['C', 'A', 'B']).guideId).toBeNull()
  })

  it('at random draws by the order number, so that it replays, and takes no turn', () => {
    const rules = aStore({ guides, plan: aPlan([{ use: 'rotate', by: 'random' }]) })
    const counts = new Map<string | null, number>()
    for (let index = 0; index < 3000; index++) {
      const question = aQuestion({ outTradeNo: String(1_000_000 + index) })
      const told = decide(rules, question)
      expect(told).toMatchObject({ reason: 'RANDOM', turn: null })
      expect(decide(rules, { ...question, atMs: question.atMs + hourMs }).guideId).toBe(
        told.guideId,
      )
      counts.set(told.guideId, (counts.get(told.guideId) ?? 0) + 1)
    }
    expect([...counts.keys()].toSorted()).toEqual(['A', 'B', 'C'])
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(160)
    const { guideId, blocked } = decide(rules, aQuestion())
    const others = ['A', 'B', 'C'].filter(id => id !== guideId)
    for (const id of others) expect(blocked).toContainEqual([id, 'NOT_DRAWN'])
  })

  it('with on_shift false takes who is registered, on shift or not', () => {
    const plan = aPlan([{ use: 'rotate', among: { on_shift: false } }])
    const rules = aStore({ plan, roster: { weekly: [] }, known: { B: { state: 'quarantined' } } })
    expect(candidatesOf(decide(rules, aQuestion()))).toEqual(['A', 'C'])
  })

  it('borrows a guide of another store of the merchant', () => {
    const rules = aStore({ guides: ['A', 'X'], known: { X: { storeId: 9 } } })
    expect(candidatesOf(decide(rules, aQuestion()))).toEqual(['A', 'X'])
  })

  it('passes over who is at the cap, and asks for the counts since the hour and the day began', () => {
    const rules = aStore({ guides: [{ id: 'A', caps: { per_hour: 2 } }, 'B'] })
    const asked: object[] = []
    const told = (hour: number) =>
      decide(
        rules,
        aQuestion({
          atMs: mondayMs + 10.5 * hourMs,
          tally(id, from) {
            asked.push({ id, ...from })
            return { hour, day: hour }
          },
        }),
      )
    expect(candidatesOf(told(1))).toEqual(['A', 'B'])
    expect(candidatesOf(told(2))).toEqual(['B'])
    expect(told(2).blocked).toEqual([['A', 'CAP_HOUR']])
    expect(asked[0]).toEqual({ id: 'A', hourMs: mondayMs + 10 * hourMs, dayMs: mondayMs })
  })
})

describe('a plan with conditions', () => {
  it('goes past a step whose `when` does not hold, and says so', () => {
    const plan = aPlan([
      { use: 'guide', id: 'B', when: { min_amount: 50_000, channel: ['app'] } },
      { use: 'rotate' },
    ])
    const told = (facts: Partial<Question>) => decide(aStore({ plan }), aQuestion(facts))
    expect(told({ amountFen: 50_000, channel: 'app' })).toMatchObject({
      guideId: 'B',
      reason: 'NAMED',
      turn: null,
    })
    for (const facts of [
      { amountFen: 49_999, channel: 'app' },
      { amountFen: 50_000, channel: 'h5' },
      { amountFen: 50_000 },
      { channel: 'app' },
    ]) {
      expect(told(facts)).toMatchObject({
        guideId: 'A',
        steps: ['when_not_met', 'hit', 'not_reached'],
      })
    }
  })

  it('reaches a spare guide only after the others', () => {
    const rules = aStore({
      guides: ['A', { id: 'G9', rotates: false }],
      roster: { weekly: [shift(['mon'], '09:00', '12:00', ['A'])] },
      plan: aPlan([{ use: 'rotate' }, { use: 'guide', id: 'G9', if: 'always' }]),
    })
    expect(decide(rules, aQuestion({ atMs: mondayMs + 9 * hourMs })).guideId).toBe('A')
    expect(decide(rules, aQuestion({ atMs: mondayMs + 12 * hourMs }))).toMatchObject({
      guideId: 'G9',
      reason: 'NAMED',
      steps: ['nobody_eligible', 'hit', 'not_reached'],
    })
  })
})

describe('books', () => {
  it('are kept apart by name: a step of its own book takes no turn of the common one', () => {
    const plan = aPlan([
      { use: 'rotate', book: '大单', when: { min_amount: 100_000 } },
      { use: 'rotate' },
    ])
    const rules = aStore({ plan })
    const ledger = aLedger()
    const serve = (amountFen: number) => {
      const decision = decide(rules, aQuestion({ amountFen, openBook: ledger.openBook }))
      ledger.enter(decision)
      return decision.guideId
    }
    expect([1, 1, 100_000, 1, 100_000, 100_000].map(serve)).toEqual(['A', 'B', 'A', 'C', 'B', 'C'])
    expect(ledger.names()).toEqual(['orders', 'orders/大单'])
    for (const name of ledger.names())
      expect([...ledger.balances(name).values()]).toEqual([0, 0, 0])
  })

  it('by amount and by orders are two', () => {
    for (const fair_by of ['orders', 'amount']) {
      const plan = aPlan([{ use: 'rotate' }], { fair_by })
      expect(decide(aStore({ plan }), aQuestion({ amountFen: 100 })).turn?.book).toBe(fair_by)
    }
  })

  it('of one name are two by amount and by orders, and a book called amount is not the one of amounts', () => {
    const bookOf = (book: string, fair_by: string) => {
      const plan = aPlan([{ use: 'rotate', book }], { fair_by })
      return decide(aStore({ plan }), aQuestion({ amountFen: 100 })).turn?.book
    }
    expect(bookOf('big', 'orders')).toBe('orders/big')
    expect(bookOf('big', 'amount')).toBe('amount/big')
    expect(bookOf('amount', 'orders')).toBe('orders/amount')
  })

  it('give the same rest of the month when they are stopped and reloaded after any order', () => {
    const rules = aStore({
      guides: [{ id: 'A', weight: 3 }, 'B', { id: 'C', weight: 2 }, 'D'],
      roster: {
        weekly: [
          shift([...weekdays], '00:00', '00:00', ['A', 'B']),
          shift([...weekdays], '08:00', '20:00', ['C', 'D']),
        ],
      },
      plan: aPlan([{ use: 'hint', counts: 'clamped' }, { use: 'rotate' }]),
    })
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.integer({ min: 0, max: 600 }), fc.constantFrom(null, null, 'A', 'D')),
          { maxLength: 60 },
        ),
        fc.nat(60),
        (orders, stop) => {
          const run = (stopAfter: number) => {
            const ledger = aLedger()
            let atMs = mondayMs
            return orders.map(([minutes, hint], index) => {
              if (index === stopAfter) ledger.reload()
              atMs += minutes * minuteMs
              const told = decide(rules, aQuestion({ atMs, hint, openBook: ledger.openBook }))
              ledger.enter(told)
              return told
            })
          }
          expect(run(stop)).toEqual(run(-1))
        },
      ),
    )
  })
})

describe('a month by the rules', () => {
  const names = ['A', 'B', 'C', 'D', 'E']

  it.each([
    ['orders', 1, () => 1],
    ['orders', 2, (random: number) => 1 + Math.floor(random * 100)],
    ['amount', 3, () => 1],
    ['amount', 4, (random: number) => 1 + Math.floor(random * 100)],
  ])(
    'by %s keeps each guide within (n−1)/2 of the fair share at every order (seed %d)',
    (fair_by, seed, weight) => {
      const random = aRandom(seed)
      const guides = names.map(id => ({ id, weight: weight(random()) }))
      const rules = aStore({
        guides,
        plan: aPlan([{ use: 'rotate' }], { fair_by }),
        roster: {
          weekly: [
            shift([...weekdays], '09:00', '15:00', ['A', 'B', 'C']),
            shift([...weekdays], '12:00', '21:00', ['C', 'D', 'E']),
          ],
          away: [{ guide: 'A', from: '2026-11-25', to: '2026-11-27' }],
        },
      })
      const ledger = aLedger()
      const drift = new Map<string, number>()
      const largest = fair_by === 'amount' ? 100_000 : 1
      for (let order = 0; order < 2000; order++) {
        const amountFen = Math.floor(random() * 100_001)
        const atMs =
          mondayMs + Math.floor(order / 80) * dayMs + 9 * hourMs + (order % 80) * 8 * minuteMs
        const told = decide(rules, aQuestion({ atMs, amountFen, openBook: ledger.openBook }))
        ledger.enter(told)
        const { candidates, chosen } = told.turn ?? { candidates: [], chosen: 0 }
        const worth = fair_by === 'amount' ? amountFen : 1
        const weights = candidates.map(
          one => guides.find(({ id }) => id === one.id)?.weight ?? Number.NaN,
        )
        for (const [index, { id }] of candidates.entries()) {
          const share = (worth * at(weights, index)) / sum(weights)
          const more = (index === chosen ? worth : 0) - share
          drift.set(id, (drift.get(id) ?? 0) + more)
        }
        const worst = Math.max(...[...drift.values()].map(Math.abs))
        expect(worst).toBeLessThanOrEqual(((names.length - 1) / 2) * largest + 1e-3 * largest)
        expect(sum([...ledger.balances(fair_by).values()])).toBe(0)
      }
    },
  )
})

describe('the checkers above', () => {
  const fixed = { seed: 1, numRuns: 500 }

  it('catch a decision that forgets who was on shift and passed over', () => {
    const forgetful: Decide = (rules, question) => {
      const decision = decide(rules, question)
      return { ...decision, blocked: decision.blocked.filter(([, why]) => why !== 'NOT_IN_POOL') }
    }
    expect(() => fc.assert(accountsForEachGuideOnce(forgetful), fixed)).toThrow()
  })

  it('catch a decision that believes a quarantined guide', () => {
    const trusting: Decide = ({ crew, ...rules }, question) => {
      const members = crew.members.map(member => ({ ...member, barred: null }))
      const byId = new Map(members.map(member => [member.id, member]))
      return decide({ ...rules, crew: { ...crew, members, byId } }, question)
    }
    expect(() => fc.assert(neverOneWhoMayNot(trusting), fixed)).toThrow()
  })

  it('catch a decision that rotates those who do not rotate', () => {
    const eager: Decide = ({ crew, ...rules }, question) => {
      const members = crew.members.map(member => ({ ...member, rotates: true }))
      return decide({ ...rules, crew: { ...crew, members } }, question)
    }
    expect(() => fc.assert(neverOneWhoMayNot(eager), fixed)).toThrow()
  })

  it('catch a decision that goes on after its hit', () => {
    const restless: Decide = (rules, question) => {
      const decision = decide(rules, question)
      const steps = decision.steps.map(verdict =>
        verdict === 'not_reached' ? 'nobody_eligible' : verdict,
      )
      return { ...decision, steps }
    }
    expect(() => fc.assert(endsInOneStep(restless), fixed)).toThrow()
  })

  it('catch a decision that forgets the caps, the pauses or the leave', () => {
    const uncapped: Decide = ({ crew, ...rules }, question) => {
      const members = crew.members.map(member => ({ ...member, caps: null }))
      const byId = new Map(members.map(member => [member.id, member]))
      return decide({ ...rules, crew: { ...crew, members, byId } }, question)
    }
    const unpaused: Decide = (rules, question) =>
      decide(rules, { ...question, isPaused: () => false })
    const neverAway: Decide = ({ crew, ...rules }, question) => {
      const presence = { ...crew.presence, absenceOn: () => null }
      return decide({ ...rules, crew: { ...crew, presence } }, question)
    }
    for (const careless of [uncapped, unpaused, neverAway]) {
      expect(() => fc.assert(neverOneWhoMayNot(careless), fixed)).toThrow()
      expect(() => fc.assert(tellsWhatBlocks(careless), fixed)).toThrow()
    }
  })

  it('catch a turn that charges more than it shares out', () => {
    const dear: Decide = (rules, question) => {
      const decision = decide(rules, question)
      const { turn } = decision
      if (!turn) return decision
      const changes = turn.changes.map((change, index) => change - (index === turn.chosen ? 1 : 0))
      return { ...decision, turn: { ...turn, changes } }
    }
    expect(() => fc.assert(turnsSumToZero(dear), fixed)).toThrow()
  })

  it('catch a clamped hit that is charged in full', () => {
    const full: Decide = (rules, question) => {
      const steps = rules.plan.steps.map(step =>
        'counts' in step && step.counts === 'clamped' ? { ...step, counts: 'full' as const } : step,
      )
      return decide({ ...rules, plan: { ...rules.plan, steps } }, question)
    }
    expect(() => fc.assert(turnsSumToZero(full), fixed)).toThrow()
  })

  it('catch a last step that is asked first', () => {
    const backwards: Decide = (rules, question) => {
      const last = rules.plan.steps.at(-2)
      if (!last) return decide(rules, question)
      const steps = [last, ...rules.plan.steps.toSpliced(-2, 1)]
      return decide({ ...rules, plan: { ...rules.plan, steps } }, question)
    }
    expect(() => fc.assert(newStepIsForTheUnserved(backwards), fixed)).toThrow()
  })

  it('catch one reason for everybody', () => {
    const vague: Decide = (rules, question) => {
      const decision = decide(rules, question)
      return { ...decision, blocked: decision.blocked.map(([id]) => [id, 'OFF_SHIFT']) }
    }
    expect(() => fc.assert(tellsWhatBlocks(vague), fixed)).toThrow()
  })
})

describe('a guide who leaves the staff', () => {
  it.each([
    ['of the tag', 90_000],
    ['of anybody', 100],
  ])(
    'hands on to all who take turns in the book, though the next order is one %s',
    (_, amountFen) => {
      const guides = ['A', 'B', 'C'].map(id => ({ id, tags: id === 'A' ? ['skin'] : [] }))
      const tagged = { use: 'rotate', among: { tag: 'skin' }, when: { min_amount: 50_000 } }
      const plan = aPlan([tagged, { use: 'rotate' }])
      const standings = { D: -9, A: 3, B: 3, C: 3 }
      const openBook = (name: string) =>
        aBook(
          Object.fromEntries(
            Object.entries(standings).map(([id, balance]) => [id, { balance, lastServed: 0 }]),
          ),
          name,
        )
      const { turn } = decide(aStore({ guides, plan }), aQuestion({ amountFen, openBook }))
      expect(turn?.handedOn).toEqual([
        ['D', 0, 9],
        ['A', 1, -3],
        ['B', 1, -3],
        ['C', 1, -3],
      ])
    },
  )

  it('hands on to those of the tag alone in a book that they have to themselves', () => {
    const guides = ['A', 'B', 'C'].map(id => ({ id, tags: id === 'A' ? ['skin'] : [] }))
    const tagged = { use: 'rotate', among: { tag: 'skin' }, book: 'skin' }
    const plan = aPlan([tagged, { use: 'rotate' }])
    const openBook = (name: string) => aBook({ D: { balance: -9, lastServed: 1 } }, name)
    const { turn } = decide(aStore({ guides, plan }), aQuestion({ openBook }))
    expect(turn?.handedOn).toEqual([
      ['D', 0, 9],
      ['A', 1, -9],
    ])
  })
})
