import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Candidate,
  clampedUnits,
  handOn,
  nextTurn,
  shares,
  turnChanges,
  unitsPerFen,
  unitsPerOrder,
} from '../../src/rules/fairness.ts'
import { aRandom, at, sum } from '../support/rules.ts'

type Entry = { id: string; weight: number }
type Rotation = { shares: typeof shares; nextTurn: typeof nextTurn }
type Turn = {
  candidates: Candidate[]
  split: number[]
  chosen: number
  changes: number[]
  number: number
}

const carpool: Rotation = { shares, nextTurn }

/** A book kept by hand: what the ledger does with the three functions, and the counts beside it. */
function aBook(rotation: Rotation = carpool) {
  const standings = new Map<string, { balance: number; lastServed: number }>()
  const counts = new Map<string, number>()
  const fair = new Map<string, number>()
  let turns = 0

  function standing(id: string) {
    return standings.get(id) ?? { balance: 0, lastServed: 0 }
  }

  return {
    serve(eligible: readonly Entry[], units = unitsPerOrder): Turn {
      turns += 1
      const candidates = eligible.map(({ id, weight }) => ({ id, weight, ...standing(id) }))
      const split = rotation.shares(candidates, units)
      const chosen = rotation.nextTurn(candidates, split)
      const changes = turnChanges(split, chosen)
      const total = eligible.reduce((sum, { weight }) => sum + weight, 0)
      for (const [index, { id, weight, balance, lastServed }] of candidates.entries()) {
        standings.set(id, {
          balance: balance + at(changes, index),
          lastServed: index === chosen ? turns : lastServed,
        })
        fair.set(id, (fair.get(id) ?? 0) + weight / total)
        counts.set(id, (counts.get(id) ?? 0) + (index === chosen ? 1 : 0))
      }
      return { candidates, split, chosen, changes, number: turns }
    },
    refund({ candidates, chosen, number }: Turn): void {
      const changes = turnChanges(rotation.shares(candidates), chosen)
      for (const [index, { id, lastServed }] of candidates.entries()) {
        const now = standing(id)
        standings.set(id, {
          balance: now.balance - at(changes, index),
          lastServed: now.lastServed === number ? lastServed : now.lastServed,
        })
      }
    },
    standing,
    count: (id: string) => counts.get(id) ?? 0,
    drift: (id: string) => (counts.get(id) ?? 0) - (fair.get(id) ?? 0),
    ids: () => [...counts.keys()],
    balances: () => [...standings.values()].map(({ balance }) => balance),
    snapshot: () => new Map([...standings].map(([id, now]) => [id, { ...now }])),
  }
}

function chosenId({ candidates, chosen }: Turn): string {
  return at(candidates, chosen).id
}

/** A store of 2 to 9 guides, and for each order the ones who could serve it: any non-empty set, as an adversary likes. */
function aMonth({ weights, maxOrders = 400 }: { weights: boolean; maxOrders?: number }) {
  const weight = weights ? fc.integer({ min: 1, max: 100 }) : fc.constant(1)
  return fc
    .array(weight, { minLength: 2, maxLength: 9 })
    .map(list => list.map((w, index) => ({ id: `G${index}`, weight: w })))
    .chain(guides =>
      fc.record({
        guides: fc.constant(guides),
        orders: fc.array(
          fc
            .integer({ min: 1, max: 2 ** guides.length - 1 })
            .map(mask => guides.filter((_, index) => (mask >> index) & 1)),
          { maxLength: maxOrders },
        ),
      }),
    )
}

/** Each order asked of those who would be hurt most: the bound must hold against malice, not only against chance. */
function servePairs(rotation: Rotation, guides: readonly Entry[], orders: number, greed: number) {
  const book = aBook(rotation)
  for (let turn = 0; turn < orders; turn++) {
    const ranked = guides.toSorted(
      (a, b) => book.standing(a.id).balance - book.standing(b.id).balance || (a.id < b.id ? -1 : 1),
    )
    const size = 2 + (turn % greed)
    const from = turn % 2 === 0 ? 0 : Math.max(0, ranked.length - size)
    book.serve(ranked.slice(from, from + size))
  }
  return book
}

