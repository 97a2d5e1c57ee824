/** Wall clock for signatures and records, monotonic clock for durations; both in milliseconds. */
export type Clock = { nowMs(): number; monotonicMs(): number }

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}
