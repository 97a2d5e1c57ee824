import { randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Actor, Audit } from './access/audit.ts'
import { createEntrance } from './access/entrance.ts'
import type { Keys } from './access/keys.ts'
import type { Assignments } from './assignment/assignments.ts'
import type { Reports } from './assignment/reports.ts'
import type { Clock } from './clock.ts'
import { AppError } from './errors.ts'
import type { Registry } from './guides/registry.ts'
import { createAuditRoutes } from './http/audit.ts'
import { gatherBodies, refuseBodies, refuseOddJson } from './http/body.ts'
import { addDescription } from './http/description/routes.ts'
import { keepDoor } from './http/door.ts'
import { createGate, createRouter, requestIdPattern } from './http/edge.ts'
import type { Env } from './http/env.ts'
import { createExpressLane } from './http/express-lane.ts'
import { createGuideRoutes } from './http/guides.ts'
import { createKeyRoutes } from './http/keys.ts'
import { createManagerRoutes } from './http/manager-routes.ts'
import { createOrderRoutes } from './http/orders.ts'
import { createProbeRoutes } from './http/probes.ts'
import { answerHeaders, answerProblem } from './http/problem.ts'
import { createReportRoutes } from './http/reports.ts'
import { createSettingsRoutes } from './http/settings.ts'
import type { Ledger } from './ledger/ledger.ts'
import { createMetrics, type TraceCounts } from './metrics.ts'
import type { GuideImports } from './mirror/guide-imports.ts'
import type { Guides } from './mirror/guides.ts'
import type { Mirror } from './mirror/mirror.ts'

export type AppDeps = {
  assignments: Assignments
  reports: Reports
  registry: Registry
  guides: Guides
  guideImports: GuideImports
  mirror: Mirror
  ledger: Ledger
  keys: Keys
  audit: Audit
  clock: Clock
  merchant: { mode: 'direct' | 'partner'; mchid: string }
  waitMs: number
  /** Is told of whatever a caller's request threw. */
  storage: {
    met(cause: unknown): void
    isFull(): boolean
    logBytes(): number
    backedUpAtMs(): number | null
  }
  /** Null without a trace collector. */
  traces?: (() => TraceCounts) | null
  /** False while the service starts or stops. */
  isReady(): boolean
  /** A defect of ours that a caller met, with the id of the request. */
  report(cause: unknown, requestId: string): void
}

/** What a server calls for each request: a door, the express lane, and the app for whatever does not fit it. */
export function createListener(deps: AppDeps): RequestListener {
  const router = getRequestListener(createApp(deps).fetch)
  return keepDoor(deps.assignments.admits, createExpressLane({ ...deps, router }))
}

/** The whole HTTP app from its dependencies; does nothing until it is asked. */
export function createApp(deps: AppDeps) {
  const { keys, audit, clock, storage, isReady, report } = deps
  const app = createRouter()

  app.use(async (context, next) => {
    const asked = context.req.header('x-request-id')
    const requestId = asked && requestIdPattern.test(asked) ? asked : randomUUID()
    context.set('requestId', requestId)
    // Before the answer: one whose headers are touched again is no longer written in one piece.
    context.header('X-Request-Id', requestId)
    for (const [name, value] of Object.entries(answerHeaders)) context.header(name, value)
    await next()
    // A client that keeps its connection would hold up the stop.
    if (!isReady()) context.header('Connection', 'close')
  })
  app.use(refuseBodies())
  app.use(createGate(createEntrance({ keys, clock })))
  app.use(gatherBodies())
  app.use(refuseOddJson())

  app.use((context, next) => {
    const { method, path } = context.req
    if (method === 'GET' || path.startsWith('/orders/')) return next()
    return audit.actingAs(() => actorOf(context.var), next)
  })

  app.route('/', createProbeRoutes({ ...deps, metrics: createMetrics(deps) }))
  app.route('/', createOrderRoutes(deps))
  app.route('/', createKeyRoutes({ keys, clock }))
  app.route('/', createManagerRoutes(deps))
  app.route('/', createReportRoutes(deps))
  app.route('/', createGuideRoutes(deps))
  app.route('/', createSettingsRoutes(deps))
  app.route('/', createAuditRoutes(deps))

  addDescription(app)
  const methodsOf = readRoutes(app.routes)
  app.notFound(context => {
    const allowed = methodsOf(context.req.path)
    const fault =
      allowed.length === 0
        ? new AppError('not_found', {
            en: 'See /docs for what there is.',
            zh: '有哪些地址，见 /docs。',
          })
        : new AppError('method_not_allowed', {
            en: `Here there is ${allowed.join(' and ')}.`,
            zh: `此处可用 ${allowed.join('、')}。`,
          })
    const answer = answerProblem(fault, context, () => {})
    if (allowed.length > 0) answer.headers.set('Allow', allowed.join(', '))
    return answer
  })
  app.onError((thrown, context) => {
    storage.met(thrown)
    const { requestId } = context.var
    const answer = answerProblem(thrown, context, cause => report(cause, requestId))
    answer.headers.set('X-Request-Id', requestId)
    return answer
  })
  return app
}

/** Whom a change is put down to; before the gate there is nobody. */
function actorOf({ key, requestId }: Partial<Env['Variables']>): Actor {
  return { keyId: key?.id ?? null, keyName: key?.name ?? null, requestId: requestId ?? null }
}

/** The methods that a path has, from the routes themselves. */
function readRoutes(
  routes: readonly { method: string; path: string }[],
): (path: string) => string[] {
  const patterns = new Map<string, { pattern: RegExp; methods: Set<string> }>()
  for (const { method, path } of routes) {
    if (method === 'ALL') continue
    const known = patterns.get(path)
    if (known) known.methods.add(method)
    else {
      const pattern = new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}$`)
      patterns.set(path, { pattern, methods: new Set([method]) })
    }
  }
  return path => {
    const found = [...patterns.values()].find(({ pattern }) => pattern.test(path))
    return [...(found?.methods ?? [])].sort()
  }
}
