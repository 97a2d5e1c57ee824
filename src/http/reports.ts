import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { mayEnter } from '../access/rights.ts'
import type { Assignments } from '../assignment/assignments.ts'
import { maxReplayed, maxSimulated, type Period, type Reports } from '../assignment/reports.ts'
import { AppError, orderNotFound } from '../errors.ts'
import { earlierOf } from '../ledger/generations.ts'
import { guideIdSchema, localDateSchema } from '../rules/names.ts'
import { sayMissed } from '../rules/sentence.ts'
import {
  bearer,
  createRouter,
  findStore,
  instantQuery,
  instantSchema,
  isoOf,
  json,
  mchidSchema,
  merchantOf,
  merchantQuery,
  storeParams,
  storesOf,
} from './edge.ts'
import type { Env } from './env.ts'
import { callThem, createNaming, nameGuides } from './guide-names.ts'
import { answerLanguage } from './language.ts'
import { bodyRef, documentSchemas, type ManagerDeps, nameSchema } from './manager.ts'
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
      .array(z.object({ guide_id: z.string(), name: nameSchema, change: z.number() }))
      .optional()
      .openapi({
        description:
          'What guides who had left the staff stood at, moved to the others before the turn; in orders.',
      }),
    guides: z
      .array(
        z.object({
          guide_id: z.string(),
          name: nameSchema,
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
    name: nameSchema,
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
        name: nameSchema,
        reason: z.string(),
        explanation: explanationSchema,
      }),
    ),
  })
  .openapi('Simulated')

const replaySchema = z
  .strictObject({ from: instantSchema, to: instantSchema, draft: draftSchema.default({}) })
  .openapi('Replay')

const choiceSchema = z.object({
  guide_id: z.string().nullable(),
  name: nameSchema,
  reason: z.string(),
})

const replayedSchema = z
  .object({
    orders: z.int(),
    changed: z.int(),
    uncovered_before: z.int(),
    uncovered_after: z.int(),
    guides: z.array(
      z.object({
        guide_id: z.string(),
        name: nameSchema,
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
        name: nameSchema,
        orders: z.int().openapi({ description: 'All that they served, turns or not.' }),
        count: z.number().openapi({ description: 'Turns that they had.' }),
        share: z.number().openapi({
          description:
            'Turns that were due to them: of each turn that they could have had, their part by weight.',
        }),
        deviation: z.number().openapi({
          description: 'count − share: above 0 they had more than was due, below 0 less.',
        }),
        balances: z
          .array(z.object({ book: z.string(), units: z.int(), orders: z.number() }))
          .openapi({
            description:
              'As they are now: above 0 turns are owed to them, below 0 they are ahead. `orders` is `units` in turns of one order.',
          }),
      }),
    ),
  })
  .openapi('Fairness')

const verifiedSchema = z
  .object({
    ok: z.boolean(),
    checked: z.int(),
    faults: z.array(z.object({ out_trade_no: z.string().nullable(), what: z.string() })),
    purged: z.object({ orders: z.int(), until: z.string() }).optional().openapi({
      description: 'Orders removed for their age: counted in, and not checked any more.',
    }),
  })
  .openapi('Verified')

const missedSchema = z
  .object({
    guide_id: z.string(),
    name: nameSchema,
    store_id: z.int(),
    from: z.string(),
    to: z.string(),
    orders: z.int(),
    missed: z.int(),
    reasons: z.record(z.string(), z.int()),
    meanings: z
      .record(z.string(), z.string())
      .openapi({ description: 'Each of the reasons as a sentence, zh or en by Accept-Language.' }),
    sample: z.array(
      z.object({
        out_trade_no: z.string(),
        decided_at: z.string(),
        guide_id: z.string(),
        name: nameSchema,
        why: z.string(),
      }),
    ),
  })
  .openapi('Missed')

const spanFields = { from: instantSchema.optional(), to: instantSchema.optional() }
const spanQuery = z.strictObject({
  from: instantQuery.optional(),
  to: instantQuery.optional(),
})
const verifySchema = z.strictObject(spanFields).openapi('Verification')

