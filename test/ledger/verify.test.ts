import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { PastRow, Snapshot } from '../../src/ledger/history.ts'
import { verify } from '../../src/ledger/verify.ts'
import { unitsPerOrder } from '../../src/rules/fairness.ts'
import { charge, type LoggedTurn, moveHandedOn, type Standings } from '../../src/rules/logged.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const cartCount = 40_000
const candidateCount = 20
const candidates = Array.from({ length: candidateCount }, (_, index) => `guide-${index}`)

/** Carts whose number is made anew once, one cart after another; everybody but the one chosen weighs nothing. */
function ordersOfCart(cart: number): PastRow[] {
  const turn = {
    book: 'orders',
    units: unitsPerOrder,
    number: cart + 1,
    chosen: 0,
    candidates: candidates.map((id, index): [string, number, number, number] => [
      id,
      index === 0 ? 1 : 0,
      0,
      index === 0 ? cart : 0,
    ]),
  }
  const order = (nth: number, changed: Partial<PastRow>): PastRow => ({
    id: cart * 2 + nth,
    outTradeNo: `${cart}-${nth}`,
    status: 'assigned',
    generation: 1,
    guideId: 'guide-0',
    reason: 'HINT',
    turn: null,
    decidedAtMs: cart,
    closedAtMs: null,
    paidAtMs: null,
    cartId: `cart-${cart}`,
    facts: { guide_id: 'guide-0' },
    versions: { staff: 1, roster: 0, plan: 0 },
    trace: { steps: [], blocked: [], asked: { owner: null, sticky: 'guide-0' }, turn },
    ...changed,
  })
  const first = order(1, {})
  const trace = { ...first.trace, inherited: true as const }
  return [first, order(2, { trace, turn: 'taken', reason: 'STICKY_CART' })]
}

it('verify keeps no cart of a long log in memory once its last order is read', async () => {
  const heap: number[] = []
  let readings = 0
  const snapshot: Snapshot = {
    async *orders() {
      readings += 1
      for (let cart = 0; cart < cartCount; cart++) {
        yield ordersOfCart(cart)
        if (readings === 2 && cart % (cartCount - 1) === 0) {
          collectGarbage()
          heap.push(process.memoryUsage().heapUsed)
        }
      }
    },
    count: async () => cartCount * 2,
    purged: () => null,
    carried: () => [],
    books: () => [
      {
        book: 'orders',
        turn: cartCount,
        standings: new Map([['guide-0', { balance: 0, lastServed: cartCount }]]),
      },
    ],
  }
  const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  const verified = await verify(snapshot, 1, always, () => null)
  expect(verified).toEqual({ ok: true, checked: cartCount * 2, faults: [] })
  const [before = 0, after = 0] = heap
  expect(heap).toHaveLength(2)
  expect((after - before) / 2 ** 20).toBeLessThan(2)
})

const half = unitsPerOrder / 2

/** Turns of a book whose page follows from them to the last unit, whatever they do. */
async function verdictOn(turns: readonly (Partial<LoggedTurn> & { staff: number })[]) {
  const standings: Standings = new Map()
  const rows = turns.map(({ staff, handedOn, candidates = [] }, index): PastRow => {
    const number = index + 1
    const named = { book: 'orders', units: unitsPerOrder, number, candidates }
    const turn = { ...named, chosen: 0, ...(handedOn ? { handedOn } : {}) }
    moveHandedOn(standings, turn)
    charge(standings, turn)
    return {
      id: number,
      generation: 1,
      outTradeNo: String(number),
      status: 'assigned',
      guideId: candidates[0]?.[0] ?? null,
      reason: 'FAIR_TURN',
      turn: 'taken',
      decidedAtMs: number,
      closedAtMs: null,
      paidAtMs: null,
      cartId: null,
      facts: {},
      versions: { staff, roster: 0, plan: 0 },
      trace: { steps: [], blocked: [], asked: { owner: null, sticky: null }, turn },
    }
  })
  const snapshot: Snapshot = {
    async *orders() {
      yield rows
    },
    count: async () => rows.length,
    books: () => [{ book: 'orders', turn: rows.length, standings }],
    purged: () => null,
    carried: () => [],
  }
  const staffs = [
    ['A', 'B'],
    ['B', 'C'],
  ].map(ids => new Map(ids.map(id => [id, 1])))
  const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  const { faults } = await verify(snapshot, 1, always, version => staffs[version - 1] ?? null)
  return faults.map(({ out_trade_no, what }) => `${out_trade_no} ${what}`)
}

const first: LoggedTurn['candidates'] = [
  ['A', 1, 0, 0],
  ['B', 1, 0, 0],
]

it('verify finds nothing where the one who left hands all on', async () => {
  const faults = await verdictOn([
    { staff: 1, candidates: first },
    {
      staff: 2,
      handedOn: [
        ['A', 0, half],
        ['B', 1, -half / 2],
        ['C', 1, -half / 2],
      ],
      candidates: [
        ['B', 1, half / 2, 0],
        ['C', 1, -half / 2, 0],
      ],
    },
  ])
  expect(faults).toEqual([])
})

it.each<[string, Partial<LoggedTurn> & { staff: number }, string]>([
  [
    'nothing of one who left is handed on',
    {
      staff: 2,
      candidates: [
        ['B', 1, half, 0],
        ['C', 1, 0, 0],
      ],
    },
    `2 does not hand on ${-half} of A, who is not on its staff`,
  ],
  [
    'a part of it is',
    {
      staff: 2,
      handedOn: [
        ['A', 0, 2],
        ['B', 1, -1],
        ['C', 1, -1],
      ],
      candidates: [
        ['B', 1, half - 1, 0],
        ['C', 1, -1, 0],
      ],
    },
    `2 hands on -2 of A; the log up to there says ${-half}`,
  ],
  [
    'it is handed on twice',
    {
      staff: 2,
      handedOn: [
        ['A', 0, half],
        ['A', 0, half],
        ['B', 1, -half],
        ['C', 1, -half],
      ],
      candidates: [
        ['B', 1, 0, 0],
        ['C', 1, -half, 0],
      ],
    },
    '2 hands on to or from a guide twice',
  ],
  [
    'one of the default staff is rid of a debt',
    {
      staff: 0,
      handedOn: [
        ['A', 0, half],
        ['B', 1, -half],
      ],
      candidates: [
        ['B', 1, 0, 0],
        ['A', 1, 0, 1],
      ],
    },
    '2 hands on to or from A with 0, against its staff version',
  ],
])('verify finds it where %s, though all numbers agree', async (_, second, says) => {
  expect(await verdictOn([{ staff: 1, candidates: first }, second])).toEqual([says])
})
