import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Merchant, openMerchant } from './merchant.ts'

let merchant: Merchant
let guideId: string
let nowMs: number

beforeEach(async () => {
  nowMs = Date.parse('2026-11-23T10:00:00+08:00')
  merchant = await openMerchant({ clock: () => nowMs })
  guideId = await merchant.withGuide(1)
})

afterEach(() => merchant.close())

const policies = (changes: object) => merchant.control('PUT', '/policies', changes)
const pay = async (outTradeNo: string, body?: object) =>
  (await merchant.control('POST', `/pay/${outTradeNo}`, body)).json
const anotherGuide = () => merchant.withGuide(1, '李雷')

describe('the payer sees the card of the guide who was assigned', () => {
  test('with name, title, store and modules', async () => {
    await merchant.assign(guideId, 'A1')
    expect(await pay('A1')).toMatchObject({
      out_trade_no: 'A1',
      code: 'shown',
      paid_at: '2026-11-23T10:00:00+08:00',
      card: {
        guide_id: guideId,
        name: '陈晓雯',
        title: '服务顾问',
        store: { store_id: 1, name: '深圳南山店' },
        modules: ['personal_qr', 'like', 'phone', 'navigation'],
      },
    })
  })

  test('to the last second of the window', async () => {
    await merchant.assign(guideId, 'A1')
    nowMs += 600_000
    expect((await pay('A1')).code).toBe('shown')
  })

  test('and an assign repeated with the same guide starts the window again', async () => {
    for (const reassign of ['last_wins', 'first_wins', 'reject']) {
      await policies({ reassign })
      await merchant.assign(guideId, reassign)
      nowMs += 400_000
      expect((await merchant.assign(guideId, reassign)).status).toBe(204)
      nowMs += 400_000
      expect((await pay(reassign)).code).toBe('shown')
    }
  })

  test('commercial edition, payment code', async () => {
    await policies({ edition: 'commercial' })
    await merchant.assign(guideId, 'A1')
    expect((await pay('A1', { channel: 'payment_code' })).code).toBe('shown')
  })
})

describe('the payer sees no card, though assign answered 204', () => {
  test.each<[string, () => Promise<unknown>, object, string]>([
    [
      'assigned 601 s before payment',
      async () => {
        await merchant.assign(guideId, 'A1')
        nowMs += 600_001
      },
      {},
      'window_expired',
    ],
    [
      'assigned before a window that is a setting',
      async () => {
        await policies({ assign_window_seconds: 5 })
        await merchant.assign(guideId, 'A1')
        nowMs += 6_000
      },
      {},
      'window_expired',
    ],
    ['a guide that does not exist', () => merchant.assign('LLA0', 'A1'), {}, 'unknown_guide'],
    [
      'platform auto-assign is on',
      async () => {
        await merchant.assign(guideId, 'A1')
        await policies({ auto_assign: true })
      },
      {},
      'auto_assign',
    ],
    [
      'commercial edition, scanned by the payer',
      async () => {
        await policies({ edition: 'commercial' })
        await merchant.assign(guideId, 'A1')
      },
      { channel: 'jsapi' },
      'channel_without_card',
    ],
  ])('%s', async (_, prepare, payment, code) => {
    await prepare()
    const log = (await merchant.control('GET', '/log')).json.entries
    expect(log.map((entry: { answer: { status: number } }) => entry.answer.status)).toEqual([204])
    const bill = await pay('A1', payment)
    expect(bill).toMatchObject({ card: null, code })
    expect(bill.why).toMatch(/^[A-Z].+\.$/)
  })

  test('never assigned, then assigned after payment: the bill stays, the reason changes', async () => {
    expect(await pay('A1')).toMatchObject({ card: null, code: 'not_assigned' })
    expect((await merchant.assign(guideId, 'A1')).status).toBe(204)
    expect(await pay('A1')).toMatchObject({ card: null, code: 'assigned_after_payment' })
  })

  test('another merchant’s guide', async () => {
    await merchant.control('PUT', '/stores/9', { name: '乙店', sub_mchid: '1900000109' })
    const body = { out_trade_no: 'A1', sub_mchid: '1900000109' }
    expect((await merchant.assign(guideId, 'A1', { body })).status).toBe(204)
    expect((await pay('A1', { sub_mchid: '1900000109' })).code).toBe('unknown_guide')
  })
})