function balancesSumToZero(rotation: Rotation) {
  return fc.property(aMonth({ weights: true, maxOrders: 60 }), ({ orders }) => {
    const book = aBook(rotation)
    for (const eligible of orders) {
      const { split } = book.serve(eligible)
      expect(sum(split)).toBe(unitsPerOrder)
      expect(sum(book.balances())).toBe(0)
    }
  })
}

function nobodyIsFarFromFair(rotation: Rotation, weights: boolean) {
  return fc.property(aMonth({ weights }), ({ guides, orders }) => {
    const book = aBook(rotation)
    const bound = (guides.length - 1) / 2
    for (const eligible of orders) {
      book.serve(eligible)
      expect(Math.max(...book.balances().map(Math.abs))).toBeLessThanOrEqual(bound * unitsPerOrder)
      for (const { id } of eligible) expect(Math.abs(book.drift(id))).toBeLessThan(bound + 1e-3)
    }
  })
}

function inputOrderChangesNothing(rotation: Rotation) {
  const standing = fc.record({
    weight: fc.integer({ min: 1, max: 4 }),
    balance: fc.constantFrom(0, 0, unitsPerOrder / 2, -unitsPerOrder / 2),
    lastServed: fc.integer({ min: 0, max: 3 }),
  })
  return fc.property(
    fc
      .array(standing, { minLength: 2, maxLength: 9 })
      .map(list => list.map((now, index) => ({ ...now, id: `G${index}` })))
      .chain(list =>
        fc.tuple(
          fc.constant(list),
          fc.shuffledSubarray(list, { minLength: list.length }),
          fc.integer({ min: 1, max: 97 }),
        ),
      ),
    ([list, shuffled, scale]) => {
      const pick = (candidates: Candidate[]) => {
        const split = rotation.shares(candidates)
        const worth = new Map(candidates.map(({ id }, index) => [id, split[index]]))
        return [
          at(candidates, rotation.nextTurn(candidates, split)).id,
          list.map(({ id }) => worth.get(id)),
        ]
      }
      const first = pick(list)
      expect(pick(shuffled)).toEqual(first)
      expect(pick(list.map(one => ({ ...one, weight: one.weight * scale })))).toEqual(first)
    },
  )
}

describe('what an order is worth', () => {
  it('is shared out to the last unit, in proportion to the weights, never more than a unit off', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 200 }),
        weights => {
          const split = shares(weights.map((weight, index) => ({ id: `G${index}`, weight })))
          expect(sum(split)).toBe(unitsPerOrder)
          const total = sum(weights)
          for (const [index, weight] of weights.entries()) {
            const exact = (unitsPerOrder * weight) / total
            expect(Math.abs(at(split, index) - exact)).toBeLessThan(1)
          }
        },
      ),
    )
  })

  it('is shared evenly, with nothing left over, among up to 16 guides of one weight', () => {
    for (let size = 1; size <= 16; size++) {
      const split = shares(
        Array.from({ length: size }, (_, index) => ({ id: `G${index}`, weight: 3 })),
      )
      expect(new Set(split)).toEqual(new Set([unitsPerOrder / size]))
    }
  })

  it('gives the units that are left over to the largest remainders, then to the smaller id', () => {
    const split = shares(
      ['C', 'B', 'A', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q'].map(
        id => ({ id, weight: 1 }),
      ),
    )
    expect(split.map(share => share - Math.floor(unitsPerOrder / 17))).toEqual([
      1,
      1,
      1,
      1,
      1,
      ...Array(12).fill(0),
    ])
  })
})

