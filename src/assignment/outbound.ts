import type { Clock } from '../clock.ts'
import type { Outcome } from '../wechatpay/outcome.ts'
import { type AttemptCount, createAttemptCounts } from './attempt-counts.ts'
import { type Breaker, createBreaker } from './breaker.ts'
import { type Budget, createBudget } from './budget.ts'
import { createDepartures } from './departures.ts'
import { createLatency } from './latency.ts'
import { createPace, type Pace } from './pace.ts'

export type Entry =
  /** A place in the air, to be left. */
  | { kind: 'go' }
  /** Not now: nothing is sent, and nobody is asked. */
  | { kind: 'later'; delayMs: number }
  | { kind: 'over' }

export type Call = { merchant: string; endsAtMs: number; isRepeat: boolean }

/** What stands between the orders and WeChat Pay: how many calls, how often, where to, and when not at all. */
export type Outbound = {
  /** A new order of the merchant: it earns a part of a repeat. */
  welcome(merchant: string): void
  enter(call: Call, waits: (giveUp: () => void) => void): Entry | Promise<Entry>
  leave(): void
  /** The host to send to, the wanted one if it works; null when none does. */
  pickHost(wanted: number): number | null
  /** A second host to ask beside one that has been silent longer than usual; null for none. */
  pickHedge(first: number): number | null
  /** How long an attempt is waited for, and after how long another host is asked beside it. */
  timeoutMs(host: number): number
  hedgeAfterMs(host: number): number | null
  /** What an attempt taught: of the host, of the merchant. */
  /** `isCutShort`: it had not the time that others have, so its silence says nothing of the host. */
  learn(merchant: string, host: number, outcome: Outcome, ms: number, isCutShort?: boolean): void
  /** When a call may leave at all, in epoch milliseconds; 0 for now. */
  opensAtMs(): number
  /** Merchants whose account is refused at present. */
  refusedAccounts(): string[]
  /** For a look; `repeatsLeft` is of the merchant who has the fewest. */
  state(): OutboundState
  close(): void
}

export type OutboundState = {
  attempts: AttemptCount[]
  hosts: { isOpen: boolean }[]
  repeatsLeft: number
  /** For a place, or for their merchant's turn. */
  waiting: number
}

type Lane = { pace: Pace; budget: Budget; account: Breaker }

const hostBreaker = { afterFailures: 8, firstPauseMs: 250, longestPauseMs: 1000 }
const accountBreaker = { afterFailures: 3, firstPauseMs: 2000, longestPauseMs: 30_000 }
const laneBudget = { most: 100, floorPerSecond: 1 }
/**
 * A repeat is earned by ten orders, or by one that was accepted: where most calls come through, those that do not may be
 * repeated; where none does, repeats are a tenth of the orders.
 */
const perOrder = 0.1
const perAnswer = 1
const hedges = { most: 20, floorPerSecond: 0 }
const perOrderHedged = 0.05
const shortestTimeoutMs = 1000
const shortestHedgeMs = 25
const noBudgetPauseMs = 1000
const tryAgainMs = 200
const maxLanes = 10_000

