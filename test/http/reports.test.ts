import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, openSnapshot } from '../../src/db/open.ts'
import { aDirectory } from '../support/ledger.ts'
import { contentsOf, createManager } from '../support/manage.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let storesMade = 5000

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
})
afterAll(() => rig.close())
afterEach(() => {
  expect(rig.failures).toEqual([])
})

const everyDay = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
const allDay = { shift: 'all', days: everyDay, from: '00:00', to: '00:00' }
const plan = (...steps: object[]) => ({ fair_by: 'orders', steps: [...steps, { use: 'none' }] })

async function aStore(guides = 3): Promise<{ id: number; guides: string[] }> {
  storesMade += 1
  return { id: storesMade, guides: await rig.openStore(storesMade, guides) }
}

async function publish(id: number, kind: 'staff' | 'roster' | 'plan', body: object) {
  const { etag } = await ask('GET', `/stores/${id}/${kind}`)
  const put = await ask('PUT', `/stores/${id}/${kind}`, { body, ifMatch: etag ?? '' })
  expect(put.status).toBe(200)
}

let numbers = 0
async function assigned(id: number, facts: object = {}, no = `R${++numbers}`) {
  const answer = await rig.assign(no, { store_id: id, ...facts })
  expect([200, 202]).toContain(answer.status)
  return { no, ...JSON.parse(await answer.text()) }
}

const period = () => ({
  from: new Date(Date.now() + rig.skew.ms - 3_600_000).toISOString(),
  to: new Date(Date.now() + rig.skew.ms + 60_000).toISOString(),
})

describe('GET /orders/{no}/explain', () => {
  it('tells the versions, each step, each guide once with the numbers, and a sentence in two languages', async () => {
    const { id, guides } = await aStore(3)
    const [away = ''] = guides
    await publish(id, 'roster', { weekly: [{ ...allDay, guides: guides.slice(1) }] })
    const order = await assigned(id)
    const { status, json } = await ask('GET', `/orders/${order.no}/explain`)
    expect(status).toBe(200)
    expect(json).toMatchObject({
      out_trade_no: order.no,
      store_id: id,
      status: 'assigned',
      guide_id: order.guide_id,
      reason: 'FAIR_TURN',
      versions: { staff: 0, roster: 1, plan: 0 },
      steps: [
        { step: 1, use: 'owner', verdict: 'not_given' },
        { step: 2, use: 'rotate', verdict: 'hit' },
        { step: 3, use: 'none', verdict: 'not_reached' },
      ],
    })
    expect(json.guides.map((guide: { guide_id: string }) => guide.guide_id).toSorted()).toEqual(
      guides.toSorted(),
    )
    expect(json.guides).toContainEqual({ guide_id: away, chosen: false, reason: 'OFF_SHIFT' })
    expect(json.guides[0]).toMatchObject({
      guide_id: order.guide_id,
      balance_before: 0,
      share: 0.5,
      balance_after: -0.5,
      units: { before: 0, share: 360_360, after: -360_360 },
    })
    expect(json.sentence.zh).toContain(`轮到 ${order.guide_id}`)
    expect(json.sentence.en).toContain(`It was the turn of ${order.guide_id}`)
  })

  it('is open to each scope for its own stores; another store sees an order that does not exist', async () => {
    const { id } = await aStore(1)
    const { no } = await assigned(id)
    for (const scope of ['assign', 'manage', 'admin'] as const) {
      expect((await ask('GET', `/orders/${no}/explain`, { scope })).status).toBe(200)
    }
    const foreign = await ask('GET', `/orders/${no}/explain`, { stores: [1] })
    expect([foreign.status, foreign.json.code]).toEqual([404, 'order_not_found'])
    expect((await ask('GET', '/orders/NOPE/explain')).status).toBe(404)
  })

  it('explains orders that were skipped, too late, tests, refused by nobody on shift', async () => {
    const { id, guides } = await aStore(2)
    const late = await assigned(id, { created_at: '2020-01-01T00:00:00Z' })
    const scan = await assigned(id, { test: true })
    await publish(id, 'roster', { weekly: [] })
    const nobody = await assigned(id)
    for (const { no } of [scan, nobody]) {
      const { json } = await ask('GET', `/orders/${no}/explain`)
      expect(json.guides.map((one: { guide_id: string }) => one.guide_id).toSorted()).toEqual(
        guides.toSorted(),
      )
    }
    const { json } = await ask('GET', `/orders/${nobody.no}/explain`)
    expect(json.sentence).toEqual({
      zh: '无人服务：2 位不在班。',
      en: 'Nobody serves it: 2 off shift.',
    })
    // The rules were not asked, so nobody knows who stood in the default staff then.
    expect((await ask('GET', `/orders/${late.no}/explain`)).json.guides).toEqual([])
  })

  it('names nobody who was registered after the order, when nobody was on the default staff', async () => {
    const { id } = await aStore(0)
    const { no } = await assigned(id)
    await rig.openStore(id, 2)
    const { json } = await ask('GET', `/orders/${no}/explain`)
    expect(json).toMatchObject({ reason: 'NO_STEP_MATCHED', versions: { staff: 0 }, guides: [] })
    expect(json.sentence).toEqual({
      zh: '无人服务：当时员工名单上没有人。',
      en: 'Nobody serves it: nobody was on the staff then.',
    })
  })
})