describe('the book', () => {
  it('sums to zero after any turns with any eligible guides and weights', () => {
    fc.assert(balancesSumToZero(carpool))
  })

  it('sums to zero though weights change from one order to the next', () => {
    const entry = fc.record({
      id: fc.constantFrom('A', 'B', 'C', 'D', 'E'),
      weight: fc.integer({ min: 1, max: 100 }),
    })
    const eligible = fc.uniqueArray(entry, { selector: ({ id }) => id, minLength: 1 })
    fc.assert(
      fc.property(fc.array(eligible, { maxLength: 100 }), orders => {
        const book = aBook()
        for (const order of orders) book.serve(order)
        expect(sum(book.balances())).toBe(0)
        expect(Math.max(0, ...book.balances().map(Math.abs))).toBeLessThanOrEqual(2 * unitsPerOrder)
      }),
    )
  })

  it('leaves a guide alone who could not serve the order', () => {
    fc.assert(
      fc.property(aMonth({ weights: true, maxOrders: 60 }), ({ guides, orders }) => {
        const book = aBook()
        for (const eligible of orders) {
          const before = book.snapshot()
          book.serve(eligible)
          for (const guide of guides) {
            if (eligible.includes(guide)) continue
            expect(book.snapshot().get(guide.id)).toEqual(before.get(guide.id))
          }
        }
      }),
    )
  })

  it('is as if an order had never been when its turn is given back at once', () => {
    fc.assert(
      fc.property(aMonth({ weights: true, maxOrders: 60 }), ({ orders }) => {
        const book = aBook()
        for (const eligible of orders) {
          for (const { id } of eligible)
            if (!book.ids().includes(id)) book.serve([{ id, weight: 1 }])
          const before = book.snapshot()
          const turn = book.serve(eligible)
          const after = book.snapshot()
          book.refund(turn)
          expect(book.snapshot()).toEqual(before)
          book.serve(eligible)
          expect([...book.snapshot()].map(([id, { balance }]) => [id, balance])).toEqual(
            [...after].map(([id, { balance }]) => [id, balance]),
          )
        }
      }),
    )
  })

  it('sums to zero though turns are given back late and in another order, and ends empty when all are', () => {
    fc.assert(
      fc.property(
        aMonth({ weights: true, maxOrders: 60 }).chain(({ orders }) =>
          fc.tuple(
            fc.constant(orders),
            fc.shuffledSubarray(
              orders.map((_, index) => index),
              { minLength: orders.length },
            ),
          ),
        ),
        ([orders, backwards]) => {
          const book = aBook()
          const turns = orders.map(eligible => book.serve(eligible))
          for (const index of backwards) {
            book.refund(at(turns, index))
            expect(sum(book.balances())).toBe(0)
          }
          expect(book.balances().every(balance => balance === 0)).toBe(true)
        },
      ),
    )
  })
})

describe('a guide who leaves the staff', () => {
  const heir = fc.record({ id: fc.uuid(), weight: fc.integer({ min: 1, max: 100 }) })
  const gone = fc.record({ id: fc.uuid(), balance: fc.maxSafeInteger() })

  it('hands the balance on to the rest by weight, to the last unit, and leaves the sum as it was', () => {
    fc.assert(
      fc.property(
        fc.array(gone, { minLength: 1, maxLength: 5 }),
        fc.array(heir, { minLength: 1, maxLength: 50 }),
        (leavers, heirs) => {
          const moved = handOn(leavers, heirs)
          expect(moved.every(([, , change]) => Number.isSafeInteger(change))).toBe(true)
          expect(moved.reduce((sum, [, , change]) => sum + BigInt(change), 0n)).toBe(0n)
          const total = heirs.reduce((sum, { weight }) => sum + weight, 0)
          const sum = -moved.slice(0, leavers.length).reduce((all, [, , change]) => all + change, 0)
          for (const [index, { id, weight }] of heirs.entries()) {
            const [toId, as, change] = moved[leavers.length + index] ?? []
            expect([toId, as]).toEqual([id, weight])
            const exact = Number((BigInt(sum) * BigInt(weight)) / BigInt(total))
            expect(Math.abs((change ?? 0) - exact)).toBeLessThanOrEqual(1)
          }
        },
      ),
    )
  })

  it('hands on all of it, owed or overdrawn, and nothing when there is nobody to take it', () => {
    const heirs = [
      { id: 'B', weight: 1 },
      { id: 'C', weight: 2 },
    ]
    expect(handOn([{ id: 'A', balance: -9 }], heirs)).toEqual([
      ['A', 0, 9],
      ['B', 1, -3],
      ['C', 2, -6],
    ])
    expect(handOn([{ id: 'A', balance: 9 }], [])).toEqual([])
    expect(handOn([], heirs)).toEqual([])
  })
})

