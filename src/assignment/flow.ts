/** How fast orders come and go: what somebody who comes now would wait. */
export type Flow = {
  left(): void
  /** Milliseconds until as many as are here now have left, at the pace of the last second; 0 when nobody left. */
  clearsInMs(here: number): number
}

const bucketMs = 100
const buckets = 10

export function createFlow(monotonicMs: () => number): Flow {
  const counts = new Float64Array(buckets)
  let newest = 0

  /** Empties the buckets of the time since the last look. */
  function turn(): number {
    const now = Math.floor(monotonicMs() / bucketMs)
    for (let at = Math.max(newest + 1, now - buckets + 1); at <= now; at++) counts[at % buckets] = 0
    newest = now
    return now % buckets
  }

  return {
    left() {
      const at = turn()
      counts[at] = (counts[at] ?? 0) + 1
    },
    clearsInMs(here) {
      turn()
      const perSecond = counts.reduce((sum, count) => sum + count, 0)
      return perSecond === 0 ? 0 : (here / perSecond) * 1000
    },
  }
}