/** Why, what if, and was it fair: all of it read-only. */
export function createReportRoutes({
  reports,
  assignments,
  mirror,
  guides,
  clock,
  merchant,
}: ManagerDeps & { reports: Reports; assignments: Assignments }) {
  const places = createPlaces(maxReportsEach)
  const naming = createNaming(guides, mirror)
  const common = { security: bearer, middleware: places }
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found')
  const large = problems('body_too_large', 'unsupported_media_type', 'overloaded')
  const routes = createRouter()
  routes.openAPIRegistry.register('Simulation', simulationSchema)
  routes.openAPIRegistry.register('Replay', replaySchema)
  routes.openAPIRegistry.register('Verification', verifySchema)

  /** A guide of a foreign store is told as none, so that guides cannot be probed. */
  function storeOfMissed(context: Context<Env>, guideId: string): number {
    const [home, ...others] = storesOf(context, mirror, guideId, clock.nowMs())
    if (home === undefined) {
      throw new AppError('guide_not_found', {
        en: 'No such guide is registered in your stores or on their staff.',
        zh: '您的门店没有注册、其员工名单里也没有这位服务人员。',
      })
    }
    if (others.length > 0) {
      throw refusal(
        ['store_id'],
        'must be given: the guide is on the staff of more than one of your stores',
        '必填：这位服务人员在您的多家门店的员工名单里',
      )
    }
    return home
  }

  return routes
    .openapi(
      createRoute({
        method: 'get',
        path: '/orders/{out_trade_no}/explain',
        summary: 'Why this guide, and why no other',
        security: bearer,
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
          throw orderNotFound(outTradeNo)
        }
        const { storeId, status, generation, guideId, reason } = order
        const store = mirror.store(storeId)
        if (!store) throw new Error(`store ${storeId} is gone`)
        const lookUp = naming(context, store, clock.nowMs())
        const answer = {
          out_trade_no: outTradeNo,
          store_id: storeId,
          status,
          generation,
          guide_id: guideId,
          reason,
          earlier: earlierOf(order).map(viewEarlier),
          ...reports.explain(order, callThem(lookUp)),
        }
        return context.json(nameGuides(answer, lookUp), 200)
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
          throw refusal(
            ['orders'],
            `times ${guides.length} guides on the staff are more than ${maxSimulated}`,
            `订单数乘以员工人数（${guides.length}）超过 ${maxSimulated}`,
          )
        }
        const lookUp = naming(context, store, clock.nowMs())
        const simulated = await reports.simulate(store, facts, draft, atMs, callThem(lookUp))
        const answer = {
          at: isoOf(atMs),
          orders: simulated.map(({ outTradeNo, status, guideId, reason, explanation }) => ({
            out_trade_no: outTradeNo,
            status,
            guide_id: guideId,
            reason,
            explanation,
          })),
        }
        return context.json(nameGuides(answer, lookUp), 200)
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
        const period = periodOf(Date.parse(from), Date.parse(to), maxReplayDays)
        const report = await reports.replay(store, period, draft)
        if (!report) {
          throw refusal(['to'], `has more than ${maxReplayed} orders`, `订单超过 ${maxReplayed} 张`)
        }
        const sample = report.sample.map(({ decided_at_ms, ...order }) => ({
          ...order,
          decided_at: isoOf(decided_at_ms),
        }))
        const lookUp = naming(context, store, clock.nowMs())
        return context.json(nameGuides({ ...report, sample }, lookUp), 200)
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
        const period = periodOf(fromMs, toMs, maxDays)
        const report = await reports.fairness(store, period)
        const answer = { from: isoOf(fromMs), to: isoOf(toMs), ...report }
        return context.json(nameGuides(answer, naming(context, store, clock.nowMs())), 200)
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
          "The date is the store's business day; the store is the guide's own unless it is given, or the one of yours whose staff they are on.",
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
          ...problems('store_not_found', 'guide_not_found', 'overloaded'),
        },
      }),
      async context => {
        const { guide_id } = context.req.valid('param')
        const { date, store_id } = context.req.valid('query')
        const storeId = store_id ?? storeOfMissed(context, guide_id)
        const store = findStore(context, mirror, storeId)
        const { fromMs, toMs, sample, ...counts } = await reports.missed(store, guide_id, date)
        const language = answerLanguage(context)
        const answer = {
          guide_id,
          store_id: storeId,
          from: isoOf(fromMs),
          to: isoOf(toMs),
          ...counts,
          meanings: Object.fromEntries(
            Object.keys(counts.reasons).map(why => [why, sayMissed(why, language)]),
          ),
          sample: sample.map(({ outTradeNo, decidedAtMs, guideId, why }) => ({
            out_trade_no: outTradeNo,
            decided_at: isoOf(decidedAtMs),
            guide_id: guideId,
            why,
          })),
        }
        return context.json(nameGuides(answer, naming(context, store, clock.nowMs())), 200)
      },
    )
}

function periodOf(fromMs: number, toMs: number, days: number): Period {
  if (toMs <= fromMs) throw refusal(['to'], 'is not after from', '应晚于 from')
  if (toMs - fromMs > days * dayMs) {
    throw refusal(['to'], `is more than ${days} days after from`, `距 from 超过 ${days} 天`)
  }
  return { fromMs, toMs }
}

function refuseOther<T>(given: T | undefined, own: T, path: (string | number)[]): void {
  if (given === undefined || given === own) return
  throw refusal(path, 'is another than that of the path', '与路径中的不同')
}

function refuseTwice(numbers: readonly string[]): void {
  const seen = new Set<string>()
  for (const [index, number] of numbers.entries()) {
    if (seen.has(number)) {
      throw refusal(['orders', index, 'out_trade_no'], 'comes twice', '重复出现')
    }
    seen.add(number)
  }
}