describe('the guide whose turn it is', () => {
  it('does not depend on the order in which guides are listed, nor on the scale of their weights', () => {
    fc.assert(inputOrderChangesNothing(carpool))
  })

  it('is the one owed most, then the one who served longest ago, then the smaller id', () => {
    const aCandidate = (id: string, balance: number, lastServed: number) => ({
      id,
      weight: 1,
      balance,
      lastServed,
    })
    const pick = (...list: Candidate[]) => at(list, nextTurn(list, shares(list))).id
    expect(pick(aCandidate('A', 0, 1), aCandidate('B', 1, 9))).toBe('B')
    expect(pick(aCandidate('A', 0, 9), aCandidate('B', 0, 1))).toBe('B')
    expect(pick(aCandidate('B', 0, 0), aCandidate('A', 0, 0))).toBe('A')
    expect(pick(aCandidate('B', 0, 0), aCandidate('A', 0, 1))).toBe('B')
  })

  it('falls on each guide exactly as often as the weight says, in any window of one round', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }),
        weights => {
          const guides = weights.map((weight, index) => ({ id: `G${index}`, weight }))
          const round = sum(weights)
          const book = aBook()
          const picks = Array.from({ length: 3 * round }, () => chosenId(book.serve(guides)))
          for (let from = 0; from + round <= picks.length; from++) {
            const window = picks.slice(from, from + round)
            for (const { id, weight } of guides) {
              expect(window.filter(pick => pick === id)).toHaveLength(weight)
            }
          }
        },
      ),
    )
  })
})

// |count − fair share| ≤ (n−1)/2 holds for weights too, and for weights that change between orders. The sum of the k
// largest balances never exceeds k(n−k)/2 orders: were it exceeded by a top set T after a turn whose winner c is not
// in T, some j in T shared in that turn, so bal[j] ≤ bal[c] + 1; but T∪{c} lost as much as it gained, and the bounds
// for k+1 and k−1 put bal[c] below (n−2k−1)/2 and bal[j] above (n−2k+1)/2. The case k=1 and its mirror are the bound.
describe('how far a guide may be from the fair share', () => {
  it.each([
    ['equal weights', false],
    ['any weights', true],
  ])('is at most (n−1)/2 orders, with %s, whatever the roster does', (_, weights) => {
    fc.assert(nobodyIsFarFromFair(carpool, weights))
  })

  it('keeps the k guides who are owed most within k(n−k)/2 orders together', () => {
    fc.assert(
      fc.property(aMonth({ weights: true }), ({ guides, orders }) => {
        const book = aBook()
        for (const eligible of orders) book.serve(eligible)
        const owed = book.balances().sort((a, b) => b - a)
        for (let k = 1; k <= owed.length; k++) {
          const bound = (k * (guides.length - k)) / 2
          expect(sum(owed.slice(0, k))).toBeLessThanOrEqual(bound * unitsPerOrder)
        }
      }),
    )
  })

  it.each([1, 2, 3])('holds against eligible sets chosen to hurt (sets of 2 to %d more)', greed => {
    for (let size = 2; size <= 12; size++) {
      for (const weight of [() => 1, (index: number) => 1 + ((index * 37) % 100)]) {
        const guides = Array.from({ length: size }, (_, index) => ({
          id: `G${index}`,
          weight: weight(index),
        }))
        const book = servePairs(carpool, guides, 600, greed)
        const bound = (size - 1) / 2
        expect(Math.max(...book.balances().map(Math.abs))).toBeLessThanOrEqual(
          bound * unitsPerOrder,
        )
        for (const { id } of guides) expect(Math.abs(book.drift(id))).toBeLessThan(bound + 1e-3)
      }
    }
  })

  it.each([
    ['equal weights', 6, () => 1],
    ['weights 1 to 3', 7, (index: number) => 1 + (index % 3)],
    ['weights 1 to 100', 8, (index: number) => 1 + ((index * 41) % 100)],
  ])(
    'stays within the bound at every one of 10,000 orders under changing shifts: %s',
    (_, size, weight) => {
      const guides = Array.from({ length: size }, (_, index) => ({
        id: `G${index}`,
        weight: weight(index),
      }))
      const random = aRandom(20_261_123)
      const book = aBook()
      const bound = (size - 1) / 2
      let onShift = guides
      for (let order = 0; order < 10_000; order++) {
        if (order % 45 === 0) onShift = guides.filter(() => random() < 0.6)
        if (onShift.length === 0) onShift = guides.slice(0, 1)
        book.serve(onShift)
        for (const { id } of onShift) expect(Math.abs(book.drift(id))).toBeLessThanOrEqual(bound)
      }
      expect(sum(guides.map(({ id }) => book.count(id)))).toBe(10_000)
      expect(sum(book.balances())).toBe(0)
    },
  )
})

