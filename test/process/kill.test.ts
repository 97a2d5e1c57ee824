import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { openHistory } from '../../src/ledger/history.ts'
import { verify } from '../../src/ledger/verify.ts'
import { openMirror } from '../../src/mirror/mirror.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { type Env, prepareData, settingsFor, startProcess } from '../support/service-process.ts'

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

type Order = { status: string; guide_id: string; generation: number }

async function call(url: string, method: string, path: string, body?: object, headers = {}) {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const order: Order = JSON.parse(await answer.text())
  return { status: answer.status, order }
}

function post(url: string, no: string): Promise<Response> {
  return fetch(`${url}/orders/${no}/assign`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: '{"store_id":1001}',
  })
}

async function control(method: string, path: string, body?: object) {
  const answer = await fetch(`${simulator.url}/_sim${path}`, {
    method,
    ...(body
      ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      : {}),
  })
  return JSON.parse((await answer.text()) || 'null')
}

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
  for (let round = 0; round < 4; round++) {
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
    await new Promise(done => setTimeout(done, 400 + round * 41))
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
  const file = openDatabase(join(dir, 'data', 'smartguide.db'))
  const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  const verified = await openHistory(file).read(snapshot =>
    verify(snapshot, 1001, always, () => null),
  )
  file.$client.close()
  expect(verified).toMatchObject({ ok: true, faults: [] })
}, 60_000)

it('killed again and again under load: nothing that was answered is lost, and no order is sent with two guides', async () => {
  const told = new Map<string, string>()
  let next = 0
  for (let round = 0; round < 5; round++) {
    const running = await startProcess(env)
    let dead = false
    const till = async () => {
      while (!dead) {
        const no = `L${next++}`
        try {
          const { status, order } = await call(running.url, 'POST', `/orders/${no}/assign`, {
            store_id: 1001,
          })
          expect([200, 202]).toContain(status)
          told.set(no, order.guide_id)
        } catch {
          return
        }
      }
    }
    const tills = Array.from({ length: 16 }, till)
    await new Promise(done => setTimeout(done, 300 + round * 37))
    await running.end('SIGKILL')
    dead = true
    await Promise.all(tills)
  }

  expect(told.size).toBeGreaterThan(80)
  const last = await startProcess(env)
  for (const [no, guideId] of told) {
    expect((await call(last.url, 'GET', `/orders/${no}`)).order.guide_id, no).toBe(guideId)
  }
  const pending = (): Promise<boolean> =>
    Promise.all([...told.keys()].map(no => call(last.url, 'GET', `/orders/${no}`))).then(answers =>
      answers.every(({ order }) => order.status === 'assigned'),
    )
  await eventually(pending, 10_000)
  for (const [no, guides] of await guidesSent()) expect(guides.size, no).toBe(1)
  expect(await last.end('SIGTERM')).toBe(0)
}, 60_000)

it('stopped by SIGTERM under load answers every order that it took, and exits with 0', async () => {
  const running = await startProcess(env)
  await control('PUT', '/faults', { latency_ms: { p50: 50, p99: 200 } })
  const unanswered: string[] = []
  let answered = 0
  // A till that is told that its connection closes goes elsewhere, as behind any load balancer.
  const till = async (place: number) => {
    for (let index = 0; index < 200; index++) {
      const no = `T${place}-${index}`
      try {
        const answer = await post(running.url, no)
        expect([200, 202]).toContain(answer.status)
        answered += 1
        if (answer.headers.get('connection') === 'close') return
      } catch (cause) {
        unanswered.push(`${no}: ${cause instanceof Error ? cause.cause : cause}`)
        return
      }
    }
  }
  const tills = Array.from({ length: 16 }, (_, place) => till(place))
  await new Promise(done => setTimeout(done, 400))
  expect(await running.end('SIGTERM')).toBe(0)
  await Promise.all(tills)
  expect(unanswered).toEqual([])
  expect(answered).toBeGreaterThan(16)
})

it('is not held up by a connection that asks nothing', async () => {
  const running = await startProcess(env)
  const { port, hostname } = new URL(running.url)
  const silent = connect(Number(port), hostname)
  silent.on('error', () => {})
  await once(silent, 'connect')
  const startMs = performance.now()
  expect(await running.end('SIGTERM')).toBe(0)
  expect(performance.now() - startMs).toBeLessThan(2000)
  silent.destroy()
})

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
