import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type Db, openDatabase } from '../../src/db/open.ts'
import { openBooks } from '../../src/ledger/books.ts'
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts'
import type { Order, OrderTrace } from '../../src/ledger/order.ts'
import { openSandbox } from '../../src/ledger/sandbox.ts'
import type { Rules } from '../../src/rules/decide.ts'
import {
  aDatabase,
  anOrder,
  balancesFromOrders,
  bookOnDisk,
  decideBy,
  type Standings,
} from '../support/ledger.ts'
import { aStore, mondayMs } from '../support/rules.ts'
import { atLength } from '../support/thorough.ts'

const file = aDatabase()
afterAll(() => file.close())

// One file for all runs, a store for each: opening and migrating one is what takes time.
let storesMade = 0
const aStoreId = () => ++storesMade
const nowMs = mondayMs

const staff = [
  { id: 'A', weight: 1 },
  { id: 'B', weight: 3 },
  { id: 'C', weight: 1 },
  { id: '__proto__', weight: 2 },
  { id: '42', weight: 5 },
]
const ids = staff.map(({ id }) => id)

/** The rules while the guides of this set of bits are on shift. */
const rulesOf: Rules[] = Array.from({ length: 2 ** staff.length }, (_, mask) =>
  aStore({ guides: staff.filter((_, index) => (mask >> index) & 1) }),
)
const onShift = fc.integer({ min: 1, max: 2 ** staff.length - 1 })

function rulesFor(mask: number): Rules {
  const rules = rulesOf[mask]
  if (!rules) throw new Error(`no rules for ${mask}`)
  return rules
}

type Command =
  | { kind: 'record'; mask: number; test: boolean; cart: number | null }
  | { kind: 'again' | 'reject' | 'assign' | 'close' | 'pay'; order: number }
  | { kind: 'fail'; mask: number }
  | { kind: 'restart' }

/** What arrives in one tick: each batch is one commit, unless a job of it fails. */
const batches = fc.array(
  fc.array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant('record' as const),
          mask: onShift,
          test: fc.boolean(),
          cart: fc.option(fc.nat(3)),
        }),
      },
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constantFrom(
            'again' as const,
            'reject' as const,
            'assign' as const,
            'close' as const,
            'pay' as const,
          ),
          order: fc.nat(30),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), mask: onShift }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    ),
    { minLength: 1, maxLength: 6 },
  ),
  { maxLength: 12 },
)

class Refused extends Error {}

async function play(storeId: number, script: readonly (readonly Command[])[]) {
  let db = openDatabase(file.path)
  let ledger = openLedger(db)
  const orders: Order[] = []
  const tests = new Set<number>()
  const ended = { rejected: new Set<number>(), closed: new Set<number>() }

  async function perform(command: Exclude<Command, { kind: 'restart' }>): Promise<void> {
    switch (command.kind) {
      case 'record': {
        const { cart, test } = command
        const order = anOrder({ storeId, test, cartId: cart === null ? null : `cart ${cart}` })
        const recorded = await ledger.record(order, decideBy(rulesFor(command.mask)))
        orders.push(recorded.order)
        if (command.test) tests.add(recorded.order.id)
        return
      }
      case 'fail':
        await ledger
          .record(anOrder({ storeId }), view => {
            decideBy(rulesFor(command.mask))(view)
            throw new Refused()
          })
          .catch(ignoreRefused)
        return
    }
    const order = orders[command.order % Math.max(1, orders.length)]
    if (!order) return
    switch (command.kind) {
      case 'again': {
        const again = await ledger.record({ ...order, test: false }, () => {
          throw new Error('must not be decided again')
        })
        expect(again.order.guideId).toBe(order.guideId)
        return
      }
      case 'pay':
        await ledger.markPaid(order, nowMs + 1, nowMs + 1)
        return
      case 'close': {
        const closed = await ledger.markClosed(order, nowMs + 1, nowMs + 1)
        if (closed?.closedAtMs) ended.closed.add(order.id)
        return
      }
      case 'assign':
      case 'reject': {
        const status = command.kind === 'assign' ? 'assigned' : 'rejected'
        const settled = await ledger.settle(
          order,
          { status, settledAtMs: nowMs + 1, upstream: null },
          [],
        )
        if (settled.status === 'rejected') ended.rejected.add(order.id)
        return
      }
    }
  }

  for (const batch of script) {
    const together = batch.filter(command => command.kind !== 'restart')
    await Promise.all(together.map(perform))
    if (together.length < batch.length) {
      db.$client.close()
      db = openDatabase(file.path)
      ledger = openLedger(db)
    }
  }
  const warm = await bookInMemory(ledger, storeId)
  const now = await Promise.all(orders.map(order => ledger.find(order)))
  db.$client.close()
  return { warm, orders: now.filter(order => order !== null), ended, tests }
}

