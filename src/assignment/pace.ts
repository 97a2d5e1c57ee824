import { createMeter } from './meter.ts'

/**
 * How often one merchant is called: a bucket of starts. When 429s are no accident, it comes down to what WeChat Pay took
 * in the last second, and recovers from there by itself.
 */
export type Pace = {
  /** Milliseconds until a start is allowed; 0 takes it. */
  take(nowMs: number): number
  /** WeChat Pay answered, and not 429. */
  taken(nowMs: number): void
  /** WeChat Pay answered 429, and asks for that pause, or for none in particular. */
  throttled(nowMs: number, retryAfterMs: number | null): void
  readonly perSecond: number
}

const slowest = 2
/** So many 429s in a second are no reason to slow down: a few, and a part of the other answers. */
const fewest = 2
const accidents = 0.1
/** Of the full rate, each second. */
const recovery = 0.1
const burstSeconds = 0.2

export function createPace(fullPerSecond: number): Pace {
  let perSecond = fullPerSecond
  let starts = Math.max(1, fullPerSecond * burstSeconds)
  let atMs = Number.NaN
  let pausedUntilMs = 0
  const taken = createMeter()
  const refused = createMeter()

  function refill(nowMs: number): void {
    if (nowMs > atMs) {
      const seconds = (nowMs - atMs) / 1000
      perSecond = Math.min(fullPerSecond, perSecond + fullPerSecond * recovery * seconds)
      starts = Math.min(Math.max(1, perSecond * burstSeconds), starts + perSecond * seconds)
    }
    atMs = nowMs
  }

  return {
    take(nowMs) {
      refill(nowMs)
      if (nowMs < pausedUntilMs) return pausedUntilMs - nowMs
      if (starts < 1) return Math.ceil(((1 - starts) / perSecond) * 1000)
      starts -= 1
      return 0
    },

    taken: taken.count,

    throttled(nowMs, retryAfterMs) {
      refill(nowMs)
      refused.count(nowMs)
      const takenPerSecond = taken.perSecond(nowMs)
      // The order that met it waits as it was asked to; the merchant's others need not, for an accident.
      if (refused.perSecond(nowMs) <= fewest + accidents * takenPerSecond) return
      if (retryAfterMs !== null) pausedUntilMs = Math.max(pausedUntilMs, nowMs + retryAfterMs)
      perSecond = Math.min(perSecond, Math.max(slowest, takenPerSecond))
      starts = Math.min(starts, 1)
    },

    get perSecond() {
      return perSecond
    },
  }
}
