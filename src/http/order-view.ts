import { z } from '@hono/zod-openapi'
import type { Attempt, Order, Upstream } from '../ledger/ledger.ts'
import { isoOf } from './edge.ts'

const nullableInstant = z.string().nullable()

const upstreamSchema = z.object({
  status: z.int(),
  code: z.string(),
  message: z.string(),
  request_id: z.string().nullable(),
})

/** What the till is told of an order. */
export const assignmentSchema = z
  .object({
    out_trade_no: z.string(),
    store_id: z.int(),
    status: z.enum(['assigned', 'pending', 'unassigned', 'skipped', 'rejected', 'expired']),
    guide_id: z.string().nullable(),
    generation: z.int(),
    reason: z.string(),
    decided_at: z.string(),
    assigned_at: nullableInstant,
    expires_at: z.string(),
    upstream: upstreamSchema.optional(),
  })
  .openapi('Assignment')

/** The same with its history: attempts oldest first, the last 20 of them. */
export const orderSchema = assignmentSchema
  .extend({
    paid_at: nullableInstant,
    closed_at: nullableInstant,
    too_late: z
      .boolean()
      .openapi({ description: 'Paid before WeChat Pay had accepted the guide.' }),
    attempt_count: z.int(),
    attempts: z.array(
      z.object({
        at: z.string(),
        host: z.string(),
        ms: z.number(),
        outcome: z.string(),
        request_id: z.string().nullable(),
      }),
    ),
  })
  .openapi('Order')

export function viewAssignment(order: Order): z.infer<typeof assignmentSchema> {
  const upstream: Upstream | null = order.upstream === null ? null : JSON.parse(order.upstream)
  return {
    out_trade_no: order.outTradeNo,
    store_id: order.storeId,
    status: order.status,
    guide_id: order.guideId,
    generation: order.generation,
    reason: order.reason,
    decided_at: isoOf(order.decidedAtMs),
    assigned_at: assignedAtMs(order) === null ? null : isoOf(order.settledAtMs ?? 0),
    expires_at: isoOf(order.expiresAtMs),
    ...(upstream ? { upstream } : {}),
  }
}

export function viewOrder(order: Order): z.infer<typeof orderSchema> {
  const attempts: Attempt[] = JSON.parse(order.attempts)
  return {
    ...viewAssignment(order),
    paid_at: order.paidAtMs === null ? null : isoOf(order.paidAtMs),
    closed_at: order.closedAtMs === null ? null : isoOf(order.closedAtMs),
    too_late: isTooLate(order),
    attempt_count: order.attemptCount,
    attempts: attempts.map(({ at_ms, ...attempt }) => ({ at: isoOf(at_ms), ...attempt })),
  }
}

function assignedAtMs(order: Order): number | null {
  return order.status === 'assigned' ? order.settledAtMs : null
}

function isTooLate(order: Order): boolean {
  if (order.paidAtMs === null || order.guideId === null || order.status === 'rejected') return false
  return order.paidAtMs < (assignedAtMs(order) ?? Number.POSITIVE_INFINITY)
}
