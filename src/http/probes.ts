import { z } from '@hono/zod-openapi'
import type { Assignments } from '../assignment/assignments.ts'
import type { Clock } from '../clock.ts'
import type { Metrics } from '../metrics.ts'
import type { Mirror } from '../mirror/mirror.ts'
import { createRouter, isoOf, json } from './edge.ts'

/** What an operator should look at, though orders are taken. */
export type ReadyWarning = {
  code: 'platform_auto_assign' | 'account_refused'
  message: string
  merchants: string[]
}

const readySchema = z
  .object({
    status: z.literal('ready'),
    guides_synced_at: z.string().nullable(),
    guides_age_seconds: z.int().nullable(),
    warnings: z
      .array(
        z.object({
          code: z.enum(['platform_auto_assign', 'account_refused']),
          message: z.string(),
          merchants: z.array(z.string()),
        }),
      )
      .optional(),
  })
  .openapi('Ready')

const notReadySchema = z
  .object({ status: z.literal('not ready'), storage: z.literal('full').optional() })
  .openapi('NotReady')

/** `/livez` asks nothing of anybody; `/readyz` says whether orders are taken, and how old the mirror is; `/metrics` is for Prometheus. */
export function createProbeRoutes({
  mirror,
  assignments,
  clock,
  metrics,
  storage,
  isReady,
}: {
  mirror: Mirror
  assignments: Assignments
  clock: Clock
  metrics: Metrics
  storage: { isFull(): boolean }
  isReady(): boolean
}) {
  const routes = createRouter()
  const common = { method: 'get' as const, security: [] }
  routes.openAPIRegistry.registerPath({
    ...common,
    path: '/livez',
    summary: 'Whether the process lives; it depends on nothing',
    responses: {
      200: { description: 'It does', content: json(z.object({ status: z.literal('live') })) },
    },
  })
  routes.openAPIRegistry.registerPath({
    ...common,
    path: '/readyz',
    summary: 'Whether orders are taken, and what an operator should look at',
    responses: {
      200: { description: 'They are', content: json(readySchema) },
      503: {
        description: 'Starting, stopping, or the disk is full',
        content: json(notReadySchema),
      },
    },
  })
  routes.openAPIRegistry.registerPath({
    ...common,
    path: '/metrics',
    summary: 'For Prometheus',
    responses: {
      200: {
        description: 'Text; times in seconds',
        content: { 'text/plain': { schema: z.string() } },
      },
    },
  })
  routes.get('/livez', context => context.json({ status: 'live' }))
  routes.get('/readyz', context => {
    if (!isReady()) return context.json({ status: 'not ready' }, 503)
    if (storage.isFull()) return context.json({ status: 'not ready', storage: 'full' }, 503)
    const warnings = [...autoAssigning(mirror), ...refused(assignments)]
    const synced = mirror.lastSync()
    return context.json({
      status: 'ready',
      guides_synced_at: synced ? isoOf(synced.endedAtMs) : null,
      guides_age_seconds: synced ? Math.round((clock.nowMs() - synced.endedAtMs) / 1000) : null,
      ...(warnings.length > 0 ? { warnings } : {}),
    })
  })
  routes.get('/metrics', async context =>
    context.body(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  )
  return routes
}

function refused(assignments: Assignments): ReadyWarning[] {
  const merchants = assignments.refusedAccounts()
  if (merchants.length === 0) return []
  return [
    {
      code: 'account_refused',
      message:
        'WeChat Pay refuses every call of these merchants (keys, permission, punishment): orders are kept and sent once that is mended; run npm run doctor.',
      merchants,
    },
  ]
}

function autoAssigning(mirror: Mirror): ReadyWarning[] {
  const merchants = mirror.autoAssigning()
  if (merchants.length === 0) return []
  return [
    {
      code: 'platform_auto_assign',
      message:
        '自动分配 is on at the merchant platform: orders are skipped until it is switched off there and in PUT /settings.',
      merchants,
    },
  ]
}