function ignoreRefused(cause: unknown): void {
  if (!(cause instanceof Refused)) throw cause
}

/** The book as the next decision would see it; nothing of it stays. */
async function bookInMemory(ledger: Ledger, storeId: number): Promise<Standings> {
  const seen: Standings = Object.create(null)
  await ledger
    .record(anOrder({ storeId }), view => {
      const book = view.openBook('orders')
      for (const id of ids) {
        const { balance, lastServed } = book.standing(id)
        seen[id] = [balance, lastServed]
      }
      throw new Refused()
    })
    .catch(ignoreRefused)
  return seen
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

describe('the books', () => {
  it('sum to zero and follow from the orders alone, in memory and on the disk, after anything', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async script => {
        const storeId = aStoreId()
        const { warm, orders, ended, tests } = await play(storeId, script)
        const stored = new Map(Object.entries(bookOnDisk(file.path, storeId)))
        const recomputed = balancesFromOrders(file.path, storeId)
        expect(sum([...stored.values()].map(([balance]) => balance))).toBe(0)
        for (const id of ids) {
          expect(warm[id]).toEqual(stored.get(id) ?? [0, 0])
          expect(warm[id]?.[0]).toBe(recomputed.get(id) ?? 0)
        }
        for (const { id, turn } of orders) {
          if (tests.has(id)) expect(turn).toBeNull()
          if (ended.rejected.has(id) || ended.closed.has(id)) expect(turn).not.toBe('taken')
          else expect(turn).not.toBe('refunded')
        }
        expectOneTurnACart(orders)
      }),
      { numRuns: atLength(30, 60) },
    )
  })

  it('stand in a sandbox as they are: the next order of any cart gets there what it gets in truth', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(3), onShift, async (script, cart, mask) => {
        const storeId = aStoreId()
        await play(storeId, script)
        const order = anOrder({ storeId, cartId: `cart ${cart}` })
        const tried = openSandbox(file.db).record(order, nowMs, decideBy(rulesFor(mask)))
        const recorded = await openLedger(file.db).record(order, decideBy(rulesFor(mask)))
        expect(tried.resolution.guideId).toBe(recorded.order.guideId)
        expect(tried.resolution.reason).toBe(recorded.order.reason)
        expect(tried.turn).toEqual(traceOf(recorded.order).turn)
      }),
      { numRuns: atLength(30, 60) },
    )
  })

  it('stand in a sandbox as they are for a cart that gave its turn back: the next order takes it anew', async () => {
    const ledger = openLedger(file.db)
    const storeId = aStoreId()
    const { order } = await ledger.record(anOrder({ storeId, cartId: 'cart' }), decideBy())
    await ledger.markClosed(order, nowMs + 1, nowMs + 1)
    const next = anOrder({ storeId, cartId: 'cart' })
    const tried = openSandbox(file.db).record(next, nowMs, decideBy())
    const recorded = await ledger.record(next, decideBy())
    expect(tried.turn?.number).toBe(3)
    expect(tried.turn).toEqual(traceOf(recorded.order).turn)
  })

  it('give the same suffix of decisions when the file is opened anew after any prefix', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(onShift, { minLength: 1, maxLength: 40 }),
        fc.uniqueArray(fc.nat(40), { maxLength: 3 }),
        async (masks, stops) => {
          const unbroken = await guidesOf(masks, [])
          expect(await guidesOf(masks, stops)).toEqual(unbroken)
        },
      ),
      { numRuns: atLength(10, 20) },
    )
  })

  it('are kept apart by store', async () => {
    const ledger = openLedger(file.db)
    const [one, other] = [aStoreId(), aStoreId()]
    await ledger.record(anOrder({ storeId: one }), decideBy())
    const before = bookOnDisk(file.path, one)
    const { order } = await ledger.record(anOrder({ storeId: other }), decideBy())
    expect(order.guideId).toBe('A')
    expect(bookOnDisk(file.path, one)).toEqual(before)
  })

  it.each(['__proto__', 'constructor', 'toString', '7', '007', '4294967295'])(
    'know a guide called %s after a restart',
    async id => {
      const rules = aStore({ guides: [id, 'A', '3'] })
      const storeId = aStoreId()
      const first: (string | null)[] = []
      for (let order = 0; order < 6; order++) {
        const db = openDatabase(file.path)
        const made = await openLedger(db).record(anOrder({ storeId }), decideBy(rules))
        first.push(made.order.guideId)
        db.$client.close()
      }
      expect(first.toSorted()).toEqual([id, id, 'A', 'A', '3', '3'].toSorted())
      const stored = new Map(Object.entries(bookOnDisk(file.path, storeId)))
      expect([...stored.keys()].toSorted()).toEqual([id, 'A', '3'].toSorted())
      expect([...stored.values()].map(([balance]) => balance)).toEqual([0, 0, 0])
    },
  )

  it('lose nothing when more stores decide than pages are kept warm', async () => {
    const books = openBooks(file.db, 2)
    const stores = Array.from({ length: 9 }, aStoreId)
    const turn = (storeId: number) => {
      const view = books.view(storeId, 'orders')
      const candidates = ['A', 'B'].map(id => ({ id, weight: 1, ...view.standing(id) }))
      books.take(storeId, {
        book: 'orders',
        units: 720_720,
        handedOn: [],
        candidates,
        chosen: 0,
        changes: [-360_360, 360_360],
      })
    }
    for (let round = 0; round < 3; round++) {
      for (const storeId of stores) turn(storeId)
      if (round > 0) books.write()
    }
    for (const storeId of stores) {
      expect(bookOnDisk(file.path, storeId)).toEqual({ A: [-1_081_080, 3], B: [1_081_080, 0] })
    }
  })
})

