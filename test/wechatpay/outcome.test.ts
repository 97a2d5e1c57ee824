import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classify } from '../../src/wechatpay/outcome.ts'
import type { Verification } from '../../src/wechatpay/verify.ts'
import { brief } from './upstream.ts'

const nowMs = Date.UTC(2026, 10, 23, 12, 0, 0)
const held = (): Verification => ({ kind: 'verified' })
const failed = (): Verification => ({ kind: 'refused', reason: 'the signature is wrong' })
const notAsked = (): Verification => {
  throw new Error('this answer needs no signature')
}

type Headers = Record<string, string>

function read(status: number, body: unknown = '', verify = notAsked, headers: Headers = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = {
    status,
    headers: { 'request-id': 'REQ-1', ...headers },
    body: Buffer.from(text),
  }
  return classify(answer, nowMs, verify)
}

describe('a 2xx', () => {
  it.each([200, 204])('%d with a valid signature is accepted', status => {
    expect(read(status, '', held)).toEqual({ kind: 'accepted', requestId: 'REQ-1' })
  })

  it.each([200, 201, 202, 204])('%d without one is unverified, not accepted', status => {
    expect(read(status, '', failed)).toEqual({
      kind: 'unknown',
      reason: 'unverified',
      requestId: 'REQ-1',
      retryAfterMs: null,
      status,
      detail: 'the signature is wrong',
    })
  })

  it.each([201, 202, 203, 206, 299])('%d, however well signed, is not a final answer', status => {
    expect(brief(read(status, '', held))).toBe('unknown server_error')
  })
})

