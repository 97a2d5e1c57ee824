import { rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openCrowd } from '../support/crowd.ts'
import { arrive, quantile, tell } from '../support/pour.ts'
import { scratchDir } from '../support/rig.ts'
import {
  prepareData,
  settingsFor,
  startProcess,
  startSimulatorProcess,
} from '../support/service-process.ts'

const sockets = Number(process.env['SLOW_SOCKETS'] ?? 50)
const perSecond = sockets >= 1000 ? 300 : 50
// headersTimeout and requestTimeout of the service, each looked at once a second.
const limitMs = { headers: 5_000 + 1_000, body: 10_000 + 1_000, silent: 5_000 + 1_000 }
const slackMs = 1_500

let dir: string
let simulator: Awaited<ReturnType<typeof startSimulatorProcess>>
let service: Awaited<ReturnType<typeof startProcess>>
let key: string

beforeEach(async () => {
  dir = scratchDir()
  simulator = await startSimulatorProcess(join(dir, 'sim'))
  const env = settingsFor(simulator, join(dir, 'data'))
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  key = prepareData(join(dir, 'data'), mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    for (const id of ['G1', 'G2']) mirror.putGuide({ id, storeId: 1001, state: 'registered' })
  })
  service = await startProcess(env)
})
afterEach(async () => {
  await service.end('SIGTERM')
  await simulator.end('SIGTERM')
  rmSync(dir, { recursive: true, force: true })
})

type Trickle = keyof typeof limitMs

/** Sends a byte now and then, for ever; resolves with how long the service put up with it. */
function trickle(kind: Trickle, no: number): Promise<{ kind: Trickle; ms: number }> {
  const { hostname, port } = new URL(service.url)
  return new Promise(done => {
    const startMs = performance.now()
    const socket: Socket = connect(Number(port), hostname)
    const head = `POST /orders/SLOW${no}/assign HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n`
    if (kind === 'headers') socket.write(head)
    if (kind === 'body') {
      socket.write(`${head}Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n{`)
    }
    const next = () => kind !== 'silent' && socket.write(kind === 'headers' ? 'X' : ' ')
    const dripping = setInterval(next, 400)
    socket.on('error', () => {})
    socket.resume()
    socket.once('close', () => {
      clearInterval(dripping)
      done({ kind, ms: performance.now() - startMs })
    })
  })
}

/** Orders at random moments; their milliseconds, and what was not assigned. */
async function pour(prefix: string, forMs: number) {
  const crowd = openCrowd(service.url, key)
  const answers: Promise<{ status: number; ms: number }>[] = []
  await arrive((perSecond * forMs) / 1000, perSecond, (n, dueMs) => {
    const answer = crowd.post(`${prefix}${n}`)
    answers.push(answer.then(({ status }) => ({ status, ms: performance.now() - dueMs })))
  })
  const all = await Promise.all(answers)
  crowd.close()
  const took = all.map(({ ms }) => ms)
  const failed = all.filter(({ status }) => status !== 200).length
  return { failed, count: all.length, p99: quantile(took, 0.99) }
}

it('cuts those who trickle, each in time, and assigns orders beside them', async () => {
  await pour('WARM', 1000)
  const alone = await pour('ALONE', 3000)
  const kinds = ['headers', 'body', 'silent'] as const
  const slow = Array.from({ length: sockets }, (_, n) => trickle(kinds[n % 3] ?? 'headers', n))
  const beside = await pour('BESIDE', 8000)
  const cut = await Promise.all(slow)
  for (const { kind, ms } of cut) {
    expect(ms, kind).toBeLessThan(limitMs[kind] + slackMs)
    // Not at once: they were on their way.
    expect(ms, kind).toBeGreaterThan(limitMs[kind] - 1_500)
  }
  expect(new Set(cut.map(({ kind }) => kind)).size).toBe(3)
  expect([alone.failed, beside.failed]).toEqual([0, 0])
  expect(beside.count).toBe(perSecond * 8)
  tell({
    sockets,
    perSecond,
    longestMs: Math.round(Math.max(...cut.map(({ ms }) => ms))),
    p99AloneMs: alone.p99,
    p99BesideMs: beside.p99,
  })
}, 60_000)
