import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { replayPeriod } from '../../src/assignment/replays.ts'
import type { Order, OrderTrace } from '../../src/ledger/order.ts'
import { createReplay, type PastOrder, type ReplayReport } from '../../src/rules/replay.ts'
import { aDirectory } from '../support/ledger.ts'
import {
  anyDocuments,
  anyEvent,
  anyEvents,
  anyPlan,
  anyRoster,
  anyStaff,
  aPlan,
  type Event,
  guideIds,
  live,
  openPast,
} from '../support/past.ts'
import { aStaff, aStore, hourMs, mondayMs } from '../support/rules.ts'
import { atLength } from '../support/thorough.ts'

const directory = aDirectory()
const past = openPast(`${directory.path}/past.db`)
const other = openPast(`${directory.path}/other.db`)
afterAll(() => {
  past.db.$client.close()
  other.db.$client.close()
  directory.remove()
})

let storesMade = 0
const aStoreId = () => ++storesMade
const order = (facts: object = {}): Event => ({ kind: 'order', facts })
const isMeant = ({ facts }: Order) => !facts.includes('"test"')

async function replayed(...args: Parameters<typeof past.reports.replay>): Promise<ReplayReport> {
  const report = await past.reports.replay(...args)
  if (!report) throw new Error('too many orders')
  return report
}