describe('POST /stores/{id}/simulate', () => {
  it('gives what assign then gives for the same orders, and writes nothing', async () => {
    const { id, guides } = await aStore(4)
    const [first = '', second = ''] = guides
    await publish(id, 'staff', {
      timezone: 'Asia/Shanghai',
      guides: guides.map((guide, index) => ({
        id: guide,
        weight: index + 1,
        ...(index === 3 ? { caps: { per_hour: 6 } } : {}),
      })),
    })
    await publish(
      id,
      'plan',
      plan(
        { use: 'hint', counts: 'full' },
        { use: 'owner', counts: 'clamped' },
        { use: 'rotate', by: 'random', when: { channel: ['h5'] } },
        { use: 'rotate' },
      ),
    )
    await ask('PUT', `/stores/${id}/guides/${second}/pause`, { body: { minutes: 30, why: 'tea' } })
    await ask('PUT', '/members/sim-1/owner', { body: { guide_id: first }, scope: 'admin' })
    for (let index = 0; index < 5; index++) await assigned(id)
    const before = await assigned(id, { cart_id: 'old' })
    await rig.request('POST', `/orders/${before.no}/closed`, {
      body: { closed_at: new Date().toISOString() },
    })
    const orders = Array.from({ length: 40 }, (_, index) => ({
      out_trade_no: `S${id}-${index}`,
      store_id: id,
      amount: index * 100,
      ...(index % 5 === 0 ? { guide_id: guides[index % 4] } : {}),
      ...(index % 7 === 0 ? { member_id: 'sim-1' } : {}),
      ...(index % 6 === 0 ? { cart_id: `cart-${index % 4}` } : {}),
      ...(index === 3 ? { cart_id: 'old' } : {}),
      ...(index % 9 === 0 ? { channel: 'h5' } : {}),
      ...(index % 11 === 0 ? { test: true } : {}),
      ...(index === 30 ? { created_at: '2020-01-01T00:00:00Z' } : {}),
    }))
    const contents = contentsOf(rig)
    const changes = rig.db.$client.prepare<[], number>('SELECT total_changes()').pluck().get()
    const key = rig.mint({ scope: 'manage', stores: [id] })
    const answer = await rig.request('POST', `/stores/${id}/simulate`, {
      body: { orders },
      headers: { authorization: `Bearer ${key}` },
    })
    const simulated = JSON.parse(await answer.text())
    expect(answer.status).toBe(200)
    expect(contentsOf(rig)).toEqual(contents)
    // The key was one change, and two more are its record.
    expect(rig.db.$client.prepare('SELECT total_changes()').pluck().get()).toBe((changes ?? 0) + 3)
    expect(simulated.orders).toHaveLength(orders.length)
    const reasons = new Set<string>()
    for (const [index, { out_trade_no, ...facts }] of orders.entries()) {
      const really = await assigned(id, facts, out_trade_no)
      const { guide_id, reason, explanation } = simulated.orders[index]
      expect([out_trade_no, guide_id, reason]).toEqual([
        out_trade_no,
        really.guide_id,
        really.reason,
      ])
      const { json } = await ask('GET', `/orders/${out_trade_no}/explain`)
      expect(explanation.guides).toEqual(json.guides)
      expect(explanation.steps).toEqual(json.steps)
      reasons.add(reason)
    }
    expect([...reasons].toSorted()).toEqual(
      ['FAIR_TURN', 'HINT', 'OWNER', 'RANDOM', 'STICKY_CART', 'WINDOW_OVER'].toSorted(),
    )
  })

  it('decides by the draft, at the instant that is given, and leaves the documents in force alone', async () => {
    const { id, guides } = await aStore(2)
    const [one = '', other = ''] = guides
    const draft = {
      roster: {
        weekly: [
          { ...allDay, from: '09:00', to: '12:00', guides: [one] },
          { ...allDay, from: '12:00', to: '18:00', guides: [other] },
        ],
      },
    }
    for (const [at, expected] of [
      ['2026-12-01T09:00:00+08:00', one],
      ['2026-12-01T12:00:00+08:00', other],
      ['2026-12-01T18:00:00+08:00', null],
    ]) {
      const { json, status } = await ask('POST', `/stores/${id}/simulate`, {
        body: { orders: [{}, { amount: 5 }], at, draft },
      })
      expect(status).toBe(200)
      expect(json.orders.map((order: { guide_id: string }) => order.guide_id)).toEqual([
        expected,
        expected,
      ])
    }
    expect((await assigned(id)).status).toBe('assigned')
  })

  it.each([
    [{ orders: [] }, '/orders'],
    [{ orders: Array.from({ length: 1001 }, () => ({})) }, '/orders'],
    [{ orders: [{ store_id: 1 }] }, '/orders/0/store_id'],
    [{ orders: [{ out_trade_no: 'x' }, { out_trade_no: 'x' }] }, '/orders/1/out_trade_no'],
    [{ orders: [{}], draft: { plan: { steps: [] } } }, '/draft/plan/steps'],
    [{ orders: [{}], draft: { owners: {} } }, '/draft'],
  ])('refuses %j and says where', async (body, pointer) => {
    const { id } = await aStore(1)
    const { status, json } = await ask('POST', `/stores/${id}/simulate`, { body })
    expect([status, json.code]).toEqual([400, 'invalid_request'])
    expect(json.errors.map((fault: { pointer: string }) => fault.pointer).join(' ')).toContain(
      pointer,
    )
  })

  it('takes a thousand orders in one body', async () => {
    const { id } = await aStore(3)
    const orders = Array.from({ length: 1000 }, (_, index) => ({
      member_id: `${index}`.padEnd(100, 'x'),
    }))
    const { status, json } = await ask('POST', `/stores/${id}/simulate`, { body: { orders } })
    expect([status, json.orders.length]).toEqual([200, 1000])
  })
})

