import fc from 'fast-check'
import { printFacts } from '../../src/assignment/facts.ts'
import { nameGuide, nextGuide } from '../../src/assignment/next-guide.ts'
import { createReports } from '../../src/assignment/reports.ts'
import { lookAround, type OrderFacts, resolve } from '../../src/assignment/resolve.ts'
import { openDatabase } from '../../src/db/open.ts'
import { AppError } from '../../src/errors.ts'
import { openHistory } from '../../src/ledger/history.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import type { Order } from '../../src/ledger/order.ts'
import { openSandbox } from '../../src/ledger/sandbox.ts'
import { openMirror, type StoreDocuments } from '../../src/mirror/mirror.ts'
import { planSchema } from '../../src/rules/plan.ts'
import { rosterSchema } from '../../src/rules/roster.ts'
import { staffSchema } from '../../src/rules/staff.ts'
import { hourMs, minuteMs, mondayMs } from './rules.ts'

export const merchant = '1900000109'
const windowMs = 10 * minuteMs

export const aPlan = (...steps: object[]) =>
  planSchema.parse({ steps: [...steps, { use: 'none' }] })
export const byAmount = (...steps: object[]) =>
  planSchema.parse({ fair_by: 'amount', steps: [...steps, { use: 'none' }] })

/** Ledger, mirror and reports on one file, with a clock that the test moves; `store` starts an empty store. */
export function openPast(path: string) {
  const db = openDatabase(path)
  const mirror = openMirror(db)
  const ledger = openLedger(db)
  const clock = {
    ms: mondayMs + 8 * hourMs,
    nowMs: () => clock.ms,
    monotonicMs: () => clock.ms - mondayMs,
  }
  const openCopy = () => openSandbox(db)
  const history = openHistory(db)
  const reports = createReports({ mirror, history, openSandbox: openCopy, clock, windowMs })
  const made = new Map<number, number>()

  function openStore(storeId: number, ids: readonly string[], documents: Partial<StoreDocuments>) {
    mirror.putStore({ storeId, merchant, name: `${storeId}`, timezone: 'Asia/Shanghai' })
    for (const id of ids) mirror.putGuide({ id, storeId, state: 'registered' })
    publish(storeId, documents)
    const store = mirror.store(storeId)
    if (!store) throw new Error('no store')
    return store
  }

  function publish(storeId: number, documents: Partial<StoreDocuments>): void {
    const written = { author: 'test', atMs: clock.ms }
    for (const kind of ['staff', 'roster', 'plan'] as const) {
      const body = documents[kind]
      if (body) mirror.putDocument(storeId, kind, body, written)
    }
  }

  function factsOf(storeId: number, facts: Partial<OrderFacts>): OrderFacts {
    const number = (made.get(storeId) ?? 0) + 1
    made.set(storeId, number)
    return {
      storeId,
      outTradeNo: `past-${storeId}-${number}`,
      memberId: null,
      memberLevel: null,
      amountFen: null,
      channel: null,
      guideId: null,
      cartId: null,
      createdAtMs: null,
      test: false,
      ...facts,
    }
  }

  async function record(facts: OrderFacts): Promise<Order> {
    const store = mirror.readyStore(facts.storeId, clock.ms)
    if (!store) throw new Error('no store')
    const around = lookAround(mirror, store, facts, clock.ms, windowMs)
    const order = { ...facts, merchant, facts: printFacts(facts) }
    return (await ledger.record(order, view => resolve(facts, around, view))).order
  }

  /** As two syncs in a row that do not find the guide. */
  function lose(guideId: string, storeId: number): void {
    db.$client.prepare(`UPDATE guides SET state = 'gone' WHERE guide_id = ?`).run(guideId)
    mirror.forgetReady(guideId, storeId)
  }

  async function present(order: Order): Promise<Order> {
    return (await ledger.find(order)) ?? order
  }

  async function settle(order: Order, status: 'assigned' | 'rejected'): Promise<Order> {
    return ledger.settle(
      await present(order),
      { status, settledAtMs: clock.ms, upstream: null },
      [],
    )
  }

  return {
    db,
    mirror,
    ledger,
    clock,
    history,
    reports,
    openStore,
    publish,
    lose,
    factsOf,
    record,
    /** The numbers that a store has given already. */
    skip: (storeId: number, count: number) => made.set(storeId, count),
    order: (storeId: number, facts: Partial<OrderFacts> = {}) => record(factsOf(storeId, facts)),
    reject: (order: Order) => settle(order, 'rejected'),
    accept: (order: Order) => settle(order, 'assigned'),
    /** WeChat Pay does not know the guide: the next one's turn, if there is one. */
    async refuse(order: Order) {
      const now = await present(order)
      const refusal = { atMs: clock.ms, upstream: null }
      return ledger.refuse(now, refusal, [], nextGuide({ mirror, clock, windowMs }, now))
    },
    /** Null when that guide may not have it now. */
    async reassign(order: Order, guideId: string): Promise<Order | null> {
      const { generation } = await present(order)
      const wanted = { guideId, why: 'asked for', by: 'manager', generations: [generation] }
      return ledger.reassign(order, clock.ms, (now, view) => {
        if (!now) return null
        try {
          return nameGuide(mirror, now, wanted, view, clock.ms)
        } catch (cause) {
          if (cause instanceof AppError) return null
          throw cause
        }
      })
    },
    close: (order: Order) => ledger.markClosed(order, clock.ms, clock.ms),
    pay: (order: Order) => ledger.markPaid(order, clock.ms, clock.ms),
  }
}

