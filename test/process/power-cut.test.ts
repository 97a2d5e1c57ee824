import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import {
  afterPowerCut,
  type DiskEvent,
  hasStrace,
  readRecording,
  straceArguments,
} from '../support/power-cut.ts'
import { scratchDir } from '../support/rig.ts'
import { type Env, prepareData, settingsFor } from '../support/service-process.ts'

/** The short form; the full one is `npm run torture`. */
const cuts = Number(process.env['POWER_CUTS'] ?? 60)

let dir: string
let simulator: Simulator
let events: DiskEvent[] = []
const before = () => join(dir, 'before')

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  if (hasStrace) events = await record()
}, 60_000)
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** What the service did to its database while tills posted orders. */
async function record(): Promise<DiskEvent[]> {
  const dataDir = join(dir, 'data')
  const env = settingsFor(simulator, dataDir)
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  const key = prepareData(dataDir, mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    for (const id of ['G1', 'G2', 'G3', 'G4']) {
      mirror.putGuide({ id, storeId: 1001, state: 'registered' })
    }
  })
  mkdirSync(before())
  cpSync(join(dataDir, 'smartguide.db'), join(before(), 'smartguide.db'))
  const log = join(dir, 'strace.log')
  const { url, end } = await startTraced(env, log)
  let posted = 0
  const till = async () => {
    while (posted < 240) {
      posted += 1
      const answer = await fetch(`${url}/orders/CUT-${posted}/assign`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: '{"store_id":1001}',
      })
      await answer.arrayBuffer()
    }
  }
  await Promise.all([till(), till(), till(), till()])
  await end()
  return readRecording(log, dataDir)
}

async function startTraced(env: Env, log: string) {
  const child = spawn('strace', [...straceArguments(log), process.execPath, 'src/main.ts'], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  const url = await new Promise<string>((done, fail) => {
    child.stdout.on('data', chunk => {
      text += chunk
      const found = /"url":"(http:[^"]+)"/.exec(text)?.[1]
      if (found) done(found)
    })
    child.once('exit', code => fail(new Error(`ended with ${code}: ${text}`)))
  })
  return {
    url,
    async end() {
      const traced = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
      const gone = once(child, 'exit')
      process.kill(Number(traced), 'SIGKILL')
      await gone
    },
  }
}

type Said = { no: string; guideId: string }

/** The answers that had left before the cut. */
function acknowledged(upTo: number): Said[] {
  const said: Said[] = []
  for (const event of events.slice(0, upTo)) {
    if (event.kind !== 'say' || !event.text.includes('"out_trade_no":"CUT-')) continue
    for (const [, no = '', rest = ''] of event.text.matchAll(
      /"out_trade_no":"(CUT-\d+)"([^{}]*"generation")/g,
    )) {
      const guideId = /"guide_id":"([^"]+)"/.exec(rest)?.[1]
      if (guideId) said.push({ no, guideId })
    }
  }
  return said
}

/** What is lost or damaged after that many cuts; `without` leaves syncs out of the recording, as if they had not been made. */
function cutOften(
  count: number,
  seed: number,
  without: (event: DiskEvent) => boolean = () => false,
) {
  const recording = events.filter(event => !without(event))
  const random = seeded(seed)
  const faults: string[] = []
  let acknowledgements = 0
  for (let n = 0; n < count; n++) {
    const at = Math.floor(random() * recording.length)
    const upTo = events.indexOf(recording[at] as DiskEvent)
    const into = join(dir, 'after')
    afterPowerCut(recording, at, before(), into, random)
    const said = acknowledged(upTo)
    acknowledgements += said.length
    faults.push(...lostIn(into, said))
    rmSync(into, { recursive: true })
  }
  return { faults, acknowledgements }
}

function lostIn(dataDir: string, said: readonly Said[]): string[] {
  const path = join(dataDir, 'smartguide.db')
  try {
    openDatabase(path).$client.close()
    const db = new Database(path, { readonly: true })
    const check = db.pragma('integrity_check', { simple: true })
    const guideOf = db.prepare<[string], string>(
      'SELECT guide_id FROM orders WHERE out_trade_no = ?',
    )
    const lost = said.filter(({ no, guideId }) => guideOf.pluck().get(no) !== guideId)
    db.close()
    return [
      ...(check === 'ok' ? [] : [`integrity: ${check}`]),
      ...lost.map(({ no }) => `${no} was answered and is lost`),
    ]
  } catch (cause) {
    return [`cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`]
  }
}

function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe.skipIf(!hasStrace)('a power cut (skipped where strace is missing)', () => {
  it('was recorded with all that counts', () => {
    const kinds = Map.groupBy(events, ({ kind }) => kind)
    expect(kinds.get('write')?.length).toBeGreaterThan(240)
    expect(kinds.get('sync')?.length).toBeGreaterThan(50)
    expect(new Set(acknowledged(events.length).map(({ no }) => no)).size).toBeGreaterThan(230)
  })

  it('loses no order that was answered, and damages nothing', () => {
    const { faults, acknowledgements } = cutOften(cuts, 1)
    expect(faults).toEqual([])
    expect(acknowledgements).toBeGreaterThan(cuts * 20)
  }, 600_000)

  it.each<[string, (event: DiskEvent) => boolean]>([
    ['any sync', event => event.kind === 'sync'],
    [
      'the sync of each commit (synchronous=NORMAL)',
      event => event.kind === 'sync' && event.file.endsWith('-wal'),
    ],
  ])('would lose or damage what was answered without %s: the harness catches it', (_, without) => {
    const { faults } = cutOften(20, 2, without)
    expect(faults.some(fault => / is lost$|its log is not what was written/.test(fault))).toBe(true)
  })
})
