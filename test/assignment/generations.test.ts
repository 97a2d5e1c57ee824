import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { planSchema } from '../../src/rules/plan.ts'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'
import { onDisk } from '../support/ledger.ts'
import { eventually, openRig, type Rig, readJson, scratchDir } from '../support/rig.ts'

const accepted: Outcome = { kind: 'accepted', requestId: null }
const refused = (blames: 'guide' | 'order' = 'guide'): Outcome => ({
  kind: 'rejected',
  blames,
  status: 404,
  code: 'RESOURCE_NOT_EXISTS',
  message: '服务人员不存在',
  requestId: null,
})
const unknown: Outcome = {
  kind: 'unknown',
  reason: 'server_error',
  requestId: null,
  retryAfterMs: null,
  status: 500,
  detail: '',
}

let rig: Rig | undefined
afterEach(async () => {
  const failures = rig?.failures ?? []
  await rig?.close()
  rig = undefined
  expect(failures).toEqual([])
})

type Answering = (request: AssignRequest, nth: number) => Promise<Outcome> | Outcome

/** A service whose upstream the test answers for. */
async function openScripted(answer: Answering, hosts = ['http://one']) {
  const seen: AssignRequest[] = []
  const client = {
    hosts,
    async assign(request: AssignRequest) {
      seen.push(request)
      return answer(request, seen.length)
    },
  }
  const opened = await openRig({ client })
  rig = opened
  const [first = '', ...others] = (await opened.openStore(1001, 4)).sort()
  return { ...opened, seen, first, others }
}

const faultless = { ok: true, faults: [] }

