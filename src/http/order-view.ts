import { z } from '@hono/zod-openapi'
import { decidedAtOf, type Earlier } from '../ledger/generations.ts'
import type { Attempt, Order, OrderTrace, Upstream } from '../ledger/order.ts'
import { isTooLate } from '../ledger/outcomes.ts'
import { isoOf } from './edge.ts'
import { generationTag } from './etag.ts'
import type { Prefer } from './prefer.ts'

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
    generation: z.int().openapi({ description: 'Another guide is another generation.' }),
    reason: z.string(),
    decided_at: z.string(),
    assigned_at: nullableInstant,
    expires_at: z.string(),
    upstream: upstreamSchema.optional(),
  })
  .openapi('Assignment')

const namedSchema = z
  .object({ by: z.string(), why: z.string() })
  .openapi({ description: 'Who named the guide in place of the rules, and why.' })

/** What an order was before its newest generation. */
export const earlierSchema = z
  .object({
    generation: z.int(),
    guide_id: z.string().nullable(),
    status: z.enum(['assigned', 'pending', 'unassigned', 'rejected']).openapi({
      description: 'assigned: WeChat Pay had accepted this guide.',
    }),
    reason: z.string(),
    decided_at: z.string(),
    ended: z.enum(['refused', 'reassigned']),
    named: namedSchema.optional(),
    upstream: upstreamSchema.optional(),
  })
  .openapi('EarlierGeneration')

/** The same with its history: attempts oldest first, the last 20 of them. */
export const orderSchema = assignmentSchema
  .extend({
    paid_at: nullableInstant,
    closed_at: nullableInstant,
    too_late: z.boolean().openapi({
      description:
        'Paid before WeChat Pay had accepted the guide. A paid_at in whole seconds, as WeChat Pay tells it, is somewhen in that second.',
    }),
    named: namedSchema.optional(),
    earlier: z.array(earlierSchema),
    attempt_count: z.int(),
    attempts: z.array(
      z.object({
        at: z.string(),
        host: z.string(),
        ms: z.number(),
        outcome: z.string(),
        request_id: z.string().nullable(),
        generation: z.int(),
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
    decided_at: isoOf(decidedAtOf(order)),
    assigned_at: assignedAtMs(order) === null ? null : isoOf(order.settledAtMs ?? 0),
    expires_at: isoOf(order.expiresAtMs),
    ...(upstream ? { upstream } : {}),
  }
}

/** The answer to whoever posted the order: 200 when it is settled, 202 while it is on its way. */
export function answerPost(
  order: Order,
  { applied }: Prefer,
  subMchid: string | undefined,
  isReplay: boolean,
) {
  const headers: Record<string, string> = { etag: generationTag(order) }
  if (isReplay) headers['idempotency-status'] = 'replayed'
  if (applied !== null) headers['preference-applied'] = applied
  const body = viewAssignment(order)
  if (order.status !== 'pending') return { status: 200, headers, body } as const
  const query = subMchid === undefined ? '' : `?sub_mchid=${subMchid}`
  headers['location'] = `/orders/${encodeURIComponent(order.outTradeNo)}${query}`
  headers['retry-after'] = '1'
  return { status: 202, headers, body } as const
}

export function viewOrder(order: Order): z.infer<typeof orderSchema> {
  const attempts: Attempt[] = JSON.parse(order.attempts)
  const { named, earlier = [] }: OrderTrace = JSON.parse(order.trace ?? '{}')
  return {
    ...viewAssignment(order),
    paid_at: order.paidAtMs === null ? null : isoOf(order.paidAtMs),
    closed_at: order.closedAtMs === null ? null : isoOf(order.closedAtMs),
    too_late: isTooLate(order),
    ...(named ? { named } : {}),
    earlier: earlier.map(viewEarlier),
    attempt_count: order.attemptCount,
    attempts: attempts.map(({ at_ms, generation = 1, ...attempt }) => ({
      at: isoOf(at_ms),
      ...attempt,
      generation,
    })),
  }
}

export function viewEarlier(one: Earlier): z.infer<typeof earlierSchema> {
  const { generation, guideId, status, reason, decidedAtMs, returned, named, upstream } = one
  return {
    generation,
    guide_id: guideId,
    status,
    reason,
    decided_at: isoOf(decidedAtMs),
    ended: returned.by === 'refused' ? 'refused' : 'reassigned',
    ...(named ? { named } : {}),
    ...(upstream ? { upstream } : {}),
  }
}

function assignedAtMs(order: Order): number | null {
  return order.status === 'assigned' ? order.settledAtMs : null
}