function traceOf({ trace }: Order): OrderTrace {
  return JSON.parse(trace ?? '{}')
}

/** Of the orders of a cart that share a turn one holds it, while any is neither closed nor rejected; then none does. */
function expectOneTurnACart(orders: readonly Order[]): void {
  const sharing = Map.groupBy(
    orders.filter(({ cartId }) => cartId !== null),
    order => `${order.cartId}/${traceOf(order).turn?.number}`,
  )
  for (const mates of sharing.values()) {
    const isLive = mates.some(one => one.status !== 'rejected' && one.closedAtMs === null)
    expect(mates.filter(({ turn }) => turn === 'taken')).toHaveLength(isLive ? 1 : 0)
    for (const order of mates) expect(traceOf(order).turn).not.toBeNull()
  }
}

async function guidesOf(
  masks: readonly number[],
  stops: readonly number[],
): Promise<(string | null)[]> {
  const storeId = aStoreId()
  let db: Db = openDatabase(file.path)
  let ledger = openLedger(db)
  const guides: (string | null)[] = []
  for (const [index, mask] of masks.entries()) {
    if (stops.includes(index)) {
      db.$client.close()
      db = openDatabase(file.path)
      ledger = openLedger(db)
    }
    const { order } = await ledger.record(anOrder({ storeId }), decideBy(rulesFor(mask)))
    guides.push(order.guideId)
  }
  db.$client.close()
  return guides
}