describe('a body of faults', () => {
  it('is told in twenty sentences, and counted no further than a thousand', async () => {
    const { id } = await aStore(1)
    const body = Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`x${n}`, 1]))
    const startMs = performance.now()
    for (const [language, told] of [
      ['en', 'more than 1000 mistakes'],
      ['zh', '超过 1000 处错误'],
    ] as const) {
      const answer = await ask('PUT', `/stores/${id}/plan`, { body, ifMatch: '"0"', language })
      expect([answer.status, answer.json.errors.length]).toEqual([400, 20])
      expect(answer.json.detail).toContain(told)
    }
    expect(performance.now() - startMs).toBeLessThan(1000)
  })
})

describe('a simulation', () => {
  it('tells nothing of whose customer a member is in another store, whatever its draft puts on the staff', async () => {
    const [mine, theirs] = [await aStore(1), await aStore(1)]
    const guideId = theirs.guides[0] ?? ''
    const bond = { merchant: rig.merchant, guideId, sinceMs: 0, expiresAtMs: null }
    rig.mirror.setOwner({ ...bond, memberId: 'vip' })
    const draft = {
      staff: { timezone: 'Asia/Shanghai', guides: [{ id: guideId }] },
      plan: { steps: [{ use: 'owner', if: 'always' }, { use: 'none' }] },
    }
    const ask = async (member_id: string) => {
      const answer = await rig.request('POST', `/stores/${mine.id}/simulate`, {
        scope: 'manage',
        body: {
          orders: [{ member_id, out_trade_no: 'X' }],
          draft,
          at: '2026-11-23T10:00:00+08:00',
        },
      })
      expect(answer.status).toBe(200)
      return answer.text()
    }
    expect(await ask('vip')).toBe(await ask('stranger'))
    const own = { ...bond, memberId: 'ours', guideId: mine.guides[0] ?? '' }
    rig.mirror.setOwner(own)
    expect(await ask('ours')).not.toBe(await ask('stranger'))
  })

  it.each([
    ['en', 'times 1000 guides on the staff are more than 50000'],
    ['zh', '订单数乘以员工人数（1000）超过 50000'],
  ])('of more orders times guides than can be told is refused in %s', async (language, message) => {
    const { id } = await aStore(1)
    const guides = Array.from({ length: 1000 }, (_, index) => ({ id: `G${index}` }))
    const draft = { staff: { timezone: 'Asia/Shanghai', guides } }
    const send = (count: number) => {
      const orders = Array.from({ length: count }, () => ({}))
      return ask('POST', `/stores/${id}/simulate`, { body: { orders, draft }, language })
    }
    expect(await send(51)).toMatchObject({
      status: 400,
      json: { errors: [{ pointer: '/orders', message }] },
    })
    expect((await send(50)).status).toBe(200)
  })

  it('waits like every report for one of the few places', async () => {
    const { id } = await aStore(3)
    const body = { orders: Array.from({ length: 1000 }, () => ({})) }
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => ask('POST', `/stores/${id}/simulate`, { body })),
    )
    const refused = answers.filter(({ status }) => status !== 200)
    expect(refused.length).toBeGreaterThan(0)
    for (const { json } of refused) expect(json.code).toBe('overloaded')
    expect((await ask('POST', `/stores/${id}/simulate`, { body })).status).toBe(200)
  })

  it('of a past instant counts no later order against the caps', async () => {
    const { id, guides } = await aStore(1)
    const at = new Date(Date.now() - 60_000).toISOString()
    const staff = {
      timezone: 'Asia/Shanghai',
      guides: [{ id: guides[0], caps: { per_day: 1, per_hour: 1 } }],
    }
    await assigned(id)
    const guideAt = async (when: object) => {
      const body = { orders: [{}, {}], draft: { staff }, ...when }
      const { json } = await ask('POST', `/stores/${id}/simulate`, { body })
      return json.orders.map((order: { guide_id: string | null }) => order.guide_id)
    }
    expect(await guideAt({})).toEqual([null, null])
    expect(await guideAt({ at })).toEqual([guides[0], null])
  })
})

