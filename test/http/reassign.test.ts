import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Scope } from '../../src/access/keys.ts'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'
import { eventually, openRig, type Rig, readJson } from '../support/rig.ts'

const accepted: Outcome = { kind: 'accepted', requestId: null }
const refused = (blames: 'guide' | 'order' | 'account'): Outcome => ({
  kind: 'rejected',
  blames,
  status: 400,
  code: 'PARAM_ERROR',
  message: '订单已分配给其他服务人员',
  requestId: 'R-1',
})
const unknown = (
  reason: 'not_sent' | 'timeout' | 'throttled',
  retryAfterMs: number | null = null,
): Outcome => ({
  kind: 'unknown',
  reason,
  requestId: null,
  retryAfterMs,
  status: null,
  detail: '',
})

let rig: Rig
let guides: string[]
let seen: AssignRequest[]
let answers: (request: AssignRequest) => Promise<Outcome> | Outcome

async function open(scripted = true) {
  seen = []
  answers = () => accepted
  const client = {
    hosts: ['http://one'],
    async assign(request: AssignRequest) {
      seen.push(request)
      return answers(request)
    },
  }
  rig = await openRig({ waitMs: 400, ...(scripted ? { client } : {}) })
  guides = (await rig.openStore(1001, 4)).sort()
}

beforeEach(() => open())
afterEach(async () => {
  const { failures } = rig
  await rig.close()
  expect(failures).toEqual([])
})

const why = 'the customer asked for her'

function reassign(
  no: string,
  guideId: string | undefined,
  generation: number | null = 1,
  more: { scope?: Scope; headers?: Record<string, string>; query?: string; body?: object } = {},
): Promise<Response> {
  const { scope = 'manage', headers = {}, query = '', body = { guide_id: guideId, why } } = more
  return rig.request('POST', `/orders/${no}/reassign${query}`, {
    scope,
    body,
    headers: { ...(generation === null ? {} : { 'if-match': `"${generation}"` }), ...headers },
  })
}

async function problemOf(answer: Response) {
  const { code, detail } = JSON.parse(await answer.text())
  return [answer.status, code, detail]
}

const standings = () => {
  const row = rig.db.$client.prepare<[], { page: string }>('SELECT page FROM books').get()
  const { standings } = JSON.parse(row?.page ?? '{"standings":{}}')
  return Object.values<number[]>(standings).map(([balance]) => balance ?? 0)
}

