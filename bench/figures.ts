/** The middle of some figures, and how far they lie apart. */
export type Spread = { median: number; least: number; most: number }

export function spreadOf(figures: readonly number[]): Spread {
  const sorted = [...figures].sort((a, b) => a - b)
  const at = (index: number): number => sorted[index] ?? Number.NaN
  const half = sorted.length / 2
  const median = sorted.length % 2 === 1 ? at(half - 0.5) : (at(half - 1) + at(half)) / 2
  return { median, least: at(0), most: at(sorted.length - 1) }
}

/** Of two contenders measured in turns: the ratio of each pair, not of the two medians. */
export function ratiosOf(ones: readonly number[], others: readonly number[]): Spread {
  return spreadOf(ones.map((one, index) => one / (others[index] ?? Number.NaN)))
}

export function say({ median, least, most }: Spread, digits: number, unit = ''): string {
  const tail = unit === '' ? '' : ` ${unit}`
  return `${median.toFixed(digits)}${tail} (${least.toFixed(digits)}–${most.toFixed(digits)})`
}
