import { createRoute, z } from '@hono/zod-openapi'
import { mayEnter } from '../access/keys.ts'
import type { Assignments } from '../assignment/assignments.ts'
import { maxReplayed, maxSimulated, type Period, type Reports } from '../assignment/reports.ts'
import { AppError } from '../errors.ts'
import { earlierOf } from '../ledger/generations.ts'
import { guideIdSchema, localDateSchema, say } from '../rules/names.ts'
import {
  bearer,
  createRouter,
  findStore,
  instantSchema,
  isoOf,
  json,
  mchidSchema,
  merchantOf,
  merchantQuery,
  storeParams,
} from './edge.ts'
import { answerLanguage, type Language } from './language.ts'
import { bodyRef, documentSchemas, type ManagerDeps } from './manager.ts'
import { earlierSchema, viewEarlier } from './order-view.ts'
import { orderParams, outTradeNoSchema, postedSchema, readPosted } from './orders.ts'
import { createPlaces } from './places.ts'
import { problems, refusal } from './problem.ts'
import { readBody } from './read-body.ts'

const dayMs = 86_400_000
const maxReplayDays = 31
const defaultDays = 30
const maxDays = 400
/** Of the four that are made at once for all keys. */
const maxReportsEach = 2

const sentenceSchema = z.object({ zh: z.string(), en: z.string() })

const explanationSchema = z
  .object({
    versions: z.object({ staff: z.int(), roster: z.int(), plan: z.int() }),
    steps: z.array(z.object({ step: z.int(), use: z.string(), verdict: z.string() })),
    handed_on: z
      .array(z.object({ guide_id: z.string(), change: z.number() }))
      .optional()
      .openapi({
        description:
          'What guides who had left the staff stood at, moved to the others before the turn; in orders.',
      }),
    guides: z
      .array(
        z.object({
          guide_id: z.string(),
          chosen: z.boolean(),
          reason: z.string(),
          balance_before: z.number().optional(),
          share: z.number().optional(),
          balance_after: z.number().optional(),
          units: z.object({ before: z.int(), share: z.int(), after: z.int() }).optional(),
        }),
      )
      .openapi({ description: 'Each of the staff once. Balances in orders; `units` are exact.' }),
    sentence: sentenceSchema,
  })
  .openapi('Explanation')

const explainedSchema = explanationSchema
  .extend({
    out_trade_no: z.string(),
    store_id: z.int(),
    status: z.string(),
    generation: z.int(),
    guide_id: z.string().nullable(),
    reason: z.string(),
    earlier: z.array(earlierSchema),
  })
  .openapi('ExplainedOrder')

const draftSchema = z
  .strictObject({
    staff: documentSchemas.staff.optional(),
    roster: documentSchemas.roster.optional(),
    plan: documentSchemas.plan.optional(),
  })
  .openapi('Draft')

const simulationSchema = z
  .strictObject({
    orders: z
      .array(
        postedSchema.partial({ store_id: true }).extend({
          out_trade_no: outTradeNoSchema.optional(),
          sub_mchid: mchidSchema.optional(),
        }),
      )
      .min(1)
      .max(1000),
    at: instantSchema.optional(),
    draft: draftSchema.default({}),
  })
  .openapi('Simulation')

const simulatedSchema = z
  .object({
    at: z.string(),
    orders: z.array(
      z.object({
        out_trade_no: z.string(),
        status: z.string(),
        guide_id: z.string().nullable(),
        reason: z.string(),
        explanation: explanationSchema,
      }),
    ),
  })
  .openapi('Simulated')

const replaySchema = z
  .strictObject({ from: instantSchema, to: instantSchema, draft: draftSchema.default({}) })
  .openapi('Replay')

const choiceSchema = z.object({ guide_id: z.string().nullable(), reason: z.string() })

