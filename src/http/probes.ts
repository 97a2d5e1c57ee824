import type { Assignments } from '../assignment/assignments.ts'
import type { Clock } from '../clock.ts'
import type { Metrics } from '../metrics.ts'
import type { Mirror } from '../mirror/mirror.ts'
import { createRouter, isoOf } from './edge.ts'

/** What an operator should look at, though orders are taken. */
export type ReadyWarning = {
  code: 'platform_auto_assign' | 'account_refused'
  message: string
  merchants: string[]
}

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