describe('a replay', () => {
  it('of the documents that were in force changes nothing, wherever the period begins and ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyDocuments,
        anyEvents,
        fc.nat(20),
        fc.nat(20),
        async (documents, events, skip, drop) => {
          const startMs = past.clock.ms
          const store = past.openStore(aStoreId(), guideIds, documents)
          const orders = (await live(past, store.storeId, events)).filter(isMeant)
          const fromMs = orders[Math.min(skip, orders.length - 1)]?.decidedAtMs ?? startMs
          const toMs = Math.max(fromMs + 1, orders.at(-1 - drop)?.decidedAtMs ?? fromMs + 1)
          const asked = orders.filter(one => one.decidedAtMs >= fromMs && one.decidedAtMs < toMs)
          const report = await replayed(store, { fromMs, toMs }, {})
          expect(report).toMatchObject({ orders: asked.length, changed: 0, sample: [] })
          expect(report.uncovered_after).toBe(report.uncovered_before)
        },
      ),
      { numRuns: atLength(33, 200) },
    )
  })

  it('of the documents that were in force changes nothing though guides leave the staff and come back', async () => {
    const anOrder = fc.constant(order({ amountFen: 500 }))
    const aChange = fc.record({
      kind: fc.constant('publish' as const),
      documents: fc.record({ staff: anyStaff }),
    })
    const anEnd = fc.record({
      kind: fc.constantFrom('reject' as const, 'close' as const),
      order: fc.nat(99),
    })
    const events = fc.array(
      fc.oneof(
        { weight: 12, arbitrary: anOrder },
        { weight: 2, arbitrary: aChange },
        { weight: 1, arbitrary: anEnd },
        { weight: 1, arbitrary: fc.constant({ kind: 'wait' as const, ms: 30 * hourMs }) },
      ),
      { minLength: 40, maxLength: 120 },
    )
    const plan = aPlan({ use: 'rotate', among: { on_shift: false } })
    let handedOn = 0
    await fc.assert(
      fc.asyncProperty(anyStaff, events, fc.nat(60), async (staff, events, skip) => {
        const store = past.openStore(aStoreId(), guideIds, { staff, plan })
        const orders = (await live(past, store.storeId, [order(), ...events])).filter(isMeant)
        handedOn += orders.filter(({ trace }) => trace?.includes('handedOn')).length
        const fromMs = orders[Math.min(skip, orders.length - 1)]?.decidedAtMs ?? 0
        const report = await replayed(store, { fromMs, toMs: past.clock.ms + 1 }, {})
        expect(report).toMatchObject({ changed: 0, sample: [] })
      }),
      { numRuns: atLength(25, 150) },
    )
    expect(handedOn).toBeGreaterThan(atLength(10, 100))
  })

  it('of a default staff whose guides come and go at WeChat Pay changes nothing, and verify finds nothing', async () => {
    const ofGuide = fc.record({
      kind: fc.constantFrom('lose' as const, 'register' as const),
      guide: fc.constantFrom(...guideIds),
    })
    let handedOn = 0
    await fc.assert(
      fc.asyncProperty(
        anyPlan,
        fc.array(fc.oneof(anyEvent, anyEvent, ofGuide), { minLength: 30, maxLength: 80 }),
        fc.nat(40),
        async (plan, events, skip) => {
          const happened = events.filter(
            one => one.kind !== 'publish' || one.documents.staff === undefined,
          )
          const store = past.openStore(aStoreId(), guideIds, { plan })
          const orders = await live(past, store.storeId, [order(), ...happened])
          handedOn += orders.filter(({ trace }) => trace?.includes('handedOn')).length
          const toMs = past.clock.ms + 1
          const { faults } = await past.reports.verify(store, { fromMs: 0, toMs })
          expect(faults).toEqual([])
          const fromMs = orders[Math.min(skip, orders.length - 1)]?.decidedAtMs ?? 0
          const report = await replayed(store, { fromMs, toMs }, {})
          expect(report).toMatchObject({ changed: 0, sample: [] })
        },
      ),
      { numRuns: atLength(12, 60) },
    )
    expect(handedOn).toBeGreaterThan(atLength(1, 20))
  })

  it('of the documents that were in force changes nothing though guides were refused, others named, and changes undone', async () => {
    const anIndex = fc.nat(99)
    const aGuide = fc.constantFrom(...guideIds)
    const facts = fc.record({
      cartId: fc.constantFrom(null, null, null, 'c1', 'c2'),
      guideId: fc.option(aGuide),
    })
    const events = fc.array(
      fc.oneof(
        { weight: 10, arbitrary: facts.map(order) },
        {
          weight: 8,
          arbitrary: fc.record({
            kind: fc.constantFrom('refuse' as const, 'refuse' as const, 'accept' as const),
            order: anIndex,
          }),
        },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constantFrom('reject' as const, 'close' as const, 'pay' as const),
            order: anIndex,
          }),
        },
        {
          weight: 4,
          arbitrary: fc.record({
            kind: fc.constant('reassign' as const),
            order: anIndex,
            guide: aGuide,
          }),
        },
        {
          weight: 6,
          arbitrary: fc.record({ kind: fc.constant('register' as const), guide: aGuide }),
        },
        { weight: 1, arbitrary: fc.constant({ kind: 'wait' as const, ms: 60_000 }) },
      ),
      { minLength: 20, maxLength: 60, size: 'max' },
    )
    const plans = fc.constantFrom(
      aPlan({ use: 'rotate' }),
      aPlan({ use: 'hint', counts: 'clamped' }, { use: 'rotate' }),
    )
    let followed = 0
    await fc.assert(
      fc.asyncProperty(
        anyStaff,
        plans,
        events,
        fc.nat(10),
        fc.nat(10),
        async (staff, plan, events, skip, drop) => {
          past.clock.ms += 48 * hourMs
          const startMs = past.clock.ms
          const store = past.openStore(aStoreId(), guideIds, { staff, plan })
          const orders = (await live(past, store.storeId, events)).filter(isMeant)
          const fromMs = orders[Math.min(skip, orders.length - 1)]?.decidedAtMs ?? startMs
          const toMs = Math.max(fromMs + 1, orders.at(-1 - drop)?.decidedAtMs ?? fromMs + 1)
          for (const period of [
            { fromMs: startMs, toMs: past.clock.ms + 1 },
            { fromMs, toMs },
          ]) {
            const asked = orders.filter(
              one => one.decidedAtMs >= period.fromMs && one.decidedAtMs < period.toMs,
            )
            const report = await replayed(store, period, {})
            expect(report).toMatchObject({ orders: asked.length, changed: 0, sample: [] })
            for (const { guide_id, count_before } of report.guides)
              expect(count_before).toBe(asked.filter(one => one.guideId === guide_id).length)
          }
          followed += orders.filter(({ generation }) => generation > 1).length
        },
      ),
      { numRuns: atLength(20, 120) },
    )
    expect(followed).toBeGreaterThan(atLength(4, 80))
  })

  it('of a draft gives what the same orders get in a shop that lived by the draft from its first day', async () => {
    let changed = 0
    await fc.assert(
      fc.asyncProperty(
        anyDocuments,
        fc.record({ roster: anyRoster, plan: anyPlan }),
        anyEvents,
        async (documents, draft, events) => {
          // Where the draft gives an order to another, nobody knows whom WeChat Pay or the manager had refused or named.
          const happened = events.filter(
            ({ kind }) => !['reject', 'refuse', 'reassign', 'publish'].includes(kind),
          )
          const storeId = aStoreId()
          const fromMs = past.clock.ms
          other.clock.ms = fromMs
          const store = past.openStore(storeId, guideIds, documents)
          other.openStore(storeId, guideIds, { ...documents, ...draft })
          const before = (await live(past, storeId, happened)).filter(isMeant)
          const after = (await live(other, storeId, happened)).filter(isMeant)
          const report = await replayed(store, { fromMs, toMs: past.clock.ms + 1 }, draft)
          const differing = before.filter((one, index) => one.guideId !== after[index]?.guideId)
          expect(report.changed).toBe(differing.length)
          expect(report.sample.map(one => one.out_trade_no)).toEqual(
            differing.slice(0, 20).map(({ outTradeNo }) => outTradeNo),
          )
          for (const { guide_id, count_before, count_after } of report.guides) {
            expect(count_before).toBe(before.filter(one => one.guideId === guide_id).length)
            expect(count_after).toBe(after.filter(one => one.guideId === guide_id).length)
          }
          expect(report.uncovered_after).toBe(after.filter(one => one.guideId === null).length)
          if (after.every(one => one.turn !== 'refunded')) {
            expect(report.worst_deviation).toBeCloseTo(worstByHand(after), 3)
          }
          changed += differing.length
          past.clock.ms += 48 * hourMs
        },
      ),
      { numRuns: atLength(33, 200) },
    )
    expect(changed).toBeGreaterThan(atLength(6, 80))
  })

  it('leaves an order with whom the draft gave it, who was not the one refused; what a manager named happens all the same', async () => {
    const fromMs = past.clock.ms
    const staff = aStaff(['A', 'B', 'C'])
    const store = past.openStore(aStoreId(), ['A', 'B', 'C'], {
      staff,
      plan: aPlan({ use: 'rotate' }),
    })
    await live(past, store.storeId, [
      order(),
      { kind: 'refuse', order: 0 },
      order(),
      { kind: 'accept', order: 1 },
      { kind: 'reassign', order: 1, guide: 'B' },
      order(),
    ])
    const period = { fromMs, toMs: past.clock.ms + 1 }
    const report = await replayed(store, period, { plan: aPlan({ use: 'guide', id: 'C' }) })
    const told = report.sample.map(({ before, after }) => [before.guide_id, after.guide_id])
    expect(report.orders).toBe(3)
    expect(told[0]).toEqual(['B', 'C'])
    expect(report.guides.find(one => one.guide_id === 'B')).toMatchObject({ count_after: 1 })
    expect(report.guides.find(one => one.guide_id === 'C')).toMatchObject({ count_after: 2 })
  })

  it('knows who was quarantined then, whatever came to them since, though the first order was too late to be asked about', async () => {
    const store = past.openStore(aStoreId(), ['A', 'B', 'C'], {
      staff: aStaff(['A', 'B', 'C']),
      plan: aPlan({ use: 'rotate' }),
    })
    const fromMs = past.clock.ms
    await live(past, store.storeId, [
      order({ createdAtMs: fromMs - hourMs }),
      ...Array.from({ length: 6 }, () => order()),
      { kind: 'quarantine', guide: 'A' },
      order(),
    ])
    const report = await replayed(store, { fromMs, toMs: past.clock.ms + 1 }, {})
    expect(report).toMatchObject({ orders: 8, changed: 0 })
  })

  it.each([
    ['once, whoever was quarantined meanwhile, when the draft has all three', 'all', 1],
    ['once for each version of a document that it lacks', 'staff', 3],
  ])('reads the documents %s', async (_, drafted, readings) => {
    const store = past.openStore(aStoreId(), ['A', 'B', 'C'], {})
    const fromMs = past.clock.ms
    const states: Event[] = ['A', 'B', 'C'].flatMap(guide => [
      { kind: 'quarantine', guide },
      order(),
      { kind: 'register', guide },
      order(),
    ])
    const plans = [1, 2].flatMap((max_age_days): Event[] => [
      {
        kind: 'publish',
        documents: { plan: aPlan({ use: 'owner', max_age_days }, { use: 'rotate' }) },
      },
      ...states,
    ])
    await live(past, store.storeId, [...states, ...plans])
    let read = 0
    const mirror = {
      ...past.mirror,
      rulesFor: (...asked: Parameters<typeof past.mirror.rulesFor>) => {
        read += 1
        return past.mirror.rulesFor(...asked)
      },
    }
    const { staff, roster, plan } = past.mirror.documentsAt(store, past.clock.ms)
    const draft = {
      staff: staff.body,
      roster: roster.body,
      ...(drafted === 'all' ? { plan: plan.body } : {}),
    }
    const report = await past.history.read(snapshot =>
      replayPeriod(mirror, snapshot, store, { fromMs, toMs: past.clock.ms + 1 }, draft),
    )
    expect([report.orders, report.changed, read]).toEqual([18, 0, readings])
  })

  it('shows which orders change, who gets more, and what is left uncovered', async () => {
    const fromMs = past.clock.ms
    const store = past.openStore(aStoreId(), ['A', 'B', 'C', 'D'], {
      plan: aPlan({ use: 'rotate' }),
    })
    await live(past, store.storeId, [
      ...Array.from({ length: 8 }, () => order({ amountFen: 100 })),
      order({ test: true, amountFen: 100 }),
      ...Array.from({ length: 4 }, () => order({ amountFen: 9 })),
    ])
    const period = { fromMs, toMs: past.clock.ms + 1 }
    const draft = {
      plan: aPlan(
        { use: 'guide', id: 'B', when: { min_amount: 100 } },
        { use: 'rotate', when: { min_amount: 10 } },
      ),
    }
    const report = await replayed(store, period, draft)
    expect(report).toMatchObject({
      orders: 12,
      changed: 10,
      uncovered_before: 0,
      uncovered_after: 4,
      worst_deviation: 0,
    })
    expect(report.guides).toEqual([
      { guide_id: 'A', count_before: 3, count_after: 0, share_after: 0 },
      { guide_id: 'B', count_before: 3, count_after: 8, share_after: 0 },
      { guide_id: 'C', count_before: 3, count_after: 0, share_after: 0 },
      { guide_id: 'D', count_before: 3, count_after: 0, share_after: 0 },
    ])
    expect(report.sample[0]).toMatchObject({
      before: { guide_id: 'A', reason: 'FAIR_TURN' },
      after: { guide_id: 'B', reason: 'NAMED' },
    })
  })

  it('begins with the balances of the day before the period, and applies the refund of an older order when it came', async () => {
    const store = past.openStore(aStoreId(), ['A', 'B', 'C'], { plan: aPlan({ use: 'rotate' }) })
    const older = await live(past, store.storeId, [order(), order(), order(), order()])
    past.clock.ms += 40 * hourMs
    const fromMs = past.clock.ms
    await live(past, store.storeId, [order(), order()])
    // Both were A's: A is owed two turns now, and takes two running.
    for (const one of [older[0], older[3]]) if (one) await past.close(one)
    await live(past, store.storeId, [order(), order(), order(), order()])
    const period = { fromMs, toMs: past.clock.ms + 1 }
    expect(await replayed(store, period, {})).toMatchObject({ orders: 6, changed: 0 })
  })

  it('gives turns back in the order in which orders were closed, though none took one then', async () => {
    const storeId = aStoreId()
    const fromMs = past.clock.ms
    other.clock.ms = fromMs
    const store = past.openStore(storeId, ['A', 'B'], { plan: aPlan({ use: 'guide', id: 'A' }) })
    const draft = { plan: aPlan({ use: 'rotate' }) }
    other.openStore(storeId, ['A', 'B'], draft)
    const happened: Event[] = [
      ...Array.from({ length: 4 }, () => order()),
      ...[0, 2, 3, 1].map(closed => ({ kind: 'close' as const, order: closed })),
      order(),
    ]
    await live(past, storeId, happened)
    const after = await live(other, storeId, happened)
    expect(after.map(({ guideId }) => guideId)).toEqual(['A', 'B', 'A', 'B', 'B'])
    const report = await replayed(store, { fromMs, toMs: past.clock.ms + 1 }, draft)
    expect(report.guides).toMatchObject([
      { guide_id: 'A', count_after: 2 },
      { guide_id: 'B', count_after: 3 },
    ])
  })

  it('lends no guide from an order that was paid or is a day old, though nobody served it then', async () => {
    const storeId = aStoreId()
    const fromMs = past.clock.ms
    const store = past.openStore(storeId, ['A', 'B'], { plan: aPlan() })
    await live(past, storeId, [
      order({ cartId: 'c' }),
      { kind: 'pay', order: 0 },
      order({ cartId: 'c' }),
      { kind: 'wait', ms: 24 * hourMs },
      order({ cartId: 'c' }),
      order({ cartId: 'c' }),
    ])
    const period = { fromMs, toMs: past.clock.ms + 1 }
    const { sample } = await replayed(store, period, { plan: aPlan({ use: 'rotate' }) })
    expect(sample.map(({ after }) => [after.guide_id, after.reason])).toEqual([
      ['A', 'FAIR_TURN'],
      ['B', 'FAIR_TURN'],
      ['A', 'FAIR_TURN'],
      ['A', 'STICKY_CART'],
    ])
  })

  it.each([
    ['left open', () => null],
    ['paid', (id: number) => ({ by: 'paid' as const, after: id })],
    ['closed at once', (id: number) => ({ by: 'closed' as const, after: id })],
    ['closed in the end', (_: number) => ({ by: 'closed' as const, after: 40_000 })],
    [
      'closed in the end, newest first',
      (id: number) => ({ by: 'closed' as const, after: 80_000 - id }),
    ],
    ['rejected', (id: number) => ({ by: 'rejected' as const, after: id })],
  ])('takes less than two seconds for 40,000 orders of one cart, all %s', (_, endOf) => {
    const replay = createReplay(new Map())
    const rules = aStore()
    // Of this process alone: a busy machine must not fail it.
    const started = process.cpuUsage()
    for (let id = 1; id <= 40_000; id++) {
      const end = endOf(id)
      replay.next(aPast(id, end && { ...end, seq: id, number: null }), rules)
    }
    replay.next(aPast(90_000, null), rules)
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(2000)
    expect(replay.end().uncovered_after).toBe(0)
  })
})

