import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, type Question } from '../../src/rules/decide.ts'
import { unitsPerFen, unitsPerOrder } from '../../src/rules/fairness.ts'
import { weekdays } from '../../src/rules/names.ts'
import type { Roster } from '../../src/rules/roster.ts'
import {
  aBook,
  aLedger,
  aPlan,
  aQuestion,
  aStore,
  dayMs,
  mondayMs,
  shanghai,
  shift,
  sum,
} from '../support/rules.ts'

type Decide = typeof decide
type Away = NonNullable<Roster['away']>

const ids = ['A', 'B', 'C', 'D', 'E']
const weekly = [shift([...weekdays], '00:00', '00:00', ['*'])]
const today = { from: '2026-11-23', to: '2026-11-23' }
const ownerOf = (guideId: string, sinceMs = mondayMs) => ({ guideId, sinceMs })

function served(away: Away, facts: Partial<Question> = {}, step: object = {}, guides = ids) {
  const plan = aPlan([{ use: 'owner', ...step }, { use: 'rotate' }])
  const store = aStore({ guides, roster: { weekly, away }, plan })
  return decide(store, aQuestion({ owner: ownerOf('A'), ...facts }))
}

/** Follows the covers by hand: to the first who is here, or back to the start when it goes in a circle. */
function coverByTheBook(away: Away, guide: string): string {
  const path = [guide]
  for (;;) {
    const absence = away.find(one => one.guide === path.at(-1))
    if (absence?.cover === undefined) return path.at(-1) ?? guide
    if (path.includes(absence.cover)) return guide
    path.push(absence.cover)
  }
}

function followsTheChain(decideOne: Decide) {
  const someAway = fc
    .uniqueArray(
      fc.record({
        guide: fc.constantFrom(...ids),
        cover: fc.option(fc.constantFrom(...ids, 'stranger'), { nil: undefined }),
        hasLeft: fc.boolean(),
      }),
      { selector: ({ guide }) => guide },
    )
    .map(list =>
      list.map(({ guide, cover, hasLeft }) => ({
        guide,
        ...(hasLeft ? { left: '2026-11-01' } : today),
        ...(cover === undefined || cover === guide ? {} : { cover }),
      })),
    )
  return fc.property(someAway, fc.constantFrom(...ids), (away, owner) => {
    const plan = aPlan([{ use: 'owner' }])
    const { guideId, reason, steps } = decideOne(
      aStore({ guides: ids, roster: { weekly, away }, plan }),
      aQuestion({ owner: ownerOf(owner) }),
    )
    const end = coverByTheBook(away, owner)
    const isHere = ids.includes(end) && !away.some(({ guide }) => guide === end)
    expect(guideId).toBe(isHere ? end : null)
    if (isHere) {
      expect(reason).toBe(end === owner ? 'OWNER' : 'OWNER_COVER')
      return
    }
    const absence = away.find(({ guide }) => guide === end)
    const kind = absence && 'left' in absence ? 'LEFT' : 'AWAY'
    expect(steps[0]).toBe(absence ? kind : 'not_on_staff')
  })
}