describe('where the documents are silent, the policy decides', () => {
  test.each([
    ['last_wins', 204, '李雷'],
    ['first_wins', 204, '陈晓雯'],
    ['reject', 400, '陈晓雯'],
  ])('a second guide for an order: %s', async (reassign, status, name) => {
    await policies({ reassign })
    await merchant.assign(guideId, 'A1')
    expect((await merchant.assign(await anotherGuide(), 'A1')).status).toBe(status)
    expect((await pay('A1')).card.name).toBe(name)
  })

  test('an unknown guide can be 404, an assign after payment 400', async () => {
    await policies({ unknown_guide: 'reject', after_payment: 'reject' })
    const unknown = await merchant.assign('LLA0', 'A1')
    expect([unknown.status, JSON.parse(unknown.body).code]).toEqual([404, 'RESOURCE_NOT_EXISTS'])
    await pay('A1')
    const late = await merchant.assign(guideId, 'A1')
    expect([late.status, JSON.parse(late.body).detail.field]).toEqual([400, '/out_trade_no'])
  })

  test('paying twice gives the first bill', async () => {
    await merchant.assign(guideId, 'A1')
    const first = await pay('A1')
    nowMs += 1_000_000
    await policies({ auto_assign: true })
    expect(await pay('A1', { channel: 'app' })).toEqual(first)
  })
})

describe('the bill page', () => {
  const page = (outTradeNo: string) => merchant.control('GET', `/bills/${outTradeNo}`)

  test('shows the entry, the guide and the modules, and asks for nothing from outside', async () => {
    await merchant.control('PUT', '/card', { title: '导购', modules: ['personal_qr', 'phone'] })
    await merchant.assign(guideId, 'A1')
    await pay('A1')
    const { status, json } = await page('A1')
    expect(status).toBe(200)
    for (const text of [
      '支付成功',
      '联系商家导购',
      '陈晓雯',
      '深圳南山店 门店导购',
      '打电话',
      '添加我为好友',
    ]) {
      expect(json).toContain(text)
    }
    expect(json).not.toContain('到店导航')
    expect(json).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
  })

  test('says that it is not paid yet, or why there is no card', async () => {
    expect((await page('A1')).json).toContain('尚未支付')
    await pay('A1')
    const { json } = await page('A1')
    expect(json).toContain('支付前没有为该订单分配服务人员')
    expect(json).toContain('No assign for order A1 was accepted')
  })

  test('offers to pay, and its link pays as the pay call does, for the order of that merchant alone', async () => {
    await merchant.assign(guideId, 'A1')
    const [, link] = /href="([^"]*pay=now[^"]*)"/.exec(String((await page('A1')).json)) ?? []
    expect(link).toBe('?pay=now')
    expect((await page('A1?sub_mchid=1900000109')).json).toContain(
      '?pay=now&amp;sub_mchid=1900000109',
    )
    const paid = await page(`A1${link}`)
    expect([paid.status, String(paid.json).includes('支付成功')]).toEqual([200, true])
    expect((await pay('A1')).card).toMatchObject({ guide_id: guideId })
    expect((await page('A1?sub_mchid=1900000109')).status).toBe(404)
  })

  test('shows the channel that the link names, and pays by none that there is not', async () => {
    await merchant.assign(guideId, 'A1')
    const refused = await page('A1?pay=now&channel=cash')
    expect([refused.status, refused.json.message]).toEqual([
      400,
      expect.stringMatching(/^channel: /),
    ])
    expect((await page('A1')).json).toContain('尚未支付')
    expect((await page('A1?pay=now&channel=mini_program')).json).toContain('小程序支付')
  })

  test('escapes what others wrote', async () => {
    const wild = '<script>alert(1)</script>'
    const guide = await merchant.withGuide(2, wild)
    await merchant.assign(guide, 'A1')
    await pay('A1')
    const { json } = await page('A1')
    expect(json).not.toContain('<script>')
    expect(json).toContain('&lt;script&gt;')
  })
})