export type Past = ReturnType<typeof openPast>

export const guideIds = ['A', 'B', 'C', 'D', '__proto__']

const ifs = fc.constantFrom('on_shift', 'on_roster_today', 'always')
const counting = fc.constantFrom('none', 'full', 'clamped')
const steps = fc.array(
  fc.oneof(
    fc.record({ use: fc.constant('hint'), if: ifs, counts: counting }),
    fc.record({ use: fc.constant('owner'), if: ifs, counts: counting }),
    fc.record({
      use: fc.constant('owner'),
      if: ifs,
      counts: counting,
      max_age_days: fc.constant(1),
    }),
    fc.record({
      use: fc.constant('guide'),
      id: fc.constantFrom(...guideIds),
      if: ifs,
      counts: counting,
    }),
    fc.record({
      use: fc.constant('rotate'),
      by: fc.constantFrom('fair', 'fair', 'fair', 'listed', 'random'),
      among: fc.record({ on_shift: fc.boolean() }),
      when: fc.record({ min_amount: fc.constantFrom(0, 500) }),
    }),
    fc.record({ use: fc.constant('rotate'), book: fc.constantFrom('x', 'orders') }),
  ),
  { maxLength: 3 },
)

export const anyPlan = fc
  .record({ fair_by: fc.constantFrom('orders', 'amount'), steps, rotates: fc.boolean() })
  .map(({ fair_by, steps, rotates }) =>
    planSchema.parse({
      fair_by,
      steps: [...steps, ...(rotates ? [{ use: 'rotate' }] : []), { use: 'none' }],
    }),
  )

export const anyStaff = fc
  .uniqueArray(
    fc.record({
      id: fc.constantFrom(...guideIds, 'UNKNOWN'),
      weight: fc.integer({ min: 1, max: 4 }),
      rotates: fc.constantFrom(true, true, true, false),
      caps: fc.constantFrom(
        undefined,
        undefined,
        { per_day: 1 },
        { per_hour: 1 },
        { per_day: 3 },
        { per_hour: 2, per_day: 4 },
      ),
    }),
    { selector: ({ id }) => id, minLength: 1, maxLength: 6 },
  )
  .map(guides =>
    staffSchema.parse({
      timezone: 'Asia/Shanghai',
      day_starts_at: '09:30',
      guides: guides.map(({ caps, ...guide }) => ({ ...guide, ...(caps ? { caps } : {}) })),
    }),
  )

