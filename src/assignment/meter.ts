/** How often something happened in the last second. */
export type Meter = {
  count(nowMs: number): void
  perSecond(nowMs: number): number
}

const bucketMs = 100
const buckets = 10

export function createMeter(): Meter {
  const counts = new Float64Array(buckets)
  let newest = 0

  /** Empties the buckets of the time since the last look; the bucket of now. */
  function turn(nowMs: number): number {
    const now = Math.max(newest, Math.floor(nowMs / bucketMs))
    for (let at = Math.max(newest + 1, now - buckets + 1); at <= now; at++) counts[at % buckets] = 0
    newest = now
    return now % buckets
  }

  return {
    count(nowMs) {
      const at = turn(nowMs)
      counts[at] = (counts[at] ?? 0) + 1
    },
    perSecond(nowMs) {
      turn(nowMs)
      return counts.reduce((sum, count) => sum + count, 0)
    },
  }
}
