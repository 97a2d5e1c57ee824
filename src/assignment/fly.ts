import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, within } from '../clock.ts'
import { attemptsMade } from '../ledger/generations.ts'
import type { Attempt, Order, Settlement, Upstream } from '../ledger/order.ts'
import type { AssignedOrder, AssignRequest } from '../wechatpay/client.ts'
import type { Outcome } from '../wechatpay/outcome.ts'
import type { Outbound } from './outbound.ts'
import { afterAttempt } from './retry.ts'

export type Upstreams = {
  readonly hosts: readonly string[]
  /** Told of each order before it is recorded, so that its signature is made meanwhile. Sends nothing. */
  presign?(order: AssignedOrder): void
  assign(request: AssignRequest): Promise<Outcome>
}

export type FlightDeps = {
  client: Upstreams
  outbound: Outbound
  clock: Clock
  random(): number
  /** Null in direct mode, where the order's merchant is ourselves. */
  subMchidOf(order: Pick<Order, 'merchant'>): string | null
  /** Called after each attempt. */
  noted(order: Order, attempt: Attempt, outcome: Outcome): void
}

/** The end of an order's window, which payment and closing move nearer while it is in the air. */
export type Window = {
  endsAtMs: number
  /** Ends what is under way, if anything is, by then. */
  shorten: ((leftMs: number) => void) | null
}

/** How a flight ended, not yet written down. */
export type Landing =
  | { kind: 'settle'; settlement: Settlement; attempts: Attempt[] }
  /** WeChat Pay refused the guide, for good. */
  | { kind: 'next_guide'; atMs: number; upstream: Upstream | null; attempts: Attempt[] }
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
  const { client, clock, outbound } = deps
  const attempts: Attempt[] = []
  let upstream: Upstream | null = null
  const madeBefore = attemptsMade(order)
  // A host that was silent for a whole flight is not where the next begins.
  let wanted = madeBefore % client.hosts.length

  for (;;) {
    if (leftMs() <= 0) return settle('expired')
    const isRepeat = madeBefore + attempts.length > 0
    const entry = await enter(isRepeat)
    if (entry.kind === 'later') return defer(entry.delayMs)
    if (entry.kind === 'over') continue
    const tried = await tryOnce()
    if (tried === 'over') continue
    if (tried === 'no_host') return defer(noHostPauseMs)
    const { outcome, host } = tried
    upstream = upstreamOf(outcome) ?? upstream
    const next = afterAttempt(
      outcome,
      {
        inFlight: attempts.length,
        maxInFlight: maxAttempts,
        inAll: madeBefore + attempts.length,
        leftMs: leftMs(),
        host,
        hosts: client.hosts.length,
      },
      deps.random(),
    )
    switch (next.kind) {
      case 'settle':
        return settle(next.status)
      case 'next_guide':
        return { kind: 'next_guide', atMs: clock.nowMs(), upstream, attempts: [...attempts] }
      case 'defer':
        return defer(next.delayMs)
      case 'again':
        wanted = next.host
        if (next.delayMs > 0) await sleep(Math.max(0, Math.min(next.delayMs, leftMs())))
    }
  }

  function leftMs(): number {
    return Math.min(order.expiresAtMs, window.endsAtMs) - clock.nowMs()
  }

  async function enter(isRepeat: boolean) {
    const endsAtMs = Math.min(order.expiresAtMs, window.endsAtMs)
    const entry = await outbound.enter({ merchant: order.merchant, endsAtMs, isRepeat }, giveUp => {
      window.shorten = leftMs => setTimeout(giveUp, Math.max(0, leftMs))
    })
    window.shorten = null
    return entry
  }

  /** With a place in the air, which it leaves. */
  async function tryOnce(): Promise<Tried | 'over' | 'no_host'> {
    try {
      if (leftMs() <= 0) return 'over'
      const host = outbound.pickHost(wanted)
      if (host === null) return 'no_host'
      return await attemptHedged(order, window, host, leftMs, attempts, deps)
    } finally {
      outbound.leave()
    }
  }

  function settle(status: Settlement['status']): Landing {
    const settlement = {
      status,
      settledAtMs: clock.nowMs(),
      upstream: status === 'assigned' ? null : upstream,
    }
    return { kind: 'settle', settlement, attempts: [...attempts] }
  }

  function defer(delayMs: number): Landing {
    return { kind: 'defer', dueAtMs: clock.nowMs() + delayMs, upstream, attempts: [...attempts] }
  }
}

