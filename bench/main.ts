import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { drawChart } from './chart.ts'
import { type Contest, contest } from './contest.ts'
import { ratiosOf, type Spread, say, spreadOf } from './figures.ts'
import { measureScale } from './scale.ts'
import { measureStart } from './start.ts'

/**
 * `npm run bench`, under five minutes; `-- --full` for more rounds and longer ones; `-- --chart` draws docs/speed.svg
 * anew. Prints each ratio with its goal. What is compared was measured in turns, in this one run.
 */
const options = new Set(process.argv.slice(2))
const [rounds, seconds] = options.has('--full') ? [15, 4] : [5, 2]
const million = 1_000_000
const machine = `${cpus().length} × ${cpus()[0]?.model}, node ${process.version}`

type Goal = { what: string; figure: string; isReached: boolean }

write(`${machine}, ${new Date().toISOString().slice(0, 10)}\n`)
const result = await contest(rounds, seconds)
printContest(result)
if (options.has('--chart')) {
  const path = join(import.meta.dirname, '../docs/speed.svg')
  writeFileSync(path, drawChart(result, machine))
}
write('\ndecisions alone, at NORMAL, µs each')
const alone = new Map<string, number>()
await measureScale(({ what, microseconds }) => {
  alone.set(what, microseconds)
  write(`  ${what.padEnd(36)} ${microseconds.toFixed(1).padStart(7)}`)
})
const start = await measureStart(million, seconds * 2)
write(
  `\nstart with ${start.rows} rows: first answer after ${start.firstAnswerMs.toFixed(0)} ms; RSS ${start.rssMib.toFixed(0)} MiB, and ${start.rssAfterMib.toFixed(0)} MiB after ${start.orders} orders`,
)
write('\ngoals')
for (const { what, figure, isReached } of goals(result)) {
  write(`  ${isReached ? 'reached' : 'missed '}  ${what.padEnd(52)} ${figure}`)
}

function printContest({ sheet }: Contest): void {
  write(`${rounds} rounds of ${seconds} s; median (least–most)`)
  for (const what of sheet.get('service')?.keys() ?? []) {
    write(`\n${what}`)
    for (const [name, figures] of sheet) {
      const found = figures.get(what)
      if (found)
        write(`  ${name.padEnd(18)} ${say(spreadOf(found), what.startsWith('rate') ? 0 : 3)}`)
    }
    for (const other of ['floor', 'peer'] as const) {
      if (sheet.get(other)?.has(what)) {
        write(`  service / ${other.padEnd(8)} ${say(ratio(other, what), 2)}`)
      }
    }
  }
}

function ratio(other: 'floor' | 'peer', what: string): Spread {
  const of = (name: 'service' | 'floor' | 'peer') => result.sheet.get(name)?.get(what) ?? []
  return ratiosOf(of('service'), of(other))
}

function goals({ sheet }: Contest): Goal[] {
  const most = (what: string, spread: Spread, limit: number): Goal => ({
    what: `${what} ≤ ${limit}`,
    figure: say(spread, 2),
    isReached: spread.median <= limit,
  })
  const least = (what: string, spread: Spread, limit: number): Goal => ({
    what: `${what} ≥ ${limit}`,
    figure: say(spread, 2),
    isReached: spread.median >= limit,
  })
  const single = (what: string, figure: number, limit: number): Goal => ({
    what: `${what} ≤ ${limit}`,
    figure: figure.toFixed(2),
    isReached: figure <= limit,
  })
  const added = spreadOf(
    (sheet.get('service')?.get('p50, 300/s') ?? []).map(
      (ms, index) => ms - (sheet.get('floor')?.get('p50, 300/s')?.[index] ?? 0),
    ),
  )
  const figure = (what: string): number => alone.get(what) ?? Number.NaN
  const flat = (...whats: string[]): number => {
    const figures = whats.map(figure)
    return Math.max(...figures) / Math.min(...figures)
  }
  return [
    ...[32, 128].flatMap(connections => [
      most(`CPU / floor, ${connections}`, ratio('floor', `cpu, ${connections} connections`), 1.25),
      most(`CPU / peer, ${connections}`, ratio('peer', `cpu, ${connections} connections`), 0.45),
      least(
        `rate / floor, ${connections}`,
        ratio('floor', `rate, ${connections} connections`),
        0.85,
      ),
      least(`rate / peer, ${connections}`, ratio('peer', `rate, ${connections} connections`), 2.5),
    ]),
    most('300/s, p50 added to the floor, ms', added, 0.5),
    most('300/s, p99 / floor', ratio('floor', 'p99, 300/s'), 2),
    single('decision alone, µs', figure('decision, batch of 1'), 60),
    single('decision in a batch of 32, µs', figure('decision, batch of 32'), 25),
    single(
      '10 to 10,000 stores',
      flat('decision, batch of 32', 'decision, 1,000 stores', 'decision, 10,000 stores'),
      1.3,
    ),
    single('0 to 1,000,000 rows', flat('decision, batch of 32', 'decision, 1,000,000 rows'), 1.3),
    single(
      '8 to 200 guides, of 25 times as many',
      flat('decision, batch of 32', 'decision, 200 guides a store'),
      25,
    ),
    single('start with 1,000,000 rows, ms', start.firstAnswerMs, 1000),
    single('RSS with 1,000,000 rows, MiB', Math.max(start.rssMib, start.rssAfterMib), 160),
  ]
}

function write(line: string): void {
  process.stdout.write(`${line}\n`)
}
