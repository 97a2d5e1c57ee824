/** What /metrics said at one instant. `atMs` is of a clock that only goes forward. */
export type Sample = {
  readonly atMs: number
  /** The one number of this name, or null. */
  value(name: string): number | null
  /** The numbers of this name by one of their labels; those that agree on it are added up. */
  by(name: string, label: string): ReadonlyMap<string, number>
  /** Whether a number of this name has all of these labels: its sum, else 0. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
}

type Point = { labels: ReadonlyMap<string, string>; value: number }

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/gm
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g

/** Reads the text format of Prometheus; what is no sample is passed over. */
export function readSample(text: string, atMs: number): Sample {
  const points = new Map<string, Point[]>()
  for (const [, name = '', labels = '', value = ''] of text.matchAll(line)) {
    const read = numberOf(value)
    if (read === null) continue
    const pairs = [...labels.matchAll(label)].map(([, key = '', is = '']) => [key, is] as const)
    const point = { labels: new Map(pairs), value: read }
    const known = points.get(name)
    if (known) known.push(point)
    else points.set(name, [point])
  }
  const of = (name: string) => points.get(name) ?? []

  return {
    atMs,
    value: name => of(name)[0]?.value ?? null,
    by(name, key) {
      const found = new Map<string, number>()
      for (const { labels, value } of of(name)) {
        const is = labels.get(key)
        if (is !== undefined) found.set(is, (found.get(is) ?? 0) + value)
      }
      return found
    },
    sum: (name, labels = {}) =>
      of(name)
        .filter(point => Object.entries(labels).every(([key, is]) => point.labels.get(key) === is))
        .reduce((sum, { value }) => sum + value, 0),
  }
}

function numberOf(text: string): number | null {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  if (text === '-Inf') return Number.NEGATIVE_INFINITY
  const value = Number(text)
  return Number.isNaN(value) ? null : value
}
