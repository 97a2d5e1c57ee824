import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Contender, startContenders } from './contenders.ts'
import { closedLoop } from './load.ts'

/** Where a contender's main thread spends its time under 32 connections: `npm run bench:profile -- floor`. */
type Profile = {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  samples: number[]
  timeDeltas: number[]
}

const seconds = 6
const shown = 60
const name = (process.argv[2] ?? 'service') as Contender['name']
const dir = mkdtempSync(join(tmpdir(), 'smartguide-profile-'))
const { contenders, stop } = await startContenders([name], ['--cpu-prof', '--cpu-prof-dir', dir])
let answered = 0
for (const contender of contenders) answered += (await closedLoop(contender, 32, seconds)).answered
await stop()
const [file = ''] = readdirSync(dir)
const profile: Profile = JSON.parse(readFileSync(join(dir, file), 'utf8'))
rmSync(dir, { recursive: true })

const byId = new Map(profile.nodes.map(node => [node.id, node.callFrame]))
const byFunction = new Map<string, number>()
const byRoom = new Map<string, number>()
for (const [index, id] of profile.samples.entries()) {
  const frame = byId.get(id)
  if (!frame || frame.functionName === '(idle)') continue
  const microseconds = profile.timeDeltas[index] ?? 0
  add(byFunction, `${frame.functionName || '(anonymous)'} ${placeOf(frame)}`, microseconds)
  add(byRoom, roomOf(frame), microseconds)
}
print('by room', byRoom)
print('by function', byFunction)

function add(sums: Map<string, number>, key: string, by: number): void {
  sums.set(key, (sums.get(key) ?? 0) + by)
}

function placeOf({ url, lineNumber }: { url: string; lineNumber: number }): string {
  return url === ''
    ? ''
    : `${url.replace(/^.*?\/(node_modules|src|bench)\//, '$1/')}:${lineNumber + 1}`
}

function roomOf({ url, functionName }: { url: string; functionName: string }): string {
  const [, inside] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? []
  if (inside) return inside
  const [, room] = /\/((?:src|bench)\/[^/]+)/.exec(url) ?? []
  return room ?? (url.startsWith('node:') ? 'node' : functionName || 'native')
}

function print(title: string, sums: Map<string, number>): void {
  process.stdout.write(`\n${title}, µs an order of ${answered}\n`)
  const rows = [...sums].sort(([, a], [, b]) => b - a).slice(0, shown)
  for (const [key, sum] of rows) {
    process.stdout.write(`${(sum / answered).toFixed(1).padStart(8)}  ${key}\n`)
  }
}