const largestFen = 10_000_000_000

function amountsAreSharedOut(rotation: Rotation) {
  const amountFen = fc.oneof(
    fc.integer({ min: 0, max: 100_000 }),
    fc.integer({ min: largestFen - 9, max: largestFen }),
  )
  return fc.property(
    aMonth({ weights: true, maxOrders: 60 }),
    fc.array(amountFen, { minLength: 60, maxLength: 60 }),
    ({ guides, orders }, amounts) => {
      const book = aBook(rotation)
      const owed = new Map(guides.map(({ id }) => [id, 0]))
      let largest = 0
      for (const [index, eligible] of orders.entries()) {
        const units = at(amounts, index) * unitsPerFen
        largest = Math.max(largest, units)
        const turn = book.serve(eligible, units)
        const total = sum(eligible.map(({ weight }) => weight))
        for (const [place, { id, weight }] of eligible.entries()) {
          const took = place === turn.chosen ? units : 0
          owed.set(id, (owed.get(id) ?? 0) + (units * weight) / total - took)
        }
        expect(turn.changes.every(Number.isSafeInteger)).toBe(true)
        expect(sum(book.balances())).toBe(0)
        const bound = ((guides.length - 1) / 2) * largest
        for (const { id } of eligible) {
          expect(Math.abs(book.standing(id).balance)).toBeLessThanOrEqual(bound)
          // Each order rounds a share by less than a unit.
          expect(Math.abs(book.standing(id).balance - (owed.get(id) ?? 0))).toBeLessThan(index + 2)
        }
      }
    },
  )
}

// The proof above asks of an order only that it charges what it shares out: with amounts, the bound is in largest orders.
describe('a book by amount', () => {
  it('sums to zero in whole units, and holds each guide within (n−1)/2 of the largest order', () => {
    fc.assert(amountsAreSharedOut(carpool))
  })

  it('splits the largest order among a thousand guides of the largest weights to the unit', () => {
    const random = aRandom(7)
    for (let round = 0; round < 20; round++) {
      const guides = Array.from({ length: 1000 }, (_, index) => ({
        id: `G${index}`,
        weight: round === 0 ? 100 : 1 + Math.floor(random() * 100),
      }))
      const units = (largestFen - round) * unitsPerFen
      const split = shares(guides, units)
      const total = guides.reduce((weights, { weight }) => weights + weight, 0)
      expect(sum(split)).toBe(units)
      for (const [index, { weight }] of guides.entries()) {
        const floor = (BigInt(units) * BigInt(weight)) / BigInt(total)
        expect([0n, 1n]).toContain(BigInt(at(split, index)) - floor)
      }
    }
  })

  it('stays in safe integers for a thousand guides and the largest orders', () => {
    expect(499.5 * largestFen * unitsPerFen).toBeLessThan(Number.MAX_SAFE_INTEGER)
    expect(largestFen * unitsPerFen * 100).toBeLessThan(Number.MAX_SAFE_INTEGER)
    const guides = Array.from({ length: 1000 }, (_, index) => ({ id: `G${index}`, weight: 1 }))
    const book = aBook()
    for (let order = 0; order < 300; order++) {
      book.serve(guides.slice(order % 7, 1000 - (order % 11)), largestFen * unitsPerFen)
    }
    expect(book.balances().every(Number.isSafeInteger)).toBe(true)
    expect(sum(book.balances())).toBe(0)
  })

  it('leaves everybody as they were when the order is worth nothing', () => {
    const list = [1, 2, 3].map(weight => ({ id: `G${weight}`, weight, balance: 0, lastServed: 0 }))
    expect(shares(list, 0)).toEqual([0, 0, 0])
    expect(turnChanges(shares(list, 0), 1)).toEqual([0, 0, 0])
  })
})

