import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Merchant, openMerchant, type Plant } from './merchant.ts'

const GUIDES = '/v3/smartguide/guides'

let merchant: Merchant
let guideId: string

beforeAll(async () => {
  merchant = await openMerchant()
  guideId = await merchant.withGuide(1)
})

afterAll(() => merchant.close())

function nowSeconds() {
  return Math.floor(Date.now() / 1000)
}

function registration(changes: object = {}) {
  return {
    corpid: 'ww1',
    store_id: 1,
    userid: 'robert',
    name: merchant.seal('罗伯特'),
    mobile: merchant.seal('13900000000'),
    qr_code: 'https://example.com/qr',
    avatar: 'https://example.com/a.png',
    ...changes,
  }
}

describe('a request that differs from a good one in one thing is refused', () => {
  const { privateKey: strangersKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const good = (): Plant => ({ body: { out_trade_no: 'A1' } })

  const refusals: [string, () => Plant, number, string, string][] = [
    [
      'no Authorization',
      () => ({ headers: { Authorization: undefined } }),
      401,
      'SIGN_ERROR',
      '格式错误',
    ],
    ['another scheme', () => ({ authorization: 'Bearer abc' }), 401, 'SIGN_ERROR', '格式错误'],
    [
      'another algorithm',
      () => ({ alterAuthorization: good => good.replace('RSA2048', 'RSA4096') }),
      401,
      'SIGN_ERROR',
      '格式错误',
    ],
    [
      'a part of the Authorization twice',
      () => ({ alterAuthorization: good => `${good},mchid="${merchant.keys.mchid}"` }),
      401,
      'SIGN_ERROR',
      '格式错误',
    ],
    [
      'an unknown part in the Authorization',
      () => ({ alterAuthorization: good => `${good},realm="x"` }),
      401,
      'SIGN_ERROR',
      '格式错误',
    ],
    [
      'an Authorization without a nonce',
      () => ({
        authorization:
          'WECHATPAY2-SHA256-RSA2048 mchid="1",signature="a",timestamp="1",serial_no="1"',
      }),
      401,
      'SIGN_ERROR',
      '格式错误',
    ],
    ['a nonce of 33 characters', () => ({ nonce: 'n'.repeat(33) }), 401, 'SIGN_ERROR', '格式错误'],
    ['a clock 302 s behind', () => ({ timestamp: nowSeconds() - 302 }), 401, 'SIGN_ERROR', '5分钟'],
    ['a clock 302 s ahead', () => ({ timestamp: nowSeconds() + 302 }), 401, 'SIGN_ERROR', '5分钟'],
    [
      'a wrong clock and an unknown merchant: the clock comes first',
      () => ({ timestamp: 1, mchid: '1900000000' }),
      401,
      'SIGN_ERROR',
      '5分钟',
    ],
    ['an unknown merchant', () => ({ mchid: '1900000000' }), 400, 'MCH_NOT_EXISTS', '商户号'],
    [
      'a serial number that is not the merchant’s',
      () => ({ serialNo: '4'.repeat(40) }),
      401,
      'SIGN_ERROR',
      '序列号',
    ],
    [
      'the platform key’s id as serial number',
      () => ({ serialNo: merchant.keys.platformKeyId }),
      401,
      'SIGN_ERROR',
      '序列号',
    ],
    ['another key', () => ({ key: strangersKey }), 401, 'SIGN_ERROR', '错误的签名'],
    [
      'a body altered on the way',
      () => ({ sentBody: '{"out_trade_no":"A2"}' }),
      401,
      'SIGN_ERROR',
      '错误的签名',
    ],
    [
      'a signature over another path',
      () => ({ signedTarget: GUIDES }),
      401,
      'SIGN_ERROR',
      '错误的签名',
    ],
    [
      'no User-Agent',
      () => ({ headers: { 'User-Agent': undefined } }),
      400,
      'PARAM_ERROR',
      'User-Agent',
    ],
    ['no Accept', () => ({ headers: { Accept: undefined } }), 400, 'PARAM_ERROR', 'Accept'],
    [
      'an Accept without JSON',
      () => ({ headers: { Accept: 'text/html' } }),
      400,
      'PARAM_ERROR',
      'Accept',
    ],
    [
      'no Content-Type',
      () => ({ headers: { 'Content-Type': undefined } }),
      400,
      'PARAM_ERROR',
      'Content-Type',
    ],
    [
      'a form',
      () => ({ headers: { 'Content-Type': 'text/plain' } }),
      415,
      'PARAM_ERROR',
      'Content-Type',
    ],
    ['a body that is not JSON', () => ({ rawBody: 'out_trade_no=A1' }), 400, 'PARAM_ERROR', 'JSON'],
    ['a body that is not an object', () => ({ rawBody: '["A1"]' }), 400, 'PARAM_ERROR', 'JSON'],
    [
      'a body that is not UTF-8',
      () => ({ rawBody: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) }),
      400,
      'PARAM_ERROR',
      'UTF-8',
    ],
    [
      'an emoji',
      () => ({ body: { out_trade_no: 'A1', attach: '好😀' } }),
      400,
      'PARAM_ERROR',
      'emoji',
    ],
    [
      'an escaped emoji',
      () => ({ rawBody: '{"out_trade_no":"A1","attach":"\\ud83d\\ude00"}' }),
      400,
      'PARAM_ERROR',
      'emoji',
    ],
    ['a null', () => ({ body: { out_trade_no: 'A1', attach: null } }), 400, 'PARAM_ERROR', 'null'],
    ['no out_trade_no', () => ({ body: {} }), 400, 'PARAM_ERROR', 'out_trade_no'],
    [
      'an out_trade_no of 33 characters',
      () => ({ body: { out_trade_no: 'A'.repeat(33) } }),
      400,
      'PARAM_ERROR',
      'out_trade_no',
    ],
    [
      'an out_trade_no with a blank',
      () => ({ body: { out_trade_no: 'A 1' } }),
      400,
      'PARAM_ERROR',
      'out_trade_no',
    ],
    [
      'an out_trade_no that is a number',
      () => ({ body: { out_trade_no: 1 } }),
      400,
      'PARAM_ERROR',
      'out_trade_no',
    ],
    [
      'an unknown sub_mchid',
      () => ({ body: { out_trade_no: 'A1', sub_mchid: '1900000109' } }),
      403,
      'NO_AUTH',
      '1900000109',
    ],
    [
      'a sub_mchid that is no number',
      () => ({ body: { out_trade_no: 'A1', sub_mchid: 'x' } }),
      400,
      'PARAM_ERROR',
      'sub_mchid',
    ],
  ]

  test.each(refusals)('assign with %s', async (_, plant, status, code, message) => {
    expect((await merchant.assign(guideId, 'A1', good())).status).toBe(204)
    await merchant.control('DELETE', '/log')

    const reply = await merchant.assign(guideId, 'A1', { ...good(), ...plant() })
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([status, code])
    expect(JSON.parse(reply.body).message).toContain(message)
    expect(reply.headers['wechatpay-signature']).toBeUndefined()
    expect(reply.headers['request-id']).toMatch(/./)
    expect(await merchant.lastEntry()).toMatchObject({
      carried_out: false,
      answer: { status, code },
    })
  })

  test('assign with its parameters in the query alone', async () => {
    const target = `${GUIDES}/${guideId}/assign?out_trade_no=A1`
    for (const plant of [{}, { body: {} }]) {
      const reply = await merchant.call('POST', target, plant)
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, 'PARAM_ERROR'])
    }
  })

  test('assign to a guide_id of 65 characters, while 64 pass', async () => {
    expect((await merchant.assign('g'.repeat(64), 'A1')).status).toBe(204)
    const reply = await merchant.assign('g'.repeat(65), 'A1')
    expect(JSON.parse(reply.body)).toMatchObject({
      code: 'PARAM_ERROR',
      detail: { field: '/guide_id' },
    })
  })

  test('a wrong signature is explained with what we would have signed', async () => {
    const reply = await merchant.assign(guideId, 'A1', { key: strangersKey })
    const { sign_information } = JSON.parse(reply.body).detail
    const target = `${GUIDES}/${guideId}/assign`
    expect(sign_information).toMatchObject({ method: 'POST', url: target })
    expect(sign_information.truncated_sign_message).toContain(`POST\n${target}\n`)
    expect(sign_information.sign_message_length).toBeGreaterThan(target.length)
  })
})

