import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { Order, OrderTrace } from '../../src/ledger/order.ts'
import { aDirectory, balancesFromOrders, bookOnDisk } from '../support/ledger.ts'
import {
  anyStaff,
  aPlan,
  type Event,
  guideIds,
  live,
  openPast,
  type Past,
} from '../support/past.ts'
import { aStaff, hourMs } from '../support/rules.ts'
import { atLength } from '../support/thorough.ts'

const directory = aDirectory()
const path = `${directory.path}/past.db`
let past: Past = openPast(path)
afterAll(() => {
  past.db.$client.close()
  directory.remove()
})

let storesMade = 0
const aStoreId = () => ++storesMade
const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
const order = (facts: object = {}): Event => ({ kind: 'order', facts })
const traceOf = ({ trace }: Order): OrderTrace => JSON.parse(trace ?? '{}')

const orderIndex = fc.nat(12)
const guide = fc.constantFrom(...guideIds)
const events = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('order' as const),
        facts: fc.record({
          cartId: fc.constantFrom(null, null, 'c1', 'c2'),
          guideId: fc.option(guide),
          test: fc.constantFrom(false, false, false, true),
        }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constantFrom('refuse' as const, 'refuse' as const, 'reject' as const),
        order: orderIndex,
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          'accept' as const,
          'accept' as const,
          'close' as const,
          'pay' as const,
        ),
        order: orderIndex,
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('reassign' as const), order: orderIndex, guide }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('register' as const), guide }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'wait' as const, ms: 30 }) },
  ),
  { minLength: 10, maxLength: 40, size: 'max' },
)
const plan = aPlan({ use: 'hint', counts: 'clamped' }, { use: 'rotate' })
const from = { hourMs: 0, dayMs: 0 }

/** The orders of a store as they are, whatever has happened in several lives of the process. */
async function liveAndRestart(storeId: number, lives: readonly (readonly Event[])[]) {
  const made = new Map<number, Order>()
  for (const one of lives) {
    const talliesOf = () => guideIds.map(id => past.ledger.tally(storeId, id, from).day)
    // Counted from here on, and not read again before the restart.
    talliesOf()
    const before = [...made.values()].map(({ outTradeNo }) => outTradeNo)
    for (const order of await live(past, storeId, one, before)) made.set(order.id, order)
    const counted = talliesOf()
    past.db.$client.close()
    const { ms } = past.clock
    past = openPast(path)
    past.clock.ms = ms
    past.skip(storeId, made.size)
    expect(counted).toEqual(talliesOf())
  }
  return [...made.values()]
}

