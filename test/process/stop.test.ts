import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { LogEntry } from '../../src/simulator/request-log.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { brokenAfter, readSent, type Told, toldOf } from '../support/invariants.ts'
import { onDisk } from '../support/ledger.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { type Env, prepareData, settingsFor, startProcess } from '../support/service-process.ts'
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
    for (const storeId of [1001, 1002]) {
      mirror.putStore({ storeId, merchant, name: 'store', timezone: 'Asia/Shanghai' })
      for (const n of [1, 2, 3, 4])
        mirror.putGuide({ id: `S${storeId}G${n}`, storeId, state: 'registered' })
    }
  })
})
afterEach(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function faults(plan: object): Promise<void> {
  await fetch(`${simulator.url}/_sim/faults`, { method: 'PUT', body: JSON.stringify(plan) })
}

async function calls() {
  const text = await (await fetch(`${simulator.url}/_sim/log`)).text()
  const { entries }: { entries: LogEntry[] } = JSON.parse(text)
  return readSent(entries)
}

async function expectSound(told: readonly Told[]): Promise<void> {
  const witnesses = { sent: await calls(), told, wasDown: true }
  expect(await brokenAfter(join(dir, 'data'), witnesses)).toEqual([])
}

function recorded(): Set<string> {
  const all = onDisk(join(dir, 'data', 'smartguide.db'), client =>
    client.prepare<[], string>('SELECT out_trade_no FROM orders').pluck().all(),
  )
  return new Set(all)
}

type Running = Awaited<ReturnType<typeof startProcess>>

/** Asks until it is told that the service takes no more, and when. */
async function awaitNotReady(url: string): Promise<number> {
  for (;;) {
    const answer = await fetch(`${url}/readyz`, { headers: { connection: 'close' } })
    await answer.body?.cancel()
    if (answer.status === 503) return performance.now()
    await sleep(5)
  }
}

const sigterms = Number(process.env['SIGTERMS'] ?? 3)

it(
  `stopped by SIGTERM ${sigterms} times under load: says first that it is not ready, answers every order that it took, and exits with 0`,
  async () => {
    const random = seeded(20_261_124)
    const told: Told[] = []
    const slowest = { stopMs: 0 }
    let cutOff = 0
    const options = { key, stores: [1001, 1002], random }
    const polite = createTills({ ...options, count: 8, prefix: 'P' })
    const rude = createTills({ ...options, count: 4, prefix: 'R', heedless: true })
    for (let round = 0; round < sigterms; round++) {
      await faults({
        latency_ms: { p50: 30, p99: 200 },
        rates: { status_500: 0.03, reset_after: 0.03, hang: round % 5 === 2 ? 0.05 : 0 },
      })
      const running = await startProcess(env)
      // Behind a load balancer a till goes elsewhere once it is told; another knocks on for as long as it is let in.
      let over = false
      const selling = Promise.all([
        polite.sell(running.url, () => over),
        ...(round % 2 === 0 ? [rude.sell(running.url, () => over)] : []),
      ])
      await sleep(100 + random() * 400)
      const startMs = performance.now()
      const notReady = awaitNotReady(running.url)
      const ended = running.end('SIGTERM').then(code => ({ code, atMs: performance.now() }))
      await notReady
      const { code, atMs } = await ended
      over = true
      await selling
      expect(code, `round ${round}`).toBe(0)
      slowest.stopMs = Math.max(slowest.stopMs, atMs - startMs)
      expect(polite.broken.splice(0), `round ${round}`).toEqual([])
      // Refused at the door, or never read: of what the service took it answered all.
      const known = recorded()
      for (const { no, what } of rude.broken.splice(0)) {
        cutOff += 1
        expect(known.has(no) && !rude.wasToldOf(no), `round ${round}: ${no} ${what}`).toBe(false)
      }
    }
    told.push(...polite.told, ...rude.told)
    const said = `${sigterms} SIGTERMs: ${told.length} answers, ${cutOff} knocks on a closed door, the slowest stop ${Math.round(slowest.stopMs)} ms`
    if (process.env['SIGTERMS']) process.stdout.write(`${said}\n`)
    expect([...polite.refused, ...rude.refused], said).toEqual([])
    expect(slowest.stopMs, said).toBeLessThan(10_000)
    expect(told.length, said).toBeGreaterThan(sigterms * 10)
    await expectSound(told)
  },
  60_000 + sigterms * 15_000,
)

it('answers an order that waits for a silent WeChat Pay before it stops, and sends it at the next start', async () => {
  await faults({ rates: { hang: 1 } })
  const first = await startProcess(env)
  const waiting = Array.from({ length: 5 }, (_, n) => post(first.url, `W${n}`, 'wait=30'))
  await eventually(async () => (await calls()).length >= 5)
  const startMs = performance.now()
  expect(await first.end('SIGTERM')).toBe(0)
  expect(performance.now() - startMs).toBeLessThan(10_000)
  const told = await Promise.all(waiting)
  expect(told.map(({ status }) => status)).toEqual(Array.from(waiting, () => 'pending'))
  await faults({})
  await expectResumed(told)
}, 40_000)

/** At the next start all is assigned, to the guides who were told. */
async function expectResumed(told: Told[]): Promise<void> {
  const next = await startProcess(env)
  const read = (no: string) => ask(next.url, `/orders/${no}`)
  for (const { outTradeNo } of told)
    await eventually(async () => (await read(outTradeNo)).status === 'assigned')
  for (const { outTradeNo } of [...told]) told.push(await read(outTradeNo))
  expect(await next.end('SIGTERM')).toBe(0)
  await expectSound(told)
}

async function ask(url: string, path: string, init: RequestInit = {}): Promise<Told> {
  const answer = await fetch(`${url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${key}`, ...init.headers },
  })
  expect([200, 202]).toContain(answer.status)
  return toldOf(JSON.parse(await answer.text()))
}