describe('what the documents allow is accepted', () => {
  test.each(['0123456789ABCDEFGHIJKLMNOPQRSTUV', '_-|*!@', 'a'])('out_trade_no %s', async no => {
    expect((await merchant.assign(guideId, no)).status).toBe(204)
  })

  test.each([-298, 298])('a clock %i s off', async seconds => {
    const reply = await merchant.assign(guideId, 'A1', { timestamp: nowSeconds() + seconds })
    expect(reply.status).toBe(204)
  })

  test('a 204 is empty and signed all the same', async () => {
    const reply = await merchant.assign(guideId, 'A1')
    expect([reply.status, reply.body]).toEqual([204, ''])
    expect(reply.headers['wechatpay-serial']).toBe(merchant.keys.platformKeyId)
    expect(merchant.verifies(reply)).toBe(true)
  })
})

describe('register', () => {
  const register = (changes: object = {}, plant: Plant = {}) =>
    merchant.call('POST', GUIDES, { body: registration(changes), ...plant })

  const limits: [string, () => object, string][] = [
    ['a name of 65 bytes', () => ({ name: merchant.seal(`${'陈'.repeat(21)}ab`) }), 'name'],
    ['a mobile of 33 bytes', () => ({ mobile: merchant.seal('1'.repeat(33)) }), 'mobile'],
    ['a userid of 65 bytes', () => ({ userid: `${'陈'.repeat(21)}ab` }), 'userid'],
    ['a qr_code of 1025 bytes', () => ({ qr_code: 'q'.repeat(1025) }), 'qr_code'],
    ['an avatar of 1025 bytes', () => ({ avatar: 'q'.repeat(1025) }), 'avatar'],
    ['a group_qrcode of 1025 bytes', () => ({ group_qrcode: 'q'.repeat(1025) }), 'group_qrcode'],
    ['no corpid', () => ({ corpid: undefined }), 'corpid'],
    ['no name', () => ({ name: undefined }), 'name'],
    ['a store_id in quotes', () => ({ store_id: '1' }), 'store_id'],
    ['a store_id with a fraction', () => ({ store_id: 1.5 }), 'store_id'],
    ['a name in plain', () => ({ name: 'Robert' }), 'name'],
    ['a name sealed for another key', () => ({ name: strangersSeal() }), 'name'],
    [
      'a sealed name with characters that base64 has not',
      () => ({ name: `${merchant.seal('陈')}!` }),
      'name',
    ],
    ['an emoji in the sealed name', () => ({ name: merchant.seal('陈😀') }), 'emoji'],
    ['an empty sealed name', () => ({ name: merchant.seal('') }), 'name'],
    ['a store that the merchant platform does not know', () => ({ store_id: 999 }), '门店id不存在'],
  ]

  function strangersSeal() {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    return merchant.seal('陈晓雯', publicKey)
  }

  test.each(limits)('is refused with %s', async (_, changes, named) => {
    const reply = await register(changes())
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, 'PARAM_ERROR'])
    expect(reply.body).toContain(named)
  })

  test.each([
    [undefined, '缺少Wechatpay-Serial'],
    ['PUB_KEY_ID_0000000000000000', 'Wechatpay-Serial无效'],
  ])('is refused with Wechatpay-Serial %s', async (serial, message) => {
    const reply = await register({}, { headers: { 'Wechatpay-Serial': serial } })
    expect(reply.status).toBe(400)
    expect(JSON.parse(reply.body).message).toContain(message)
  })

  test('takes lengths to the last byte, and a second time answers the same id or refuses', async () => {
    const longest = {
      userid: `${'陈'.repeat(21)}a`,
      name: merchant.seal(`${'陈'.repeat(21)}a`),
      mobile: merchant.seal('1'.repeat(32)),
      qr_code: 'q'.repeat(1024),
    }
    const first = await register(longest)
    expect(first.status).toBe(200)
    expect(merchant.verifies(first)).toBe(true)
    expect(JSON.parse(first.body).guide_id).toMatch(/^[0-9A-Za-z]{34}$/)

    expect((await register(longest)).body).toBe(first.body)
    await merchant.control('PUT', '/policies', { register_twice: 'error' })
    expect((await register(longest)).status).toBe(400)
    await merchant.control('PUT', '/policies', { register_twice: 'same_id' })
  })
})

