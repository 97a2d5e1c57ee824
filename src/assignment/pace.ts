/** How often one merchant is called: a bucket of starts, slower after a 429, recovering by itself. */
export type Pace = {
  /** Milliseconds until a start is allowed; 0 takes it. */
  take(nowMs: number): number
  /** WeChat Pay answered 429, and asks for that pause, or for none in particular. */
  throttled(nowMs: number, retryAfterMs: number | null): void
  readonly perSecond: number
}

const slowest = 1
const slowdown = 0.5
/** Several answers of one burst slow down once. */
const slowsAgainAfterMs = 500
const defaultPauseMs = 200
/** Of the full rate, each second. */
const recovery = 0.05
const burstSeconds = 0.2

export function createPace(fullPerSecond: number): Pace {
  let perSecond = fullPerSecond
  let starts = Math.max(1, fullPerSecond * burstSeconds)
  let atMs = Number.NaN
  let pausedUntilMs = 0
  let slowedMs = Number.NEGATIVE_INFINITY

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

    throttled(nowMs, retryAfterMs) {
      refill(nowMs)
      pausedUntilMs = Math.max(pausedUntilMs, nowMs + (retryAfterMs ?? defaultPauseMs))
      if (nowMs - slowedMs < slowsAgainAfterMs) return
      slowedMs = nowMs
      perSecond = Math.max(slowest, perSecond * slowdown)
      starts = Math.min(starts, 1)
    },

    get perSecond() {
      return perSecond
    },
  }
}
