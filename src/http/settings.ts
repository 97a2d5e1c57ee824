import { createRoute, z } from '@hono/zod-openapi'
import type { MerchantSettings } from '../mirror/mirror.ts'
import { bearer, createRouter, json, merchantOf, merchantQuery } from './edge.ts'
import { answerLanguage } from './language.ts'
import { bodyRef, type ManagerDeps } from './manager.ts'
import { problems } from './problem.ts'
import { readBody } from './read-body.ts'

const settingsSchema = z
  .strictObject({
    edition: z.enum(['standard', 'commercial']).openapi({
      description:
        'commercial (商业版): orders that the payer scans (jsapi) show no card and are skipped.',
    }),
    platform_auto_assign: z.boolean().openapi({
      description:
        'Whether 自动分配 is on at the merchant platform: then assigning has no effect, and orders are skipped.',
    }),
    assign_window_seconds: z.int().min(1).max(86_400).nullable().openapi({
      description:
        'How long after it was created an order may be assigned; null: as the service is configured.',
    }),
  })
  .openapi('Settings')

/** What the administrators know of a merchant at WeChat Pay, and no call tells. */
export function createSettingsRoutes({ mirror, merchant }: ManagerDeps) {
  const routes = createRouter()
  routes.openAPIRegistry.register('Settings', settingsSchema)
  const common = { path: '/settings', security: bearer }
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden')

  return routes
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        summary: 'The settings of a merchant',
        request: { query: merchantQuery },
        responses: {
          200: { description: 'The settings', content: json(settingsSchema) },
          ...refusals,
        },
      }),
      context => {
        const of = merchantOf(merchant, context.req.valid('query').sub_mchid)
        return context.json(view(mirror.settings(of)), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'put',
        summary: 'Change the settings of a merchant',
        description: 'They count for the next order.',
        request: { query: merchantQuery, body: bodyRef('Settings') },
        responses: {
          200: { description: 'The settings', content: json(settingsSchema) },
          ...refusals,
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      async context => {
        const of = merchantOf(merchant, context.req.valid('query').sub_mchid)
        const { edition, platform_auto_assign, assign_window_seconds } = await readBody(
          context,
          settingsSchema,
          { en: 'settings', zh: '设置' },
          answerLanguage(context),
        )
        mirror.setSettings(of, {
          edition,
          platformAutoAssign: platform_auto_assign,
          assignWindowSeconds: assign_window_seconds,
        })
        return context.json(view(mirror.settings(of)), 200)
      },
    )
}

function view(settings: MerchantSettings): z.infer<typeof settingsSchema> {
  return {
    edition: settings.edition,
    platform_auto_assign: settings.platformAutoAssign,
    assign_window_seconds: settings.assignWindowSeconds,
  }
}
