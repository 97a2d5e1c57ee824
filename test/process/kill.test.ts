import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { openMirror } from '../../src/mirror/mirror.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { brokenAfter, readSent, type SentAssign, toldOf } from '../support/invariants.ts'
import { onDisk } from '../support/ledger.ts'
import { eventually, scratchDir, type WireOrder } from '../support/rig.ts'
import {
  controlSimulator,
  type Env,
  prepareData,
  settingsFor,
  spawnService,
  startProcess,
} from '../support/service-process.ts'
import { atLength } from '../support/thorough.ts'
import { createTills, seeded } from '../support/tills.ts'

let dir: string
let simulator: Simulator
let env: Env
let key: string

beforeEach(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  env = settingsFor(simulator, join(dir, 'data'))
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  key = prepareData(join(dir, 'data'), mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    for (const id of ['G1', 'G2', 'G3', 'G4'])
      mirror.putGuide({ id, storeId: 1001, state: 'registered' })
  })
})
afterEach(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

type Order = WireOrder & { guide_id: string; generation: number }

async function call(url: string, method: string, path: string, body?: object, headers = {}) {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const order: Order = JSON.parse(await answer.text())
  return { status: answer.status, order }
}

const control = (method: string, path: string, body?: object) =>
  controlSimulator(simulator, method, path, body)

/** Every guide that each order was ever sent with, by validly signed requests, the first first. */
async function guidesSent(): Promise<Map<string, Set<string>>> {
  return new Map([...(await assignsSent())].map(([no, guides]) => [no, new Set(guides)]))
}

async function assignsSent(): Promise<Map<string, string[]>> {
  const sent = new Map<string, string[]>()
  for (const { method, path, body, signature_valid } of (await control('GET', '/log')).entries) {
    const guideId = /guides\/([^/]+)\/assign$/.exec(path)?.[1]
    if (method !== 'POST' || guideId === undefined || !signature_valid) continue
    const { out_trade_no } = JSON.parse(body)
    sent.set(out_trade_no, [...(sent.get(out_trade_no) ?? []), guideId])
  }
  return sent
}

it('killed between commit and answer: after the restart the same guide is sent within a second, and the order settles', async () => {
  const first = await startProcess(env)
  await control('PUT', '/faults', { script: [{ on: 'assign', do: 'hang' }] })
  const lost = call(
    first.url,
    'POST',
    '/orders/K1/assign',
    { store_id: 1001 },
    { prefer: 'wait=5' },
  )
  lost.catch(() => {})
  await eventually(async () => (await guidesSent()).has('K1'))
  await first.end('SIGKILL')
  await expect(lost).rejects.toThrow()

  const second = await startProcess(env)
  const startedMs = performance.now()
  await eventually(
    async () => (await call(second.url, 'GET', '/orders/K1')).order.status === 'assigned',
  )
  expect(performance.now() - startedMs).toBeLessThan(1000)
  const { order } = await call(second.url, 'GET', '/orders/K1')
  expect((await guidesSent()).get('K1')).toEqual(new Set([order.guide_id]))
  const again = await call(second.url, 'POST', '/orders/K1/assign', { store_id: 1001 })
  expect(again.order).toMatchObject({ status: 'assigned', guide_id: order.guide_id })
  expect(await second.end('SIGTERM')).toBe(0)
})

it('killed while the next guide after a refused one is in the air: the restart sends that one again, and never the first', async () => {
  const first = await startProcess(env)
  await control('PUT', '/faults', {
    script: [
      { on: 'assign', do: 'param_error_guide' },
      { on: 'assign', do: 'hang' },
    ],
  })
  const lost = call(
    first.url,
    'POST',
    '/orders/K1/assign',
    { store_id: 1001 },
    { prefer: 'wait=5' },
  )
  lost.catch(() => {})
  await eventually(async () => (await guidesSent()).get('K1')?.size === 2)
  await first.end('SIGKILL')
  await expect(lost).rejects.toThrow()
  const second = await startProcess(env)
  await eventually(
    async () => (await call(second.url, 'GET', '/orders/K1')).order.status === 'assigned',
  )
  const { order } = await call(second.url, 'GET', '/orders/K1')
  const [refused, ...others] = (await assignsSent()).get('K1') ?? []
  expect(order.generation).toBe(2)
  expect(others.length).toBeGreaterThan(1)
  expect(new Set(others)).toEqual(new Set([order.guide_id]))
  expect(refused).not.toBe(order.guide_id)
  expect(await second.end('SIGTERM')).toBe(0)
})

it('killed again and again while guides are refused: no order goes back to a guide whom it has left, and the books are in order', async () => {
  const db = openDatabase(join(dir, 'data', 'smartguide.db'))
  const mirror = openMirror(db)
  for (let no = 0; no < 300; no++)
    mirror.putGuide({ id: `M${no}`, storeId: 1001, state: 'registered' })
  db.$client.close()
  await control('PUT', '/faults', {
    rates: { param_error_guide: 0.25, status_500: 0.1, reset_after: 0.05 },
  })
  const told = new Map<string, Order>()
  let next = 0
  for (let round = 0; round < atLength(2, 4); round++) {
    const running = await startProcess(env)
    let dead = false
    const till = async () => {
      while (!dead) {
        const no = `R${next++}`
        try {
          told.set(
            no,
            (await call(running.url, 'POST', `/orders/${no}/assign`, { store_id: 1001 })).order,
          )
        } catch {
          return
        }
      }
    }
    const tills = Array.from({ length: 12 }, till)
    const before = told.size
    await eventually(async () => told.size >= before + 40, 15_000)
    await new Promise(done => setTimeout(done, round * 41))
    await running.end('SIGKILL')
    dead = true
    await Promise.all(tills)
  }
  await control('PUT', '/faults', {})
  const last = await startProcess(env)
  const read = (no: string) => call(last.url, 'GET', `/orders/${no}`)
  const isSettled = async () => {
    const answers = await Promise.all([...told.keys()].map(read))
    return answers.every(({ order }) => order.status !== 'pending')
  }
  await eventually(isSettled, 10_000)
  const sent = await assignsSent()
  let succeeded = 0
  for (const [no, before] of told) {
    const { order } = await read(no)
    const guides = sent.get(no) ?? []
    const runs = guides.filter((guide, index) => guide !== guides[index - 1])
    expect([no, ...runs]).toEqual([no, ...new Set(runs)])
    expect(order.generation).toBeGreaterThanOrEqual(before.generation)
    if (order.generation === before.generation) expect(order.guide_id).toBe(before.guide_id)
    if (order.status === 'assigned') expect([no, runs.at(-1)]).toEqual([no, order.guide_id])
    if (order.status === 'assigned') expect([no, runs.length]).toEqual([no, order.generation])
    if (order.generation > 1) succeeded += 1
  }
  expect(succeeded).toBeGreaterThan(5)
  expect(await last.end('SIGTERM')).toBe(0)
  const witnesses = {
    sent: readSent((await control('GET', '/log')).entries),
    told: [...told.values()].map(toldOf),
    wasDown: true,
  }
  expect(await brokenAfter(join(dir, 'data'), witnesses)).toEqual([])
}, 60_000)

const kills = Number(process.env['KILLS'] ?? 5)

it(
  `killed ${kills} times under load, as soon as it starts too: nothing that was answered is lost, no order is sent with two guides, and what was pending is sent within a second of the start`,
  async () => {
    const random = seeded(20_261_123)
    const stores = [1001, 1002, 1003]
    openMoreStores(stores)
    const tills = createTills({ key, stores, count: 12, random })
    await control('PUT', '/faults', {
      rates: {
        reset_before: 0.02,
        reset_after: 0.03,
        status_500: 0.04,
        unsigned: 0.02,
        hang: 0.005,
      },
      latency_ms: { p50: 5, p99: 60 },
    })
    const sent: SentAssign[] = []
    let seen = 0
    async function readLog(): Promise<SentAssign[]> {
      const { entries } = await control('GET', `/log?since=${seen}`)
      seen = entries.at(-1)?.seq ?? seen
      const news = readSent(entries)
      sent.push(...news)
      return news
    }
    /** Orders that a kill left pending, and for how long the service has listened since. */
    let owed = new Map<string, number>()
    let left = 0
    let slowestMs = Number.NEGATIVE_INFINITY
    const late: string[] = []

    for (let round = 0; round < kills; round++) {
      const startedMs = Date.now()
      const isEarly = random() < 0.2
      const running = isEarly ? null : await startProcess(env)
      const listensMs = Date.now()
      if (running) {
        let over = false
        const selling = tills.sell(running.url, () => over)
        // Now and then for as long as what is owed may take.
        await sleep(round % 20 === 4 ? 1200 : 50 + random() * 400)
        await running.end('SIGKILL')
        over = true
        await selling
      } else {
        const { child } = spawnService(env)
        await sleep(random() * 900)
        const gone = once(child, 'exit')
        child.kill('SIGKILL')
        await gone
      }
      const livedMs = running ? Date.now() - listensMs : 0
      const news = await readLog()
      const firsts = new Map<string, number>()
      for (const { outTradeNo, atMs } of news) {
        if (atMs >= startedMs && !firsts.has(outTradeNo)) firsts.set(outTradeNo, atMs)
      }
      for (const [no, waitedMs] of owed) {
        const atMs = firsts.get(no)
        if (atMs === undefined && waitedMs + livedMs > 1000) late.push(no)
        if (atMs !== undefined && running)
          slowestMs = Math.max(slowestMs, waitedMs + atMs - listensMs)
      }
      const pending = pendingOnDisk()
      left += pending.length
      owed = new Map(
        pending.map(no => [
          no,
          firsts.has(no) ? 0 : owed.has(no) ? (owed.get(no) ?? 0) + livedMs : 0,
        ]),
      )
    }

    const last = await startProcess(env)
    await tills.settleUp(last.url)
    await eventually(async () => pendingOnDisk().length === 0, 20_000)
    expect(await last.end('SIGTERM')).toBe(0)
    await readLog()
    const { told, refused } = tills
    const said = `${kills} kills: ${told.length} answers, ${tills.posted()} orders, ${left} pending at a kill, the slowest sent again ${slowestMs} ms after the start`
    if (process.env['KILLS']) process.stdout.write(`${said}\n`)
    expect(await brokenAfter(join(dir, 'data'), { sent, told, wasDown: true }), said).toEqual([])
    expect({ late, refused }, said).toEqual({ late: [], refused: [] })
    expect(slowestMs, said).toBeLessThan(1000)
    const generations = onDisk(file(), client =>
      client.prepare<[], number>('SELECT max(generation) FROM orders').pluck().get(),
    )
    expect(generations).toBe(1)
    expect(left, said).toBeGreaterThan(kills / 5)
    expect(told.length, said).toBeGreaterThan(kills * 5)
  },
  60_000 + kills * 6000,
)

const file = () => join(dir, 'data', 'smartguide.db')

/** Read as a kill left it: a connection that only reads recovers nothing for the next start. */
function pendingOnDisk(): string[] {
  return onDisk(file(), client =>
    client
      .prepare<[number], string>(
        "SELECT out_trade_no FROM orders WHERE status = 'pending' AND expires_at_ms > ?",
      )
      .pluck()
      .all(Date.now()),
  )
}

function openMoreStores(stores: readonly number[]): void {
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  prepareData(join(dir, 'data'), mirror => {
    for (const storeId of stores) {
      mirror.putStore({ storeId, merchant, name: 'store', timezone: 'Asia/Shanghai' })
      for (const n of [1, 2, 3, 4, 5])
        mirror.putGuide({ id: `S${storeId}G${n}`, storeId, state: 'registered' })
    }
  })
}

it('keeps its database to its own user', async () => {
  const DATA_DIR = join(dir, 'fresh')
  mkdirSync(DATA_DIR, { mode: 0o755 })
  const running = await startProcess({ ...env, DATA_DIR })
  for (const name of ['smartguide.db', 'smartguide.db-wal', 'service.lock', 'admin.key']) {
    expect(statSync(join(DATA_DIR, name)).mode & 0o077, name).toBe(0)
  }
  await running.end('SIGTERM')
})

it.runIf(existsSync('/dev/full'))(
  'serves on and stops when its log cannot be written',
  async () => {
    const port = String(20_000 + (process.pid % 20_000))
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, ['src/main.ts'], {
      env: { PATH: process.env['PATH'] ?? '', ...env, PORT: port },
      stdio: ['ignore', full, 'ignore'],
    })
    const url = `http://127.0.0.1:${port}`
    await eventually(() =>
      fetch(`${url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    )
    expect((await call(url, 'POST', '/orders/F1/assign', { store_id: 1001 })).status).toBe(200)
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    expect((await gone)[0]).toBe(0)
  },
)
