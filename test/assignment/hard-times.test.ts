import { afterEach, expect, it } from 'vitest'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'
import { brokenIn, type SentAssign } from '../support/invariants.ts'
import { eventually, openRig, type Rig, readJson } from '../support/rig.ts'

const accepted: Outcome = { kind: 'accepted', requestId: null }
const unknown = (reason: 'server_error' | 'timeout'): Outcome => ({
  kind: 'unknown',
  reason,
  requestId: null,
  retryAfterMs: null,
  status: null,
  detail: '',
})

let rig: Rig | undefined
/** Null while WeChat Pay is the simulator. */
let sent: SentAssign[] | null = null
afterEach(async () => {
  try {
    if (rig) expect(await brokenIn(rig, [], sent ?? undefined)).toEqual([])
  } finally {
    await rig?.close()
    rig = undefined
    sent = null
  }
})

function upstream(answer: (request: AssignRequest, seen: number) => Promise<Outcome> | Outcome) {
  const seen: AssignRequest[] = []
  const log: SentAssign[] = []
  sent = log
  const client = {
    hosts: ['http://one', 'http://two'],
    async assign(request: AssignRequest) {
      seen.push(request)
      const { guideId, outTradeNo, subMchid } = request
      const call = { guideId, outTradeNo, subMchid, atMs: Date.now(), accepted: false }
      log.push(call)
      const outcome = await answer(request, seen.length)
      call.accepted = outcome.kind === 'accepted'
      return outcome
    },
  }
  return { seen, client }
}

const soon = (ms: number) => new Date(Date.now() + ms).toISOString()

it('takes a guide whom WeChat Pay does not know out of the pool, so that one order is decided twice and none is refused', async () => {
  rig = await openRig()
  const good = await rig.openStore(1001, 3)
  rig.mirror.putGuide({ id: '0BAD', storeId: 1001, state: 'registered' })
  await rig.control('PUT', '/policies', { unknown_guide: 'reject' })
  const orders = []
  for (let no = 0; no < 9; no++)
    orders.push(await readJson(await rig.assign(`Q${no}`, { store_id: 1001 })))
  expect(orders.map(one => [one.status, one['generation']])).toEqual([
    ['assigned', 2],
    ...Array.from({ length: 8 }, () => ['assigned', 1]),
  ])
  expect(new Set(orders.map(({ guide_id }) => guide_id))).toEqual(new Set(good))
})

it('sends an accepted order once, and records it as assigned, when the ledger cannot be written for a while', async () => {
  const { seen, client } = upstream(() => accepted)
  rig = await openRig({ client, waitMs: 200 })
  await rig.openStore(1001, 2)
  const { ledger } = rig
  const { settle } = ledger
  ledger.settle = () => Promise.reject(new Error('no room'))
  expect((await rig.assign('W1', { store_id: 1001 })).status).toBe(202)
  ledger.settle = settle
  await eventually(async () => (await rig?.order('W1'))?.status === 'assigned')
  expect(seen).toHaveLength(1)
  expect((await rig.order('W1'))['attempt_count']).toBe(1)
  expect(rig.failures.splice(0)).toMatchObject([{ message: 'no room' }])
})

