import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { mayEnter } from '../access/rights.ts'
import type { Assignments } from '../assignment/assignments.ts'
import type { PostedFacts } from '../assignment/facts.ts'
import { orderNotFound } from '../errors.ts'
import type { Order, OrderKey } from '../ledger/order.ts'
import { guideIdSchema } from '../rules/names.ts'
import {
  bearer,
  createRouter,
  enterStore,
  instantSchema,
  json,
  jsonBody,
  type Merchant,
  matching,
  mchidSchema,
  merchantOf,
  merchantQuery,
  opaque,
  storeIdSchema,
} from './edge.ts'
import type { Env } from './env.ts'
import { generationTag, needIfMatch, readGenerations } from './etag.ts'
import { authorOf } from './manager.ts'
import { answerPost, assignmentSchema, orderSchema, viewOrder } from './order-view.ts'
import { type Prefer, readPrefer } from './prefer.ts'
import { problems } from './problem.ts'
import { readTraceparent } from './trace-context.ts'

export const outTradeNoSchema = matching(
  /^[0-9A-Za-z_\-|*!@]{1,32}$/,
  'must be 1 to 32 of 0-9 A-Z a-z _ - | * ! @',
  '应为 1 到 32 个 0-9 A-Z a-z _ - | * ! @',
)

export const orderParams = z.object({
  out_trade_no: outTradeNoSchema.openapi({ param: { in: 'path' }, example: 'A20261123-0001' }),
})

export const postedSchema = z
  .strictObject({
    store_id: storeIdSchema,
    sub_mchid: mchidSchema
      .optional()
      .openapi({ description: 'Partner mode: required; direct mode: refused.' }),
    member_id: opaque(128).optional(),
    member_level: opaque(32).optional(),
    channel: z.enum(['payment_code', 'jsapi', 'mini_program', 'app', 'h5', 'native']).optional(),
    amount: z
      .int()
      .min(0)
      .max(10_000_000_000)
      .optional()
      .openapi({ description: 'Fen.', example: 12900 }),
    guide_id: guideIdSchema
      .optional()
      .openapi({ description: 'The guide whom the cashier names.' }),
    cart_id: opaque(64).optional(),
    created_at: instantSchema.optional(),
    test: z.boolean().default(false),
  })
  .openapi('NewOrder')

export function readPosted(posted: z.infer<typeof postedSchema>): PostedFacts {
  return {
    storeId: posted.store_id,
    memberId: posted.member_id ?? null,
    memberLevel: posted.member_level ?? null,
    channel: posted.channel ?? null,
    amountFen: posted.amount ?? null,
    guideId: posted.guide_id ?? null,
    cartId: posted.cart_id ?? null,
    createdAtMs: posted.created_at === undefined ? null : Date.parse(posted.created_at),
    test: posted.test,
  }
}

const preferHeader = z.string().optional().openapi({
  description: '`wait=SECONDS` or `respond-async` (RFC 7240): how long to wait for WeChat Pay.',
  example: 'wait=2',
})

const reassignmentSchema = z
  .strictObject({ guide_id: guideIdSchema, why: opaque(200) })
  .openapi('Reassignment')