describe('the guide who owns a member', () => {
  it('is stood in for while away, by the cover of the cover if that one is away too', () => {
    const away: Away = [
      { guide: 'A', ...today, cover: 'B' },
      { guide: 'B', ...today, cover: 'C' },
    ]
    expect(served(away)).toMatchObject({ guideId: 'C', reason: 'OWNER_COVER', turn: null })
    expect(served(away, { atMs: mondayMs - 1 })).toMatchObject({ guideId: 'A', reason: 'OWNER' })
    expect(served(away, { atMs: mondayMs + dayMs })).toMatchObject({
      guideId: 'A',
      reason: 'OWNER',
    })
  })

  it('is handed over for good once they have left, whether or not they are still on the staff', () => {
    const away: Away = [{ guide: 'A', left: '2026-11-23', cover: 'E' }]
    for (const guides of [ids, ['B', 'C', 'D', 'E']]) {
      const told = served(away, { atMs: mondayMs + 400 * dayMs }, {}, guides)
      expect(told).toMatchObject({ guideId: 'E', reason: 'OWNER_COVER' })
    }
    expect(served(away, { atMs: mondayMs - 1 }).guideId).toBe('A')
    expect(served([{ guide: 'A', left: '2026-11-23' }]).steps[0]).toBe('LEFT')
  })

  it('is nobody when the covers go in a circle: the rotation takes over, and nothing hangs', () => {
    for (const circle of [
      ['A', 'B'],
      ['A', 'B', 'C'],
      ['A', 'B', 'C', 'B'],
    ]) {
      const away = circle.slice(0, circle.length === 4 ? 3 : undefined).map((guide, index) => ({
        guide,
        ...today,
        cover: circle[index + 1] ?? 'A',
      }))
      const told = served(away)
      expect(told.steps[0]).toBe('AWAY')
      expect(['D', 'E', 'C']).toContain(told.guideId)
    }
  })

  it('has any chain of covers followed to its end', () => {
    fc.assert(followsTheChain(decide), { numRuns: 500 })
  })

  it('is not stood in for when the plan says not to follow covers', () => {
    const away: Away = [{ guide: 'A', ...today, cover: 'B' }]
    const told = served(away, {}, { follow_cover: false })
    expect(told.steps[0]).toBe('AWAY')
    expect(told.reason).toBe('FAIR_TURN')
  })

  it('is not stood in for when off shift, paused or quarantined: a cover is for absence', () => {
    const roster: Roster = {
      weekly: [shift([...weekdays], '00:00', '00:00', ['B'])],
      away: [{ guide: 'A', from: '2026-11-30', to: '2026-11-30', cover: 'B' }],
    }
    const told = decide(aStore({ roster }), aQuestion({ owner: ownerOf('A') }))
    expect(told.steps[0]).toBe('OFF_SHIFT')
    expect(served([], { isPaused: id => id === 'A' }).steps[0]).toBe('PAUSED')
  })

  it('is stood in for on exactly the local days of the leave, whenever the business day begins', () => {
    for (const dayStartsAt of ['00:00', '04:00', '23:00']) {
      const rules = aStore({
        dayStartsAt,
        roster: { weekly, away: [{ guide: 'A', ...today, cover: 'B' }] },
      })
      const told = (date: string, time: string) =>
        decide(rules, aQuestion({ owner: ownerOf('A'), atMs: shanghai(date, time) })).guideId
      expect([
        told('2026-11-22', '23:59'),
        told('2026-11-23', '00:00'),
        told('2026-11-23', '03:59'),
        told('2026-11-23', '08:00'),
        told('2026-11-23', '23:59'),
        told('2026-11-24', '00:00'),
        told('2026-11-24', '03:59'),
      ]).toEqual(['A', 'B', 'B', 'B', 'B', 'A', 'A'])
    }
  })

  it('serves the rest of the night that began before the leave; the cover serves the one that did not', () => {
    const rules = aStore({
      roster: {
        weekly: [
          shift([...weekdays], '22:00', '06:00', ['A']),
          shift([...weekdays], '00:00', '00:00', ['B']),
        ],
        away: [{ guide: 'A', ...today, cover: 'B' }],
      },
    })
    const told = (date: string, time: string) =>
      decide(rules, aQuestion({ owner: ownerOf('A'), atMs: shanghai(date, time) })).guideId
    expect(told('2026-11-23', '05:59')).toBe('A')
    expect(told('2026-11-23', '06:00')).toBe('B')
    expect(told('2026-11-24', '05:59')).toBe('B')
    expect(told('2026-11-24', '22:00')).toBe('A')
  })

  it('is stood in for by the business day when the plan asks for the roster of today', () => {
    const rules = aStore({
      dayStartsAt: '04:00',
      roster: {
        weekly: [shift([...weekdays], '09:00', '21:00', ['A', 'B'])],
        away: [{ guide: 'A', ...today, cover: 'B' }],
      },
      plan: aPlan([{ use: 'owner', if: 'on_roster_today' }]),
    })
    const told = (date: string, time: string) =>
      decide(rules, aQuestion({ owner: ownerOf('A'), atMs: shanghai(date, time) })).guideId
    expect(told('2026-11-23', '03:59')).toBe('A')
    expect(told('2026-11-23', '04:00')).toBe('B')
    expect(told('2026-11-24', '03:59')).toBe('B')
    expect(told('2026-11-24', '04:00')).toBe('A')
  })

  it('owns for so many days and not a millisecond longer, and is told why', () => {
    const step = { max_age_days: 365 }
    const told = (ageMs: number) => served([], { owner: ownerOf('A', mondayMs - ageMs) }, step)
    expect(told(365 * dayMs)).toMatchObject({ guideId: 'A', reason: 'OWNER' })
    expect(told(365 * dayMs + 1).steps[0]).toBe('OWNER_EXPIRED')
    expect(served([], { owner: ownerOf('A', 0) }).reason).toBe('OWNER')
    const passed = decide(
      aStore({
        plan: aPlan([
          { use: 'owner', max_age_days: 1 },
          { use: 'guide', id: 'B' },
        ]),
      }),
      aQuestion({ owner: ownerOf('A', 0) }),
    )
    expect(passed.blocked).toContainEqual(['A', 'OWNER_EXPIRED'])
  })

  it('is not told of an age that nobody asked for: the step of the owner was not reached', () => {
    const store = aStore({ plan: aPlan([{ use: 'hint' }, { use: 'owner', max_age_days: 1 }]) })
    const { blocked } = decide(store, aQuestion({ owner: ownerOf('A', 0), hint: 'B' }))
    expect(blocked).toContainEqual(['A', 'STEP_NOT_REACHED'])
  })
})

