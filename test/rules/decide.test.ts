import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Decision,
  decide,
  hitReasons,
  type Question,
  type Rules,
} from '../../src/rules/decide.ts'
import { whyNot } from '../../src/rules/eligibility.ts'
import { unitsPerOrder } from '../../src/rules/fairness.ts'
import { defaultPlan, type Plan } from '../../src/rules/plan.ts'
import { aBook, aQuestion, aStore, hourMs, mondayMs, shift } from '../support/rules.ts'

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const ids = ['A', 'B', 'C', 'D', 'E'] as const
const stranger = 'stranger'

/** A store of five whose guides may be anything a guide can be, and a question about any order. */
const anything = fc
  .record({
    guides: fc.tuple(
      ...ids.map(id =>
        fc.record({
          id: fc.constant(id),
          weight: fc.integer({ min: 1, max: 9 }),
          rotates: fc.boolean(),
          fate: fc.constantFrom('fine', 'fine', 'fine', 'quarantined', 'elsewhere', 'unknown'),
          onShift: fc.boolean(),
          balance: fc.integer({ min: -3, max: 3 }),
          lastServed: fc.nat(5),
        }),
      ),
    ),
    plan: fc
      .array(
        fc.constantFrom<Plan['steps'][number]>(
          { use: 'hint', if: 'on_shift' },
          { use: 'hint', if: 'always' },
          { use: 'owner', if: 'on_shift' },
          { use: 'owner', if: 'always' },
          { use: 'rotate', among: { on_shift: true } },
        ),
        { maxLength: 5 },
      )
      .map((steps): Plan => ({ fair_by: 'orders', steps: [...steps, { use: 'none' }] })),
    hint: fc.constantFrom(null, null, stranger, ...ids),
    owner: fc.constantFrom(null, null, stranger, ...ids),
    sticky: fc.constantFrom(null, null, null, stranger, ...ids),
  })
  .map(({ guides, plan, ...named }): { rules: Rules; question: Question } => {
    const onShift = guides.filter(guide => guide.onShift).map(({ id }) => id)
    const fates = {
      fine: {},
      quarantined: { state: 'quarantined' as const },
      elsewhere: { storeId: 2 },
      unknown: null,
    }
    const rules = aStore({
      guides: guides.map(({ id, weight, rotates }) => ({ id, weight, rotates })),
      plan,
      roster: { weekly: [shift(['mon'], '00:00', '12:00', onShift)] },
      known: Object.fromEntries(
        guides.map(({ id, fate }) => [id, fates[fate as keyof typeof fates]]),
      ),
    })
    const book = aBook(
      Object.fromEntries(
        guides.map(({ id, balance, lastServed }) => [
          id,
          { balance: balance * unitsPerOrder, lastServed },
        ]),
      ),
    )
    return { rules, question: aQuestion({ ...named, openBook: () => book }) }
  })

function candidatesOf({ turn }: Decision): string[] {
  return turn?.candidates.map(({ id }) => id) ?? []
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
    const chosen = decision.guideId === null ? [] : [decision.guideId]
    const others = candidatesOf(decision).filter(id => id !== decision.guideId)
    const named = [...chosen, ...others, ...decision.blocked.map(([id]) => id)]
    expect(named.toSorted()).toEqual([...ids])
  })
}

function neverOneWhoMayNot(decideOne: Decide) {
  return fc.property(anything, ({ rules, question }) => {
    const { guideId, reason } = decideOne(rules, question)
    if (guideId === null) return
    const member = rules.crew.byId.get(guideId)
    if (!member) throw new Error(`${guideId} is not on the staff`)
    const minute = rules.crew.minuteOfWeek(question.atMs)
    expect(whyNot(member, 'always', minute)).toBeNull()
    const step = rules.plan.steps[decideOne(rules, question).steps.indexOf('hit')]
    if (step?.use === 'rotate' || (step && 'if' in step && step.if === 'on_shift')) {
      expect(whyNot(member, 'on_shift', minute)).toBeNull()
    }
    if (reason === 'FAIR_TURN' || reason === 'ONLY_ONE') expect(member.rotates).toBe(true)
  })
}

