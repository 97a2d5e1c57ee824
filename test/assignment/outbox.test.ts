import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { createOutbox } from '../../src/assignment/outbox.ts'
import { systemClock } from '../../src/clock.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'
import { eventually, openRig, type Rig, readJson, scratchDir } from '../support/rig.ts'

const accepted: Outcome = { kind: 'accepted', requestId: null }
const serverError: Outcome = {
  kind: 'unknown',
  reason: 'server_error',
  requestId: null,
  retryAfterMs: null,
  status: 500,
  detail: '',
}

let rig: Rig | undefined
let dir: string | undefined
afterEach(async () => {
  await rig?.close()
  if (dir) rmSync(dir, { recursive: true, force: true })
  rig = undefined
  dir = undefined
})

/** An upstream that the test answers for; remembers the most that were in the air at once. */
function scriptedUpstream(answer: (request: AssignRequest) => Promise<Outcome> | Outcome) {
  const seen: AssignRequest[] = []
  const load = { now: 0, most: 0 }
  return {
    seen,
    load,
    client: {
      hosts: ['http://one', 'http://two'],
      async assign(request: AssignRequest) {
        seen.push(request)
        load.now += 1
        load.most = Math.max(load.most, load.now)
        try {
          return await answer(request)
        } finally {
          load.now -= 1
        }
      },
    },
  }
}

it('sends what an earlier process left pending, nearest expiry first, and ends what is over without sending it', async () => {
  dir = scratchDir()
  const stateDir = join(dir, 'sim')
  const running = await startSimulator({ stateDir })
  const simulator = { running, stateDir }
  const broken = scriptedUpstream(() => serverError)
  const before = await openRig({ dataDir: dir, simulator, client: broken.client })
  await before.openStore(1001, 3)
  const created = (agoMs: number) => new Date(Date.now() - agoMs).toISOString()
  for (const [no, agoMs] of [
    ['LATE', 10],
    ['SOON', 50_000],
    ['MIDDLE', 30_000],
    ['OVER', 59_000],
  ] as const) {
    const answer = await before.assign(
      no,
      { store_id: 1001, created_at: created(agoMs) },
      { prefer: 'respond-async' },
    )
    expect(answer.status).toBe(202)
  }
  await eventually(async () => broken.seen.length >= 12)
  await before.close()

  const sound = scriptedUpstream(() => accepted)
  const untilMs = Date.now() + 1100
  await eventually(async () => Date.now() > untilMs)
  rig = await openRig({ dataDir: dir, simulator, client: sound.client })
  const after = rig
  await eventually(async () => (await after.order('LATE')).status === 'assigned')
  expect(sound.seen.map(({ outTradeNo }) => outTradeNo)).toEqual(['SOON', 'MIDDLE', 'LATE'])
  expect(await rig.order('OVER')).toMatchObject({ status: 'expired' })
  for (const { outTradeNo, guideId } of sound.seen) {
    const guides = broken.seen.filter(one => one.outTradeNo === outTradeNo).map(one => one.guideId)
    expect(new Set(guides)).toEqual(new Set([guideId]))
  }
  await running.stop()
})

it('goes to the other host at once when the first was never reached', async () => {
  const upstream = scriptedUpstream(({ host }) =>
    host === 0 ? { ...serverError, reason: 'not_sent', status: null } : accepted,
  )
  rig = await openRig({ client: upstream.client })
  await rig.openStore(1001, 2)
  expect((await readJson(await rig.assign('H1', { store_id: 1001 }))).status).toBe('assigned')
  expect(upstream.seen.map(({ host }) => host)).toEqual([0, 1])
  expect(new Set(upstream.seen.map(({ guideId }) => guideId)).size).toBe(1)
})

it('gives each attempt no more time than its order has left', async () => {
  const upstream = scriptedUpstream(() => accepted)
  rig = await openRig({ client: upstream.client, windowMs: 60_000, attemptTimeoutMs: 2000 })
  await rig.openStore(1001, 2)
  await rig.assign('T1', { store_id: 1001 })
  await rig.assign('T2', {
    store_id: 1001,
    created_at: new Date(Date.now() - 59_500).toISOString(),
  })
  expect(upstream.seen[0]?.timeoutMs).toBe(2000)
  expect(upstream.seen[1]?.timeoutMs).toBeLessThanOrEqual(500)
  expect(upstream.seen[1]?.timeoutMs).toBeGreaterThan(0)
})

it('refuses new orders with 503 and Retry-After when too many are in the air, writes no row, and recovers', async () => {
  let release = () => {}
  const gate = new Promise<void>(done => {
    release = done
  })
  const upstream = scriptedUpstream(async () => {
    await gate
    return accepted
  })
  rig = await openRig({ client: upstream.client, maxInFlight: 8 })
  const { assign, db } = rig
  await rig.openStore(1001, 2)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      assign(`O${index}`, { store_id: 1001 }, { prefer: 'respond-async' }),
    ),
  )
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(8)
  const shed = answers.filter(({ status }) => status === 503)
  expect(shed).toHaveLength(12)
  expect(shed[0]?.headers.get('retry-after')).toBe('1')
  expect(db.$client.prepare('SELECT count(*) AS n FROM orders').get()).toEqual({ n: 8 })
  release()
  await eventually(async () => (await assign('O19', { store_id: 1001 })).status === 200)
})

it('sends deferred orders again with at most 64 in the air at once', async () => {
  let broken = true
  const upstream = scriptedUpstream(async () => {
    if (broken) return { ...serverError, retryAfterMs: 400 }
    await new Promise(done => setTimeout(done, 20))
    return accepted
  })
  rig = await openRig({ client: upstream.client })
  const after = rig
  await rig.openStore(1001, 4)
  const nos = Array.from({ length: 200 }, (_, index) => `D${index}`)
  await Promise.all(nos.map(no => after.assign(no, { store_id: 1001 })))
  broken = false
  upstream.load.most = 0
  await eventually(async () => (await after.ledger.nextDueAtMs()) === null, 10_000)
  expect(upstream.load.most).toBeGreaterThan(1)
  expect(upstream.load.most).toBeLessThanOrEqual(64)
  for (const no of nos) {
    const guides = upstream.seen.filter(one => one.outTradeNo === no).map(one => one.guideId)
    expect(new Set(guides).size).toBe(1)
  }
})

it('lets the ledger go before a stop is over, whatever its turn was waiting for', async () => {
  const asked: string[] = []
  const gate = Promise.withResolvers<void>()
  const wait = async <T>(name: string, value: T): Promise<T> => {
    asked.push(name)
    if (name === 'expire') await gate.promise
    return value
  }
  const ledger = {
    reclaim: () => wait('reclaim', undefined),
    expire: () => wait('expire', undefined),
    lease: () => wait('lease', []),
    nextDueAtMs: () => wait('nextDueAtMs', null),
  } as unknown as Ledger
  const failures: unknown[] = []
  const outbox = createOutbox({
    ledger,
    clock: systemClock,
    isInAir: () => false,
    send: () => Promise.resolve(),
    opensAtMs: () => 0,
    failed: cause => failures.push(cause),
  })
  void outbox.start()
  await eventually(async () => asked.includes('expire'))
  let stopped = false
  const stopping = outbox.stop().then(() => {
    stopped = true
  })
  await new Promise(setImmediate)
  expect(stopped).toBe(false)
  gate.resolve()
  await stopping
  expect(asked).toEqual(['reclaim', 'expire'])
  await new Promise(done => setTimeout(done, 20))
  expect([asked, failures]).toEqual([['reclaim', 'expire'], []])
})