describe('query', () => {
  const query = (search: string, plant: Plant = {}) =>
    merchant.call('GET', `${GUIDES}?${search}`, plant)

  test.each([
    ['limit 11', 'store_id=1&limit=11'],
    ['limit 0', 'store_id=1&limit=0'],
    ['a negative offset', 'store_id=1&offset=-1'],
    ['no store_id', 'userid=robert'],
    ['a store_id that is no number', 'store_id=x'],
    ['an unknown store', 'store_id=999'],
    ['a parameter twice', 'store_id=1&store_id=1'],
    ['a mobile in plain', 'store_id=1&mobile=13800000000'],
  ])('is refused with %s', async (_, search) => {
    const reply = await query(search)
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, 'PARAM_ERROR'])
  })

  test('is refused when the sealed mobile is not percent-encoded', async () => {
    let sealed = merchant.seal('13800000000')
    while (!sealed.includes('+')) sealed = merchant.seal('13800000000')
    expect((await query(`store_id=1&mobile=${sealed}`)).status).toBe(400)
    expect((await query(`store_id=1&mobile=${encodeURIComponent(sealed)}`)).status).toBe(200)
  })

  test('is refused when the query is not what was signed', async () => {
    const reply = await query('store_id=1&limit=5', {
      signedTarget: `${GUIDES}?limit=5&store_id=1`,
    })
    expect(reply.status).toBe(401)
  })

  test('finds by work_id and by sealed mobile, and pages through a store', async () => {
    await merchant.control('PUT', '/stores/2', { name: '二店' })
    for (let each = 0; each < 12; each += 1) {
      const guide = { store_id: 2, name: `员工${each}`, mobile: `137${each}`, work_id: `W${each}` }
      await merchant.control('POST', '/guides', guide)
    }
    const found = async (search: string) => JSON.parse((await query(`store_id=2&${search}`)).body)
    const page = await found('limit=10&offset=10')
    expect(page).toMatchObject({ total_count: 12, limit: 10, offset: 10 })
    expect(page.data.map((row: { work_id: string }) => row.work_id)).toEqual(['W10', 'W11'])
    const sealed = encodeURIComponent(merchant.seal('1373'))
    for (const search of ['work_id=W3', `mobile=${sealed}`]) {
      const { data, total_count } = await found(search)
      expect(total_count).toBe(1)
      expect(merchant.open(data[0].name)).toBe('员工3')
      expect(merchant.open(data[0].mobile)).toBe('1373')
      expect(Object.keys(data[0]).sort()).toEqual([
        'guide_id',
        'mobile',
        'name',
        'store_id',
        'work_id',
      ])
    }
    expect(await found('userid=nobody')).toMatchObject({ data: [], total_count: 0 })
  })
})

