import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { Order, OrderTrace } from '../../src/ledger/order.ts'
import { notChosenReasons } from '../../src/rules/eligibility.ts'
import { explain, followsFromNumbers, type Recorded, whyNotThem } from '../../src/rules/explain.ts'
import { shares, unitsPerOrder } from '../../src/rules/fairness.ts'
import type { LoggedTurn } from '../../src/rules/logged.ts'
import { planSchema } from '../../src/rules/plan.ts'
import { aDirectory } from '../support/ledger.ts'
import { anyDocuments, anyEvents, aPlan, guideIds, live, openPast } from '../support/past.ts'

const directory = aDirectory()
const past = openPast(`${directory.path}/past.db`)
afterAll(() => {
  past.db.$client.close()
  directory.remove()
})

let storesMade = 0
const aStoreId = () => ++storesMade
const closedReasons: readonly string[] = notChosenReasons

function aRecorded(facts: Partial<Recorded> = {}): Recorded {
  return {
    status: 'assigned',
    guideId: 'A',
    reason: 'FAIR_TURN',
    versions: { staff: 1, roster: 1, plan: 1 },
    steps: ['not_given', 'hit'],
    blocked: [],
    turn: null,
    isClosed: false,
    ...facts,
  }
}

function aTurn(chosen: number, ...candidates: LoggedTurn['candidates']): LoggedTurn {
  return { book: 'orders', units: unitsPerOrder, number: 9, chosen, candidates }
}

const plan = aPlan({ use: 'owner' }, { use: 'rotate' })

function staffOf(storeId: number, { staffVersion }: Order): string[] {
  const store = past.mirror.store(storeId)
  const staff = store && past.mirror.version(store, 'staff', staffVersion)
  return staff?.body.guides.map(({ id }) => id) ?? []
}