export const anyRoster = fc
  .constantFrom(
    { weekly: [{ shift: 'all', from: '00:00', to: '00:00', guides: ['*'] }] },
    {
      weekly: [
        { shift: 'early', from: '07:00', to: '10:00', guides: ['A', 'B', '__proto__'] },
        { shift: 'late', from: '09:00', to: '20:00', guides: ['B', 'C', 'D'] },
      ],
    },
    {
      weekly: [{ shift: 'all', from: '00:00', to: '00:00', guides: ['*'] }],
      away: [{ guide: 'A', from: '2026-11-23', to: '2027-11-23', cover: 'B' }],
    },
  )
  .map(({ weekly, ...rest }) =>
    rosterSchema.parse({
      ...rest,
      weekly: weekly.map(shift => ({
        days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
        ...shift,
      })),
    }),
  )

export const anyDocuments = fc.record({ staff: anyStaff, roster: anyRoster, plan: anyPlan })

export type Event =
  | { kind: 'order'; facts: Partial<OrderFacts> }
  | { kind: 'reject' | 'close' | 'pay' | 'accept' | 'refuse'; order: number }
  | { kind: 'reassign'; order: number; guide: string }
  | { kind: 'pause' | 'quarantine' | 'register' | 'lose'; guide: string }
  | { kind: 'publish'; documents: Partial<StoreDocuments> }
  | { kind: 'wait'; ms: number }

const order = fc.record({
  kind: fc.constant('order' as const),
  facts: fc.record({
    guideId: fc.option(fc.constantFrom(...guideIds)),
    memberId: fc.option(fc.constantFrom('m1', 'm2', 'm3')),
    amountFen: fc.option(fc.integer({ min: 0, max: 1000 })),
    cartId: fc.option(fc.constantFrom('c1', 'c2', 'c3')),
    test: fc.constantFrom(false, false, false, false, true),
  }),
})

export const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 10, arbitrary: order },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'reject' as const,
        'close' as const,
        'pay' as const,
        'accept' as const,
        'refuse' as const,
      ),
      order: fc.nat(20),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('reassign' as const),
      order: fc.nat(20),
      guide: fc.constantFrom(...guideIds),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('pause' as const, 'quarantine' as const, 'register' as const),
      guide: fc.constantFrom(...guideIds),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      documents: fc.oneof(
        fc.record({ staff: anyStaff }),
        fc.record({ roster: anyRoster }),
        fc.record({ plan: anyPlan }),
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, minuteMs, 30 * minuteMs, hourMs, 9 * hourMs),
    }),
  },
)

export const anyEvents = fc.array(anyEvent, { maxLength: 50 })

/**
 * Lets it all happen in a store, one after another; the orders as they are at the end. `before`: the numbers of an
 * earlier life, which events mean too.
 */
export async function live(
  past: Past,
  storeId: number,
  events: readonly Event[],
  before: readonly string[] = [],
): Promise<Order[]> {
  const { mirror, clock } = past
  mirror.setOwner({ merchant, memberId: 'm1', guideId: 'A', sinceMs: clock.ms, expiresAtMs: null })
  mirror.setOwner({
    merchant,
    memberId: 'm2',
    guideId: 'B',
    sinceMs: clock.ms - 90 * hourMs,
    expiresAtMs: null,
  })
  const orders: Order[] = []
  for (const outTradeNo of before) {
    const known = await past.ledger.find({ merchant, outTradeNo })
    if (known) orders.push(known)
  }
  for (const event of events) {
    clock.ms += 1
    switch (event.kind) {
      case 'order':
        orders.push(await past.order(storeId, event.facts))
        break
      case 'wait':
        clock.ms += event.ms
        break
      case 'pause':
        mirror.pause({
          storeId,
          guideId: event.guide,
          untilMs: clock.ms + hourMs,
          why: 'tea',
          author: 'test',
        })
        break
      case 'quarantine':
      case 'register':
        mirror.putGuide({
          id: event.guide,
          storeId,
          state: event.kind === 'register' ? 'registered' : 'quarantined',
        })
        break
      case 'lose':
        past.lose(event.guide, storeId)
        break
      case 'publish':
        past.publish(storeId, event.documents)
        break
      case 'reassign': {
        const order = orders[event.order % Math.max(1, orders.length)]
        if (order) await past.reassign(order, event.guide)
        break
      }
      default: {
        const order = orders[event.order % Math.max(1, orders.length)]
        if (order) await past[event.kind](order)
      }
    }
  }
  const now = await Promise.all(orders.map(one => past.ledger.find(one)))
  return now.filter(one => one !== null)
}