describe('generations', () => {
  it('leave books that sum to zero, follow from the orders and verify, and counts that a restart reads alike', async () => {
    let generations = 0
    await fc.assert(
      fc.asyncProperty(
        anyStaff,
        fc.array(events, { minLength: 1, maxLength: 2 }),
        async (staff, lives) => {
          past.clock.ms += 48 * hourMs
          const storeId = aStoreId()
          past.openStore(storeId, guideIds, { staff, plan })
          for (const id of guideIds) past.mirror.putGuide({ id, storeId, state: 'registered' })
          const orders = await liveAndRestart(storeId, lives)
          const store = past.mirror.store(storeId)
          if (!store) throw new Error('no store')
          expect(await past.reports.verify(store, always)).toEqual({
            ok: true,
            checked: orders.length,
            faults: [],
          })
          const book = bookOnDisk(path, storeId)
          const balances = balancesFromOrders(path, storeId)
          expect(Object.values(book).reduce((sum, [balance]) => sum + balance, 0)).toBe(0)
          for (const id of [...guideIds, 'UNKNOWN'])
            expect(book[id]?.[0] ?? 0).toBe(balances.get(id) ?? 0)
          for (const id of guideIds) {
            const counted = orders.filter(
              one =>
                one.guideId === id &&
                one.status !== 'rejected' &&
                one.closedAtMs === null &&
                !one.facts.includes('"test"'),
            )
            expect(past.ledger.tally(storeId, id, from).day).toBe(counted.length)
          }
          for (const one of orders) {
            const { earlier = [] } = traceOf(one)
            generations += earlier.length
            expect(one.generation).toBe(earlier.length + 1)
            expect(earlier.map(({ generation }) => generation)).toEqual(
              earlier.map((_, index) => index + 1),
            )
          }
        },
      ),
      { numRuns: atLength(20, 40) },
    )
    expect(generations).toBeGreaterThan(atLength(5, 40))
  })

  it('of one order have one guide each, who never changes, and what was sent for an old one changes nothing', async () => {
    const storeId = aStoreId()
    past.openStore(storeId, ['A', 'B', 'C'], { staff: aStaff(['A', 'B', 'C']), plan })
    for (const id of ['A', 'B', 'C']) past.mirror.putGuide({ id, storeId, state: 'registered' })
    const [first] = await live(past, storeId, [order()])
    if (!first) throw new Error('no order')
    const second = await past.refuse(first)
    expect([second.generation, second.guideId]).toEqual([2, 'B'])
    const { ledger, clock } = past
    const settled = { status: 'assigned', settledAtMs: clock.ms, upstream: null } as const
    expect(await ledger.settle(first, settled, [])).toEqual(second)
    expect(await ledger.defer(first, clock.ms, null, [])).toEqual(second)
    expect(
      await ledger.refuse(first, { atMs: clock.ms, upstream: null }, [], {
        bar() {},
        resolve() {
          throw new Error('must not be decided again')
        },
      }),
    ).toEqual(second)
    expect(await ledger.find(first)).toEqual(second)
  })

  it.each([
    ['lost', ({ earlier: _, ...trace }: OrderTrace) => trace],
    ['shortened', (trace: OrderTrace) => ({ ...trace, earlier: trace.earlier?.slice(1) })],
    [
      'doubled',
      ({ earlier = [], ...trace }: OrderTrace) => ({ ...trace, earlier: [...earlier, ...earlier] }),
    ],
    [
      'without its refund',
      ({ earlier = [], ...trace }: OrderTrace) => ({
        ...trace,
        earlier: earlier.map(one => ({ ...one, returned: { ...one.returned, number: null } })),
      }),
    ],
    [
      'with another refund',
      ({ earlier = [], ...trace }: OrderTrace) => ({
        ...trace,
        earlier: earlier.map(one => ({ ...one, returned: { ...one.returned, number: 99 } })),
      }),
    ],
    [
      'with another guide',
      ({ earlier = [], ...trace }: OrderTrace) => ({
        ...trace,
        earlier: earlier.map(one => ({ ...one, guideId: 'D' })),
      }),
    ],
    [
      'without a turn',
      ({ earlier = [], ...trace }: OrderTrace) => ({
        ...trace,
        earlier: earlier.map(one => ({ ...one, turn: null })),
      }),
    ],
    [
      'with the guide who follows',
      ({ earlier = [], ...trace }: OrderTrace) => ({
        ...trace,
        earlier: earlier.map(one => ({ ...one, guideId: 'B' })),
      }),
    ],
    [
      'not ended',
      ({ earlier = [], ...trace }: OrderTrace) => ({
        ...trace,
        earlier: earlier.map(one => ({ ...one, returned: { ...one.returned, by: 'closed' } })),
      }),
    ],
  ])('an order whose earlier generation is %s is named by verify', async (_, change) => {
    const storeId = aStoreId()
    const store = past.openStore(storeId, guideIds, { staff: aStaff(['A', 'B', 'C']), plan })
    for (const id of guideIds) past.mirror.putGuide({ id, storeId, state: 'registered' })
    const [first] = await live(past, storeId, [
      order(),
      order(),
      { kind: 'refuse', order: 0 },
      order(),
    ])
    if (!first) throw new Error('no order')
    expect((await past.reports.verify(store, always)).ok).toBe(true)
    past.db.$client
      .prepare('UPDATE orders SET trace = ? WHERE id = ?')
      .run(JSON.stringify(change(traceOf(first))), first.id)
    const { ok, faults } = await past.reports.verify(store, always)
    expect(ok).toBe(false)
    expect(faults.map(({ out_trade_no }) => out_trade_no)).toContain(first.outTradeNo)
  })

  it('of an order that went back to the guide of before take the turn anew, and verify says when that guide was none', async () => {
    const storeId = aStoreId()
    const store = past.openStore(storeId, guideIds, { staff: aStaff(['A', 'B', 'C']), plan })
    for (const id of guideIds) past.mirror.putGuide({ id, storeId, state: 'registered' })
    const [first] = await live(past, storeId, [
      order(),
      { kind: 'accept', order: 0 },
      { kind: 'reassign', order: 0, guide: 'C' },
      order(),
      { kind: 'reject', order: 0 },
    ])
    expect(first).toMatchObject({
      status: 'assigned',
      guideId: 'A',
      reason: 'RESTORED',
      turn: 'taken',
    })
    if (!first) throw new Error('no order')
    const { turn, earlier = [] } = traceOf(first)
    expect([turn?.number, earlier[0]?.turn?.number, earlier[0]?.returned.number]).toEqual([4, 1, 2])
    expect((await past.reports.verify(store, always)).ok).toBe(true)
    const changed = earlier.map(one => ({ ...one, status: 'pending' }))
    past.db.$client
      .prepare('UPDATE orders SET trace = ? WHERE id = ?')
      .run(JSON.stringify({ ...traceOf(first), earlier: changed }), first.id)
    expect((await past.reports.verify(store, always)).faults).toContainEqual({
      out_trade_no: first.outTradeNo,
      what: 'went back to A, whom WeChat Pay had not accepted',
    })
  })

  it('may go back to a guide who was accepted first and refused when named again, and verify finds nothing wrong', async () => {
    const storeId = aStoreId()
    const store = past.openStore(storeId, guideIds, { staff: aStaff(['A', 'B', 'C']), plan })
    for (const id of guideIds) past.mirror.putGuide({ id, storeId, state: 'registered' })
    const [first] = await live(past, storeId, [
      order(),
      { kind: 'accept', order: 0 },
      { kind: 'reassign', order: 0, guide: 'C' },
      { kind: 'reassign', order: 0, guide: 'A' },
      { kind: 'refuse', order: 0 },
    ])
    expect(first).toMatchObject({ generation: 4, guideId: 'A', reason: 'RESTORED' })
    expect((await past.reports.verify(store, always)).faults).toEqual([])
  })

  it('are read by the reports as one order, of its last guide', async () => {
    const storeId = aStoreId()
    const store = past.openStore(storeId, guideIds, { staff: aStaff(['A', 'B', 'C']), plan })
    for (const id of guideIds) past.mirror.putGuide({ id, storeId, state: 'registered' })
    const startMs = past.clock.ms
    await live(past, storeId, [order(), { kind: 'refuse', order: 0 }, { kind: 'accept', order: 0 }])
    const report = await past.reports.fairness(store, { fromMs: startMs, toMs: past.clock.ms + 1 })
    expect([report.orders, report.turns]).toEqual([1, 1])
    expect(report.guides.map(({ guide_id, orders, count }) => [guide_id, orders, count])).toEqual([
      ['A', 0, 0],
      ['B', 1, 1],
      ['C', 0, 0],
    ])
    const replayed = await past.reports.replay(
      store,
      { fromMs: startMs, toMs: past.clock.ms + 1 },
      {},
    )
    expect(replayed).toMatchObject({ orders: 1, changed: 0 })
    expect(replayed?.guides).toMatchObject([
      { guide_id: 'A', count_before: 0, count_after: 0 },
      { guide_id: 'B', count_before: 1, count_after: 1 },
      { guide_id: 'C', count_before: 0, count_after: 0 },
    ])
  })
})
