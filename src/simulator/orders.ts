import { type Bill, type Payment, settleBill } from './bill.ts'
import { createRecentMap } from './recent-map.ts'
import type { World } from './world.ts'

const MAX_ORDERS = 200_000

export interface Assignment {
  guideId: string
  atMs: number
}

/** `first` and `last` are of before the payment; `late` came after it. */
export interface Order {
  first?: Assignment
  last?: Assignment
  late?: Assignment
  bill?: Bill
}

export type Orders = ReturnType<typeof createOrders>

/** Lives in memory: at least the last 200,000 orders, each known by merchant and number. */
export function createOrders(world: World) {
  const orders = createRecentMap<Order>(MAX_ORDERS)
  const keyOf = (outTradeNo: string, subMchid: string | null) => `${subMchid ?? ''} ${outTradeNo}`

  return {
    assign(
      outTradeNo: string,
      subMchid: string | null,
      assigned: Assignment,
    ): 'accepted' | 'paid' | 'taken' {
      const { after_payment, reassign } = world.policies()
      const key = keyOf(outTradeNo, subMchid)
      const order = orders.get(key) ?? {}
      if (order.bill) {
        if (after_payment === 'reject') return 'paid'
        orders.set(key, { ...order, late: assigned })
        return 'accepted'
      }
      const sameGuide = order.last?.guideId === assigned.guideId
      if (order.last && !sameGuide && reassign === 'reject') return 'taken'
      const first = order.first?.guideId === assigned.guideId ? assigned : (order.first ?? assigned)
      orders.set(key, { ...order, first, last: assigned })
      return 'accepted'
    },

    pay(payment: Payment): Bill {
      const key = keyOf(payment.outTradeNo, payment.subMchid)
      const order = orders.get(key)
      if (order?.bill) return withLateAssign(order.bill, order)
      const bill = settleBill(payment, order, world)
      orders.set(key, { ...order, bill })
      return bill
    },

    bill(outTradeNo: string, subMchid: string | null): Bill | undefined {
      const order = orders.get(keyOf(outTradeNo, subMchid))
      return order?.bill && withLateAssign(order.bill, order)
    },
  }
}

/** The bill stays as it was at payment; what changes is what we can say about it. */
function withLateAssign(bill: Bill, { late }: Order): Bill {
  if (bill.code !== 'not_assigned' || !late) return bill
  return {
    ...bill,
    code: 'assigned_after_payment',
    why: `Guide ${late.guideId} was assigned after order ${bill.out_trade_no} had been paid.`,
  }
}
