import { createRoute, z } from '@hono/zod-openapi'
import { mayEnter } from '../access/rights.ts'
import { AppError } from '../errors.ts'
import type { Store } from '../mirror/mirror.ts'
import { isTimezone } from '../rules/calendar.ts'
import { say } from '../rules/names.ts'
import {
  bearer,
  createRouter,
  findStore,
  isoOf,
  json,
  matching,
  mchidSchema,
  merchantOf,
  opaque,
  storeIdSchema,
  storeParams,
} from './edge.ts'
import { createNaming } from './guide-names.ts'
import { answerLanguage } from './language.ts'
import {
  bodyRef,
  lintDocuments,
  type ManagerDeps,
  newestDocuments,
  warningSchema,
} from './manager.ts'
import { problems, refusal } from './problem.ts'
import { readBody } from './read-body.ts'

const newStoreSchema = z
  .strictObject({
    store_id: storeIdSchema
      .optional()
      .openapi({ description: 'If it is sent, the same as in the path.' }),
    name: opaque(128),
    sub_mchid: mchidSchema
      .optional()
      .openapi({ description: 'Partner mode: required; direct mode: refused.' }),
    timezone: z
      .string()
      .max(64)
      .refine(isTimezone, say('must be an IANA time zone', '应为 IANA 时区，例如 Asia/Shanghai'))
      .openapi({ example: 'Asia/Shanghai' }),
  })
  .openapi('NewStore')

const storeSchema = z
  .object({
    store_id: z.int(),
    name: z.string(),
    sub_mchid: z.string().optional(),
    timezone: z.string(),
  })
  .openapi('Store')

/** The stores themselves, and what is wrong with one's documents. */
export function createStoreRoutes({ mirror, guides, clock, merchant }: ManagerDeps) {
  const routes = createRouter()
  routes.openAPIRegistry.register('NewStore', newStoreSchema)

  const naming = createNaming(guides, mirror)
  const view = (store: Store) => viewStore(store, merchant.mode)

  return routes
    .openapi(
      createRoute({
        method: 'get',
        path: '/stores',
        summary: 'The stores that the key is for',
        security: bearer,
        responses: {
          200: {
            description: 'By store_id',
            content: json(z.object({ stores: z.array(storeSchema) })),
          },
          ...problems('unauthorized', 'forbidden'),
        },
      }),
      context => {
        const own = mirror.stores().filter(({ storeId }) => mayEnter(context.var.key, storeId))
        return context.json({ stores: own.map(view) }, 200)
      },
    )
    .openapi(
      createRoute({
        method: 'put',
        path: '/stores/{store_id}',
        summary: 'Make a store known, or change its name or time zone',
        description: 'It has its default staff, roster and plan from then on.',
        security: bearer,
        request: { params: storeParams, body: bodyRef('NewStore') },
        responses: {
          200: { description: 'Changed', content: json(storeSchema) },
          201: { description: 'Made', content: json(storeSchema) },
          ...problems('invalid_request', 'unauthorized', 'forbidden', 'store_of_another_merchant'),
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      async context => {
        const { store_id: storeId } = context.req.valid('param')
        const body = await readBody(
          context,
          newStoreSchema,
          { en: 'store', zh: '门店' },
          answerLanguage(context),
        )
        if (body.store_id !== undefined && body.store_id !== storeId) {
          throw refusal(['store_id'], 'is not the one in the path', '与路径中的不同')
        }
        const store = {
          storeId,
          merchant: merchantOf(merchant, body.sub_mchid),
          name: body.name,
          timezone: body.timezone,
        }
        const before = mirror.store(storeId)
        if (before && before.merchant !== store.merchant) {
          throw new AppError('store_of_another_merchant', {
            en: `Store ${storeId} is known here as a store of another merchant.`,
            zh: `门店 ${storeId} 在这里属于另一个商户。`,
          })
        }
        mirror.putStore(store)
        return before ? context.json(view(store), 200) : context.json(view(store), 201)
      },
    )
    .openapi(
      createRoute({
        method: 'get',
        path: '/stores/{store_id}/lint',
        summary: 'What to look at in the newest documents: holes, dead steps, unknown guides',
        security: bearer,
        request: {
          params: storeParams,
          query: z.strictObject({
            days: matching(/^([1-9]|[1-5]\d|60)$/, 'must be 1 to 60', '应为 1 到 60')
              .default('14')
              .transform(Number)
              .openapi({ param: { in: 'query' }, type: 'integer', example: 14 }),
          }),
        },
        responses: {
          200: {
            description: 'Nothing to look at when there is no warning',
            content: json(
              z.object({
                from: z.string(),
                days: z.int(),
                warnings: z.array(warningSchema),
              }),
            ),
          },
          ...problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found'),
        },
      }),
      context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const span = { fromMs: clock.nowMs(), days: context.req.valid('query').days }
        const documents = newestDocuments(mirror, store)
        const warnings = lintDocuments(
          mirror,
          store,
          documents,
          span,
          answerLanguage(context),
          naming(context, store, span.fromMs),
        )
        return context.json({ from: isoOf(span.fromMs), days: span.days, warnings }, 200)
      },
    )
}

export function viewStore(
  { storeId, merchant, name, timezone }: Store,
  mode: 'direct' | 'partner',
): z.infer<typeof storeSchema> {
  return {
    store_id: storeId,
    name,
    ...(mode === 'partner' ? { sub_mchid: merchant } : {}),
    timezone,
  }
}
