import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Order } from '../../src/ledger/order.ts'
import type { StoreDocuments } from '../../src/mirror/mirror.ts'
import { decide } from '../../src/rules/decide.ts'
import { staffSchema } from '../../src/rules/staff.ts'
import { aDirectory } from '../support/ledger.ts'
import { aPlan, openPast, type Past } from '../support/past.ts'
import { hourMs, minuteMs } from '../support/rules.ts'

let directory: ReturnType<typeof aDirectory>
let past: Past

beforeEach(() => {
  directory = aDirectory()
  past = openPast(`${directory.path}/past.db`)
})
afterEach(() => {
  past.db.$client.close()
  directory.remove()
})

const ids = ['A', 'B', 'C', 'D']
const capped = (caps: { per_day?: number; per_hour?: number }): Partial<StoreDocuments> => ({
  staff: staffSchema.parse({
    timezone: 'Asia/Shanghai',
    day_starts_at: '04:00',
    guides: ids.map(id => ({ id, caps })),
  }),
  plan: aPlan({ use: 'hint' }, { use: 'rotate' }),
})

function countsOf(orders: readonly Order[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { guideId } of orders) {
    if (guideId !== null) counts[guideId] = (counts[guideId] ?? 0) + 1
  }
  return counts
}

const inOneTick = (count: number, facts = {}) =>
  Promise.all(Array.from({ length: count }, () => past.order(1, facts)))

describe('a cap', () => {
  it.each([
    [{ per_hour: 5 }, 'CAP_HOUR'],
    [{ per_day: 5 }, 'CAP_DAY'],
    [{ per_hour: 9, per_day: 5 }, 'CAP_DAY'],
  ])(
    'of %j is never passed by 64 orders of the same tick, and who is over it says %s',
    async (caps, why) => {
      past.openStore(1, ids, capped(caps))
      const orders = await inOneTick(64)
      expect(countsOf(orders)).toEqual({ A: 5, B: 5, C: 5, D: 5 })
      const last = orders.at(-1)
      expect(last).toMatchObject({ status: 'unassigned', guideId: null })
      expect(JSON.parse(last?.trace ?? '{}').blocked).toEqual(ids.map(id => [id, why]))
    },
  )

  it('is held against hints too, which all name one guide', async () => {
    past.openStore(1, ids, capped({ per_hour: 3 }))
    const orders = await inOneTick(64, { guideId: 'B' })
    expect(countsOf(orders)).toEqual({ A: 3, B: 3, C: 3, D: 3 })
  })

  it('is passed, as this test can see, when orders are counted outside the transaction that records them', async () => {
    const { storeId } = past.openStore(1, ids, capped({ per_hour: 5 }))
    const ready = past.mirror.readyStore(storeId, past.clock.ms)
    if (!ready) throw new Error('no store')
    // The planted fault: each order reads the counts when it arrives, and not when it is its turn to be recorded.
    const countedBefore = () => ({ hour: 0, day: 0 })
    const orders = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const facts = past.factsOf(storeId, {})
        const { order } = await past.ledger.record(
          { ...facts, merchant: '1900000109', facts: '{}' },
          view => {
            const decision = decide(ready.rules, {
              ...facts,
              atMs: past.clock.ms,
              hint: null,
              owner: null,
              sticky: null,
              isPaused: () => false,
              openBook: view.openBook,
              tally: countedBefore,
            })
            return {
              ...decision,
              status: 'pending',
              asked: { owner: null, sticky: null },
              versions: ready.rules.versions,
              decidedAtMs: past.clock.ms,
              expiresAtMs: past.clock.ms + minuteMs,
            }
          },
        )
        return order
      }),
    )
    expect(Math.max(...Object.values(countsOf(orders)))).toBeGreaterThan(5)
  })

  it.each(['reject', 'close'] as const)(
    'gives the place back when an order ends with %s, once',
    async end => {
      past.openStore(1, ids, capped({ per_hour: 1 }))
      const orders = await inOneTick(4)
      expect((await past.order(1)).status).toBe('unassigned')
      const [first] = orders
      if (!first) throw new Error('no order')
      await past[end](first)
      await past.close(first)
      await past.reject(first)
      expect((await past.order(1)).guideId).toBe(first.guideId)
      expect((await past.order(1)).status).toBe('unassigned')
    },
  )

  it('does not count test orders, nor does closing one give a place', async () => {
    past.openStore(1, ids, capped({ per_hour: 1 }))
    const [scan] = await inOneTick(20, { test: true })
    if (!scan) throw new Error('no order')
    expect(countsOf(await inOneTick(4))).toEqual({ A: 1, B: 1, C: 1, D: 1 })
    await past.close(scan)
    expect((await past.order(1)).status).toBe('unassigned')
  })

  it('of the hour is free again when the hour turns over, that of the day when the business day does', async () => {
    past.openStore(1, ids, capped({ per_hour: 1, per_day: 2 }))
    expect(countsOf(await inOneTick(9))).toEqual({ A: 1, B: 1, C: 1, D: 1 })
    past.clock.ms += hourMs - 1
    expect((await past.order(1)).status).toBe('unassigned')
    past.clock.ms += 1
    expect(countsOf(await inOneTick(9))).toEqual({ A: 1, B: 1, C: 1, D: 1 })
    past.clock.ms += hourMs
    expect((await past.order(1)).status).toBe('unassigned')
    // 10:00 in Shanghai; the business day ends at 04:00.
    past.clock.ms += 18 * hourMs - 1
    expect((await past.order(1)).status).toBe('unassigned')
    past.clock.ms += 1
    expect((await past.order(1)).status).toBe('pending')
  })

  it('is counted the same after a restart', async () => {
    past.openStore(1, ids, capped({ per_hour: 2 }))
    await inOneTick(3)
    const [refused, closed] = await inOneTick(2)
    if (!refused || !closed) throw new Error('no order')
    await past.reject(refused)
    await past.close(closed)
    await inOneTick(2, { test: true })
    const { ms } = past.clock
    past.db.$client.close()
    past = openPast(`${directory.path}/past.db`)
    past.clock.ms = ms
    const after = await Promise.all(
      Array.from({ length: 20 }, (_, index) => past.order(1, { outTradeNo: `after-${index}` })),
    )
    // Of the five, A had two, and one each of the others; A's second and D's first were given back.
    expect(refused.guideId).toBe('D')
    expect(closed.guideId).toBe('A')
    expect(countsOf(after)).toEqual({ A: 1, B: 1, C: 1, D: 2 })
  })

  it('forgets what a transaction counted that was rolled back', async () => {
    past.openStore(1, ids, capped({ per_hour: 1 }))
    await inOneTick(1)
    past.db.$client.exec(
      "CREATE TRIGGER full BEFORE UPDATE ON books BEGIN SELECT raise(ABORT, 'disk'); END",
    )
    await expect(inOneTick(3)).rejects.toThrow('disk')
    past.db.$client.exec('DROP TRIGGER full')
    expect(countsOf(await inOneTick(9))).toEqual({ B: 1, C: 1, D: 1 })
  })

  it('counts each store by itself', async () => {
    past.openStore(1, ids, capped({ per_hour: 1 }))
    past.openStore(2, ids, capped({ per_hour: 1 }))
    await inOneTick(4)
    expect((await past.order(2)).status).toBe('pending')
  })
})