type Tried = { outcome: Outcome; host: number }

const noHostPauseMs = 200

/** One attempt; when it takes longer than most, another host is asked beside it, for the same guide. */
async function attemptHedged(
  order: Order,
  window: Window,
  host: number,
  leftMs: () => number,
  attempts: Attempt[],
  deps: FlightDeps,
): Promise<Tried> {
  const { outbound } = deps
  const leashes: { shorten: ((leftMs: number) => void) | null }[] = []
  window.shorten = ms => {
    for (const leash of leashes) leash.shorten?.(ms)
  }
  try {
    const first = send(host)
    const hedgeAfterMs = outbound.hedgeAfterMs(host)
    if (hedgeAfterMs === null || hedgeAfterMs >= leftMs()) return await first
    const early = await within(first, hedgeAfterMs)
    if (early) return early
    const second = leftMs() > 0 ? outbound.pickHedge(host) : null
    return second === null ? await first : await firstToTell(first, send(second))
  } finally {
    window.shorten = null
  }

  async function send(to: number): Promise<Tried> {
    const leash = { shorten: null }
    leashes.push(leash)
    return { host: to, outcome: await attemptOnce(order, to, leftMs(), leash, attempts, deps) }
  }
}

async function attemptOnce(
  order: Order,
  host: number,
  leftMs: number,
  leash: { shorten: ((leftMs: number) => void) | null },
  attempts: Attempt[],
  { client, clock, outbound, subMchidOf, noted }: FlightDeps,
): Promise<Outcome> {
  const { guideId } = order
  if (guideId === null) throw new Error(`order ${order.id} is pending without a guide`)
  const atMs = clock.nowMs()
  const startMs = clock.monotonicMs()
  const allowedMs = outbound.timeoutMs(host)
  const outcome = await client.assign({
    guideId,
    outTradeNo: order.outTradeNo,
    subMchid: subMchidOf(order),
    host,
    timeoutMs: Math.min(allowedMs, leftMs),
    leash,
  })
  const ms = clock.monotonicMs() - startMs
  const attempt = {
    at_ms: atMs,
    host: client.hosts[host] ?? '',
    ms: Math.round(ms * 10) / 10,
    outcome: outcome.kind === 'unknown' ? outcome.reason : outcome.kind,
    request_id: outcome.requestId,
    ...(order.generation > 1 ? { generation: order.generation } : {}),
  }
  attempts.push(attempt)
  // The window ended it, and the host may be as well as ever.
  const isCutShort = attempt.outcome === 'timeout' && ms < allowedMs * 0.9
  outbound.learn(order.merchant, host, outcome, ms, isCutShort)
  noted(order, attempt, outcome)
  return outcome
}

/**
 * The first that settles the order; else the one that ended last. While the other may be carried out, a refusal of the
 * guide does not let the next one go.
 */
async function firstToTell(one: Promise<Tried>, other: Promise<Tried>): Promise<Tried> {
  const first = await Promise.race([one, other])
  if (first.outcome.kind !== 'unknown' && !blamesGuide(first)) return first
  const [a, b] = await Promise.all([one, other])
  const last = a === first ? b : a
  return blamesGuide(first) && last.outcome.kind !== 'accepted' ? first : last
}

function blamesGuide({ outcome }: Tried): boolean {
  return outcome.kind === 'rejected' && outcome.blames === 'guide'
}

function upstreamOf(outcome: Outcome): Upstream | null {
  if (outcome.kind !== 'rejected') return null
  const { status, code, message, requestId } = outcome
  return { status, code, message, request_id: requestId }
}