async function expectFaultless() {
  const answer = await rig.request('POST', '/stores/1001/fairness/verify', {
    scope: 'manage',
    body: { from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' },
  })
  expect(JSON.parse(await answer.text())).toMatchObject({ ok: true, faults: [] })
}

describe('POST /orders/{no}/reassign', () => {
  it.each(['assign', 'manage', 'admin'] as const)(
    'with a key of scope %s gives the order to the guide who is named, as its next generation and for no turn',
    async scope => {
      const first = await rig.assign('A', { store_id: 1001 })
      expect(first.headers.get('etag')).toBe('"1"')
      expect((await rig.request('GET', '/orders/A')).headers.get('etag')).toBe('"1"')
      const before = await readJson(first)
      const answer = await reassign('A', guides[3], 1, { scope })
      expect([answer.status, answer.headers.get('etag')]).toEqual([200, '"2"'])
      expect(await readJson(answer)).toMatchObject({
        status: 'assigned',
        generation: 2,
        guide_id: guides[3],
        reason: 'NAMED',
      })
      expect(seen.map(({ guideId }) => guideId)).toEqual([before.guide_id, guides[3]])
      expect(standings()).toEqual([0, 0, 0, 0])
      const read = await rig.request('GET', '/orders/A')
      expect(read.headers.get('etag')).toBe('"2"')
      expect(JSON.parse(await read.text())).toMatchObject({
        named: { why, by: expect.stringMatching(/./) },
        earlier: [{ generation: 1, guide_id: before.guide_id, status: 'assigned' }],
      })
      const explained = JSON.parse(await (await rig.request('GET', '/orders/A/explain')).text())
      expect(explained.sentence.en).toContain(why)
      expect(explained.sentence.zh).toContain(why)
      expect(explained.guides.map((one: { guide_id: string }) => one.guide_id).sort()).toEqual(
        guides,
      )
      await expectFaultless()
    },
  )

  it('changes what the bill shows, where WeChat Pay lets the last one win', async () => {
    await rig.close()
    await open(false)
    await rig.assign('A', { store_id: 1001 })
    expect((await reassign('A', guides[2])).status).toBe(200)
    expect(await rig.control('POST', '/pay/A', {})).toMatchObject({ card: { guide_id: guides[2] } })
  })

  it('leaves the order with the guide of before, turn and all, where WeChat Pay takes no second one, and says so', async () => {
    await rig.close()
    await open(false)
    await rig.control('PUT', '/policies', { reassign: 'reject' })
    const first = await readJson(await rig.assign('A', { store_id: 1001 }))
    const balances = standings()
    const answer = await reassign('A', guides[2])
    expect(answer.status).toBe(200)
    expect(await readJson(answer)).toMatchObject({
      status: 'assigned',
      generation: 3,
      guide_id: first.guide_id,
      reason: 'RESTORED',
      assigned_at: first['assigned_at'],
      upstream: { code: 'PARAM_ERROR' },
    })
    expect(await rig.order('A')).toMatchObject({
      too_late: false,
      earlier: [
        { generation: 1, guide_id: first.guide_id, status: 'assigned', ended: 'reassigned' },
        { generation: 2, guide_id: guides[2], status: 'rejected', ended: 'refused' },
      ],
      attempts: [
        { outcome: 'accepted', generation: 1 },
        { outcome: 'rejected', generation: 2 },
      ],
    })
    expect(standings()).toEqual(balances)
    expect(await rig.control('POST', '/pay/A', {})).toMatchObject({
      card: { guide_id: first.guide_id },
    })
    expect(await rig.sent('A')).toHaveLength(2)
    await expectFaultless()
    const explained = JSON.parse(await (await rig.request('GET', '/orders/A/explain')).text())
    expect(explained.sentence.en).toContain('did not take another')
    expect(explained.guides.map((one: { guide_id: string }) => one.guide_id).sort()).toEqual(guides)
  })

  it('leaves it there too when WeChat Pay does not know the guide who is named, who is quarantined', async () => {
    const first = await readJson(await rig.assign('A', { store_id: 1001 }))
    answers = () => refused('guide')
    expect(await readJson(await reassign('A', guides[2]))).toMatchObject({
      status: 'assigned',
      generation: 3,
      guide_id: first.guide_id,
      reason: 'RESTORED',
    })
    expect(await problemOf(await reassign('A', guides[2], 3))).toEqual([
      422,
      'guide_not_eligible',
      expect.stringContaining('has refused guide'),
    ])
    await expectFaultless()
  })

  it('gives an order that nobody served to somebody, and the rules decide when that guide is refused', async () => {
    rig.mirror.putDocument(1001, 'roster', { weekly: [] }, { author: 'test', atMs: 0 })
    await rig.assign('A', { store_id: 1001 })
    const answer = await reassign('A', guides[1])
    expect(await readJson(answer)).toMatchObject({ status: 'assigned', guide_id: guides[1] })
    await rig.assign('B', { store_id: 1001 })
    answers = () => refused('guide')
    expect(await readJson(await reassign('B', guides[2]))).toMatchObject({
      status: 'rejected',
      generation: 2,
      guide_id: guides[2],
    })
    await expectFaultless()
  })

  it('is 202 while the new guide is on the way, and every later answer is the newest', async () => {
    await rig.assign('A', { store_id: 1001 })
    const gate = Promise.withResolvers<Outcome>()
    answers = () => gate.promise
    const answer = await reassign('A', guides[3], 1, { headers: { prefer: 'respond-async' } })
    expect([answer.status, answer.headers.get('location')]).toEqual([202, '/orders/A'])
    expect(answer.headers.get('etag')).toBe('"2"')
    const row = rig.db.$client.prepare('SELECT guide_id, generation, status FROM orders').get()
    expect(row).toEqual({ guide_id: guides[3], generation: 2, status: 'pending' })
    const again = await rig.assign('A', { store_id: 1001 }, { prefer: 'respond-async' })
    expect(await readJson(again)).toMatchObject({ generation: 2, guide_id: guides[3] })
    expect(again.headers.get('idempotency-status')).toBe('replayed')
    gate.resolve(accepted)
    await eventually(async () => (await rig.order('A')).status === 'assigned')
    expect(seen).toHaveLength(2)
  })

  it('repeated with the same If-Match is 412, and of two at once one wins', async () => {
    await rig.assign('A', { store_id: 1001 })
    const both = await Promise.all([reassign('A', guides[2]), reassign('A', guides[3])])
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412])
    expect(await problemOf(await reassign('A', guides[2]))).toEqual([
      412,
      'precondition_failed',
      expect.stringContaining('generation 2'),
    ])
    expect(seen).toHaveLength(2)
  })

  it.each([
    ['without If-Match', null, {}, 428, 'precondition_required'],
    ['with If-Match: *', null, { 'if-match': '*' }, 428, 'precondition_required'],
    ['with a stale If-Match', 7, {}, 412, 'precondition_failed'],
    ['with a weak tag', null, { 'if-match': 'W/"1"' }, 412, 'precondition_failed'],
    ['with a tag that is none', null, { 'if-match': '1' }, 412, 'precondition_failed'],
  ])('%s changes nothing: %s %j → %i %s', async (_, generation, headers, status, code) => {
    await rig.assign('A', { store_id: 1001 })
    const answer = await reassign('A', guides[3], generation, { headers })
    expect((await problemOf(answer)).slice(0, 2)).toEqual([status, code])
    expect(await rig.order('A')).toMatchObject({ generation: 1, earlier: [] })
    expect(seen).toHaveLength(1)
  })

  it('takes one tag of several', async () => {
    await rig.assign('A', { store_id: 1001 })
    const answer = await reassign('A', guides[3], null, { headers: { 'if-match': '"4", "1"' } })
    expect(answer.status).toBe(200)
  })

  it.each([
    ['nobody knows', () => 'NOBODY', 404, 'guide_not_found', 'is not registered'],
    ['is of another merchant', () => 'FOREIGN', 404, 'guide_not_found', 'is not registered'],
    ['is gone', () => 'GONE', 404, 'guide_not_found', 'is not registered'],
    ['works in another store', () => 'ELSEWHERE', 422, 'guide_not_eligible', 'not on the staff'],
    ['WeChat Pay has refused', () => 'BAD', 422, 'guide_not_eligible', 'refused'],
    ['has the order', () => seen[0]?.guideId, 422, 'guide_not_eligible', 'already'],
  ])('refuses a guide who %s', async (_, guide, status, code, sentence) => {
    rig.mirror.putStore({ storeId: 2, merchant: '999', name: 'f', timezone: 'Asia/Shanghai' })
    await rig.openStore(1002, 0)
    rig.mirror.putGuide({ id: 'FOREIGN', storeId: 2, state: 'registered' })
    rig.mirror.putGuide({ id: 'ELSEWHERE', storeId: 1002, state: 'registered' })
    rig.mirror.putGuide({ id: 'BAD', storeId: 1001, state: 'quarantined' })
    rig.mirror.putGuide({ id: 'GONE', storeId: 1001, state: 'registered' })
    rig.db.$client.exec("UPDATE guides SET state = 'gone' WHERE guide_id = 'GONE'")
    await rig.assign('A', { store_id: 1001 })
    expect(await problemOf(await reassign('A', guide()))).toEqual([
      status,
      code,
      expect.stringContaining(sentence),
    ])
    expect(await rig.order('A')).toMatchObject({ status: 'assigned', generation: 1 })
    expect(seen).toHaveLength(1)
    await expectFaultless()
  })

  it.each(['paid', 'closed'])('refuses an order that is %s', async end => {
    await rig.assign('A', { store_id: 1001 })
    const body = { [`${end}_at`]: new Date().toISOString() }
    await rig.request('POST', `/orders/A/${end}`, { body })
    expect((await problemOf(await reassign('A', guides[3]))).slice(0, 2)).toEqual([
      409,
      `order_${end}`,
    ])
    expect(seen).toHaveLength(1)
  })

  it('refuses an order whose window is over', async () => {
    await rig.assign('A', { store_id: 1001 })
    rig.skew.ms = 61_000
    expect((await problemOf(await reassign('A', guides[3]))).slice(0, 2)).toEqual([
      409,
      'window_over',
    ])
  })

  it.each([
    ['rejected', () => refused('order'), {}],
    ['skipped', () => accepted, { channel: 'jsapi' }],
  ])('refuses an order that is %s', async (status, outcome, facts) => {
    rig.mirror.setSettings(rig.merchant, {
      edition: 'commercial',
      platformAutoAssign: false,
      assignWindowSeconds: null,
    })
    answers = outcome
    expect(await readJson(await rig.assign('A', { store_id: 1001, ...facts }))).toMatchObject({
      status,
    })
    const before = seen.length
    expect((await problemOf(await reassign('A', guides[3]))).slice(0, 2)).toEqual([
      409,
      'not_reassignable',
    ])
    expect(seen).toHaveLength(before)
  })

  it('refuses an order that is in the air', async () => {
    const gate = Promise.withResolvers<Outcome>()
    answers = () => gate.promise
    await rig.assign('A', { store_id: 1001 }, { prefer: 'respond-async' })
    await eventually(async () => seen.length === 1)
    const answer = await reassign('A', guides[3])
    expect(answer.headers.get('retry-after')).toBe('1')
    expect((await problemOf(answer)).slice(0, 2)).toEqual([409, 'order_in_flight'])
    gate.resolve(accepted)
    await eventually(async () => (await rig.order('A')).status === 'assigned')
    expect(await rig.order('A')).toMatchObject({ generation: 1, guide_id: seen[0]?.guideId })
    expect(seen).toHaveLength(1)
  })

  it.each([
    ['timeout', 409],
    ['throttled', 200],
    ['account', 200],
  ] as const)(
    'of an order whose last attempt ended with %s, and that waits for the next, is %i',
    async (reason, status) => {
      answers = () => (reason === 'account' ? refused('account') : unknown(reason))
      expect((await rig.assign('A', { store_id: 1001 })).status).toBe(202)
      await eventually(
        async () =>
          rig.db.$client
            .prepare('SELECT 1 FROM orders WHERE attempt_count > 0 AND due_at_ms <= expires_at_ms')
            .get() !== undefined,
      )
      // Nobody has it in the air: what counts is what an attempt may still do.
      rig.db.$client.exec('UPDATE orders SET due_at_ms = expires_at_ms')
      answers = () => accepted
      const answer = await reassign('A', guides[3], 1, { headers: { prefer: 'wait=5' } })
      expect(answer.status).toBe(status)
      if (status === 200) {
        expect(await readJson(answer)).toMatchObject({ generation: 2, guide_id: guides[3] })
        expect((await rig.order('A'))['earlier']).toMatchObject([{ status: 'pending' }])
      } else expect(await problemOf(answer)).toContain('order_in_flight')
    },
  )

  it('is refused for an order that was in the air when a process ended, until it is settled', async () => {
    answers = () => unknown('throttled')
    await rig.assign('A', { store_id: 1001 })
    await eventually(async () => {
      const row = rig.db.$client
        .prepare('SELECT 1 FROM orders WHERE due_at_ms <= expires_at_ms')
        .get()
      return row !== undefined
    })
    // As a process that is killed leaves it, and the next one finds it.
    rig.db.$client.exec('UPDATE orders SET due_at_ms = expires_at_ms + 250')
    await rig.ledger.reclaim()
    rig.db.$client.exec('UPDATE orders SET due_at_ms = expires_at_ms')
    expect((await problemOf(await reassign('A', guides[3]))).slice(0, 2)).toEqual([
      409,
      'order_in_flight',
    ])
  })

  it('ends after twenty generations', async () => {
    await rig.assign('A', { store_id: 1001 })
    for (let generation = 1; generation < 20; generation++) {
      const { guide_id } = await rig.order('A')
      const next = guides.find(id => id !== guide_id)
      expect((await reassign('A', next, generation)).status).toBe(200)
    }
    const { guide_id } = await rig.order('A')
    const next = guides.find(id => id !== guide_id)
    expect((await problemOf(await reassign('A', next, 20))).slice(0, 2)).toEqual([
      409,
      'not_reassignable',
    ])
    await expectFaultless()
  })

  it('is of an order of another store as of one that does not exist', async () => {
    await rig.openStore(1002, 1)
    await rig.assign('A', { store_id: 1001 })
    const key = rig.mint({ scope: 'manage', stores: [1002] })
    const ask = (no: string) =>
      reassign(no, guides[3], 1, { headers: { authorization: `Bearer ${key}` } })
    const [seenThere, unseen] = [await ask('A'), await ask('B')]
    expect([seenThere.status, unseen.status]).toEqual([404, 404])
    expect((await seenThere.text()).replaceAll('A ', 'B ')).toBe(await unseen.text())
  })

  it.each([
    [{}, ['/guide_id', '/why']],
    [{ guide_id: 'G', why: '' }, ['/why']],
    [{ guide_id: 'G', why: 'x'.repeat(201) }, ['/why']],
    [{ guide_id: 'a b', why }, ['/guide_id']],
    [{ guide_id: 'G', why, force: true }, ['/force']],
  ])('refuses the body %j', async (body, pointers) => {
    await rig.assign('A', { store_id: 1001 })
    const answer = await reassign('A', undefined, 1, { body })
    expect(answer.status).toBe(400)
    const { errors } = JSON.parse(await answer.text())
    expect(errors.map((one: { pointer: string }) => one.pointer)).toEqual(pointers)
  })

  it('takes the turn of a cart from the number that is reassigned, and the older number has it again', async () => {
    await rig.assign('C1', { store_id: 1001, cart_id: 'c' })
    await rig.assign('C2', { store_id: 1001, cart_id: 'c' })
    const first = await rig.order('C2')
    expect(
      (
        await reassign(
          'C2',
          guides.find(id => id !== first.guide_id),
        )
      ).status,
    ).toBe(200)
    const turns = rig.db.$client
      .prepare<[], string | null>('SELECT turn FROM orders ORDER BY id')
      .pluck()
      .all()
    expect(turns).toEqual(['taken', null])
    await expectFaultless()
  })

  it('is remembered as too late when the order is paid before the new guide is accepted', async () => {
    await rig.assign('A', { store_id: 1001 })
    answers = () => unknown('throttled', 60_000)
    expect((await reassign('A', guides[3])).status).toBe(202)
    const body = { paid_at: new Date().toISOString() }
    const paid = await readJson(await rig.request('POST', '/orders/A/paid', { body }))
    expect(paid).toMatchObject({ too_late: true, generation: 2 })
    await eventually(async () => (await rig.order('A')).status === 'expired')
    expect(await rig.order('A')).toMatchObject({
      too_late: true,
      earlier: [{ generation: 1, status: 'assigned' }],
    })
  })
})
