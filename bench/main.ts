import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { type Contender, startContenders } from './contenders.ts'
import { ratiosOf, say, spreadOf } from './figures.ts'
import { closedLoop, openLoop } from './load.ts'

/**
 * The service beside the floor and the peer, in turns, each in a process of its own with one upstream for all. Prints
 * the ratio of each pair of neighbours, its median and its range.
 */
const rounds = Number(process.env['ROUNDS'] ?? 5)
const seconds = Number(process.env['SECONDS'] ?? 2)

type Sheet = Map<string, Map<string, number[]>>

const { contenders, upstream, stop } = await startContenders(['floor', 'service', 'peer'])
const sheet: Sheet = new Map(contenders.map(({ name }) => [name, new Map()]))

function note(contender: Contender, what: string, figure: number): void {
  const figures = sheet.get(contender.name)
  figures?.set(what, [...(figures.get(what) ?? []), figure])
}

/** Runs a load, and takes the CPU time of the process for each order; every one must have reached the upstream. */
async function accountFor(
  contender: Contender,
  what: string,
  run: () => Promise<{ answered: number }>,
): Promise<void> {
  const [before, acceptedBefore] = [await contender.used(), await upstream.accepted()]
  const { answered } = await run()
  const [after, acceptedAfter] = [await contender.used(), await upstream.accepted()]
  if (acceptedAfter - acceptedBefore < answered) throw new Error(`${what}: an order was not sent`)
  note(contender, `cpu ${what}`, (after.cpuMicroseconds - before.cpuMicroseconds) / 1000 / answered)
}

async function takeTurn(contender: Contender): Promise<void> {
  for (const connections of [32, 128]) {
    await accountFor(contender, `${connections}`, async () => {
      const result = await closedLoop(contender, connections, seconds)
      note(contender, `rate ${connections}`, result.answered / result.seconds)
      return result
    })
  }
  for (const perSecond of [300, 1000]) {
    // The peer does not keep up with so many.
    if (perSecond > 300 && contender.name === 'peer') continue
    await accountFor(contender, `poisson ${perSecond}`, async () => {
      const result = await openLoop(contender, perSecond, seconds * 2)
      for (const [name, percentile] of [
        ['p50', 50],
        ['p99', 99],
        ['p99.9', 99.9],
      ] as const) {
        note(contender, `${name} ${perSecond}`, result.histogram.percentile(percentile) / 1000)
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
  print()
} finally {
  await stop()
}

function figuresOf(name: string, what: string): number[] {
  return sheet.get(name)?.get(what) ?? []
}

function print(): void {
  const [cpu] = cpus()
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'))
  write(`smartguide-assign ${version}, node ${process.version}, ${cpus().length} × ${cpu?.model}`)
  write(`${rounds} rounds; median (least–most)`)
  for (const what of sheet.get('service')?.keys() ?? []) {
    write(`\n${what}`)
    for (const { name } of contenders) {
      const figures = figuresOf(name, what)
      if (figures.length > 0)
        write(`  ${name.padEnd(20)} ${say(spreadOf(figures), what.startsWith('rate') ? 0 : 3)}`)
    }
    for (const other of ['floor', 'peer']) {
      const figures = figuresOf(other, what)
      if (figures.length === 0) continue
      write(
        `  service / ${other.padEnd(10)} ${say(ratiosOf(figuresOf('service', what), figures), 2)}`,
      )
    }
  }
}

function write(line: string): void {
  process.stdout.write(`${line}\n`)
}