describe('a refusal blames', () => {
  const param = (message: string, field?: string) => ({
    code: 'PARAM_ERROR',
    message,
    detail: { field, issue: 'invalid', location: 'body' },
  })
  it.each([
    ['account', 401, { code: 'SIGN_ERROR', message: '签名错误' }],
    ['account', 401, ''],
    ['account', 403, { code: 'NO_AUTH', message: '商户无权限' }],
    ['account', 403, ''],
    ['account', 400, { code: 'MCH_NOT_EXISTS', message: '商户号不存在' }],
    ['account', 404, { code: 'MCH_NOT_EXISTS', message: '商户号不存在' }],
    ['account', 400, { code: 'INVALID_REQUEST', message: 'mch punished' }],
    ['account', 400, { code: 'INVALID_REQUEST', message: '商户已被处罚' }],
    ['account', 405, ''],
    ['account', 413, ''],
    ['account', 415, { code: 'INVALID_REQUEST', message: 'Content-Type' }],
    ['account', 404, ''],
    ['account', 400, param('Http头Wechatpay-Serial无效：5157F09EFDC096DE')],
    ['account', 400, { code: 'INVALID_REQUEST', message: '平台证书序列号Wechatpay-Serial错误' }],
    ['guide', 404, { code: 'RESOURCE_NOT_EXISTS', message: '服务人员不存在' }],
    ['guide', 404, { return_code: 'NOT_FOUND', return_msg: '' }],
    ['guide', 400, param('guide_id 不合法')],
    ['guide', 400, param('参数错误', '/guide_id')],
    ['guide', 400, param('服务人员不存在')],
    ['guide', 400, param('The guide is not found')],
    ['guide', 400, { return_code: 'PARAM_ERROR', return_msg: '服务人员ID错误' }],
    ['order', 400, param('商户订单号不合法', '/out_trade_no')],
    ['order', 400, param('guide and order do not fit', '/body/out_trade_no')],
    ['order', 400, param('参数错误')],
    ['order', 400, { code: 'INVALID_REQUEST', message: '订单已支付' }],
    ['order', 400, { code: 'INVALID_REQUEST', message: 'guide_id' }],
    ['order', 400, { return_code: 'PARAM_ERROR', return_msg: '参数错误' }],
    ['order', 400, ''],
    ['order', 400, { code: 'PARAM_ERROR', message: null, detail: null }],
    ['order', 409, { code: 'CONFLICT', message: '' }],
    ['order', 422, { code: 'UNPROCESSABLE', message: '' }],
  ])('the %s at %d %j', (blames, status, body) => {
    expect(brief(read(status, body))).toBe(`rejected ${blames}`)
  })

  it('with code, message and Request-ID from either shape of body', () => {
    const expected = { code: 'PARAM_ERROR', message: '参数错误', requestId: 'REQ-1', status: 400 }
    expect(read(400, { code: 'PARAM_ERROR', message: '参数错误' })).toMatchObject(expected)
    expect(read(400, { return_code: 'PARAM_ERROR', return_msg: '参数错误' })).toMatchObject(
      expected,
    )
  })

  it('nobody when it carries a signature that does not hold', () => {
    const signature = { 'wechatpay-signature': 'x' }
    const body = { code: 'PARAM_ERROR', message: 'guide_id' }
    expect(brief(read(400, body, failed, signature))).toBe('unknown unverified')
    expect(brief(read(400, body, held, signature))).toBe('rejected guide')
  })

  it.each([
    '<html>404</html>',
    '{}',
    '[]',
    'null',
    '"x"',
    '{"code":404}',
    '{"message":"no route"}',
  ])('nobody when its body is a stranger’s: %s', body => {
    for (const status of [400, 401, 403, 404]) {
      expect(brief(read(status, body))).toBe('unknown server_error')
    }
  })

  it.each([
    ['服务人员13987651201不存在', '服务人员***不存在'],
    ['mobile +86 139-8765-1201 used', 'mobile +*** used'],
    ['8613987651201,139 8765 1201', '***,***'],
    ['guide 01008370080000000001', 'guide 01008370080000000001'],
    ['order 1217752501201407033233368018', 'order 1217752501201407033233368018'],
    ['timestamp 1554208460', 'timestamp 1554208460'],
    ['mchid 1900000109', 'mchid 1900000109'],
  ])('without the mobile of anybody, and with all other numbers: %s', (message, told) => {
    expect(read(400, { code: 'PARAM_ERROR', message })).toMatchObject({ message: told })
    const detail = { field: message }
    expect(read(400, { code: message, message, detail })).toMatchObject({ code: told })
  })

  it('in a message that is short and has no control characters', () => {
    const outcome = read(400, {
      code: 'A\r\nB',
      message: `bad\u0000\n\u001b[31m${'长'.repeat(9_000)}`,
    })
    if (outcome.kind !== 'rejected') throw new Error('expected a rejection')
    expect(outcome.code).toBe('A B')
    expect(outcome.message).toMatch(/^bad \[31m长+…$/)
    expect(outcome.message).toHaveLength(512)
  })

  it.each([false, true])('and for SIGN_ERROR shows what they read (nested deeper: %j)', deeper => {
    const detail = {
      field: 'signature',
      sign_information: {
        method: 'POST',
        url: '/v3/smartguide/guides/G/assign',
        sign_message_length: 131,
        truncated_sign_message: 'POST\n/v3/smartguide/guides/G/assign\n155',
      },
    }
    const body = { code: 'SIGN_ERROR', message: '签名错误', detail: deeper ? { detail } : detail }
    expect(read(401, body)).toMatchObject({
      message:
        '签名错误 (they read POST /v3/smartguide/guides/G/assign, 131 bytes to sign: ' +
        '"POST\\n/v3/smartguide/guides/G/assign\\n155")',
    })
  })
})

describe('not failure but unknown', () => {
  it.each([
    ['throttled', 429],
    ['server_error', 500],
    ['server_error', 502],
    ['server_error', 503],
    ['server_error', 504],
    ['server_error', 599],
    ['server_error', 301],
    ['server_error', 302],
    ['server_error', 307],
    ['server_error', 304],
    ['server_error', 408],
    ['server_error', 425],
    ['server_error', 999],
  ])('is %s at %d, whatever the body says', (reason, status) => {
    expect(brief(read(status, { code: 'PARAM_ERROR', message: 'guide_id' }))).toBe(
      `unknown ${reason}`,
    )
    expect(brief(read(status, '<html>'))).toBe(`unknown ${reason}`)
  })

  it.each([
    ['7', 7_000],
    ['0', 0],
    ['86400', 300_000],
    ['9999999999', 300_000],
    ['Mon, 23 Nov 2026 12:00:30 GMT', 30_000],
    ['Mon, 23 Nov 2026 11:00:00 GMT', 0],
    ['Tue, 24 Nov 2026 12:00:00 GMT', 300_000],
    ['Mon, 99 Nov 2026 99:00:00 GMT', null],
    ['soon', null],
    ['-5', null],
    ['1.5', null],
    ['1e3', null],
  ])('and honours Retry-After %j as %j ms', (value, retryAfterMs) => {
    expect(read(429, '', notAsked, { 'retry-after': value })).toMatchObject({ retryAfterMs })
    expect(read(503, '', notAsked, { 'retry-after': value })).toMatchObject({ retryAfterMs })
  })
})

it('is accepted only at 200 or 204 with a valid signature, whatever else an answer says', () => {
  const anAnswer = fc.record({
    status: fc.integer({ min: 200, max: 599 }),
    body: fc.oneof(fc.string(), fc.json()),
    signed: fc.boolean(),
    headers: fc.dictionary(
      fc.constantFrom('request-id', 'retry-after', 'wechatpay-signature'),
      fc.string({ maxLength: 400 }),
    ),
  })
  fc.assert(
    fc.property(anAnswer, ({ status, body, signed, headers }) => {
      const answer = { status, headers, body: Buffer.from(body) }
      const outcome = classify(answer, nowMs, signed ? held : failed)
      expect(outcome.kind === 'accepted').toBe(signed && (status === 200 || status === 204))
      expect(outcome.requestId?.length ?? 0).toBeLessThanOrEqual(128)
    }),
    { numRuns: 2_000 },
  )
})

describe('a refusal of a call beside assign blames', () => {
  const param = (message: string, field = '') => ({
    code: 'PARAM_ERROR',
    message,
    detail: { field },
  })
  const gone = { code: 'RESOURCE_NOT_EXISTS', message: '服务人员不存在：guide_id G1' }
  it.each<['request' | 'guide', string, number, unknown]>([
    ['request', 'request', 400, param('门店id不存在')],
    ['request', 'request', 400, param('服务人员姓名长度超过64字节', '/name')],
    ['request', 'request', 400, param('该员工已注册', '/userid')],
    ['request', 'request', 404, gone],
    ['guide', 'guide', 404, gone],
    ['guide', 'guide', 400, param('不可用', '/guide_id')],
    ['guide', 'request', 400, param('仅企业微信服务人员支持修改', '/qr_code')],
    ['guide', 'request', 400, param('服务人员姓名长度超过64字节', '/name')],
    ['guide', 'account', 404, ''],
    ['request', 'account', 404, ''],
    ['request', 'account', 400, param('解密失败，请确认所用的微信支付公钥', '/name')],
    ['guide', 'account', 400, param('Http头Wechatpay-Serial无效：7132D7')],
    ['request', 'account', 401, { code: 'SIGN_ERROR', message: '签名错误' }],
    ['guide', 'account', 403, { code: 'NO_AUTH', message: '商户无权限' }],
  ])('about a %s: the %s, for %d %j', (about, blamed, status, body) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = { status, headers: {}, body: Buffer.from(text) }
    expect(brief(classify(answer, nowMs, notAsked, { about }))).toBe(`rejected ${blamed}`)
  })
})
