import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Attempt, Order, Settlement, Upstream } from '../ledger/ledger.ts'
import type { AssignRequest } from '../wechatpay/client.ts'
import type { Outcome } from '../wechatpay/outcome.ts'
import { afterAttempt } from './retry.ts'

export type Upstreams = {
  readonly hosts: readonly string[]
  assign(request: AssignRequest): Promise<Outcome>
}

export type FlightDeps = {
  client: Upstreams
  clock: Clock
  random(): number
  attemptTimeoutMs: number
  /** Null in direct mode, where the order's merchant is ourselves. */
  subMchidOf(order: Order): string | null
  /** Called after each attempt. */
  noted(order: Order, attempt: Attempt, outcome: Outcome): void
}

/** The end of an order's window, which payment and closing move nearer while it is in the air. */
export type Window = {
  endsAtMs: number
  /** Ends the attempt under way, if any, by then. */
  shorten: ((leftMs: number) => void) | null
}

/** How a flight ended, not yet written down. */
export type Landing =
  | { kind: 'settle'; settlement: Settlement; attempts: Attempt[] }
  | { kind: 'defer'; dueAtMs: number; upstream: Upstream | null; attempts: Attempt[] }

/**
 * Sends one recorded order, always with the guide it was recorded with, until it is settled, its window is over, or
 * `maxAttempts` have taught us nothing and it is to be deferred. Touches no ledger: what was learnt is in the landing.
 */
export async function fly(
  order: Order,
  window: Window,
  maxAttempts: number,
  deps: FlightDeps,
): Promise<Landing> {
  const { client, clock } = deps
  const attempts: Attempt[] = []
  let upstream: Upstream | null = null
  // A host that was silent for a whole flight is not where the next begins.
  let host = order.attemptCount % client.hosts.length

  for (;;) {
    const leftMs = Math.min(order.expiresAtMs, window.endsAtMs) - clock.nowMs()
    if (leftMs <= 0) return settle('expired')
    const { outcome, attempt } = await attemptOnce(order, window, host, leftMs, deps)
    attempts.push(attempt)
    upstream = upstreamOf(outcome) ?? upstream
    const next = afterAttempt(
      outcome,
      {
        inFlight: attempts.length,
        maxInFlight: maxAttempts,
        inAll: order.attemptCount + attempts.length,
        host,
        hosts: client.hosts.length,
      },
      deps.random(),
    )
    switch (next.kind) {
      case 'settle':
        return settle(next.status)
      case 'defer':
        return { kind: 'defer', dueAtMs: clock.nowMs() + next.delayMs, upstream, attempts }
      case 'again':
        host = next.host
        if (next.delayMs > 0) await sleep(Math.min(next.delayMs, leftMs))
    }
  }

  function settle(status: Settlement['status']): Landing {
    const settlement = {
      status,
      settledAtMs: clock.nowMs(),
      upstream: status === 'assigned' ? null : upstream,
    }
    return { kind: 'settle', settlement, attempts }
  }
}

async function attemptOnce(
  order: Order,
  window: Window,
  host: number,
  leftMs: number,
  { client, clock, attemptTimeoutMs, subMchidOf, noted }: FlightDeps,
): Promise<{ outcome: Outcome; attempt: Attempt }> {
  const { guideId } = order
  if (guideId === null) throw new Error(`order ${order.id} is pending without a guide`)
  const atMs = clock.nowMs()
  const startMs = clock.monotonicMs()
  const outcome = await client.assign({
    guideId,
    outTradeNo: order.outTradeNo,
    subMchid: subMchidOf(order),
    host,
    timeoutMs: Math.min(attemptTimeoutMs, leftMs),
    leash: window,
  })
  window.shorten = null
  const attempt = {
    at_ms: atMs,
    host: client.hosts[host] ?? '',
    ms: Math.round((clock.monotonicMs() - startMs) * 10) / 10,
    outcome: outcome.kind === 'unknown' ? outcome.reason : outcome.kind,
    request_id: outcome.requestId,
  }
  noted(order, attempt, outcome)
  return { outcome, attempt }
}

function upstreamOf(outcome: Outcome): Upstream | null {
  if (outcome.kind !== 'rejected') return null
  const { status, code, message, requestId } = outcome
  return { status, code, message, request_id: requestId }
}