const replayedSchema = z
  .object({
    orders: z.int(),
    changed: z.int(),
    uncovered_before: z.int(),
    uncovered_after: z.int(),
    guides: z.array(
      z.object({
        guide_id: z.string(),
        count_before: z.int(),
        count_after: z.int(),
        share_after: z.number(),
      }),
    ),
    worst_deviation: z.number().openapi({
      description:
        'The furthest that a guide ever was from the fair share, in orders, over rotated orders.',
    }),
    sample: z.array(
      z.object({
        out_trade_no: z.string(),
        decided_at: z.string(),
        before: choiceSchema,
        after: choiceSchema,
      }),
    ),
  })
  .openapi('Replayed')

const fairnessSchema = z
  .object({
    from: z.string(),
    to: z.string(),
    orders: z.int(),
    turns: z.int(),
    guides: z.array(
      z.object({
        guide_id: z.string(),
        orders: z.int(),
        count: z.number(),
        share: z.number(),
        deviation: z.number(),
        balances: z.array(z.object({ book: z.string(), units: z.int(), orders: z.number() })),
      }),
    ),
  })
  .openapi('Fairness')

const verifiedSchema = z
  .object({
    ok: z.boolean(),
    checked: z.int(),
    faults: z.array(z.object({ out_trade_no: z.string().nullable(), what: z.string() })),
  })
  .openapi('Verified')

const missedSchema = z
  .object({
    guide_id: z.string(),
    store_id: z.int(),
    from: z.string(),
    to: z.string(),
    orders: z.int(),
    missed: z.int(),
    reasons: z.record(z.string(), z.int()),
    sample: z.array(
      z.object({
        out_trade_no: z.string(),
        decided_at: z.string(),
        guide_id: z.string(),
        why: z.string(),
      }),
    ),
  })
  .openapi('Missed')

const spanFields = { from: instantSchema.optional(), to: instantSchema.optional() }
const spanQuery = z.strictObject({
  from: spanFields.from.openapi({ param: { in: 'query' } }),
  to: spanFields.to.openapi({ param: { in: 'query' } }),
})
const verifySchema = z.strictObject(spanFields).openapi('Verification')

