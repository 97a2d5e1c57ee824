import { printFacts } from '../assignment/facts.ts'
import { lookAround, type OrderFacts, resolve } from '../assignment/resolve.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Mirror } from '../mirror/mirror.ts'
import { calendarOf } from '../rules/calendar.ts'
import { regular, timezone } from './shop.ts'

const orderCount = 150
const openMinute = 9 * 60
const closeMinute = 22 * 60

/**
 * A day of orders in a store, so that there is something to explain and to replay: decided by the rules as if they had
 * come yesterday, and none of them sent to anybody. Does nothing when they are there.
 */
export async function seedYesterday(
  { ledger, mirror }: { ledger: Ledger; mirror: Mirror },
  storeId: number,
  nowMs: number,
): Promise<void> {
  const calendar = calendarOf(timezone)
  const yesterday = calendar.momentAt(nowMs).day - 1
  for (let index = 0; index < orderCount; index++) {
    const minute = openMinute + Math.floor(((closeMinute - openMinute) * index) / orderCount)
    const atMs = calendar.instantOf(yesterday, minute)
    const store = mirror.readyStore(storeId, atMs)
    if (!store) return
    const order = { merchant: store.merchant, ...anOrder(storeId, index) }
    const around = lookAround(mirror, store, order, atMs, 600_000)
    const recorded = await ledger.record({ ...order, facts: printFacts(order) }, view =>
      resolve(order, around, view),
    )
    if (!recorded.isNew) return
    const settlement = { status: 'assigned', settledAtMs: atMs + 12, upstream: null } as const
    await ledger.settle(recorded.order, settlement, [])
  }
}

function anOrder(storeId: number, index: number): OrderFacts {
  return {
    storeId,
    outTradeNo: `Y${String(index + 1).padStart(4, '0')}`,
    memberId: index % 9 === 4 ? regular : null,
    memberLevel: null,
    amountFen: 3900 + ((index * 7919) % 60_000),
    channel: index % 3 === 0 ? 'payment_code' : 'mini_program',
    guideId: null,
    cartId: null,
    createdAtMs: null,
    test: false,
  }
}
