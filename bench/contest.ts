import { type Contender, startContenders } from './contenders.ts'
import { closedLoop, openLoop } from './load.ts'

/** Of one contender, by what was measured: a figure a round. */
export type Sheet = ReadonlyMap<Contender['name'], ReadonlyMap<string, readonly number[]>>

export type Contest = { sheet: Sheet; rounds: number }

/**
 * The service beside the floor and the peer, in turns, each in a process of its own with one upstream for all.
 *
 * `cpu …` is the processor time of the whole process for an assigned order, in ms; `rate …` assigned orders a second in
 * a closed loop of so many connections; `p50 …` and so on the latency, in ms, of arrivals at so many a second.
 */
export async function contest(rounds: number, seconds: number): Promise<Contest> {
  const { contenders, upstream, stop } = await startContenders(['floor', 'service', 'peer'])
  const sheet = new Map(contenders.map(({ name }) => [name, new Map<string, number[]>()]))

  function note({ name }: Contender, what: string, figure: number): void {
    const figures = sheet.get(name)
    figures?.set(what, [...(figures.get(what) ?? []), figure])
  }

  /** Runs a load, and takes the processor time for each order; every one must have reached the upstream. */
  async function spend(
    contender: Contender,
    what: string,
    run: () => Promise<{ answered: number }>,
  ): Promise<void> {
    const [before, acceptedBefore] = [await contender.used(), await upstream.accepted()]
    const { answered } = await run()
    const [after, acceptedAfter] = [await contender.used(), await upstream.accepted()]
    if (acceptedAfter - acceptedBefore < answered) throw new Error(`${what}: an order was not sent`)
    const microseconds = after.cpuMicroseconds - before.cpuMicroseconds
    note(contender, `cpu, ${what}`, microseconds / 1000 / answered)
  }

  async function takeTurn(contender: Contender): Promise<void> {
    for (const connections of [32, 128]) {
      await spend(contender, `${connections} connections`, async () => {
        const result = await closedLoop(contender, connections, seconds)
        note(contender, `rate, ${connections} connections`, result.answered / result.seconds)
        return result
      })
    }
    for (const perSecond of [300, 1000]) {
      // The peer does not keep up with so many.
      if (perSecond > 300 && contender.name === 'peer') continue
      await spend(contender, `${perSecond}/s`, async () => {
        const result = await openLoop(contender, perSecond, seconds * 2)
        for (const percentile of [50, 99, 99.9]) {
          const microseconds = result.histogram.percentile(percentile)
          note(contender, `p${percentile}, ${perSecond}/s`, microseconds / 1000)
        }
        return result
      })
    }
  }

  try {
    for (const contender of contenders) {
      await closedLoop(contender, 32, seconds)
      await openLoop(contender, 300, 1)
    }
    for (let round = 0; round < rounds; round++) {
      for (const contender of contenders) await takeTurn(contender)
    }
    return { sheet, rounds }
  } finally {
    await stop()
  }
}