describe('the few places for reports', () => {
  it('are not all for one key: its third report waits while those of others are made', async () => {
    const { id } = await aStore(3)
    const [busy, other] = [rig.mint({ scope: 'manage' }), rig.mint({ scope: 'manage' })]
    const body = { orders: Array.from({ length: 1000 }, () => ({})) }
    const simulate = (key: string) =>
      rig.request('POST', `/stores/${id}/simulate`, {
        body,
        headers: { authorization: `Bearer ${key}` },
      })
    const answers = await Promise.all([busy, busy, busy, busy, other, other].map(simulate))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 503, 503, 200, 200])
    const problem = answers[2]
    expect(problem?.headers.get('retry-after')).toBe('5')
    expect(JSON.parse((await problem?.text()) ?? '')).toMatchObject({ code: 'overloaded' })
    expect((await simulate(busy)).status).toBe(200)
  })

  it('are free again to a key whose reports were refused', async () => {
    const { id } = await aStore(1)
    const key = rig.mint({ scope: 'manage' })
    const headers = { authorization: `Bearer ${key}` }
    const ask = (body: object) => rig.request('POST', `/stores/${id}/simulate`, { body, headers })
    for (let report = 0; report < 5; report++) expect((await ask({ orders: [] })).status).toBe(400)
    expect((await ask({ orders: [{}] })).status).toBe(200)
  })

  it('are free again after the file could not be opened', async () => {
    const { id } = await aStore(1)
    const { name } = rig.db.$client
    const status = async () => (await ask('GET', `/stores/${id}/fairness`)).status
    renameSync(name, `${name}.away`)
    try {
      for (let report = 0; report < 5; report++) expect(await status()).toBe(500)
    } finally {
      renameSync(`${name}.away`, name)
    }
    expect(rig.failures.splice(0)).toHaveLength(5)
    expect(await status()).toBe(200)
  })

  it.runIf(existsSync('/proc/self/fd'))('keep no file open that is no database', () => {
    const directory = aDirectory()
    const db = openDatabase(`${directory.path}/spoilt.db`)
    db.$client.close()
    writeFileSync(db.$client.name, 'no database'.repeat(1000))
    const opened = () => readdirSync('/proc/self/fd').length
    const before = opened()
    for (let report = 0; report < 5; report++) {
      expect(() => openSnapshot(db)).toThrow('file is not a database')
    }
    expect(opened()).toBe(before)
    directory.remove()
  })
})