describe('shares', () => {
  it('go to nobody when nobody has a weight, and none goes to who has none', () => {
    expect(shares([{ id: 'A', weight: 0 }])).toEqual([0])
    const weight = fc.integer({ min: 0, max: 100 })
    fc.assert(
      fc.property(fc.array(weight, { maxLength: 30 }), fc.nat(9_999_999), (weights, units) => {
        const split = shares(
          weights.map((one, index) => ({ id: `G${index}`, weight: one })),
          units,
        )
        expect(sum(split)).toBe(sum(weights) === 0 ? 0 : units)
        for (const [index, one] of weights.entries())
          if (one === 0) expect(at(split, index)).toBe(0)
      }),
    )
  })
})

type Clamp = typeof clampedUnits

/** What is left of the guide after the charge, reckoned in whole numbers of any size. */
function afterCharge(balance: number, weight: number, total: number, charged: number): bigint {
  return BigInt(balance) + (BigInt(charged) * BigInt(weight)) / BigInt(total) - BigInt(charged)
}

function neverBelowTheFloor(clamp: Clamp) {
  const balance = fc.oneof(
    fc.integer({ min: -4 * unitsPerOrder, max: 4 * unitsPerOrder }),
    fc.integer({ min: -2 * unitsPerOrder, max: largestFen * unitsPerFen }),
  )
  const units = fc.oneof(
    fc.constant(unitsPerOrder),
    fc.integer({ min: 1, max: largestFen }).map(fen => fen * unitsPerFen),
  )
  const weights = fc.tuple(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 99_900 }))
  return fc.property(balance, units, weights, (before, full, [weight, others]) => {
    const total = weight + others
    const charged = clamp(before, weight, total, full)
    expect(charged).toBeGreaterThanOrEqual(0)
    expect(charged).toBeLessThanOrEqual(full)
    const floor = BigInt(-2 * unitsPerOrder)
    const after = afterCharge(before, weight, total, charged)
    if (charged > 0) expect(after >= floor).toBe(true)
    // The most there is: a unit more would pass the floor.
    if (charged < full) expect(afterCharge(before, weight, total, charged + 1) < floor).toBe(true)
  })
}

describe('a clamped charge', () => {
  it('is the most that keeps the guide at two orders behind or above, and never more than the order', () => {
    fc.assert(neverBelowTheFloor(clampedUnits), { numRuns: 2000 })
  })

  it('is exact where the products would pass the safe integers', () => {
    const [before, weight, total] = [6_287_779_843_350, 25, 84_156]
    const charged = clampedUnits(before, weight, total, largestFen * unitsPerFen)
    expect(afterCharge(before, weight, total, charged)).toBe(BigInt(-2 * unitsPerOrder))
  })

  it.each([
    ['in full while there is room', 0, unitsPerOrder],
    ['in full when it ends on the floor', -unitsPerOrder, unitsPerOrder],
    ['in part when there is room for a part', -1.5 * unitsPerOrder, unitsPerOrder / 2],
    ['not at all on the floor', -2 * unitsPerOrder, 0],
    ['not at all below it', -3 * unitsPerOrder, 0],
  ])('is made %s', (_, balance, expected) => {
    expect(clampedUnits(balance, 0, 3, unitsPerOrder)).toBe(expected)
  })
})