/** An order of the one cart that nobody served. */
function aPast(id: number, returned: PastOrder['returned']): PastOrder {
  return {
    id,
    outTradeNo: `cart-${id}`,
    atMs: mondayMs + id,
    firstAtMs: mondayMs + id,
    channel: null,
    memberLevel: null,
    amountFen: null,
    hint: null,
    owner: null,
    sticky: null,
    cartId: 'till-1',
    paused: new Set(),
    isDecided: true,
    wasAccepted: false,
    guideId: null,
    reason: 'NO_STEP_MATCHED',
    turn: null,
    isInherited: false,
    returned,
    next: null,
  }
}

function worstByHand(orders: readonly Order[]): number {
  const seen = new Set<string>()
  const deviations = new Map<string, number>()
  let worst = 0
  for (const { trace, reason } of orders) {
    const { turn }: OrderTrace = JSON.parse(trace ?? '{}')
    if (!turn || (reason !== 'FAIR_TURN' && reason !== 'ONLY_ONE')) continue
    if (seen.has(`${turn.book} ${turn.number}`)) continue
    seen.add(`${turn.book} ${turn.number}`)
    const total = turn.candidates.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [index, [id, weight]] of turn.candidates.entries()) {
      const now = (deviations.get(id) ?? 0) + (index === turn.chosen ? 1 : 0) - weight / total
      deviations.set(id, now)
      worst = Math.max(worst, Math.abs(now))
    }
  }
  return worst
}