/** Why, what if, and was it fair: all of it read-only. */
export function createReportRoutes({
  reports,
  assignments,
  mirror,
  clock,
  merchant,
  gate,
}: ManagerDeps & { reports: Reports; assignments: Assignments }) {
  const places = createPlaces(maxReportsEach)
  const common = { security: bearer, middleware: [gate('manage', 'admin'), places] }
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found')
  const large = problems('body_too_large', 'unsupported_media_type', 'overloaded')
  const routes = createRouter()
  routes.openAPIRegistry.register('Simulation', simulationSchema)
  routes.openAPIRegistry.register('Replay', replaySchema)
  routes.openAPIRegistry.register('Verification', verifySchema)

  return routes
    .openapi(
      createRoute({
        method: 'get',
        path: '/orders/{out_trade_no}/explain',
        summary: 'Why this guide, and why no other',
        security: bearer,
        middleware: gate('assign', 'manage', 'admin'),
        request: { params: orderParams, query: merchantQuery },
        responses: {
          200: { description: 'The explanation', content: json(explainedSchema) },
          ...problems('invalid_request', 'unauthorized', 'order_not_found'),
        },
      }),
      async context => {
        const outTradeNo = context.req.valid('param').out_trade_no
        const { sub_mchid } = context.req.valid('query')
        const order = await assignments.find({
          merchant: merchantOf(merchant, sub_mchid),
          outTradeNo,
        })
        if (!mayEnter(context.var.key, order.storeId)) {
          throw new AppError('order_not_found', `Order ${outTradeNo} is not known here.`)
        }
        const { storeId, status, generation, guideId, reason } = order
        return context.json(
          {
            out_trade_no: outTradeNo,
            store_id: storeId,
            status,
            generation,
            guide_id: guideId,
            reason,
            earlier: earlierOf(order).map(viewEarlier),
            ...reports.explain(order),
          },
          200,
        )
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/stores/{store_id}/simulate',
        summary: 'What orders would be given, now or with a draft; nothing is written',
        description: `Orders as for assign, decided one after another, so that turns advance. \`out_trade_no\` matters to \`rotate by random\` alone. Orders times guides on the staff are at most ${maxSimulated}.`,
        request: { params: storeParams, body: bodyRef('Simulation') },
        responses: {
          200: { description: 'A decision for each', content: json(simulatedSchema) },
          ...refusals,
          ...large,
        },
      }),
      async context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const language = answerLanguage(context)
        const subject = { en: 'simulation', zh: '模拟请求' }
        const { orders, at, draft } = await readBody(context, simulationSchema, subject, language)
        const atMs = at === undefined ? clock.nowMs() : Date.parse(at)
        const facts = orders.map(({ out_trade_no, ...posted }, index) => {
          refuseOther(posted.store_id, store.storeId, ['orders', index, 'store_id'])
          refuseOther(posted.sub_mchid, store.merchant, ['orders', index, 'sub_mchid'])
          return {
            ...readPosted({ ...posted, store_id: store.storeId }),
            outTradeNo: out_trade_no ?? `simulated-${index + 1}`,
          }
        })
        refuseTwice(facts.map(({ outTradeNo }) => outTradeNo))
        const { guides } = draft.staff ?? mirror.documentsAt(store, atMs).staff.body
        if (orders.length * guides.length > maxSimulated) {
          throw refusalIn(
            language,
            ['orders'],
            `times ${guides.length} guides on the staff are more than ${maxSimulated}`,
            `订单数乘以员工人数（${guides.length}）超过 ${maxSimulated}`,
          )
        }
        const simulated = await reports.simulate(store, facts, draft, atMs)
        return context.json(
          {
            at: isoOf(atMs),
            orders: simulated.map(({ outTradeNo, status, guideId, reason, explanation }) => ({
              out_trade_no: outTradeNo,
              status,
              guide_id: guideId,
              reason,
              explanation,
            })),
          },
          200,
        )
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/stores/{store_id}/replay',
        summary: 'What a past period would have been with a draft',
        description: `At most ${maxReplayDays} days and ${maxReplayed} orders. A document that the draft lacks is the one that each order was decided with.`,
        request: { params: storeParams, body: bodyRef('Replay') },
        responses: {
          200: { description: 'The comparison', content: json(replayedSchema) },
          ...refusals,
          ...large,
        },
      }),
      async context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const language = answerLanguage(context)
        const subject = { en: 'replay', zh: '回放请求' }
        const { from, to, draft } = await readBody(context, replaySchema, subject, language)
        const period = periodOf(Date.parse(from), Date.parse(to), maxReplayDays, language)
        const report = await reports.replay(store, period, draft)
        if (!report) {
          throw refusalIn(
            language,
            ['to'],
            `has more than ${maxReplayed} orders`,
            `订单超过 ${maxReplayed} 张`,
          )
        }
        const sample = report.sample.map(({ decided_at_ms, ...order }) => ({
          ...order,
          decided_at: isoOf(decided_at_ms),
        }))
        return context.json({ ...report, sample }, 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        path: '/stores/{store_id}/fairness',
        summary: 'Turns, fair share and balance of each guide',
        description: `Turns held in the period, the last ${defaultDays} days unless it is given; balances as they are now.`,
        request: { params: storeParams, query: spanQuery },
        responses: {
          200: { description: 'The report', content: json(fairnessSchema) },
          ...refusals,
          ...problems('overloaded'),
        },
      }),
      async context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const { from, to } = context.req.valid('query')
        const toMs = to === undefined ? clock.nowMs() + 1 : Date.parse(to)
        const fromMs = from === undefined ? toMs - defaultDays * dayMs : Date.parse(from)
        const period = periodOf(fromMs, toMs, maxDays, answerLanguage(context))
        const report = await reports.fairness(store, period)
        return context.json({ from: isoOf(fromMs), to: isoOf(toMs), ...report }, 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/stores/{store_id}/fairness/verify',
        summary: 'Recompute the books from the log',
        description:
          'The whole log is read; faults are told of the orders decided in the period, and of the book itself. At most 100.',
        request: {
          params: storeParams,
          body: { ...bodyRef('Verification'), required: false },
        },
        responses: {
          200: {
            description: 'Whether it holds, and what does not',
            content: json(verifiedSchema),
          },
          ...refusals,
          ...problems('body_too_large', 'overloaded'),
        },
      }),
      async context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const language = answerLanguage(context)
        const subject = { en: 'request', zh: '核对请求' }
        const isEmpty = (await context.req.text()) === ''
        const { from, to } = isEmpty ? {} : await readBody(context, verifySchema, subject, language)
        const period = periodOf(
          from === undefined ? 0 : Date.parse(from),
          to === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(to),
          Number.POSITIVE_INFINITY,
          language,
        )
        return context.json(await reports.verify(store, period), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        path: '/guides/{guide_id}/missed',
        summary: 'Orders that went elsewhere while the guide was on shift, and why',
        description:
          "The date is the store's business day; the store is the guide's own unless it is given.",
        request: {
          params: z.object({ guide_id: guideIdSchema }),
          query: z.strictObject({
            date: localDateSchema.meta({ example: '2026-11-23' }),
            store_id: storeParams.shape.store_id.optional().openapi({ param: { in: 'query' } }),
          }),
        },
        responses: {
          200: {
            description: 'The orders, oldest first, at most 1,000',
            content: json(missedSchema),
          },
          ...refusals,
          ...problems('guide_not_found', 'overloaded'),
        },
      }),
      async context => {
        const { guide_id } = context.req.valid('param')
        const { date, store_id } = context.req.valid('query')
        const home = mirror.knownGuides([guide_id]).get(guide_id)?.storeId
        const ownHome = home !== undefined && mayEnter(context.var.key, home) ? home : undefined
        const storeId = store_id ?? ownHome
        // A guide of a foreign store is told as none, so that guides cannot be probed.
        if (storeId === undefined) {
          throw new AppError(
            'guide_not_found',
            `Guide ${guide_id} is not known here; name the store.`,
          )
        }
        const store = findStore(context, mirror, storeId)
        const { fromMs, toMs, sample, ...counts } = await reports.missed(store, guide_id, date)
        return context.json(
          {
            guide_id,
            store_id: storeId,
            from: isoOf(fromMs),
            to: isoOf(toMs),
            ...counts,
            sample: sample.map(({ outTradeNo, decidedAtMs, guideId, why }) => ({
              out_trade_no: outTradeNo,
              decided_at: isoOf(decidedAtMs),
              guide_id: guideId,
              why,
            })),
          },
          200,
        )
      },
    )
}

function periodOf(fromMs: number, toMs: number, days: number, language: Language): Period {
  if (toMs <= fromMs) throw refusalIn(language, ['to'], 'is not after from', '应晚于 from')
  if (toMs - fromMs > days * dayMs) {
    throw refusalIn(
      language,
      ['to'],
      `is more than ${days} days after from`,
      `距 from 超过 ${days} 天`,
    )
  }
  return { fromMs, toMs }
}

function refusalIn(language: Language, path: string[], en: string, zh: string): AppError {
  const { message, params } = say(en, zh)
  return refusal([{ path, message: language === 'zh' ? params.zh : message }])
}

function refuseOther<T>(given: T | undefined, own: T, path: (string | number)[]): void {
  if (given === undefined || given === own) return
  throw refusal([{ path, message: 'is another than that of the path' }])
}

function refuseTwice(numbers: readonly string[]): void {
  const seen = new Set<string>()
  for (const [index, number] of numbers.entries()) {
    if (seen.has(number)) {
      throw refusal([{ path: ['orders', index, 'out_trade_no'], message: 'comes twice' }])
    }
    seen.add(number)
  }
}