function post(url: string, no: string, prefer: string): Promise<Told> {
  const headers = { 'content-type': 'application/json', prefer }
  return ask(url, `/orders/${no}/assign`, { method: 'POST', headers, body: '{"store_id":1001}' })
}

async function secondSignal(
  running: Running,
  first: NodeJS.Signals,
  second: NodeJS.Signals,
  pauseMs: number,
): Promise<{ code: number; afterMs: number }> {
  const gone = once(running.child, 'exit')
  running.child.kill(first)
  await sleep(pauseMs)
  const startMs = performance.now()
  running.child.kill(second)
  const [code] = await gone
  return { code, afterMs: performance.now() - startMs }
}

it.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)(
  'is ended at once by another %s with exit code %i, and what it had answered is sent at the next start',
  async (signal, code) => {
    await faults({ rates: { hang: 1 } })
    const running = await startProcess(env)
    const told = await Promise.all(
      Array.from({ length: 20 }, (_, n) => post(running.url, `S${n}`, 'respond-async')),
    )
    // Still waited for: this holds up the first signal.
    const cut = post(running.url, 'CUT', 'wait=30').then(
      () => 'answered',
      () => 'cut',
    )
    await eventually(async () => (await calls()).some(({ outTradeNo }) => outTradeNo === 'CUT'))
    const ended = await secondSignal(running, 'SIGTERM', signal, 600)
    expect(ended.code).toBe(code)
    // The first alone would wait for three silences of two seconds.
    expect(ended.afterMs).toBeLessThan(5000)
    expect(await cut).toBe('cut')
    await faults({})
    await expectResumed(told)
  },
  40_000,
)

it('takes the two signals of one Ctrl-C for one, and answers what it took', async () => {
  await faults({ latency_ms: { p50: 600, p99: 600 } })
  const running = await startProcess(env)
  const waiting = post(running.url, 'C1', 'wait=5')
  await sleep(100)
  const { code } = await secondSignal(running, 'SIGINT', 'SIGINT', 20)
  expect(code).toBe(0)
  expect(await waiting).toMatchObject({ status: 'assigned' })
  await expectSound([await waiting])
})

it('answers a request that comes on an open connection just before it closes', async () => {
  const running = await startProcess(env)
  const { port, hostname } = new URL(running.url)
  const sockets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = connect(Number(port), hostname)
      socket.on('error', () => {})
      await once(socket, 'connect')
      return socket
    }),
  )
  const first = sockets.map((socket, n) => exchange(socket, `K${n}`))
  expect(await Promise.all(first)).toEqual(sockets.map(() => '200 keep'))
  const ended = running.end('SIGTERM')
  // At the moments when the door closes for who asks nothing.
  const second = sockets.map(async (socket, n) => {
    await sleep(20 + n * 6)
    return exchange(socket, `L${n}`)
  })
  expect(await Promise.all(second)).toEqual(sockets.map(() => '200 close'))
  expect(await ended).toBe(0)
})

/** One order over that connection: its status, and whether the connection stays. */
async function exchange(socket: Socket, no: string): Promise<string> {
  const body = '{"store_id":1001}'
  const answered = new Promise<string>(done => {
    let text = ''
    socket.on('data', chunk => {
      text += chunk
      const [, status] = /^HTTP\/1.1 (\d+)[\s\S]*\r\n\r\n[\s\S]*}/.exec(text) ?? []
      if (status) done(`${status} ${/\r\nconnection: close/i.test(text) ? 'close' : 'keep'}`)
    })
    socket.once('close', () => done('cut off'))
  })
  socket.write(
    `POST /orders/${no}/assign HTTP/1.1\r\nHost: till\r\nAuthorization: Bearer ${key}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  return answered
}

it('is not held up by a connection that asks nothing', async () => {
  const running = await startProcess(env)
  const { port, hostname } = new URL(running.url)
  const silent = connect(Number(port), hostname)
  silent.on('error', () => {})
  await once(silent, 'connect')
  const startMs = performance.now()
  expect(await running.end('SIGTERM')).toBe(0)
  expect(performance.now() - startMs).toBeLessThan(5000)
  silent.destroy()
})