/** The till's side: assign, read, paid, closed; and a manager's, to give it to somebody else. */
export function createOrderRoutes({
  assignments,
  merchant,
  waitMs,
}: {
  assignments: Assignments
  merchant: Merchant
  /** How long an answer waits for WeChat Pay when the caller does not say. */
  waitMs: number
}) {
  const keyOf = (outTradeNo: string, subMchid: string | undefined): OrderKey => ({
    merchant: merchantOf(merchant, subMchid),
    outTradeNo,
  })

  /** A key for other stores is told what it would be told of an order that does not exist. */
  async function findOwn(context: Context<Env>, key: OrderKey): Promise<Order> {
    const order = await assignments.find(key)
    if (mayEnter(context.var.key, order.storeId)) return order
    throw orderNotFound(key.outTradeNo)
  }

  function answer(
    context: Context<Env>,
    order: Order,
    subMchid: string | undefined,
    prefer: Prefer,
    isReplay = false,
  ) {
    const { status, headers, body } = answerPost(order, prefer, subMchid, isReplay)
    return context.json(body, status, headers)
  }

  const routes = createRouter()
    .openapi(
      createRoute({
        method: 'post',
        path: '/orders/{out_trade_no}/assign',
        summary: 'Give a new order its guide, at WeChat Pay too',
        description:
          'Send it when the order is created, before the payer can pay. Sending the same order again is safe. `Prefer: wait=SECONDS` or `Prefer: respond-async` says how long the answer may wait for WeChat Pay.',
        security: bearer,
        request: {
          params: orderParams,
          body: jsonBody(postedSchema),
          headers: z.object({
            prefer: preferHeader,
            traceparent: z
              .string()
              .optional()
              .openapi({ description: 'W3C Trace Context; its trace-id stands in the log.' }),
          }),
        },
        responses: {
          200: {
            description: 'Settled: assigned, unassigned, skipped, rejected or expired',
            content: json(assignmentSchema),
          },
          202: { description: 'Recorded and on its way', content: json(assignmentSchema) },
          ...problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found'),
          ...problems(
            'body_too_large',
            'unsupported_media_type',
            'order_mismatch',
            'overloaded',
            'storage_full',
            'draining',
          ),
        },
      }),
      async context => {
        const { out_trade_no } = context.req.valid('param')
        const posted = context.req.valid('json')
        enterStore(context.var, posted.store_id)
        const prefer = readPrefer(context.req.header('prefer'), waitMs)
        const { order, isReplay } = await assignments.assign(
          {
            ...keyOf(out_trade_no, posted.sub_mchid),
            ...readPosted(posted),
          },
          prefer.waitMs,
          {
            requestId: context.var.requestId,
            trace: readTraceparent(context.req.header('traceparent')),
          },
        )
        return answer(context, order, posted.sub_mchid, prefer, isReplay)
      },
    )
    .openapi(
      createRoute({
        method: 'post',
        path: '/orders/{out_trade_no}/reassign',
        summary: 'Give an order to another guide, before it is paid',
        description:
          'The guide takes no turn, and the turn of the one before is given back. If WeChat Pay refuses the change of an order that it had accepted, the order is with the guide of before again, `reason` RESTORED, with its words in `upstream`.',
        security: bearer,
        request: {
          params: orderParams,
          query: merchantQuery,
          body: jsonBody(reassignmentSchema),
          headers: z.object({
            'if-match': z
              .string()
              .optional()
              .openapi({ description: 'The ETag of the order, its generation.', example: '"1"' }),
            prefer: preferHeader,
          }),
        },
        responses: {
          200: { description: 'Settled', content: json(assignmentSchema) },
          202: { description: 'Recorded and on its way', content: json(assignmentSchema) },
          ...problems('invalid_request', 'unauthorized', 'forbidden'),
          ...problems('order_not_found', 'guide_not_found'),
          ...problems(
            'order_in_flight',
            'order_paid',
            'order_closed',
            'window_over',
            'not_reassignable',
          ),
          ...problems('precondition_failed', 'guide_not_eligible', 'precondition_required'),
          ...problems('body_too_large', 'unsupported_media_type', 'draining', 'storage_full'),
        },
      }),
      async context => {
        const { sub_mchid } = context.req.valid('query')
        const key = keyOf(context.req.valid('param').out_trade_no, sub_mchid)
        await findOwn(context, key)
        const ifMatch = context.req.header('if-match')
        needIfMatch(ifMatch)
        const { guide_id, why } = context.req.valid('json')
        const prefer = readPrefer(context.req.header('prefer'), waitMs)
        const order = await assignments.reassign(
          key,
          {
            guideId: guide_id,
            why,
            by: authorOf(context.var.key),
            generations: readGenerations(ifMatch),
          },
          prefer.waitMs,
        )
        return answer(context, order, sub_mchid, prefer)
      },
    )
    .openapi(
      createRoute({
        method: 'get',
        path: '/orders/{out_trade_no}',
        summary: 'An order with its attempts',
        security: bearer,
        request: { params: orderParams, query: merchantQuery },
        responses: {
          200: { description: 'The order', content: json(orderSchema) },
          ...problems('invalid_request', 'unauthorized', 'order_not_found'),
        },
      }),
      async context => {
        const key = keyOf(
          context.req.valid('param').out_trade_no,
          context.req.valid('query').sub_mchid,
        )
        const order = await findOwn(context, key)
        context.header('ETag', generationTag(order))
        return context.json(viewOrder(order), 200)
      },
    )

  for (const { end, summary, fault, tell } of [
    {
      end: 'paid',
      summary: 'The payer has paid: nothing is sent any more',
      fault: 'order_closed',
      tell: assignments.paid,
    },
    {
      end: 'closed',
      summary: 'The order was closed unpaid: the turn is given back',
      fault: 'order_paid',
      tell: assignments.closed,
    },
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/orders/{out_trade_no}/${end}`,
        summary,
        security: bearer,
        request: {
          params: orderParams,
          query: merchantQuery,
          body: jsonBody(z.strictObject({ [`${end}_at`]: instantSchema })),
        },
        responses: {
          200: { description: 'The order', content: json(orderSchema) },
          ...problems('invalid_request', 'unauthorized', 'forbidden', 'order_not_found', fault),
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      async context => {
        const key = keyOf(
          context.req.valid('param').out_trade_no,
          context.req.valid('query').sub_mchid,
        )
        await findOwn(context, key)
        const at = context.req.valid('json')[`${end}_at`] ?? ''
        return context.json(viewOrder(await tell(key, Date.parse(at))), 200)
      },
    )
  }
  return routes
}
