import type { Outcome } from '../wechatpay/outcome.ts'

export type Next =
  | { kind: 'settle'; status: 'assigned' | 'rejected' }
  | { kind: 'next_guide' }
  | { kind: 'again'; delayMs: number; host: number }
  | { kind: 'defer'; delayMs: number }

export type Tried = {
  /** Attempts of this flight, and the most that it may make before the order is deferred. */
  inFlight: number
  maxInFlight: number
  /** Attempts of the generation since it was decided. */
  inAll: number
  /** Of its window. */
  leftMs: number
  host: number
  hosts: number
}

const shortDelaysMs = [40, 120] as const
const backoffBaseMs = 200
const backoffCapMs = 5000
const accountPauseMs = 10_000

/**
 * What to do after an attempt: a table without clock, timer or database. `random` is in [0, 1).
 *
 * The guide is the same whatever comes out of it, but for `next_guide`: then nothing more is sent for this one.
 */
export function afterAttempt(outcome: Outcome, tried: Tried, random: number): Next {
  switch (outcome.kind) {
    case 'accepted':
      return { kind: 'settle', status: 'assigned' }
    case 'rejected':
      // A fault of the account says nothing about this order: it may be mended inside the window.
      if (outcome.blames === 'account')
        return { kind: 'defer', delayMs: accountPauseMs * (0.5 + random) }
      if (outcome.blames === 'guide') return { kind: 'next_guide' }
      return { kind: 'settle', status: 'rejected' }
    case 'unknown':
      return afterUnknown(outcome, tried, random)
  }
}

function afterUnknown(
  { reason, retryAfterMs }: Extract<Outcome, { kind: 'unknown' }>,
  tried: Tried,
  random: number,
): Next {
  const backoffMs =
    random *
    Math.min(
      backoffCapMs,
      backoffBaseMs * 2 ** Math.min(tried.inAll, 10),
      // A few more attempts find room in what is left.
      Math.max(backoffBaseMs, tried.leftMs / 4),
    )
  if (reason === 'throttled')
    return { kind: 'defer', delayMs: Math.max(retryAfterMs ?? 0, backoffMs) }
  if (tried.inFlight >= tried.maxInFlight) {
    return { kind: 'defer', delayMs: Math.max(retryAfterMs ?? 0, backoffMs) }
  }
  if (reason === 'not_sent' || reason === 'timeout') {
    const host = (tried.host + 1) % tried.hosts
    // Round all hosts without effect: a pause, so that a closed port makes no storm.
    return { kind: 'again', delayMs: host === 0 ? shortDelay(tried, random) : 0, host }
  }
  return { kind: 'again', delayMs: shortDelay(tried, random), host: tried.host }
}

function shortDelay({ inFlight }: Tried, random: number): number {
  return random * (shortDelaysMs[inFlight - 1] ?? shortDelaysMs[1])
}