describe('a decision', () => {
  it('ends in exactly one step, with a verdict for every step of the plan', () => {
    fc.assert(endsInOneStep(decide))
  })

  it('accounts for each guide of the staff once: chosen, passed over in the turn, or blocked with one reason', () => {
    fc.assert(accountsForEachGuideOnce(decide))
  })

  it('never falls on a guide who may not serve', () => {
    fc.assert(neverOneWhoMayNot(decide))
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

  it('takes a turn when it rotates and at no other time, and the turn sums to zero', () => {
    fc.assert(
      fc.property(anything, ({ rules, question }) => {
        const { reason, turn, guideId } = decide(rules, question)
        expect(turn !== null).toBe(reason === 'FAIR_TURN' || reason === 'ONLY_ONE')
        if (!turn) return
        expect(turn.candidates[turn.chosen]?.id).toBe(guideId)
        expect(turn.changes.reduce((total, change) => total + change, 0)).toBe(0)
        expect(reason === 'ONLY_ONE').toBe(turn.candidates.length === 1)
      }),
    )
  })

  it('is the same however often it is asked, and whatever the order of the staff', () => {
    fc.assert(
      fc.property(anything, ({ rules, question }) => {
        const backwards = {
          ...rules,
          crew: { ...rules.crew, members: rules.crew.members.toReversed() },
        }
        const first = decide(rules, question)
        expect(decide(rules, question)).toEqual(first)
        const other = decide(backwards, question)
        expect([other.guideId, other.reason, other.steps]).toEqual([
          first.guideId,
          first.reason,
          first.steps,
        ])
      }),
    )
  })

  it('changes only where nobody was found, when a step is added at the end', () => {
    fc.assert(
      fc.property(anything, ({ rules, question }) => {
        const before = decide(rules, question)
        const steps = rules.plan.steps.toSpliced(-1, 0, {
          use: 'rotate',
          among: { on_shift: true },
        })
        const after = decide({ ...rules, plan: { ...rules.plan, steps } }, question)
        if (before.guideId !== null) expect(after.guideId).toBe(before.guideId)
        else if (after.guideId !== null) expect(['FAIR_TURN', 'ONLY_ONE']).toContain(after.reason)
      }),
    )
  })
})

describe('the default plan', () => {
  const rules = aStore({ roster: { weekly: [shift([...weekdays], '09:00', '21:00', ['A', 'B'])] } })
  const atMs = mondayMs + 10 * hourMs

  it("gives a member's order to the guide who owns them, and takes no turn", () => {
    expect(decide(rules, aQuestion({ atMs, owner: 'B' }))).toMatchObject({
      guideId: 'B',
      reason: 'OWNER',
      turn: null,
      steps: ['hit', 'not_reached', 'not_reached'],
    })
  })

  it('rotates when the owner is off shift, and says so', () => {
    expect(decide(rules, aQuestion({ atMs, owner: 'C' }))).toMatchObject({
      guideId: 'A',
      reason: 'FAIR_TURN',
      steps: ['OFF_SHIFT', 'hit', 'not_reached'],
      blocked: [['C', 'OFF_SHIFT']],
    })
  })

  it('rotates when the owner left the staff, and when there is no owner', () => {
    expect(decide(rules, aQuestion({ atMs, owner: stranger })).steps[0]).toBe('not_on_staff')
    expect(decide(rules, aQuestion({ atMs })).steps[0]).toBe('not_given')
  })

  it('finds nobody when nobody is on shift, with the reason of each', () => {
    expect(decide(rules, aQuestion({ atMs: mondayMs, owner: 'A' }))).toEqual({
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
    plan: { fair_by: 'orders', steps: [{ use: 'hint', if: 'on_shift' }, ...defaultPlan.steps] },
  })
  const atMs = mondayMs + 10 * hourMs

  it('serves, and takes no turn', () => {
    expect(decide(rules, aQuestion({ atMs, hint: 'A', owner: 'Z' }))).toMatchObject({
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
    const always: Plan = {
      fair_by: 'orders',
      steps: [{ use: 'hint', if: 'always' }, { use: 'none' }],
    }
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
      expect(decide(rules, aQuestion({ atMs: now, sticky: 'C', owner: 'A' }))).toMatchObject({
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
    ['of another store', { storeId: 2 }, 'WRONG_STORE'],
    ['not registered', null, 'UNREGISTERED'],
  ])('is not chosen when %s, by name or by turn', (_, known, reason) => {
    const rules = aStore({
      known: { A: known },
      plan: { fair_by: 'orders', steps: [{ use: 'hint', if: 'always' }, ...defaultPlan.steps] },
    })
    const { guideId, steps, blocked } = decide(
      rules,
      aQuestion({ hint: 'A', owner: 'A', sticky: 'A' }),
    )
    expect(guideId).toBe('B')
    expect(steps).toEqual([reason, reason, 'hit', 'not_reached'])
    expect(blocked).toEqual([['A', reason]])
  })

  it('keeps the first of two reasons: off shift matters to nobody who is quarantined', () => {
    const rules = aStore({
      roster: { weekly: [] },
      known: { A: { state: 'quarantined', storeId: 2 } },
    })
    expect(decide(rules, aQuestion()).blocked).toEqual([
      ['A', 'QUARANTINED'],
      ['B', 'OFF_SHIFT'],
      ['C', 'OFF_SHIFT'],
    ])
  })
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
})