export function createOutbound({
  hosts,
  clock,
  places = 64,
  ratePerSecond,
  longestTimeoutMs,
  random,
  recovered,
}: {
  /** How many there are. */
  hosts: number
  clock: Clock
  places?: number
  /** Of one merchant. */
  ratePerSecond: number
  longestTimeoutMs: number
  random(): number
  /** A host or an account works again. */
  recovered(): void
}): Outbound {
  const lanes = new Map<string, Lane>()
  let isClosed = false
  const breakers = Array.from({ length: hosts }, () => createBreaker(hostBreaker))
  const latencies = Array.from({ length: hosts }, createLatency)
  const attempts = createAttemptCounts(hosts)
  const hedgeBudget = createBudget(hedges)
  const departures = createDepartures({
    clock,
    places,
    pace: merchant => laneOf(merchant).pace.take(clock.monotonicMs()),
  })

  function laneOf(merchant: string): Lane {
    const known = lanes.get(merchant)
    if (known) return known
    const oldest = lanes.size >= maxLanes ? lanes.keys().next().value : undefined
    if (oldest !== undefined) lanes.delete(oldest)
    const made: Lane = {
      pace: createPace(ratePerSecond),
      budget: createBudget(laneBudget),
      account: createBreaker(accountBreaker),
    }
    lanes.set(merchant, made)
    return made
  }

  function hostsOpenInMs(nowMs: number): number {
    const opens = breakers.map(breaker => breaker.opensAtMs(nowMs))
    return Math.max(0, Math.min(...opens) - nowMs)
  }

  /** The order that tries whether a host works again should not pay for it: it is hedged soon, and for free. */
  function isOnTrial(host: number, nowMs: number): boolean {
    return (breakers[host]?.opensAtMs(nowMs) ?? 0) > 0
  }

  function later(delayMs: number): Entry {
    return { kind: 'later', delayMs: Math.ceil(delayMs * (1 + random() / 4)) }
  }

  return {
    welcome(merchant) {
      laneOf(merchant).budget.earn(perOrder)
      hedgeBudget.earn(perOrderHedged)
    },

    enter({ merchant, endsAtMs, isRepeat }, waits) {
      if (isClosed) return later(tryAgainMs)
      const nowMs = clock.monotonicMs()
      const { account, budget } = laneOf(merchant)
      const closedMs = Math.max(hostsOpenInMs(nowMs), account.opensAtMs(nowMs) - nowMs)
      if (closedMs > 0) return later(closedMs)
      if (isRepeat && !budget.spend(nowMs)) return later(noBudgetPauseMs)
      if (!account.pass(nowMs)) return later(tryAgainMs)
      const granted = departures.enter(merchant, endsAtMs, waits)
      if (granted === true) return { kind: 'go' }
      return granted.then((isGranted): Entry => (isGranted ? { kind: 'go' } : { kind: 'over' }))
    },

    leave: departures.leave,

    pickHost(wanted) {
      const nowMs = clock.monotonicMs()
      for (let step = 0; step < hosts; step++) {
        const host = (wanted + step) % hosts
        if (breakers[host]?.pass(nowMs)) return host
      }
      return null
    },

    pickHedge(first) {
      const nowMs = clock.monotonicMs()
      for (let host = 0; host < hosts; host++) {
        // A hedge is no probe: it goes where calls come through.
        const works = host !== first && breakers[host]?.opensAtMs(nowMs) === 0
        const isAllowed = () => isOnTrial(first, nowMs) || hedgeBudget.spend(nowMs)
        if (works && isAllowed() && breakers[host]?.pass(nowMs)) return host
      }
      return null
    },

    timeoutMs(host) {
      const p99 = latencies[host]?.quantile(0.99) ?? null
      if (p99 === null) return longestTimeoutMs
      return Math.min(longestTimeoutMs, Math.max(shortestTimeoutMs, 3 * p99))
    },

    hedgeAfterMs(host) {
      if (hosts > 1 && isOnTrial(host, clock.monotonicMs())) return shortestHedgeMs
      const p95 = hosts > 1 ? (latencies[host]?.quantile(0.95) ?? null) : null
      return p95 === null ? null : Math.max(shortestHedgeMs, 1.5 * p95)
    },

    learn(merchant, host, outcome, ms, isCutShort = false) {
      const nowMs = clock.monotonicMs()
      const { pace, budget, account } = laneOf(merchant)
      const breaker = breakers[host]
      attempts.add(host, outcome)
      if (isCutShort) return
      let isRecovered = false
      if (isOfHost(outcome)) breaker?.failed(nowMs)
      else isRecovered = breaker?.succeeded() ?? false
      // What was cut off took at least as long.
      if (!isOfHost(outcome) || outcome.reason === 'timeout') latencies[host]?.record(ms)
      if (outcome.kind === 'unknown' && outcome.reason === 'throttled') {
        pace.throttled(nowMs, outcome.retryAfterMs)
      } else pace.taken(nowMs)
      if (outcome.kind === 'accepted') budget.earn(perAnswer)
      if (outcome.kind === 'rejected' && outcome.blames === 'account') account.failed(nowMs)
      else if (outcome.kind !== 'unknown') isRecovered = account.succeeded() || isRecovered
      if (isRecovered) recovered()
    },

    opensAtMs() {
      const closedMs = hostsOpenInMs(clock.monotonicMs())
      return closedMs === 0 ? 0 : clock.nowMs() + closedMs
    },

    refusedAccounts() {
      const nowMs = clock.monotonicMs()
      return [...lanes].flatMap(([merchant, { account }]) =>
        account.opensAtMs(nowMs) > 0 ? [merchant] : [],
      )
    },

    state() {
      const nowMs = clock.monotonicMs()
      const left = [...lanes.values()].map(({ budget }) => budget.left(nowMs))
      return {
        attempts: attempts.read(),
        hosts: breakers.map(breaker => ({ isOpen: breaker.isOpen() })),
        repeatsLeft: left.reduce((least, one) => Math.min(least, one), laneBudget.most),
        waiting: departures.waiting,
      }
    },

    close() {
      isClosed = true
      departures.close()
    },
  }
}

/** Faults that the host has, not the order, the merchant or the key. */
function isOfHost(outcome: Outcome): outcome is Extract<Outcome, { kind: 'unknown' }> {
  if (outcome.kind !== 'unknown') return false
  return outcome.reason !== 'throttled' && outcome.reason !== 'unverified'
}