describe('the checkers above', () => {
  const floorOnly: Rotation = {
    ...carpool,
    shares: candidates => {
      const total = sum(candidates.map(({ weight }) => weight))
      return candidates.map(({ weight }) => Math.floor((unitsPerOrder * weight) / total))
    },
  }
  const firstListedWinsTies: Rotation = {
    ...carpool,
    nextTurn: (candidates, split) => {
      const owed = candidates.map(({ balance }, index) => balance + at(split, index))
      return owed.indexOf(Math.max(...owed))
    },
  }
  const leastServedLongestAgo: Rotation = {
    ...carpool,
    nextTurn: candidates => {
      const last = candidates.map(({ lastServed }) => lastServed)
      return last.indexOf(Math.min(...last))
    },
  }
  const equalShares: Rotation = {
    ...carpool,
    shares: candidates => shares(candidates.map(one => ({ ...one, weight: 1 }))),
  }
  const fixed = { seed: 1, numRuns: 200 }

  it('catch shares that lose the remainder', () => {
    expect(() => fc.assert(balancesSumToZero(floorOnly), fixed)).toThrow()
  })

  it('catch ties that go by the order of the list', () => {
    expect(() => fc.assert(inputOrderChangesNothing(firstListedWinsTies), fixed)).toThrow()
  })

  it('catch a pointer that goes round in place of the book', () => {
    expect(() => fc.assert(nobodyIsFarFromFair(leastServedLongestAgo, false), fixed)).toThrow()
  })

  it('catch a pointer of the kind that the adversary breaks with two guides at a time', () => {
    const guides = Array.from({ length: 6 }, (_, index) => ({ id: `G${index}`, weight: 1 }))
    const book = servePairs(leastServedLongestAgo, guides, 600, 3)
    expect(Math.max(...book.balances().map(Math.abs))).toBeGreaterThan(2.5 * unitsPerOrder)
  })

  it('catch weights that are not looked at', () => {
    expect(() => fc.assert(nobodyIsFarFromFair(equalShares, true), fixed)).toThrow()
  })

  it('catch amounts whose remainder is lost', () => {
    const lossy: Rotation = {
      ...carpool,
      shares: (candidates, units) =>
        shares(candidates, units).map(share => Math.floor(share / 7) * 7),
    }
    expect(() => fc.assert(amountsAreSharedOut(lossy), fixed)).toThrow()
  })

  it('catch amounts served by the book of orders: who is behind by count gets the largest', () => {
    expect(() => fc.assert(amountsAreSharedOut(leastServedFirst()), fixed)).toThrow()
  })

  it('catch a clamped charge that ignores the floor, forgets the share, or trusts large products', () => {
    const inFull: Clamp = (_balance, _weight, _total, units) => units
    const shareless: Clamp = (balance, _weight, _total, units) =>
      Math.max(0, Math.min(units, balance + 2 * unitsPerOrder))
    const rounded: Clamp = (balance, weight, total, units) => {
      const room = Math.max(0, balance + 2 * unitsPerOrder)
      return Math.min(units, Math.ceil((room * total) / (total - weight)))
    }
    for (const faulty of [inFull, shareless, rounded]) {
      expect(() => fc.assert(neverBelowTheFloor(faulty), fixed)).toThrow()
    }
  })

  function leastServedFirst(): Rotation {
    const served = new Map<string, number>()
    return {
      ...carpool,
      nextTurn(candidates) {
        const counts = candidates.map(({ id }) => served.get(id) ?? 0)
        const chosen = counts.indexOf(Math.min(...counts))
        const { id } = at(candidates, chosen)
        served.set(id, (served.get(id) ?? 0) + 1)
        return chosen
      },
    }
  }
})