describe('an explanation', () => {
  it('tells what a guide who had left the staff stood at, and to whom that went', async () => {
    const staffOf = (ids: string[]) => ({
      timezone: 'Asia/Shanghai',
      day_starts_at: '00:00',
      guides: ids.map(id => ({ id, weight: 1, rotates: true })),
    })
    const store = past.openStore(aStoreId(), guideIds, { staff: staffOf(['A', 'B', 'C', 'D']) })
    const [first] = await live(past, store.storeId, [{ kind: 'order', facts: {} }])
    past.publish(store.storeId, { staff: staffOf(['B', 'C', 'D']) })
    const [trial, next] = await live(past, store.storeId, [
      { kind: 'order', facts: { test: true } },
      { kind: 'order', facts: {} },
    ])
    if (!trial) throw new Error('no order')
    expect(past.reports.explain(trial)).not.toHaveProperty('handed_on')
    if (!first || !next) throw new Error('no order')
    expect(past.reports.explain(first)).not.toHaveProperty('handed_on')
    const { handed_on, guides } = past.reports.explain(next)
    expect(handed_on).toEqual([
      { guide_id: 'A', change: 0.75 },
      { guide_id: 'B', change: -0.25 },
      { guide_id: 'C', change: -0.25 },
      { guide_id: 'D', change: -0.25 },
    ])
    expect(guides.map(({ guide_id, balance_before }) => [guide_id, balance_before])).toEqual([
      ['B', 0],
      ['C', 0],
      ['D', 0],
    ])
  })

  it('names each guide of the staff exactly once with one reason of the list, and the winner follows from its numbers alone', async () => {
    const reasons = new Set<string>()
    await fc.assert(
      fc.asyncProperty(anyDocuments, anyEvents, async (documents, events) => {
        const { storeId } = past.openStore(aStoreId(), guideIds, documents)
        for (const order of await live(past, storeId, events)) {
          const { guides, steps, sentence, versions } = past.reports.explain(order)
          expect(guides.map(({ guide_id }) => guide_id).toSorted()).toEqual(
            staffOf(storeId, order).toSorted(),
          )
          const chosen = guides.filter(guide => guide.chosen)
          expect(chosen.map(guide => [guide.guide_id, guide.reason])).toEqual(
            order.guideId === null ? [] : [[order.guideId, order.reason]],
          )
          for (const { chosen, reason } of guides) {
            if (!chosen) expect(closedReasons).toContain(reason)
            reasons.add(reason)
          }
          expect(steps.length).toBeGreaterThan(0)
          expect(steps.filter(({ verdict }) => verdict === 'hit').length).toBeLessThanOrEqual(1)
          expect(versions.plan).toBe(order.planVersion)
          for (const text of [sentence.zh, sentence.en]) {
            if (order.guideId !== null) expect(text).toContain(order.guideId)
            expect(text).not.toMatch(/undefined|NaN|null|\(/)
          }
          const { turn }: OrderTrace = JSON.parse(order.trace ?? '{}')
          if (order.reason !== 'FAIR_TURN' && order.reason !== 'ONLY_ONE') continue
          if (!turn) throw new Error('no turn')
          expect(followsFromNumbers(turn)).toBe(true)
          expect(winnerByHand(turn)).toBe(order.guideId)
          const sum = guides.reduce(
            (total, { units }) => total + (units?.after ?? 0) - (units?.before ?? 0),
            0,
          )
          expect(sum).toBe(0)
        }
      }),
      // A seed, because every reason must come up.
      { numRuns: 150, seed: 20261123 },
    )
    for (const reason of [
      'FAIR_TURN',
      'ONLY_ONE',
      'HINT',
      'OWNER',
      'STICKY_CART',
      'NAMED',
      'RANDOM',
      'LISTED',
    ]) {
      expect(reasons).toContain(reason)
    }
    for (const reason of [
      'LOWER_BALANCE',
      'TIE_SERVED_LATER',
      'CAP_DAY',
      'CAP_HOUR',
      'PAUSED',
      'AWAY',
      'OFF_SHIFT',
      'QUARANTINED',
      'UNREGISTERED',
      'STEP_NOT_REACHED',
      'NOT_IN_POOL',
    ]) {
      expect(reasons).toContain(reason)
    }
  })

  it('tells the balances in orders beside the units, and by how much the winner was ahead', () => {
    const turn = aTurn(1, ['A', 1, -240_240, 3], ['B', 2, 120_120, 2], ['C', 1, 120_120, 1])
    const { guides, sentence } = explain(
      aRecorded({ guideId: 'B', turn, blocked: [['D', 'AWAY']] }),
      plan,
      [],
    )
    expect(guides).toEqual([
      {
        guide_id: 'B',
        chosen: true,
        reason: 'FAIR_TURN',
        balance_before: 0.1667,
        share: 0.5,
        balance_after: -0.3333,
        units: { before: 120_120, share: 360_360, after: -240_240 },
      },
      {
        guide_id: 'A',
        chosen: false,
        reason: 'LOWER_BALANCE',
        balance_before: -0.3333,
        share: 0.25,
        balance_after: -0.0833,
        units: { before: -240_240, share: 180_180, after: -60_060 },
      },
      {
        guide_id: 'C',
        chosen: false,
        reason: 'LOWER_BALANCE',
        balance_before: 0.1667,
        share: 0.25,
        balance_after: 0.4167,
        units: { before: 120_120, share: 180_180, after: 300_300 },
      },
      { guide_id: 'D', chosen: false, reason: 'AWAY' },
    ])
    expect(sentence).toEqual({
      zh: '轮到 B：计入本单份额后应得 0.6667 单，比下一位 C 多 0.25 单。',
      en: 'It was the turn of B: with a share of this order they were due 0.6667 orders, 0.25 orders more than the next, C.',
    })
  })

  it.each([
    [3, 5, 'and had served longer ago', '但上次接单更早'],
    [0, 0, 'and comes first by ID', '按编号在前'],
  ])('of a tie (last turns %i and %i) says %s', (one, other, en, zh) => {
    const turn = aTurn(0, ['A', 1, 0, one], ['B', 1, 0, other])
    const { guides, sentence } = explain(aRecorded({ turn }), plan, [])
    expect(guides[1]).toMatchObject({ guide_id: 'B', reason: 'TIE_SERVED_LATER' })
    expect(sentence.en).toContain(en)
    expect(sentence.zh).toContain(zh)
  })

  it('counts money where the plan is fair by amount', () => {
    const amount = planSchema.parse({
      fair_by: 'amount',
      steps: [{ use: 'rotate' }, { use: 'none' }],
    })
    const turn = { ...aTurn(0, ['A', 1, 72_000, 0], ['B', 1, -72_000, 0]), units: 7_200_000 }
    const { sentence } = explain(aRecorded({ turn }), amount, [])
    expect(sentence.zh).toBe('轮到 A：计入本单份额后应得 51.00 元，比下一位 B 多 2.00 元。')
    expect(sentence.en).toContain('CNY 51.00 of sales, CNY 2.00 of sales more than the next, B')
  })

  it.each([
    [{ reason: 'HINT' }, '收银员指定', 'the cashier named this guide'],
    [{ reason: 'OWNER' }, '会员的专属服务人员', "the member is this guide's own customer"],
    [{ reason: 'OWNER_COVER' }, '代班', 'standing in'],
    [{ reason: 'STICKY_CART' }, '同一购物车', 'the same cart'],
    [{ reason: 'ONLY_ONE' }, '只有这一位', 'nobody else'],
    [{ reason: 'NAMED' }, '规则指定', 'the plan names'],
    [{ reason: 'LISTED' }, '名单', 'on the list'],
    [{ reason: 'RANDOM' }, '随机', 'at random'],
    [{ reason: 'HINT', status: 'rejected' }, '微信支付拒绝了', 'WeChat Pay refused it'],
    [{ reason: 'HINT', status: 'expired' }, '未得到微信支付确认', 'had not confirmed it'],
    [{ reason: 'HINT', isClosed: true }, '已关闭', 'closed unpaid'],
    [
      { guideId: null, status: 'skipped', reason: 'PLATFORM_AUTO_ASSIGN' },
      '自动分配',
      'itself assigns',
    ],
    [{ guideId: null, status: 'skipped', reason: 'CHANNEL_UNSUPPORTED' }, 'JSAPI', 'JSAPI'],
    [{ guideId: null, status: 'expired', reason: 'WINDOW_OVER' }, '超过分配时限', 'Too late'],
    [
      { guideId: null, status: 'unassigned', reason: 'NO_STEP_MATCHED' },
      '没有人',
      'nobody was on the staff',
    ],
  ] as const)('says in two languages what %j means', (facts, zh, en) => {
    const { sentence } = explain(aRecorded(facts), plan, [])
    expect(sentence.zh).toContain(zh)
    expect(sentence.en).toContain(en)
  })

  it('of an order that nobody serves counts why', () => {
    const { sentence, guides } = explain(
      aRecorded({
        guideId: null,
        status: 'unassigned',
        reason: 'NO_STEP_MATCHED',
        steps: ['not_given', 'nobody_eligible', 'nobody'],
        blocked: [
          ['A', 'AWAY'],
          ['B', 'OFF_SHIFT'],
          ['C', 'OFF_SHIFT'],
        ],
      }),
      plan,
      [],
    )
    expect(guides).toHaveLength(3)
    expect(sentence).toEqual({
      zh: '无人服务：2 位不在班、1 位请假。',
      en: 'Nobody serves it: 2 off shift, 1 away.',
    })
  })

  it('names the staff of an order that the rules were never asked of', () => {
    const skipped = aRecorded({
      guideId: null,
      status: 'skipped',
      reason: 'PLATFORM_AUTO_ASSIGN',
      steps: [],
    })
    const { guides, steps } = explain(skipped, plan, ['A', 'B'])
    expect(guides).toEqual([
      { guide_id: 'A', chosen: false, reason: 'STEP_NOT_REACHED' },
      { guide_id: 'B', chosen: false, reason: 'STEP_NOT_REACHED' },
    ])
    expect(steps.map(({ verdict }) => verdict)).toEqual([
      'not_reached',
      'not_reached',
      'not_reached',
    ])
  })

  it('gives no numbers of a turn that was decided for an earlier order of the cart', () => {
    const turn = aTurn(0, ['A', 1, 0, 0], ['B', 1, 0, 0])
    const sticky = aRecorded({ reason: 'STICKY_CART', turn, blocked: [['B', 'OFF_SHIFT']] })
    expect(explain(sticky, plan, []).guides).toEqual([
      { guide_id: 'A', chosen: true, reason: 'STICKY_CART' },
      { guide_id: 'B', chosen: false, reason: 'OFF_SHIFT' },
    ])
    expect(whyNotThem(sticky, 'B')).toBe('OFF_SHIFT')
    expect(whyNotThem(sticky, 'A')).toBeNull()
  })
})

describe('the checker of a turn', () => {
  it('refuses every other winner, and numbers that another would have won by', () => {
    const turn = aTurn(0, ['A', 1, 10, 4], ['B', 1, 10, 5], ['C', 3, -400_000, 0])
    expect(followsFromNumbers(turn)).toBe(true)
    expect(followsFromNumbers({ ...turn, chosen: 1 })).toBe(false)
    expect(followsFromNumbers({ ...turn, chosen: 2 })).toBe(false)
    expect(followsFromNumbers({ ...turn, chosen: 7 })).toBe(false)
    expect(followsFromNumbers(aTurn(0, ['A', 1, 10, 6], ['B', 1, 10, 5]))).toBe(false)
    expect(followsFromNumbers(aTurn(0, ['A', 1, 9, 4], ['B', 1, 10, 5]))).toBe(false)
    expect(followsFromNumbers(aTurn(0, ['A', 1, 0, 0], ['B', 2, 0, 0]))).toBe(false)
    expect(followsFromNumbers(aTurn(0))).toBe(false)
  })
})

/** The rule as RULES.md has it, written again. */
function winnerByHand({ candidates, units }: LoggedTurn): string | undefined {
  const split = shares(
    candidates.map(([id, weight]) => ({ id, weight })),
    units,
  )
  return candidates
    .map(([id, , balance, lastServed], index) => ({
      id,
      credit: balance + (split[index] ?? 0),
      lastServed,
    }))
    .toSorted(
      (a, b) => b.credit - a.credit || a.lastServed - b.lastServed || (a.id < b.id ? -1 : 1),
    )[0]?.id
}
