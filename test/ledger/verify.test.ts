import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { PastRow, Snapshot } from '../../src/ledger/history.ts'
import { verify } from '../../src/ledger/verify.ts'
import { unitsPerOrder } from '../../src/rules/fairness.ts'

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
