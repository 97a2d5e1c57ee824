import { setImmediate as nextTick } from 'node:timers/promises'

/** Wall clock for signatures and records, monotonic clock for durations; both in milliseconds. */
export type Clock = { nowMs(): number; monotonicMs(): number }

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

const sliceMs = 8

/** Lets the event loop turn once the work since its last turn took a few milliseconds. */
export function createBreather(): () => Promise<void> {
  let startedMs = performance.now()
  return async () => {
    if (performance.now() - startedMs < sliceMs) return
    await nextTick()
    startedMs = performance.now()
  }
}