describe('a hit that is not a turn', () => {
  const counting = (counts: string, facts: object = {}) =>
    aPlan([{ use: 'hint', counts }, { use: 'owner', counts }, { use: 'rotate' }], facts)

  function hits(counts: string, times: number, facts: Partial<Question> = {}, fair = {}) {
    const rules = aStore({
      guides: ['A', 'B', { id: 'Z', rotates: false }],
      plan: counting(counts, fair),
    })
    const ledger = aLedger()
    for (let order = 0; order < times; order++) {
      ledger.enter(decide(rules, aQuestion({ hint: 'A', openBook: ledger.openBook, ...facts })))
    }
    return ledger.balances()
  }

  it('leaves the book alone when it counts for nothing', () => {
    expect(hits('none', 50).size).toBe(0)
    expect(hits('none', 50, { hint: null, owner: ownerOf('A') }).size).toBe(0)
  })

  it('is charged like a turn when it counts in full', () => {
    for (const facts of [{}, { hint: null, owner: ownerOf('A') }]) {
      const balances = hits('full', 10, facts)
      expect(balances.get('A')).toBe(-5 * unitsPerOrder)
      expect(balances.get('B')).toBe(5 * unitsPerOrder)
    }
  })

  it('is charged down to two orders behind and no further when it is clamped', () => {
    const balances = hits('clamped', 50)
    expect(balances.get('A')).toBe(-2 * unitsPerOrder)
    expect(balances.get('B')).toBe(2 * unitsPerOrder)
  })

  it('of a guide who does not rotate is charged whole, to the good of those who do', () => {
    const balances = hits('full', 1, { hint: 'Z' })
    expect(Object.fromEntries(balances)).toEqual({
      A: unitsPerOrder / 2,
      B: unitsPerOrder / 2,
      Z: -unitsPerOrder,
    })
  })

  it('takes no turn when nobody rotates, or when the order is worth nothing', () => {
    const alone = aStore({ guides: [{ id: 'Z', rotates: false }], plan: counting('full') })
    expect(decide(alone, aQuestion({ hint: 'Z' }))).toMatchObject({ guideId: 'Z', turn: null })
    const byAmount = aStore({ plan: counting('full', { fair_by: 'amount' }) })
    expect(decide(byAmount, aQuestion({ hint: 'A' })).turn).toBeNull()
    const worth = decide(byAmount, aQuestion({ hint: 'A', amountFen: 100 })).turn
    expect(worth).toMatchObject({ book: 'amount', units: 100 * unitsPerFen })
  })

  it('never leaves a guide below the floor by a clamped charge, and the book always sums to zero', () => {
    const order = fc.record({
      hint: fc.constantFrom(null, 'A', 'B', 'C', 'Z'),
      amountFen: fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.constant(10_000_000_000)),
      pausedId: fc.constantFrom(null, 'A', 'B'),
    })
    fc.assert(
      fc.property(
        fc.array(order, { maxLength: 60 }),
        fc.constantFrom('orders', 'amount'),
        (orders, fair_by) => {
          const guides = [
            { id: 'A', weight: 7 },
            'B',
            { id: 'C', weight: 3 },
            { id: 'Z', rotates: false },
          ]
          const rules = aStore({
            guides,
            plan: aPlan([{ use: 'hint', if: 'always', counts: 'clamped' }, { use: 'rotate' }], {
              fair_by,
            }),
          })
          const ledger = aLedger()
          for (const { pausedId, ...facts } of orders) {
            const told = decide(
              rules,
              aQuestion({ ...facts, isPaused: id => id === pausedId, openBook: ledger.openBook }),
            )
            ledger.enter(told)
            const balances = ledger.balances(fair_by)
            expect(sum([...balances.values()])).toBe(0)
            if (told.reason !== 'HINT' || !told.turn) continue
            expect(balances.get(told.guideId ?? '')).toBeGreaterThanOrEqual(-2 * unitsPerOrder)
          }
        },
      ),
    )
  })

  it('that stands below the floor already is not charged and not lifted', () => {
    const rules = aStore({ plan: counting('clamped') })
    const book = aBook({ A: { balance: -3 * unitsPerOrder, lastServed: 4 } })
    expect(decide(rules, aQuestion({ hint: 'A', openBook: () => book })).turn).toBeNull()
  })
})

describe('the checkers above', () => {
  const fixed = { seed: 1, numRuns: 500 }

  it('catch a decision that does not follow the cover of a cover', () => {
    const oneStepOnly: Decide = ({ crew, ...rules }, question) => {
      const first = question.owner?.guideId
      const presence = {
        ...crew.presence,
        absenceOn(id: string, day: number) {
          const absence = crew.presence.absenceOn(id, day)
          return absence && id !== first ? { ...absence, cover: null } : absence
        },
      }
      return decide({ ...rules, crew: { ...crew, presence } }, question)
    }
    expect(() => fc.assert(followsTheChain(oneStepOnly), fixed)).toThrow()
  })

  it('catch a decision that follows no cover', () => {
    const always: Decide = (rules, question) => {
      const steps = rules.plan.steps.map(step =>
        step.use === 'owner' ? { ...step, follow_cover: false } : step,
      )
      return decide({ ...rules, plan: { ...rules.plan, steps } }, question)
    }
    expect(() => fc.assert(followsTheChain(always), fixed)).toThrow()
  })
})
