import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Merchant, openMerchant, send } from './merchant.ts'

let merchant: Merchant
let guideId: string

beforeAll(async () => {
  merchant = await openMerchant()
  guideId = await merchant.withGuide()
})

afterAll(() => merchant.close())

describe('a mistaken control call is refused with a sentence, and changes nothing', () => {
  test.each<[string, string, unknown, string]>([
    ['PUT', '/faults', { script: [{ do: 'explode' }] }, 'script.0.do'],
    ['PUT', '/faults', { script: [{ on: 'refund', do: 'hang' }] }, 'script.0.on'],
    ['PUT', '/faults', { script: [{ do: 'hang', time: 2 }] }, 'time'],
    ['PUT', '/faults', { rates: { explode: 0.1 } }, 'explode'],
    ['PUT', '/faults', { rates: { hang: 1.1 } }, 'rates.hang'],
    ['PUT', '/faults', { rates: { hang: 0.6, unsigned: 0.6 } }, 'more than 1'],
    ['PUT', '/faults', { latency_ms: { p50: 9, p99: 3 } }, 'p50'],
    ['PUT', '/faults', { rate_limit_per_second: 0 }, 'rate_limit_per_second'],
    ['PUT', '/policies', { reassign: 'perhaps' }, 'reassign'],
    ['PUT', '/policies', { assign_window: 5 }, 'assign_window'],
    ['PUT', '/policies', { assign_window_seconds: -1 }, 'assign_window_seconds'],
    ['PUT', '/stores/1', { sub_mchid: '1' }, 'name'],
    ['PUT', '/stores/x', { name: 'x' }, 'store_id'],
    ['PUT', '/stores/1', { name: 'x', sub_mchid: 'x' }, 'sub_mchid'],
    ['POST', '/guides', { store_id: 77, name: 'x', mobile: '1' }, '77'],
    ['POST', '/guides', { store_id: 1, name: 'x' }, 'mobile'],
    ['PUT', '/card', { modules: ['like'] }, 'personal_qr'],
    ['PUT', '/card', { colour: 'red' }, 'colour'],
    ['POST', '/pay/A1', { channel: 'cash' }, 'channel'],
    ['POST', '/pay/A%201', {}, 'out_trade_no'],
    ['POST', '/rotate', { overlap_seconds: -1 }, 'overlap_seconds'],
    ['GET', '/log?since=x', undefined, 'since'],
  ])('%s %s %j', async (method, path, body, named) => {
    const { status, json } = await merchant.control(method, path, body)
    expect(status).toBe(400)
    expect(json.message).toContain(named)
  })

  test('a body that is not JSON, a path that is not there', async () => {
    const reply = await send(merchant.url, 'PUT', '/_sim/policies', {}, '{')
    expect([reply.status, reply.body]).toEqual([400, '{"message":"the body is not JSON"}'])
    expect((await merchant.control('GET', '/nothing')).status).toBe(404)
  })

  test('the list of calls names each once, with what it takes', async () => {
    const { calls } = (await merchant.control('GET', '')).json
    expect(calls.filter(({ about }: { about?: string }) => !about)).toEqual([])
    const names = calls.map(({ method, path }: Record<string, string>) => `${method} ${path}`)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toEqual(
      expect.arrayContaining(['PUT /_sim/stores/:store_id', 'PUT /_sim/faults', 'GET /_sim/log']),
    )
  })

  test('nothing was changed', async () => {
    expect((await merchant.control('GET', '/policies')).json).toEqual({
      assign_window_seconds: 600,
      unknown_guide: 'accept',
      reassign: 'last_wins',
      after_payment: 'accept',
      auto_assign: false,
      edition: 'standard',
      register_twice: 'same_id',
      key_mode: 'public_key',
    })
    expect((await merchant.control('GET', '/faults')).json).toEqual({
      script: [],
      rates: {},
      slow_body_ms: 3000,
    })
  })
})

describe('the log', () => {
  test('has each request as it was received, from `since` on, and goes on counting when cleared', async () => {
    await merchant.control('DELETE', '/log')
    await merchant.assign(guideId, 'A1')
    await merchant.call('GET', '/v3/smartguide/guides?store_id=1&limit=2')
    await merchant.assign(guideId, 'A2', { sentBody: '{"out_trade_no":"A3"}' })
    const { entries } = (await merchant.control('GET', '/log')).json
    const { keys } = merchant
    expect(entries).toMatchObject([
      {
        method: 'POST',
        path: `/v3/smartguide/guides/${guideId}/assign`,
        body: '{"out_trade_no":"A1"}',
        signature_valid: true,
        mchid: keys.mchid,
        host: new URL(merchant.url).host,
        answer: { status: 204, code: null },
      },
      { method: 'GET', path: '/v3/smartguide/guides?store_id=1&limit=2', body: '' },
      {
        body: '{"out_trade_no":"A3"}',
        signature_valid: false,
        answer: { status: 401, code: 'SIGN_ERROR' },
      },
    ])
    expect(entries[0].at).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+\+08:00$/)
    const [first, second, third] = entries.map((entry: { seq: number }) => entry.seq)
    expect([second, third]).toEqual([first + 1, first + 2])
    expect((await merchant.control('GET', `/log?since=${second}`)).json.entries).toHaveLength(1)

    await merchant.control('DELETE', '/log')
    expect((await merchant.control('GET', '/log')).json.entries).toEqual([])
    await merchant.assign(guideId, 'A1')
    expect((await merchant.lastEntry()).seq).toBe(third + 1)
  })

  test('holds no name or mobile in plain', async () => {
    const body = {
      corpid: 'ww1',
      store_id: 1,
      userid: 'u1',
      name: merchant.seal('欧阳娜娜'),
      mobile: merchant.seal('13712345678'),
      qr_code: 'https://q/1',
      avatar: 'https://a/1',
    }
    expect((await merchant.call('POST', '/v3/smartguide/guides', { body })).status).toBe(200)
    const log = JSON.stringify((await merchant.control('GET', '/log')).json)
    expect(log).not.toMatch(/欧阳娜娜|13712345678/)
    const { json } = await merchant.control('GET', '/guides')
    expect(json.guides).toContainEqual(
      expect.objectContaining({ name: '欧阳娜娜', mobile: '13712345678', kind: 'wecom' }),
    )
  })
})

test('policies, stores, guides and the card can be read and changed in part', async () => {
  await merchant.control('PUT', '/policies', { reassign: 'reject' })
  const { json } = await merchant.control('PUT', '/policies', { assign_window_seconds: 30 })
  expect(json).toMatchObject({ reassign: 'reject', assign_window_seconds: 30, auto_assign: false })

  await merchant.control('PUT', '/stores/8', { name: '八店', sub_mchid: '1900000109' })
  expect((await merchant.control('GET', '/stores')).json.stores).toContainEqual({
    store_id: 8,
    name: '八店',
    sub_mchid: '1900000109',
  })
  expect((await merchant.control('PUT', '/card', { title: '导购' })).json).toMatchObject({
    title: '导购',
    logo: null,
  })
})
