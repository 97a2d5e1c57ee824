import { afterEach, expect, it } from 'vitest'
import { sentTo } from '../support/invariants.ts'
import {
  attemptsOf,
  expectSound,
  full,
  openRigFor,
  type Poured,
  pour,
  statuses,
  tell,
} from '../support/pour.ts'
import { eventually, type Rig, readJson } from '../support/rig.ts'
import { aRandom } from '../support/rules.ts'

let rig: Rig
afterEach(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

const sleep = (ms: number) => new Promise(done => setTimeout(done, ms))

it('assigns every order inside its window though three calls in ten fail, in every way there is', async () => {
  rig = await openRigFor({ windowMs: 30_000, waitMs: 300 })
  await rig.openStore(1001, 6)
  await rig.control('PUT', '/faults', {
    rates: {
      reset_before: 0.04,
      reset_after: 0.04,
      status_500: 0.05,
      status_502: 0.03,
      unsigned: 0.03,
      wrong_signature: 0.03,
      signtest: 0.03,
      garbage_body: 0.02,
      hang: 0.01,
      status_429: 0.02,
    },
  })
  const count = full(30_000, 500)
  const answers = await pour(rig, 'F', count, full(300, 125))
  await eventually(async () => !('pending' in statuses(rig)), 31_000)
  tell({ what: 'three calls in ten fail', ...statuses(rig), attempts: attemptsOf(rig) })
  expect(statuses(rig)['assigned']).toBeGreaterThanOrEqual(count * 0.9999)
  await expectSound(rig, answers)
}, 200_000)

it('makes no storm while WeChat Pay is away, and assigns what it kept within seconds after', async () => {
  const [outageMs, stretches] = full([60_000, 6], [4000, 1])
  rig = await openRigFor({ windowMs: 120_000, waitMs: 100 })
  await rig.openStore(1001, 6)
  await rig.control('POST', '/outage', { for_ms: outageMs })
  const backMs = performance.now() + outageMs
  const perStretch = full(500, 350)
  const answers: Poured[] = []
  const attempts = []
  for (let n = 0; n < stretches; n++) {
    const before = attemptsOf(rig)
    answers.push(...(await pour(rig, `O${n}`, perStretch, full(50, 100))))
    attempts.push(attemptsOf(rig) - before)
    expect(attempts[n]).toBeLessThanOrEqual(perStretch * 1.2 + full(0, 20))
  }
  await sleep(Math.max(0, backMs - performance.now()))
  await eventually(async () => statuses(rig)['assigned'] === answers.length, 20_000)
  const lateMs = Math.round(performance.now() - backMs)
  tell({ what: 'away', outageMs, perStretch, attempts, allAssignedAfterMs: lateMs })
  expect(lateMs).toBeLessThan(5000)
  await expectSound(rig, answers)
}, 120_000)

it('sends nothing after the window and leaves nothing pending, however short the window and slow the answer', async () => {
  rig = await openRigFor({ windowMs: 60_000, waitMs: 50 })
  await rig.openStore(1001, 6)
  await rig.control('PUT', '/faults', {
    latency_ms: { p50: 60, p99: 3000 },
    rates: { status_500: 0.2 },
  })
  const random = aRandom(3)
  const count = full(10_000, 500)
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, stuckFor(Date.now()))
  }, 50)
  // Made so long ago that between 50 ms and 5 s are left.
  const answers = await pour(rig, 'W', count, full(200, 170), () => ({
    created_at: new Date(Date.now() - 60_000 + 50 + random() * 4950).toISOString(),
  }))
  await sleep(full(6000, 3000))
  await eventually(async () => !('pending' in statuses(rig)), 3000)
  clearInterval(watch)
  tell({ what: 'windows of 50 ms to 5 s', count, ...statuses(rig), longestPendingPastExpiry: most })
  expect(most).toBeLessThan(1000)
  const { assigned = 0, expired = 0 } = statuses(rig)
  expect(assigned + expired).toBe(count)
  expect(assigned).toBeGreaterThan(count / 2)
  await expectSound(rig, answers)
}, 120_000)

/** How long the longest of those still pending is past its window. */
function stuckFor(nowMs: number): number {
  const earliest = rig.db.$client
    .prepare<[], number | null>("SELECT min(expires_at_ms) FROM orders WHERE status = 'pending'")
    .pluck()
    .get()
  return nowMs - (earliest ?? nowMs)
}

it('goes on with the backup host while the primary is dead, and loses no order', async () => {
  rig = await openRigFor({ hosts: url => ['http://127.0.0.1:9', url], waitMs: 1000 })
  await rig.openStore(1001, 6)
  const count = 150
  const answers = await pour(rig, 'P', count, 100)
  expect(answers.filter(({ status }) => status === 'assigned')).toHaveLength(count)
  // Once the breaker is open, the dead host is asked now and then only; the rest are hedges.
  expect(attemptsOf(rig)).toBeLessThan(count * 1.05 + 20 + 8 + 10)
  await expectSound(rig, answers)
}, 20_000)

it('stops calling for a merchant whose account is refused, keeps the orders, and assigns them once that is mended', async () => {
  rig = await openRigFor({ windowMs: 60_000, waitMs: 50 })
  await rig.openStore(1001, 6)
  await rig.control('PUT', '/faults', { rates: { no_auth: 1 } })
  const count = 150
  const answers = await pour(rig, 'A', count, 100)
  expect((await sentTo(rig)).length).toBeLessThanOrEqual(3 + 64)
  const ready = async () => readJson(await rig.app.request('/readyz'))
  expect((await ready())['warnings']).toMatchObject([
    { code: 'account_refused', merchants: [rig.merchant] },
  ])
  await rig.control('PUT', '/faults', {})
  await eventually(async () => statuses(rig)['assigned'] === count, 8000)
  expect(await ready()).not.toHaveProperty('warnings')
  await expectSound(rig, answers)
}, 30_000)