describe('POST /stores/{id}/replay', () => {
  it('changes nothing with the documents in force, and says what a draft would have changed', async () => {
    const { id, guides } = await aStore(3)
    const [one = ''] = guides
    const orders = []
    for (let index = 0; index < 9; index++) orders.push(await assigned(id))
    const same = await ask('POST', `/stores/${id}/replay`, { body: { ...period(), draft: {} } })
    expect(same.json).toMatchObject({ orders: 9, changed: 0, sample: [], worst_deviation: 0.6667 })
    const draft = { plan: plan({ use: 'guide', id: one }) }
    const { json, status } = await ask('POST', `/stores/${id}/replay`, {
      body: { ...period(), draft },
    })
    expect(status).toBe(200)
    expect(json).toMatchObject({ orders: 9, changed: 6, uncovered_before: 0, uncovered_after: 0 })
    expect(json.guides.find((guide: { guide_id: string }) => guide.guide_id === one)).toMatchObject(
      {
        count_before: 3,
        count_after: 9,
      },
    )
    expect(json.sample).toHaveLength(6)
    expect(json.sample[0]).toMatchObject({ after: { guide_id: one, reason: 'NAMED' } })
  })

  it('refuses a period of more than 31 days, or one that ends before it begins, in the language asked for', async () => {
    const { id } = await aStore(1)
    const ask400 = async (from: string, to: string, language: string) => {
      const { status, json } = await ask('POST', `/stores/${id}/replay`, {
        body: { from, to, draft: {} },
        language,
      })
      expect(status).toBe(400)
      return json.errors[0]
    }
    expect(await ask400('2026-10-01T00:00:00Z', '2026-11-02T00:00:01Z', 'en')).toEqual({
      pointer: '/to',
      message: 'is more than 31 days after from',
    })
    expect((await ask400('2026-10-01T00:00:00Z', '2026-09-01T00:00:00Z', 'zh')).message).toBe(
      '应晚于 from',
    )
  })
})

