import { type Contender, startContenders } from './contenders.ts'
import { closedLoop } from './load.ts'

/** Where a contender's main thread spends its time under 32 connections: `npm run bench:profile -- floor`. */
const seconds = 6
const shown = 60
const name = (process.argv[2] ?? 'service') as Contender['name']
const { contenders, stop } = await startContenders([name])
const [contender] = contenders
if (!contender) throw new Error('nobody to look at')
await closedLoop(contender, 32, seconds)
await contender.profile()
const { answered } = await closedLoop(contender, 32, seconds)
const profile = await contender.profile()
await stop()
if (!profile) throw new Error('nothing was seen')

const byId = new Map(profile.nodes.map(node => [node.id, node.callFrame]))
const parents = new Map(
  profile.nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])),
)
const byFunction = new Map<string, number>()
const byRoom = new Map<string, number>()
for (const [index, id] of (profile.samples ?? []).entries()) {
  const frame = byId.get(id)
  if (!frame || frame.functionName === '(idle)') continue
  const microseconds = profile.timeDeltas?.[index] ?? 0
  const caller = callerOf(id)
  add(
    byFunction,
    `${frame.functionName || '(native)'} ${placeOf(frame) || `< ${caller ? `${caller.functionName} ${placeOf(caller)}` : ''}`}`,
    microseconds,
  )
  add(byRoom, roomOf(caller ?? frame), microseconds)
}
print('by room', byRoom)
print('by function', byFunction)

function add(sums: Map<string, number>, key: string, by: number): void {
  sums.set(key, (sums.get(key) ?? 0) + by)
}

/** Whose JavaScript called it: native code is nowhere. */
function callerOf(id: number) {
  for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
    const frame = byId.get(at)
    if (frame?.url) return frame
  }
  return null
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