async function verified(opened: Pick<Rig, 'request'>) {
  const answer = await opened.request('POST', '/stores/1001/fairness/verify', {
    scope: 'manage',
    body: { from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' },
  })
  return JSON.parse(await answer.text())
}

function stateOf({ db }: Pick<Rig, 'db'>, guideId: string): unknown {
  return db.$client
    .prepare<[string], { state: string }>('SELECT state FROM guides WHERE guide_id = ?')
    .get(guideId)?.state
}

function rowOf({ db }: Pick<Rig, 'db'>, no: string) {
  const row = db.$client
    .prepare<[string], { turn: string | null; trace: string; generation: number }>(
      'SELECT turn, trace, generation FROM orders WHERE out_trade_no = ?',
    )
    .get(no)
  if (!row) throw new Error(`no order ${no}`)
  return { ...row, trace: JSON.parse(row.trace) }
}

describe('a guide whom WeChat Pay refuses', () => {
  it('is followed by the next in turn within the same request, and the bill shows the one who was accepted', async () => {
    rig = await openRig()
    const good = await rig.openStore(1001, 3)
    rig.mirror.putGuide({ id: '0BAD', storeId: 1001, state: 'registered' })
    await rig.control('PUT', '/policies', { unknown_guide: 'reject' })
    const answer = await rig.assign('A1', { store_id: 1001 })
    const order = await readJson(answer)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('etag')).toBe('"2"')
    expect(order).toMatchObject({ status: 'assigned', generation: 2, reason: 'FAIR_TURN' })
    expect(order).not.toHaveProperty('upstream')
    expect(good).toContain(order.guide_id)
    expect((await rig.sent('A1')).map(({ guideId, status }) => [guideId, status])).toEqual([
      ['0BAD', 404],
      [order.guide_id, 204],
    ])
    expect(await rig.control('POST', '/pay/A1', {})).toMatchObject({
      card: { guide_id: order.guide_id },
    })
    expect(await rig.order('A1')).toMatchObject({
      earlier: [
        {
          generation: 1,
          guide_id: '0BAD',
          status: 'rejected',
          ended: 'refused',
          upstream: { status: 404, code: 'RESOURCE_NOT_EXISTS' },
        },
      ],
      attempts: [
        { outcome: 'rejected', generation: 1 },
        { outcome: 'accepted', generation: 2 },
      ],
    })
    expect(stateOf(rig, '0BAD')).toBe('quarantined')
    const again = await rig.assign('A1', { store_id: 1001 })
    expect(again.headers.get('idempotency-status')).toBe('replayed')
    expect(await readJson(again)).toEqual(order)
  })

  it('gives the turn back, each number of the book once, and no other order is sent with that guide', async () => {
    const opened = await openScripted(({ guideId }) =>
      guideId === opened.first ? refused() : accepted,
    )
    const orders = []
    for (const no of ['A', 'B', 'C', 'D']) {
      orders.push(await readJson(await opened.assign(no, { store_id: 1001 })))
    }
    expect(orders.map(one => one['generation'])).toEqual([2, 1, 1, 1])
    expect(new Set(orders.map(one => one.guide_id))).toEqual(new Set(opened.others))
    expect(opened.seen.filter(({ guideId }) => guideId === opened.first)).toHaveLength(1)
    const { trace, turn } = rowOf(opened, 'A')
    expect(turn).toBe('taken')
    expect(trace.earlier).toMatchObject([
      { guideId: opened.first, turn: { number: 1 }, returned: { by: 'refused', number: 2 } },
    ])
    expect(trace.turn.number).toBe(3)
    expect(await verified(opened)).toMatchObject(faultless)
  })

  it('is told by explain, with what followed', async () => {
    const opened = await openScripted(({ guideId }) =>
      guideId === opened.first ? refused() : accepted,
    )
    const order = await readJson(await opened.assign('A', { store_id: 1001 }))
    const explained = JSON.parse(await (await opened.request('GET', '/orders/A/explain')).text())
    expect(explained).toMatchObject({
      generation: 2,
      guide_id: order.guide_id,
      earlier: [{ generation: 1, guide_id: opened.first, ended: 'refused' }],
    })
    expect(explained.sentence.en).toContain(`before that WeChat Pay refused ${opened.first}`)
    expect(explained.sentence.zh).toContain(`此前的 ${opened.first} 被微信支付拒绝`)
    const why = explained.guides.find((one: { guide_id: string }) => one.guide_id === opened.first)
    expect(why).toMatchObject({ chosen: false, reason: 'QUARANTINED' })
  })

  it('ends the order as refused when nobody else is there, with the words of WeChat Pay and the turn given back', async () => {
    const opened = await openScripted(() => refused())
    for (const id of opened.others) {
      opened.mirror.putGuide({ id, storeId: 1001, state: 'quarantined' })
    }
    const order = await readJson(await opened.assign('A', { store_id: 1001 }))
    expect(order).toMatchObject({
      status: 'rejected',
      generation: 1,
      guide_id: opened.first,
      upstream: { status: 404, code: 'RESOURCE_NOT_EXISTS' },
    })
    expect(rowOf(opened, 'A').turn).toBe('refunded')
    expect(stateOf(opened, opened.first)).toBe('quarantined')
    expect(opened.seen).toHaveLength(1)
    expect(await verified(opened)).toMatchObject(faultless)
  })

  it('ends the order as refused after five of them, each sent once', async () => {
    const opened = await openScripted(() => refused())
    for (const no of [1, 2, 3, 4])
      opened.mirror.putGuide({ id: `MORE${no}`, storeId: 1001, state: 'registered' })
    const order = await readJson(await opened.assign('A', { store_id: 1001 }))
    expect(order).toMatchObject({ status: 'rejected', generation: 5 })
    expect(opened.seen).toHaveLength(5)
    expect(new Set(opened.seen.map(({ guideId }) => guideId)).size).toBe(5)
    expect(await verified(opened)).toMatchObject(faultless)
    const book = onDisk(join(opened.dataDir, 'smartguide.db'), client =>
      client.prepare<[], string>('SELECT page FROM books').pluck().get(),
    )
    const { turn, standings } = JSON.parse(book ?? '{}')
    expect(turn).toBe(10)
    for (const [balance] of Object.values<number[]>(standings)) expect(balance).toBe(0)
  })

  it('is never sent before the order that names them is on the disk, in any generation', async () => {
    const onDiskThen: unknown[] = []
    const opened = await openScripted(({ guideId }, nth) => {
      const path = join(opened.dataDir, 'smartguide.db')
      const row = onDisk(path, client =>
        client.prepare('SELECT guide_id, generation, status FROM orders').get(),
      )
      const states = onDisk(path, client =>
        client
          .prepare<[], string>("SELECT guide_id FROM guides WHERE state = 'quarantined'")
          .pluck()
          .all(),
      )
      onDiskThen.push([row, states.length])
      expect(row).toEqual({ guide_id: guideId, generation: nth, status: 'pending' })
      return nth < 3 ? refused() : accepted
    })
    const order = await readJson(await opened.assign('A', { store_id: 1001 }))
    expect(order).toMatchObject({ status: 'assigned', generation: 3 })
    expect(onDiskThen).toHaveLength(3)
    expect(onDiskThen.map(one => (one as unknown[])[1])).toEqual([0, 1, 2])
  })

  it('is followed in the background when the caller does not wait, and whoever asks meanwhile is told the newest', async () => {
    const gate = Promise.withResolvers<void>()
    const opened = await openScripted(async (_, nth) => {
      if (nth === 1) return refused()
      await gate.promise
      return accepted
    })
    const first = await opened.assign('A', { store_id: 1001 }, { prefer: 'respond-async' })
    expect(await readJson(first)).toMatchObject({ generation: 1, guide_id: opened.first })
    await eventually(async () => opened.seen.length === 2)
    const joined = await opened.assign('A', { store_id: 1001 }, { prefer: 'respond-async' })
    expect([joined.status, joined.headers.get('etag')]).toEqual([202, '"2"'])
    const newest = await readJson(joined)
    expect(newest).toMatchObject({ generation: 2, guide_id: opened.seen[1]?.guideId })
    gate.resolve()
    await eventually(async () => (await opened.order('A')).status === 'assigned')
    expect((await opened.order('A')).guide_id).toBe(newest.guide_id)
  })

  it('is followed by whom the documents of that moment say, and the hint or owner of the order is asked anew', async () => {
    const opened = await openScripted((_, nth) => {
      if (nth > 1) return accepted
      opened.mirror.putDocument(
        1001,
        'plan',
        planSchema.parse({
          steps: [{ use: 'owner' }, { use: 'guide', id: opened.others[2] }, { use: 'none' }],
        }),
        { author: 'test', atMs: 0 },
      )
      return refused()
    })
    opened.mirror.setOwner({
      merchant: opened.merchant,
      memberId: 'm',
      guideId: opened.first,
      sinceMs: 0,
      expiresAtMs: null,
    })
    const order = await readJson(await opened.assign('A', { store_id: 1001, member_id: 'm' }))
    expect(order).toMatchObject({ generation: 2, reason: 'NAMED', guide_id: opened.others[2] })
    const { trace } = rowOf(opened, 'A')
    expect(trace.earlier).toMatchObject([{ reason: 'OWNER', versions: { plan: 0 } }])
    expect(trace.steps).toEqual(['QUARANTINED', 'hit', 'not_reached'])
    expect(await verified(opened)).toMatchObject(faultless)
  })

  it.each(['paid', 'closed'])(
    'is followed by nobody once the order is %s, and nothing more is sent',
    async end => {
      const gate = Promise.withResolvers<void>()
      const opened = await openScripted(async () => {
        await gate.promise
        return refused()
      })
      const posted = opened.assign('A', { store_id: 1001 }, { prefer: 'wait=5' })
      await eventually(async () => opened.seen.length === 1)
      const telling = opened.request('POST', `/orders/A/${end}`, {
        body: { [`${end}_at`]: new Date().toISOString() },
      })
      const told = await telling
      gate.resolve()
      await posted
      expect(told.status).toBe(200)
      expect(await opened.order('A')).toMatchObject({ generation: 1, guide_id: opened.first })
      expect(['rejected', 'expired']).toContain((await opened.order('A')).status)
      expect(opened.seen).toHaveLength(1)
      expect(await verified(opened)).toMatchObject(faultless)
    },
  )

  it('is followed by one who is not sent again once the order is paid, which is remembered as too late', async () => {
    const opened = await openScripted((_, nth) => (nth === 1 ? refused() : unknown))
    await opened.assign('A', { store_id: 1001 })
    expect(await opened.order('A')).toMatchObject({ status: 'pending', generation: 2 })
    const body = { paid_at: new Date().toISOString() }
    const paid = await opened.request('POST', '/orders/A/paid', { body })
    expect(await readJson(paid)).toMatchObject({ generation: 2, too_late: true })
    await eventually(async () => (await opened.order('A')).status === 'expired')
    const count = opened.seen.length
    await new Promise(done => setTimeout(done, 300))
    expect(opened.seen).toHaveLength(count)
    expect(await opened.order('A')).toMatchObject({ too_late: true, generation: 2 })
    expect(await verified(opened)).toMatchObject(faultless)
  })

  it('is followed by nobody once the window is over', async () => {
    const opened = await openScripted(async () => {
      await new Promise(done => setTimeout(done, 150))
      return refused()
    })
    const created_at = new Date(Date.now() - 59_900).toISOString()
    const order = await readJson(await opened.assign('A', { store_id: 1001, created_at }))
    expect(order).toMatchObject({ status: 'rejected', generation: 1 })
    expect(opened.seen).toHaveLength(1)
  })

  it('passes the turn of a cart on to the number that still has it, and the next takes one of their own', async () => {
    const opened = await openScripted(({ outTradeNo, guideId }) =>
      outTradeNo === 'C2' && guideId === opened.first ? refused() : accepted,
    )
    await opened.assign('C1', { store_id: 1001, cart_id: 'c' })
    const second = await readJson(await opened.assign('C2', { store_id: 1001, cart_id: 'c' }))
    expect(second).toMatchObject({ generation: 2, reason: 'FAIR_TURN' })
    expect([rowOf(opened, 'C1').turn, rowOf(opened, 'C2').turn]).toEqual(['taken', 'taken'])
    expect(rowOf(opened, 'C2').trace.earlier).toMatchObject([
      { reason: 'STICKY_CART', inherited: true, returned: { number: null } },
    ])
    const third = await readJson(await opened.assign('C3', { store_id: 1001, cart_id: 'c' }))
    expect(third).toMatchObject({ reason: 'STICKY_CART', guide_id: second.guide_id })
    expect([rowOf(opened, 'C2').turn, rowOf(opened, 'C3').turn]).toEqual([null, 'taken'])
    expect(await verified(opened)).toMatchObject(faultless)
  })

  it('of a test order takes and gives back nothing', async () => {
    const opened = await openScripted((_, nth) => (nth === 1 ? refused() : accepted))
    const order = await readJson(await opened.assign('A', { store_id: 1001, test: true }))
    expect(order).toMatchObject({ status: 'assigned', generation: 2 })
    expect(opened.db.$client.prepare('SELECT count(*) AS n FROM books').get()).toEqual({ n: 0 })
    expect(await verified(opened)).toMatchObject(faultless)
  })

  it('counts no order against a cap, and the one who follows counts it', async () => {
    const opened = await openScripted(({ guideId }) =>
      guideId === opened.first ? refused() : accepted,
    )
    const from = { hourMs: 0, dayMs: 0 }
    const tally = (id: string | null) => opened.ledger.tally(1001, id ?? '', from)
    // Counted from here on, and not read again.
    expect(tally(opened.first)).toEqual({ hour: 0, day: 0 })
    const order = await readJson(await opened.assign('A', { store_id: 1001 }))
    expect(tally(opened.first)).toEqual({ hour: 0, day: 0 })
    expect(tally(order.guide_id)).toEqual({ hour: 1, day: 1 })
  })

  it('does not let the next one go while another host may still accept them, and stays when that host does', async () => {
    const outcomes = new Map<string, Outcome>([
      ['accepts', accepted],
      ['knows_nothing', unknown],
    ])
    for (const [no, second] of outcomes) {
      let landed = false
      const opened = await openScripted(
        async ({ outTradeNo, host }, nth) => {
          if (outTradeNo !== no) return accepted
          if (nth > 32 + 2) {
            expect(landed).toBe(true)
            return accepted
          }
          await new Promise(done => setTimeout(done, host === 0 ? 120 : 200))
          if (host === 0) return refused()
          landed = true
          return second
        },
        ['http://one', 'http://two'],
      )
      // So that it is known how long an answer takes, and hedges are earned.
      for (let index = 0; index < 32; index++)
        await opened.assign(`warm-${index}`, { store_id: 1001 })
      const order = await readJson(await opened.assign(no, { store_id: 1001 }))
      const sent = opened.seen.slice(32)
      expect(sent.slice(0, 2).map(({ host }) => host)).toEqual([0, 1])
      expect(sent[0]?.guideId).toBe(sent[1]?.guideId)
      if (no === 'accepts') {
        expect(order).toMatchObject({ status: 'assigned', generation: 1 })
        expect(stateOf(opened, sent[0]?.guideId ?? '')).toBe('registered')
      } else expect(order).toMatchObject({ status: 'assigned', generation: 2 })
      if (no === 'accepts') {
        await opened.close()
        rig = undefined
      }
    }
  })

  it('is not sent again when the process ends between the record of the next and its first call', async () => {
    const left = scratchDir()
    const before = await openScripted((_, nth) => {
      if (nth === 2) {
        for (const name of ['smartguide.db', 'smartguide.db-wal'])
          copyFileSync(join(before.dataDir, name), join(left, name))
      }
      return nth === 1 ? refused() : unknown
    })
    await before.assign('A', { store_id: 1001 }, { prefer: 'respond-async' })
    await eventually(async () => before.seen.length > 1)
    await before.close()
    const seen: string[] = []
    rig = await openRig({
      dataDir: left,
      client: {
        hosts: ['http://one'],
        async assign({ guideId }) {
          seen.push(guideId)
          return accepted
        },
      },
    })
    const { ledger } = rig
    const find = () => ledger.find({ merchant: before.merchant, outTradeNo: 'A' })
    await eventually(async () => (await find())?.status === 'assigned')
    expect(seen).toEqual([before.seen[1]?.guideId])
    expect(await find()).toMatchObject({ generation: 2, guideId: seen[0] })
    expect(seen).not.toContain(before.first)
    rmSync(left, { recursive: true, force: true })
  })

  it('and the next one are both written down, and sent once, though the ledger cannot be written for a while', async () => {
    const opened = await openScripted((_, nth) => (nth === 1 ? refused() : accepted))
    const { ledger } = opened
    const { refuse } = ledger
    let failed = 0
    ledger.refuse = (...asked) => {
      failed += 1
      if (failed === 1) return Promise.reject(new Error('no room'))
      return refuse(...asked)
    }
    await opened.assign('A', { store_id: 1001 })
    await eventually(async () => (await opened.order('A')).status === 'assigned')
    expect(opened.seen).toHaveLength(2)
    expect(opened.failures.splice(0)).toMatchObject([{ message: 'no room' }])
  })
})