it('keeps one flight an order while duplicates pour in, waits for it in a drain, and does not lose its acceptance to payment', async () => {
  let release = () => {}
  const gate = new Promise<void>(done => {
    release = done
  })
  let inAir = 0
  let most = 0
  const { seen, client } = upstream(async (_, count) => {
    if (count <= 3) return unknown('server_error')
    inAir += 1
    most = Math.max(most, inAir)
    await gate
    inAir -= 1
    return accepted
  })
  rig = await openRig({ client })
  await rig.openStore(1001, 2)
  const { assign } = rig
  expect((await assign('S1', { store_id: 1001 })).status).toBe(202)
  let pouring = true
  const duplicates = Array.from({ length: 16 }, async () => {
    while (pouring) {
      await assign('S1', { store_id: 1001 }, { prefer: 'respond-async' })
      // In one process a joined answer never leaves the microtasks: let the others run.
      await new Promise(done => setImmediate(done))
    }
  })
  await eventually(async () => seen.length > 3)
  await rig.request('POST', '/orders/S1/paid', { body: { paid_at: soon(0) } })
  pouring = false
  await Promise.all(duplicates)
  let drained = false
  const drain = rig.assignments.drain().then(() => {
    drained = true
  })
  await new Promise(done => setTimeout(done, 50))
  expect(drained).toBe(false)
  release()
  await drain
  expect([most, seen.length]).toEqual([1, 4])
  expect(await rig.order('S1')).toMatchObject({ status: 'assigned' })
})

it.each(['paid', 'closed'])(
  'ends the window now for an order that is %s at an instant ahead of our clock',
  async end => {
    let sound = false
    const { client } = upstream(() => (sound ? accepted : unknown('server_error')))
    rig = await openRig({ client })
    await rig.openStore(1001, 2)
    await rig.assign('E1', { store_id: 1001 })
    await rig.request('POST', `/orders/E1/${end}`, { body: { [`${end}_at`]: soon(30_000) } })
    sound = true
    await eventually(async () => (await rig?.order('E1'))?.status === 'expired', 1000)
  },
)

it('sends nothing that still waits for its turn on the wire when the order is paid, and ends what hangs soon after', async () => {
  rig = await openRig({ attemptTimeoutMs: 3000 })
  await rig.openStore(1001, 2)
  await rig.control('PUT', '/faults', { script: [{ on: 'assign', do: 'hang', times: 64 }] })
  const hanging = Array.from({ length: 64 }, (_, index) => `H${index}`)
  for (const no of [...hanging, 'LAST']) {
    await rig.assign(no, { store_id: 1001 }, { prefer: 'respond-async' })
  }
  await eventually(async () => (await rig?.sent())?.length === 64)
  const body = { paid_at: soon(0) }
  await rig.request('POST', '/orders/LAST/paid', { body })
  await rig.request('POST', '/orders/H0/paid', { body })
  await eventually(async () => (await rig?.order('LAST'))?.status === 'expired', 1000)
  await eventually(async () => (await rig?.order('H0'))?.status === 'expired', 1000)
  for (const no of hanging)
    await rig.request('POST', `/orders/${no}/closed`, { body: { closed_at: soon(0) } })
  await eventually(async () => (await rig?.ledger.nextDueAtMs()) === null)
  expect(await rig.sent('LAST')).toEqual([])
}, 30_000)

it('says nothing of an old refusal once the order is assigned', async () => {
  const { client } = upstream((_, count) =>
    count === 1
      ? {
          kind: 'rejected',
          blames: 'account',
          status: 401,
          code: 'SIGN_ERROR',
          message: '',
          requestId: null,
        }
      : accepted,
  )
  rig = await openRig({ client })
  await rig.openStore(1001, 2)
  await rig.assign('O1', { store_id: 1001 })
  rig.db.$client.prepare('UPDATE orders SET due_at_ms = 0').run()
  await eventually(async () => (await rig?.order('O1'))?.status === 'assigned')
  expect(await rig.order('O1')).not.toHaveProperty('upstream')
})

it('tries the other host after a silent one, and begins there the next time', async () => {
  const { seen, client } = upstream(() => unknown('timeout'))
  rig = await openRig({ client })
  await rig.openStore(1001, 2)
  await rig.assign('T1', { store_id: 1001 })
  expect(seen.map(({ host }) => host)).toEqual([0, 1, 0])
  await eventually(async () => seen.length === 4)
  expect(seen[3]?.host).toBe(1)
})