describe('update', () => {
  const update = (guide: string, body: object) =>
    merchant.call('PATCH', `${GUIDES}/${guide}`, { body })

  async function aWecomGuide(): Promise<string> {
    const reply = await merchant.call('POST', GUIDES, { body: registration({ userid: 'wecom' }) })
    return JSON.parse(reply.body).guide_id
  }

  test('changes what is given and leaves the rest', async () => {
    const guide = await aWecomGuide()
    const reply = await update(guide, {
      mobile: merchant.seal('13600000000'),
      qr_code: 'https://q/2',
    })
    expect([reply.status, merchant.verifies(reply)]).toEqual([204, true])
    const { json } = await merchant.control('GET', '/guides')
    expect(json.guides).toContainEqual(
      expect.objectContaining({
        guide_id: guide,
        name: '罗伯特',
        mobile: '13600000000',
        qr_code: 'https://q/2',
        avatar: 'https://example.com/a.png',
      }),
    )
  })

  test.each(['qr_code', 'group_qrcode'])(
    'of a personal-WeChat guide’s %s is refused',
    async field => {
      const reply = await update(guideId, { [field]: 'https://q/1' })
      expect(reply.status).toBe(400)
      expect(reply.body).toContain(field)
      expect((await update(guideId, { avatar: 'https://a/1' })).status).toBe(204)
    },
  )

  test.each([{ store_id: 2 }, { userid: 'x' }, { corpid: 'x' }])('of %o is refused', async body => {
    expect((await update(await aWecomGuide(), body)).status).toBe(400)
  })

  test('is refused over the byte limits', async () => {
    const guide = await aWecomGuide()
    for (const body of [{ name: merchant.seal('陈'.repeat(22)) }, { avatar: 'a'.repeat(1025) }]) {
      expect((await update(guide, body)).status).toBe(400)
    }
  })

  test('of a guide that is not there is 404', async () => {
    const reply = await update('LLA0', { avatar: 'https://a/1' })
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([404, 'RESOURCE_NOT_EXISTS'])
  })
})

