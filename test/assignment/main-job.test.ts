import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { planSchema } from '../../src/rules/plan.ts'
import { eventually, openRig, type Rig, readJson } from '../support/rig.ts'

let rig: Rig
let guides: string[]

beforeEach(async () => {
  rig = await openRig()
  guides = await rig.openStore(1001, 4)
})
afterEach(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

describe('the main job', () => {
  it('gives the order a guide, sends exactly one validly signed assign, and the bill shows that guide', async () => {
    const answer = await rig.assign('A1', {
      store_id: 1001,
      amount: 12900,
      channel: 'mini_program',
    })
    expect(answer.status).toBe(200)
    const order = await readJson(answer)
    expect(order).toMatchObject({ status: 'assigned', generation: 1, reason: 'FAIR_TURN' })
    expect(guides).toContain(order.guide_id)
    expect(await rig.sent()).toEqual([
      { guideId: order.guide_id, outTradeNo: 'A1', subMchid: null, status: 204 },
    ])
    const { card } = await rig.control('POST', '/pay/A1', {})
    expect(card).toMatchObject({ guide_id: order.guide_id })
  })

  it("prefers the member's own guide, takes no turn for it, and rotates when the member has none", async () => {
    rig.mirror.setOwner({
      merchant: rig.merchant,
      memberId: 'm-1',
      guideId: guides[2] ?? '',
      sinceMs: 0,
      expiresAtMs: null,
    })
    for (const no of ['O1', 'O2', 'O3']) {
      const order = await readJson(await rig.assign(no, { store_id: 1001, member_id: 'm-1' }))
      expect(order).toMatchObject({ reason: 'OWNER', guide_id: guides[2] })
    }
    const turns = []
    for (const no of ['R1', 'R2', 'R3', 'R4']) {
      turns.push((await readJson(await rig.assign(no, { store_id: 1001 }))).guide_id)
    }
    expect(turns.sort()).toEqual([...guides].sort())
  })

  it('follows the hint of the cashier when the plan says so, and falls to the rotation when the hint is unknown', async () => {
    rig.mirror.putDocument(
      1001,
      'plan',
      planSchema.parse({ steps: [{ use: 'hint' }, { use: 'rotate' }, { use: 'none' }] }),
      { author: 'test', atMs: 0 },
    )
    const hinted = await readJson(await rig.assign('H1', { store_id: 1001, guide_id: guides[3] }))
    expect(hinted).toMatchObject({ reason: 'HINT', guide_id: guides[3] })
    const stranger = await readJson(await rig.assign('H2', { store_id: 1001, guide_id: 'NOBODY' }))
    expect(stranger).toMatchObject({ reason: 'FAIR_TURN', status: 'assigned' })
  })

  it('keeps the guide for a re-created order of the same cart and takes no second turn', async () => {
    const first = await readJson(await rig.assign('C1', { store_id: 1001, cart_id: 'cart-9' }))
    const again = await readJson(await rig.assign('C2', { store_id: 1001, cart_id: 'cart-9' }))
    expect(again).toMatchObject({ reason: 'STICKY_CART', guide_id: first.guide_id })
    const next = await readJson(await rig.assign('C3', { store_id: 1001 }))
    expect(next.guide_id).not.toBe(first.guide_id)
  })

  it('answers unassigned, sends nothing and fails no checkout when nobody is on shift', async () => {
    rig.mirror.putDocument(1001, 'roster', { weekly: [] }, { author: 'test', atMs: 0 })
    const answer = await rig.assign('N1', { store_id: 1001 })
    expect(answer.status).toBe(200)
    expect(await readJson(answer)).toMatchObject({
      status: 'unassigned',
      guide_id: null,
      reason: 'NO_STEP_MATCHED',
    })
    expect(await rig.sent()).toEqual([])
  })

  it.each([
    [
      { edition: 'commercial', platformAutoAssign: false },
      'jsapi',
      'skipped',
      'CHANNEL_UNSUPPORTED',
    ],
    [{ edition: 'commercial', platformAutoAssign: false }, 'payment_code', 'assigned', 'FAIR_TURN'],
    [{ edition: 'standard', platformAutoAssign: false }, 'jsapi', 'assigned', 'FAIR_TURN'],
    [{ edition: 'standard', platformAutoAssign: true }, 'app', 'skipped', 'PLATFORM_AUTO_ASSIGN'],
  ] as const)(
    'for %j and channel %s the order is %s: %s',
    async (settings, channel, status, reason) => {
      rig.mirror.setSettings(rig.merchant, { ...settings, assignWindowSeconds: null })
      const order = await readJson(await rig.assign('S1', { store_id: 1001, channel }))
      expect(order).toMatchObject({ status, reason })
      expect(await rig.sent()).toHaveLength(status === 'skipped' ? 0 : 1)
    },
  )

  it('answers 202 at once when asked to respond-async, and settles in the background', async () => {
    const answer = await rig.assign('B1', { store_id: 1001 }, { prefer: 'respond-async' })
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe('/orders/B1')
    expect(answer.headers.get('retry-after')).toBe('1')
    const { guide_id } = await readJson(answer)
    await eventually(async () => (await rig.order('B1')).status === 'assigned')
    expect((await rig.order('B1')).guide_id).toBe(guide_id)
  })
})

describe('the same order again', () => {
  it('answers what it answered before, says so, and sends nothing more', async () => {
    const body = { store_id: 1001, amount: 5, created_at: new Date().toISOString() }
    const first = await rig.assign('R1', body)
    const again = await rig.assign('R1', body)
    expect(first.headers.get('idempotency-status')).toBeNull()
    expect(again.headers.get('idempotency-status')).toBe('replayed')
    expect(await again.text()).toBe(await first.text())
    expect(await rig.sent()).toHaveLength(1)
  })

  it('takes the same instant in another offset for the same fact', async () => {
    const at = new Date(Math.floor(Date.now() / 1000) * 1000)
    const inBeijing = new Date(at.getTime() + 8 * 3_600_000).toISOString().replace('Z', '+08:00')
    await rig.assign('T1', { store_id: 1001, created_at: at.toISOString() })
    const again = await rig.assign('T1', { store_id: 1001, created_at: inBeijing })
    expect(again.status).toBe(200)
  })

  it.each([
    ['store_id', { store_id: 1002, amount: 5 }],
    ['amount', { store_id: 1001, amount: 6 }],
    ['amount', { store_id: 1001 }],
    ['member_id', { store_id: 1001, amount: 5, member_id: 'someone-secret' }],
    ['test', { store_id: 1001, amount: 5, test: true }],
  ])(
    'with another %s is refused with 422, the name of the field and no value',
    async (field, body) => {
      await rig.openStore(1002, 1)
      await rig.assign('F1', { store_id: 1001, amount: 5 })
      const answer = await rig.assign('F1', body)
      expect(answer.status).toBe(422)
      const text = await answer.text()
      expect(JSON.parse(text)).toMatchObject({
        code: 'order_mismatch',
        errors: [{ pointer: `/${field}` }],
      })
      expect(text).not.toContain('someone-secret')
      expect(await rig.sent()).toHaveLength(1)
    },
  )

  it('with other facts is refused while the first is still in the air', async () => {
    await rig.faults('hang')
    const first = rig.assign('F2', { store_id: 1001, amount: 5 }, { prefer: 'wait=1' })
    await eventually(async () => (await rig.sent('F2')).length === 1)
    expect((await rig.assign('F2', { store_id: 1001, amount: 6 })).status).toBe(422)
    expect((await first).status).toBe(202)
  })
})

describe('an answer that is not to be trusted', () => {
  const distrusted = [
    ['unsigned', 'unverified'],
    ['wrong_signature', 'unverified'],
    ['signtest', 'unverified'],
    ['clock_skew', 'unverified'],
    ['garbage_body', null],
    ['reset_after', 'network'],
    ['status_500', 'server_error'],
    ['status_502', 'server_error'],
  ] as const
  it.each(distrusted)(
    '%s is not taken for assigned; the repeat, with the same guide, is',
    async (fault, outcome) => {
      await rig.faults(fault)
      const order = await readJson(await rig.assign('U1', { store_id: 1001 }))
      expect(order.status).toBe('assigned')
      const { attempts } = await rig.order('U1')
      expect(attempts).toMatchObject([
        { outcome: outcome ?? expect.any(String) },
        { outcome: 'accepted' },
      ])
      const sent = await rig.sent('U1')
      expect(new Set(sent.map(({ guideId }) => guideId))).toEqual(new Set([order.guide_id]))
      expect(sent.length).toBe(2)
    },
  )

  it('stays pending while every answer is forged, and is never called assigned', async () => {
    await rig.control('PUT', '/faults', { rates: { wrong_signature: 1 } })
    const answer = await rig.assign('U2', { store_id: 1001 })
    expect(answer.status).toBe(202)
    expect(await readJson(answer)).toMatchObject({ status: 'pending', assigned_at: null })
    await rig.control('PUT', '/faults', {})
    await eventually(async () => (await rig.order('U2')).status === 'assigned')
  })
})

describe('a refusal for good', () => {
  it('is answered with what WeChat Pay said, and gives the turn back', async () => {
    await rig.faults('param_error_order')
    const answer = await rig.assign('X1', { store_id: 1001 })
    expect(answer.status).toBe(200)
    const refused = await readJson(answer)
    expect(refused).toMatchObject({
      status: 'rejected',
      upstream: { status: 400, code: 'PARAM_ERROR', request_id: expect.any(String) },
    })
    const next = await readJson(await rig.assign('X2', { store_id: 1001 }))
    expect(next.guide_id).toBe(refused.guide_id)
    const again = await rig.assign('X1', { store_id: 1001 })
    expect(await readJson(again)).toEqual(refused)
  })

  it.each(['sign_error', 'no_auth', 'mch_punished'])(
    '%s blames the account: the order is kept pending with the reason, and sent again later',
    async fault => {
      await rig.faults(fault)
      const answer = await rig.assign('Y1', { store_id: 1001 })
      expect(answer.status).toBe(202)
      expect(await readJson(answer)).toMatchObject({
        status: 'pending',
        upstream: { status: expect.any(Number), code: expect.any(String) },
      })
      expect((await rig.order('Y1'))['attempts']).toMatchObject([{ outcome: 'rejected' }])
    },
  )
})

describe('the window', () => {
  it('of an order created too long ago is over: nothing is sent, no turn is taken', async () => {
    const created_at = new Date(Date.now() - 61_000).toISOString()
    const answer = await rig.assign('W1', { store_id: 1001, created_at })
    expect(answer.status).toBe(200)
    expect(await readJson(answer)).toMatchObject({
      status: 'expired',
      guide_id: null,
      reason: 'WINDOW_OVER',
    })
    expect(await rig.sent()).toEqual([])
    expect(rig.db.$client.prepare('SELECT count(*) AS n FROM books').get()).toEqual({ n: 0 })
  })

  it('does not grow by a clock of the till that is ahead', async () => {
    const created_at = new Date(Date.now() + 3_600_000).toISOString()
    const order = await readJson(await rig.assign('W2', { store_id: 1001, created_at }))
    expect(Date.parse(String(order['expires_at']))).toBeLessThanOrEqual(Date.now() + 60_000)
  })

  it('ends what is pending as expired, within a second, and nothing is sent after it', async () => {
    rig.mirror.setSettings(rig.merchant, {
      edition: 'standard',
      platformAutoAssign: false,
      assignWindowSeconds: 1,
    })
    await rig.control('PUT', '/faults', { rates: { status_500: 1 } })
    const answer = await rig.assign('W3', { store_id: 1001 })
    expect(answer.status).toBe(202)
    const endsAtMs = Date.parse(String((await readJson(answer))['expires_at']))
    await eventually(async () => (await rig.order('W3')).status === 'expired')
    expect(Date.now()).toBeLessThan(endsAtMs + 1000)
    const { entries } = await rig.control('GET', '/log')
    for (const { at } of entries) expect(Date.parse(at)).toBeLessThanOrEqual(endsAtMs + 20)
    const again = await rig.assign('W3', { store_id: 1001 })
    expect(again.status).toBe(200)
    expect(await readJson(again)).toMatchObject({ status: 'expired' })
  })
})

describe('payment and closing', () => {
  it('gives the turn back for an order closed unpaid, once', async () => {
    const first = await readJson(await rig.assign('K1', { store_id: 1001 }))
    const body = { closed_at: new Date().toISOString() }
    expect((await rig.request('POST', '/orders/K1/closed', { body })).status).toBe(200)
    expect((await rig.request('POST', '/orders/K1/closed', { body })).status).toBe(200)
    const next = await readJson(await rig.assign('K2', { store_id: 1001 }))
    expect(next.guide_id).toBe(first.guide_id)
    const paid = await rig.request('POST', '/orders/K1/paid', {
      body: { paid_at: new Date().toISOString() },
    })
    expect(paid.status).toBe(409)
    expect(await paid.json()).toMatchObject({ code: 'order_closed' })
  })

  it('sends nothing more once the order is paid, and says that it was too late', async () => {
    await rig.control('PUT', '/faults', { rates: { status_500: 1 } })
    await rig.assign('P1', { store_id: 1001 })
    const body = { paid_at: new Date().toISOString() }
    const paid = await rig.request('POST', '/orders/P1/paid', { body })
    expect(await paid.json()).toMatchObject({ too_late: true, paid_at: body.paid_at })
    await eventually(async () => (await rig.order('P1')).status === 'expired', 2000)
    const count = (await rig.sent('P1')).length
    await rig.control('PUT', '/faults', {})
    await new Promise(done => setTimeout(done, 300))
    expect(await rig.sent('P1')).toHaveLength(count)
    const closed = await rig.request('POST', '/orders/P1/closed', {
      body: { closed_at: body.paid_at },
    })
    expect(closed.status).toBe(409)
  })

  it('calls an order that was accepted before payment in time', async () => {
    await rig.assign('P2', { store_id: 1001 })
    const body = { paid_at: new Date(Date.now() + 1000).toISOString() }
    const paid = await rig.request('POST', '/orders/P2/paid', { body })
    expect(await paid.json()).toMatchObject({ status: 'assigned', too_late: false })
  })

  it('refuses both for an order that nobody posted', async () => {
    const paid = await rig.request('POST', '/orders/NONE/paid', {
      body: { paid_at: new Date().toISOString() },
    })
    expect(paid.status).toBe(404)
  })
})