it('ends orders whose window is over though every place in the air is taken', async () => {
  // The first 70 fail thrice and then take long: more than there are places. The others never get through.
  const tries = new Map<string, number>()
  const { client } = upstream(async ({ outTradeNo }) => {
    const count = (tries.get(outTradeNo) ?? 0) + 1
    tries.set(outTradeNo, count)
    if (count <= 3 || Number(outTradeNo.slice(1)) >= 70) return unknown('server_error')
    await new Promise(done => setTimeout(done, 3000))
    return accepted
  })
  rig = await openRig({ client })
  await rig.openStore(1001, 2)
  for (let no = 0; no < 80; no++) {
    const created_at = new Date(Date.now() - (no < 70 ? 0 : 58_000)).toISOString()
    await rig.assign(`P${no}`, { store_id: 1001, created_at }, { prefer: 'respond-async' })
  }
  await eventually(async () => (await rig?.order('P79'))?.status === 'expired', 6000)
  const order = await rig.order('P79')
  const row = rig.db.$client
    .prepare<[], { late: number }>(
      "SELECT max(settled_at_ms - expires_at_ms) AS late FROM orders WHERE status = 'expired'",
    )
    .get()
  expect(order.status).toBe('expired')
  expect(row?.late).toBeLessThan(1000)
}, 30_000)

it.each([
  ['that a payment cuts short leaves the breaker of its host closed', true, 0],
  ['that had its time opens it', false, 1],
])(
  'a silent call %s',
  async (_, isPaid, isOpen) => {
    const { client } = upstream(
      ({ leash, timeoutMs }) =>
        new Promise(done => {
          const end = () => done(unknown('timeout'))
          if (leash) leash.shorten = end
          setTimeout(end, timeoutMs)
        }),
    )
    rig = await openRig({ client: { ...client, hosts: ['http://one'] }, attemptTimeoutMs: 400 })
    const nos = Array.from({ length: 20 }, (_, n) => `CUT${n}`)
    await rig.openStore(1001, 2)
    await Promise.all(
      nos.map(no => rig?.assign(no, { store_id: 1001 }, { prefer: 'respond-async' })),
    )
    const body = { paid_at: soon(0) }
    if (isPaid)
      await Promise.all(nos.map(no => rig?.request('POST', `/orders/${no}/paid`, { body })))
    const attempts = async () => (await rig?.order('CUT19'))?.['attempt_count'] ?? 0
    await eventually(async () => (await attempts()) !== 0)
    const metrics = await (await rig.request('GET', '/metrics')).text()
    expect(metrics).toContain(`smartguide_host_breaker_open{host="0"} ${isOpen}`)
    for (const no of nos)
      await rig.request('POST', `/orders/${no}/closed`, { body: { closed_at: soon(0) } })
  },
  20_000,
)

it('gives a cart one turn: a test lends it no guide, and a closed number passes its turn to the one that was paid', async () => {
  const { client } = upstream(() => accepted)
  rig = await openRig({ client })
  await rig.openStore(1001, 3)
  const turnOf = (no: string) =>
    rig?.db.$client
      .prepare<[string], { turn: string | null }>('SELECT turn FROM orders WHERE out_trade_no = ?')
      .get(no)?.turn
  await rig.assign('C0', { store_id: 1001, cart_id: 'c', test: true })
  expect(await readJson(await rig.assign('C1', { store_id: 1001, cart_id: 'c' }))).toMatchObject({
    reason: 'FAIR_TURN',
  })
  expect(await readJson(await rig.assign('C2', { store_id: 1001, cart_id: 'c' }))).toMatchObject({
    reason: 'STICKY_CART',
  })
  expect([turnOf('C1'), turnOf('C2')]).toEqual([null, 'taken'])
  await rig.request('POST', '/orders/C1/paid', { body: { paid_at: soon(0) } })
  await rig.request('POST', '/orders/C2/closed', { body: { closed_at: soon(0) } })
  expect([turnOf('C1'), turnOf('C2')]).toEqual(['taken', null])
})
