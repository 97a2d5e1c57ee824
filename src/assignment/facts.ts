import type { OrderFacts } from './resolve.ts'

/** What a caller says of an order: the facts that the decision looks at, and those that are only kept. */
export type PostedFacts = Omit<OrderFacts, 'outTradeNo'>

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

/** The names of the fields on which two printed facts differ; empty when they are the same. */
export function differingFields(one: string, other: string): string[] {
  if (one === other) return []
  const [a, b]: Record<string, unknown>[] = [JSON.parse(one), JSON.parse(other)]
  const names = new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])
  return [...names].filter(name => a?.[name] !== b?.[name])
}
