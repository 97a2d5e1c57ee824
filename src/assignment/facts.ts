import type { Order } from '../ledger/order.ts'
import type { OrderFacts } from './resolve.ts'

/** What a caller says of an order: the facts that the decision looks at, and those that are only kept. */
export type PostedFacts = Omit<OrderFacts, 'outTradeNo'>

type PrintedFacts = {
  store_id: number
  member_id?: string
  member_level?: string
  channel?: string
  amount?: number
  guide_id?: string
  cart_id?: string
  created_at?: number
  test?: boolean
}

/** The facts in canonical form, under the names of the wire: equal text means equal facts. */
export function printFacts(posted: PostedFacts): string {
  return JSON.stringify({
    store_id: posted.storeId,
    member_id: posted.memberId ?? undefined,
    member_level: posted.memberLevel ?? undefined,
    channel: posted.channel ?? undefined,
    amount: posted.amountFen ?? undefined,
    guide_id: posted.guideId ?? undefined,
    cart_id: posted.cartId ?? undefined,
    created_at: posted.createdAtMs ?? undefined,
    test: posted.test || undefined,
  })
}

/** The facts of a recorded order. */
export function readFacts({ outTradeNo, facts }: Pick<Order, 'outTradeNo' | 'facts'>): OrderFacts {
  const posted: PrintedFacts = JSON.parse(facts)
  return {
    storeId: posted.store_id,
    outTradeNo,
    memberId: posted.member_id ?? null,
    memberLevel: posted.member_level ?? null,
    channel: posted.channel ?? null,
    amountFen: posted.amount ?? null,
    guideId: posted.guide_id ?? null,
    cartId: posted.cart_id ?? null,
    createdAtMs: posted.created_at ?? null,
    test: posted.test ?? false,
  }
}

/** The names of the fields on which two printed facts differ; empty when they are the same. */
export function differingFields(one: string, other: string): string[] {
  if (one === other) return []
  const [a, b]: Record<string, unknown>[] = [JSON.parse(one), JSON.parse(other)]
  const names = new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])
  return [...names].filter(name => a?.[name] !== b?.[name])
}
