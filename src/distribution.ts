/** How many values were at most as large as each bound, in the manner of Prometheus. */
export type Spread = {
  readonly buckets: readonly (readonly [atMost: number, count: number])[]
  readonly sum: number
  readonly count: number
}

export type Distribution = { add(value: number): void; read(): Spread }

/** By plain additions, for it stands in the way of every order. Bounds ascend. */
export function createDistribution(bounds: readonly number[]): Distribution {
  const counts = new Float64Array(bounds.length + 1)
  let sum = 0

  return {
    add(value) {
      let at = 0
      while (value > (bounds[at] ?? Number.POSITIVE_INFINITY)) at += 1
      counts[at] = (counts[at] ?? 0) + 1
      sum += value
    },
    read() {
      let count = 0
      const buckets = bounds.map((bound, at) => {
        count += counts[at] ?? 0
        return [bound, count] as const
      })
      return { buckets, sum, count: count + (counts[bounds.length] ?? 0) }
    },
  }
}