describe('fairness', () => {
  it('reports turns, share and balance, and verify finds the books in order until a row is changed', async () => {
    const { id, guides } = await aStore(3)
    const orders = []
    for (let index = 0; index < 7; index++) orders.push(await assigned(id))
    await assigned(id, { test: true })
    await rig.request('POST', `/orders/${orders[2].no}/closed`, {
      body: { closed_at: new Date().toISOString() },
    })
    const { json } = await ask('GET', `/stores/${id}/fairness`)
    expect(json).toMatchObject({ orders: 7, turns: 6 })
    const total = json.guides.reduce(
      (sum: number, guide: { count: number }) => sum + guide.count,
      0,
    )
    expect(total).toBe(6)
    for (const { guide_id, share, count, deviation, balances } of json.guides) {
      expect(guides).toContain(guide_id)
      expect(share).toBe(2)
      expect(deviation).toBe(count - share)
      expect(balances).toEqual([
        { book: 'orders', units: -deviation * 720_720 + 0, orders: -deviation + 0 },
      ])
    }
    const verify = () => ask('POST', `/stores/${id}/fairness/verify`, { body: {} })
    expect((await verify()).json).toEqual({ ok: true, checked: 8, faults: [] })
    const bare = await rig.app.request(`/stores/${id}/fairness/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${rig.mint({ scope: 'manage' })}` },
    })
    expect(bare.status).toBe(200)
    rig.db.$client
      .prepare('UPDATE orders SET guide_id = ? WHERE out_trade_no = ?')
      .run(orders[1].guide_id, orders[0].no)
    const found = (await verify()).json
    expect(found.ok).toBe(false)
    expect(found.faults.map((fault: { out_trade_no: string }) => fault.out_trade_no)).toContain(
      orders[0].no,
    )
  })
})

