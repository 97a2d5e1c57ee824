import type { InHand } from './assignment/assignments.ts'
import type { Attempt, Order } from './ledger/order.ts'

/**
 * What the log says of an order when it is settled, once a generation: closed fields, nothing that a till sent of the
 * payer. Milliseconds from its arrival; `null` for what a process before this one knew, or nobody.
 */
export function orderLine(order: Order, inHand: InHand | null) {
  const attempts: Attempt[] = order.attemptCount === 0 ? [] : JSON.parse(order.attempts)
  const [first] = attempts
  const { decidedAtMs, settledAtMs } = order
  return {
    out_trade_no: order.outTradeNo,
    store_id: order.storeId,
    status: order.status,
    reason: order.reason,
    guide_id: order.guideId,
    generation: order.generation,
    attempts: order.attemptCount,
    outcomes: attempts.map(({ outcome }) => outcome),
    ms: {
      recorded: inHand?.recordedMs == null ? null : Math.round(inHand.recordedMs * 10) / 10,
      first_answer: first ? Math.round((first.at_ms + first.ms - decidedAtMs) * 10) / 10 : null,
      settled: settledAtMs === null ? null : settledAtMs - decidedAtMs,
    },
    upstream_request_ids: attempts.flatMap(({ request_id }) => request_id ?? []),
    request_id: inHand?.origin?.requestId ?? null,
    trace_id: inHand?.origin?.trace?.traceId ?? null,
  }
}
