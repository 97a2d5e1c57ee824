/** How long answers take lately: quantiles from a histogram whose older half fades. */
export type Latency = {
  record(ms: number): void
  /** Null while too little is known. */
  quantile(q: number): number | null
}

/** Bucket n reaches up to 1.1^n ms: 10 % apart, the last at 10 s. */
const growth = Math.log(1.1)
const buckets = 98
const enough = 20
const fadesAt = 1000

export function createLatency(): Latency {
  const counts = new Float64Array(buckets)
  let total = 0

  function fade(): void {
    total = 0
    for (let at = 0; at < buckets; at++) {
      const half = Math.floor((counts[at] ?? 0) / 2)
      counts[at] = half
      total += half
    }
  }

  return {
    record(ms) {
      const at = Math.min(buckets - 1, Math.max(0, Math.ceil(Math.log(Math.max(ms, 1)) / growth)))
      counts[at] = (counts[at] ?? 0) + 1
      total += 1
      if (total >= fadesAt) fade()
    },

    quantile(q) {
      if (total < enough) return null
      let left = q * total
      for (let at = 0; at < buckets; at++) {
        left -= counts[at] ?? 0
        if (left <= 0) return Math.exp(at * growth)
      }
      return Math.exp((buckets - 1) * growth)
    },
  }
}