describe('GET /guides/{guide_id}/missed', () => {
  it('counts the orders of the business day that went elsewhere while the guide was on shift, by reason', async () => {
    const { id, guides } = await aStore(3)
    const [one = '', two = '', three = ''] = guides
    await publish(id, 'staff', {
      timezone: 'Asia/Shanghai',
      day_starts_at: '04:00',
      guides: guides.map(guide => ({ id: guide })),
    })
    await publish(id, 'plan', plan({ use: 'hint' }, { use: 'rotate' }))
    const atMs = Date.parse('2031-05-06T03:59:00+08:00')
    rig.skew.ms = atMs - Date.now()
    try {
      await assigned(id, { guide_id: two })
      rig.skew.ms += 120_000
      await assigned(id, { guide_id: two })
      await assigned(id, { guide_id: two, test: true })
      await assigned(id, { guide_id: one })
      await ask('PUT', `/stores/${id}/guides/${one}/pause`, { body: { minutes: 30, why: 'tea' } })
      await assigned(id, { guide_id: three })
      rig.skew.ms += 3_600_000
      for (let index = 0; index < 3; index++) await assigned(id)
      await publish(id, 'roster', { weekly: [{ ...allDay, guides: [two] }] })
      await assigned(id)
      const missed = (date: string, guide = one) =>
        ask('GET', `/guides/${guide}/missed?date=${date}&store_id=${id}`)
      const { json } = await missed('2031-05-06')
      expect(json).toMatchObject({
        guide_id: one,
        store_id: id,
        from: '2031-05-05T20:00:00.000Z',
        to: '2031-05-06T20:00:00.000Z',
        orders: 7,
        missed: 4,
      })
      const { PAUSED, STEP_NOT_REACHED, LOWER_BALANCE = 0, TIE_SERVED_LATER = 0 } = json.reasons
      expect([PAUSED, STEP_NOT_REACHED, LOWER_BALANCE + TIE_SERVED_LATER]).toEqual([1, 1, 2])
      expect(json.sample.map((order: { why: string }) => order.why).slice(0, 2)).toEqual([
        'STEP_NOT_REACHED',
        'PAUSED',
      ])
      expect((await missed('2031-05-05')).json).toMatchObject({ orders: 1, missed: 1 })
      expect((await missed('2031-05-07')).json).toMatchObject({ orders: 0, missed: 0, reasons: {} })
      const home = await ask('GET', `/guides/${one}/missed?date=2031-05-06`, { language: 'zh' })
      expect(home.json.missed).toBe(4)
      expect(Object.keys(home.json.meanings)).toEqual(Object.keys(home.json.reasons))
      expect(home.json.meanings.PAUSED).toBe('当时暂停接单。')
      expect(json.meanings.PAUSED).toBe('The guide was taking a break.')
    } finally {
      rig.skew.ms = 0
    }
  })

  it('tells a guide of a foreign store as one whom nobody knows', async () => {
    const { id } = await aStore(1)
    const foreign = await aStore(1)
    const ofThem = (guide: string) =>
      ask('GET', `/guides/${guide}/missed?date=2026-02-28`, { stores: [id] })
    const [guide = ''] = foreign.guides
    const [seen, unseen] = [await ofThem(guide), await ofThem('NOBODY')]
    expect([seen.status, seen.json.code]).toEqual([404, 'guide_not_found'])
    expect(seen.text.replaceAll(guide, 'NOBODY')).toBe(unseen.text)
  })

  it('asks for a day that exists and for a guide that is known', async () => {
    const { guides } = await aStore(1)
    expect((await ask('GET', `/guides/${guides[0]}/missed?date=2026-02-30`)).status).toBe(400)
    expect((await ask('GET', `/guides/${guides[0]}/missed`)).status).toBe(400)
    const unknown = await ask('GET', '/guides/NOBODY/missed?date=2026-02-28')
    expect([unknown.status, unknown.json.code]).toEqual([404, 'guide_not_found'])
  })
})

describe('who may ask', () => {
  const body = { orders: [{}], from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }
  const routes = (id: number, guide: string): [string, string, object | undefined][] => [
    ['POST', `/stores/${id}/simulate`, { orders: body.orders }],
    ['POST', `/stores/${id}/replay`, { from: body.from, to: body.to }],
    ['GET', `/stores/${id}/fairness`, undefined],
    ['POST', `/stores/${id}/fairness/verify`, {}],
    ['GET', `/guides/${guide}/missed?date=2026-01-01&store_id=${id}`, undefined],
  ]

  it('lets in managers of the store and admins, and nobody else', async () => {
    const { id, guides } = await aStore(1)
    for (const [method, path, body] of routes(id, guides[0] ?? '')) {
      const status = async (asked: object) => {
        const answer = await ask(method, path, { ...(body ? { body } : {}), ...asked })
        return [path, answer.status, answer.json.code ?? null]
      }
      expect(await status({})).toEqual([path, 200, null])
      expect(await status({ stores: [id] })).toEqual([path, 200, null])
      expect(await status({ scope: 'admin' })).toEqual([path, 200, null])
      expect(await status({ stores: [id + 1] })).toEqual([path, 403, 'forbidden'])
      expect(await status({ scope: 'assign' })).toEqual([path, 403, 'forbidden'])
      expect(await status({ headers: { authorization: 'Bearer no' } })).toEqual([
        path,
        401,
        'unauthorized',
      ])
    }
    for (const [method, path, body] of routes(999_999, guides[0] ?? '')) {
      const { status, json } = await ask(method, path, body ? { body } : {})
      expect([path, status, json.code]).toEqual([path, 404, 'store_not_found'])
    }
  })
})
