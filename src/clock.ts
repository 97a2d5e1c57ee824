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

/** What the work comes to; null when the time is over first, and the work goes on. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<null>(done => {
    timer = setTimeout(done, ms, null)
  })
  try {
    return await Promise.race([work, over])
  } finally {
    clearTimeout(timer)
  }
}
