import { afterEach, expect, it } from 'vitest'
import { brokenIn, sentTo, type Told, toldOf } from '../support/invariants.ts'
import { eventually, openRig, type Rig, readJson } from '../support/rig.ts'

let rig: Rig
afterEach(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

const sleep = (ms: number) => new Promise(done => setTimeout(done, ms))

/** Posts an order each `everyMs` for that long, and waits for no answer. */
async function pour(
  prefix: string,
  everyMs: number,
  forMs: number,
  facts: (n: number) => object = () => ({}),
): Promise<{ told: Promise<Told[]>; count: number }> {
  const answers: Promise<Told>[] = []
  const startMs = performance.now()
  for (let n = 0; performance.now() - startMs < forMs; n++) {
    const no = `${prefix}-${n}`
    answers.push(
      rig.assign(no, { store_id: 1001, ...facts(n) }).then(async answer => {
        expect([200, 202]).toContain(answer.status)
        return toldOf(await readJson(answer))
      }),
    )
    const dueMs = startMs + (n + 1) * everyMs
    await sleep(Math.max(0, dueMs - performance.now()))
  }
  return { told: Promise.all(answers), count: answers.length }
}

async function expectSound(told: readonly Told[]): Promise<void> {
  expect(await brokenIn(rig, told)).toEqual([])
}

function statuses(): Record<string, number> {
  const rows = rig.db.$client
    .prepare<[], { status: string; count: number }>(
      'SELECT status, count(*) AS count FROM orders GROUP BY status',
    )
    .all()
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]))
}

it('assigns every order inside its window though three calls in ten fail, in every way there is', async () => {
  rig = await openRig({ windowMs: 30_000, waitMs: 300 })
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
  const { told, count } = await pour('F', 8, 4000)
  const answers = await told
  await eventually(async () => statuses()['assigned'] === count, 20_000)
  expect(statuses()).toEqual({ assigned: count })
  await expectSound(answers)
}, 40_000)

it('makes no storm while WeChat Pay is away, and assigns what it kept within seconds after', async () => {
  rig = await openRig({ windowMs: 60_000, waitMs: 100 })
  await rig.openStore(1001, 6)
  await rig.control('POST', '/outage', { for_ms: 4000 })
  const before = performance.now()
  const { told, count } = await pour('O', 10, 3500)
  const answers = await told
  await sleep(Math.max(0, 4000 - (performance.now() - before)))
  const attempts = rig.db.$client
    .prepare<[], number>('SELECT sum(attempt_count) FROM orders')
    .pluck()
    .get()
  expect(attempts).toBeLessThanOrEqual(count * 1.2 + 20)
  await eventually(async () => statuses()['assigned'] === count, 5000)
  await expectSound(answers)
}, 30_000)

it('sends nothing after the window and leaves nothing pending, however short the window and slow the answer', async () => {
  rig = await openRig({ windowMs: 60_000, waitMs: 50 })
  await rig.openStore(1001, 6)
  await rig.control('PUT', '/faults', {
    latency_ms: { p50: 60, p99: 900 },
    rates: { status_500: 0.3 },
  })
  // Made so long ago that between 50 ms and 2 s are left.
  const { told, count } = await pour('W', 6, 3000, n => ({
    created_at: new Date(Date.now() - 60_000 + 50 + ((n * 137) % 1950)).toISOString(),
  }))
  const answers = await told
  await sleep(3200)
  const { assigned = 0, expired = 0 } = statuses()
  expect(assigned + expired).toBe(count)
  expect(assigned).toBeGreaterThan(count / 2)
  await expectSound(answers)
}, 30_000)

it('goes on with the backup host while the primary is dead, and loses no order', async () => {
  rig = await openRig({ hosts: url => ['http://127.0.0.1:9', url], waitMs: 1000 })
  await rig.openStore(1001, 6)
  const { told, count } = await pour('P', 10, 1500)
  const answers = await told
  expect(answers.filter(({ status }) => status === 'assigned')).toHaveLength(count)
  const { attempts } = rig.db.$client
    .prepare<[], { attempts: number }>('SELECT sum(attempt_count) AS attempts FROM orders')
    .get() ?? { attempts: 0 }
  // Once the breaker is open, the dead host is asked now and then only.
  expect(attempts).toBeLessThan(count + 8 + 10)
  await expectSound(answers)
}, 20_000)

it('stops calling for a merchant whose account is refused, keeps the orders, and assigns them once that is mended', async () => {
  rig = await openRig({ windowMs: 60_000, waitMs: 50 })
  await rig.openStore(1001, 6)
  await rig.control('PUT', '/faults', { rates: { no_auth: 1 } })
  const { told, count } = await pour('A', 10, 1500)
  const answers = await told
  expect((await sentTo(rig)).length).toBeLessThanOrEqual(3 + 64)
  const ready = async () => readJson(await rig.app.request('/readyz'))
  expect((await ready())['warnings']).toMatchObject([
    { code: 'account_refused', merchants: [rig.merchant] },
  ])
  await rig.control('PUT', '/faults', {})
  await eventually(async () => statuses()['assigned'] === count, 8000)
  expect(await ready()).not.toHaveProperty('warnings')
  await expectSound(answers)
}, 30_000)