describe('the gateway', () => {
  test.each([
    ['GET', '/v3/pay/nothing', 404],
    ['GET', '/nothing', 404],
    ['DELETE', GUIDES, 405],
    ['GET', `${GUIDES}/g1/assign`, 405],
  ])('answers %s %s with an empty %i', async (method, target, status) => {
    const reply = await merchant.call(method, target)
    expect([reply.status, reply.body]).toEqual([status, ''])
    expect(reply.headers['request-id']).toMatch(/./)
  })

  test('refuses a body over 64 KiB and goes on', async () => {
    const reply = await merchant.assign(guideId, 'A1', { rawBody: 'x'.repeat(70_000) })
    expect(reply.status).toBe(413)
    expect((await merchant.assign(guideId, 'A1')).status).toBe(204)
  })

  test('has no certificates in public-key mode', async () => {
    const reply = await merchant.call('GET', '/v3/certificates')
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([404, 'RESOURCE_NOT_EXISTS'])
  })
})

describe('partner mode', () => {
  const SUB = '1900000109'
  const OTHER = '1900000110'
  const own = { sub_mchid: SUB }

  beforeAll(async () => {
    await merchant.control('PUT', '/stores/71', { name: '甲店', sub_mchid: SUB })
    await merchant.control('PUT', '/stores/72', { name: '乙店', sub_mchid: OTHER })
  })

  test('keeps the stores, guides and order numbers of sub-merchants apart', async () => {
    const wrongStore = registration({ ...own, store_id: 72, userid: 'p' })
    expect((await merchant.call('POST', GUIDES, { body: wrongStore })).body).toContain(
      '门店id不存在',
    )
    const direct = registration({ store_id: 71, userid: 'p' })
    expect((await merchant.call('POST', GUIDES, { body: direct })).body).toContain('门店id不存在')

    const body = registration({ ...own, store_id: 71, userid: 'p' })
    const guide = JSON.parse((await merchant.call('POST', GUIDES, { body })).body).guide_id
    const found = await merchant.call('GET', `${GUIDES}?store_id=71&userid=p&sub_mchid=${SUB}`)
    expect(JSON.parse(found.body).total_count).toBe(1)
    expect((await merchant.call('GET', `${GUIDES}?store_id=71&userid=p`)).status).toBe(400)
    const foreign = { avatar: 'https://a/1', sub_mchid: OTHER }
    expect((await merchant.call('PATCH', `${GUIDES}/${guide}`, { body: foreign })).status).toBe(404)

    const order = { out_trade_no: 'P1', ...own }
    expect((await merchant.assign(guide, 'P1', { body: order })).status).toBe(204)
    const paid = async (body: object) => (await merchant.control('POST', '/pay/P1', body)).json.code
    expect(await paid({ sub_mchid: OTHER })).toBe('not_assigned')
    expect(await paid({})).toBe('not_assigned')
    expect(await paid(own)).toBe('shown')
  })
})
