import type { Rig } from './rig.ts'

export type Samples = Map<string, number>

/** What /metrics says, by the values of the asked labels, joined by a comma; samples that agree on them are added up. */
export async function scrape(rig: Pick<Rig, 'app'>) {
  return readMetrics(await (await rig.app.request('/metrics')).text())
}

export function readMetrics(text: string) {
  const samples = [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(
    ([, name = '', labels = '', value]) => ({
      name,
      labels: new Map(
        [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', is = '']) => [label, is]),
      ),
      value: Number(value),
    }),
  )
  function get(name: string, ...labels: string[]): Samples {
    const found: Samples = new Map()
    for (const one of samples.filter(sample => sample.name === name)) {
      const key = labels.map(label => one.labels.get(label)).join()
      found.set(key, (found.get(key) ?? 0) + one.value)
    }
    return found
  }
  return {
    text,
    names: new Set(samples.map(({ name }) => name)),
    get,
    value: (name: string) => get(name).get('') ?? Number.NaN,
  }
}

export const sumOf = (samples: Samples): number =>
  [...samples.values()].reduce((sum, value) => sum + value, 0)
