import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Attempted, GuideCalls, Reply } from '../wechatpay/guides.ts'
import type { Outcome } from '../wechatpay/outcome.ts'

export type Refused = Extract<Outcome, { kind: 'rejected' }>
export type Answered<T> = { kind: 'accepted'; value: T } | Refused

/** How a call is made: patient, since nobody is waiting at a till, and never so often that assigns would suffer. */
export type Upstream = {
  readonly calls: GuideCalls
  /**
   * Makes the call until it is answered, `maxAttempts` times at most; safe for calls that may be carried out twice.
   *
   * @throws AppError upstream_unavailable, draining
   */
  ask<T>(
    subMchid: string | null,
    call: (attempted: Attempted) => Promise<Reply<T>>,
  ): Promise<Answered<T>>
  /** One attempt, whatever it brings. @throws AppError draining */
  once<T extends Reply<unknown> | Outcome>(
    subMchid: string | null,
    attempt: number,
    call: (attempted: Attempted) => Promise<T>,
  ): Promise<T>
  /** Waits as long as it is sensible after that attempt. */
  pause(attempt: number, outcome: Outcome | Reply<unknown>): Promise<void>
}

export const maxAttempts = 6
const attemptTimeoutMs = 5000
const firstPauseMs = 200
const longestPauseMs = 5000

export function createUpstream({
  calls,
  clock,
  ratePerSecond,
  stopping,
  maxInAir = 8,
  random = Math.random,
}: {
  calls: GuideCalls
  clock: Clock
  ratePerSecond: number
  /** Begins nothing afterwards. */
  stopping: AbortSignal
  maxInAir?: number
  random?: () => number
}): Upstream {
  const gate = createGate(maxInAir)
  const wait = (ms: number) => sleep(ms, undefined, { signal: stopping }).catch(() => {})
  const pace = createPace(clock, ratePerSecond, wait)

  const upstream: Upstream = {
    calls,

    async ask(subMchid, call) {
      for (let attempt = 0; ; attempt++) {
        const reply = await upstream.once(subMchid, attempt, call)
        if (reply.kind !== 'unknown') return reply
        if (attempt + 1 >= maxAttempts) throw unavailable(reply.reason)
        await upstream.pause(attempt, reply)
      }
    },

    async once(subMchid, attempt, call) {
      await gate.enter()
      try {
        await pace()
        if (stopping.aborted) throw new AppError('draining', 'The service stops: ask again.')
        const host = attempt % calls.hosts.length
        return await call({ subMchid, host, timeoutMs: attemptTimeoutMs })
      } finally {
        gate.leave()
      }
    },

    async pause(attempt, outcome) {
      const asked = outcome.kind === 'unknown' ? outcome.retryAfterMs : null
      const backoffMs = Math.min(longestPauseMs, firstPauseMs * 2 ** attempt) * random()
      await wait(Math.min(longestPauseMs, Math.max(backoffMs, asked ?? 0)))
    },
  }
  return upstream
}

export function unavailable(why: string): AppError {
  return new AppError('upstream_unavailable', `WeChat Pay could not be asked (${why}).`, {
    retryAfterSeconds: 5,
  })
}

/** A refusal of the account says nothing of the guide: it is to be asked again once that is mended. */
export function refusedBy({ blames, status, code, message, requestId }: Refused): AppError {
  const request = requestId === null ? '' : `, Request-ID ${requestId}`
  const said = `${status} ${code} ${message}${request}`
  if (blames === 'account') return unavailable(said)
  return new AppError('refused_upstream', `WeChat Pay: ${said}.`)
}

function createGate(places: number) {
  const waiting: (() => void)[] = []
  let taken = 0
  return {
    async enter(): Promise<void> {
      if (taken < places) taken += 1
      else await new Promise<void>(done => waiting.push(done))
    },
    leave(): void {
      const next = waiting.shift()
      if (next) next()
      else taken -= 1
    },
  }
}

/** At most so many starts a second, evenly. */
function createPace(
  { monotonicMs }: Clock,
  perSecond: number,
  wait: (ms: number) => Promise<void>,
): () => Promise<void> {
  const intervalMs = 1000 / perSecond
  let nextMs = 0
  return async () => {
    const nowMs = monotonicMs()
    const startMs = Math.max(nowMs, nextMs)
    nextMs = startMs + intervalMs
    if (startMs > nowMs) await wait(startMs - nowMs)
  }
}
