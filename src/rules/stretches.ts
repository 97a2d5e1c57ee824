/** Half-open: `from` is in, `to` is out. */
export type Stretch = { from: number; to: number }

/** In order, none touching the next. */
export function union(stretches: readonly Stretch[]): Stretch[] {
  const merged: Stretch[] = []
  let last: Stretch | undefined
  for (const { from, to } of stretches.toSorted((a, b) => a.from - b.from)) {
    if (last && from <= last.to) last.to = Math.max(last.to, to)
    else if (to > from) {
      last = { from, to }
      merged.push(last)
    }
  }
  return merged
}

/** Of two unions. */
export function intersection(ones: readonly Stretch[], others: readonly Stretch[]): Stretch[] {
  const common: Stretch[] = []
  let [a, b] = [0, 0]
  for (;;) {
    const [one, other] = [ones[a], others[b]]
    if (!one || !other) return common
    const from = Math.max(one.from, other.from)
    const to = Math.min(one.to, other.to)
    if (to > from) common.push({ from, to })
    if (one.to < other.to) a++
    else b++
  }
}

/** What a union inside the whole leaves of it. */
export function gaps(covered: readonly Stretch[], whole: Stretch): Stretch[] {
  const edges = [...covered, { from: whole.to, to: whole.to }]
  let from = whole.from
  return edges.flatMap(stretch => {
    const gap = { from, to: stretch.from }
    from = stretch.to
    return gap.to > gap.from ? [gap] : []
  })
}
