import { createPrivateKey, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createMerchantKeys } from '../../src/wechatpay/merchant-keys.ts'
import { nextNonce } from '../../src/wechatpay/nonce.ts'
import {
  createAdvanceSigner,
  createSigner,
  signRsa,
  stringToSign,
} from '../../src/wechatpay/sign.ts'
import { documentationKey, documentationRequest, documentationSignature } from './published.ts'
import { mchid, merchant, serialNo } from './upstream.ts'

describe('the request signature', () => {
  it('is, for the published documentation example, the published signature', async () => {
    const { method, path, timestamp, nonce, body } = documentationRequest
    const text = stringToSign(method, path, timestamp, nonce, body)
    const signature = await signRsa(createPrivateKey(documentationKey), text)
    expect(signature).toBe(documentationSignature)
  })

  it('covers five lines, each ended by a newline, an empty body included', () => {
    const text = stringToSign('GET', '/v3/certificates?a=1', '1554208460', 'NONCE', '')
    expect(text).toBe('GET\n/v3/certificates?a=1\n1554208460\nNONCE\n\n')
  })

  it('covers the bytes of a Chinese body in UTF-8', async () => {
    const text = stringToSign('POST', '/v3/a', '1', 'N', '{"name":"导购"}')
    const signature = Buffer.from(await signRsa(merchant.privateKey, text), 'base64')
    const bytes = Buffer.from('POST\n/v3/a\n1\nN\n{"name":"导购"}\n', 'utf8')
    expect(verify('sha256', bytes, merchant.publicKey, signature)).toBe(true)
  })
})

describe('the Authorization header', () => {
  let nowMs = 1_554_208_460_999
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs }
  const authorize = createSigner({
    mchid,
    merchantKeys: createMerchantKeys({ serialNo, privateKey: merchant.privateKey }),
    clock,
  })

  it('names merchant, certificate, nonce and second, and its signature holds for them', async () => {
    const parts = readAuthorization(await authorize('POST', '/v3/x', '{"a":1}'))
    expect(parts).toMatchObject({ mchid, serial_no: serialNo, timestamp: '1554208460' })
    const text = `POST\n/v3/x\n${parts['timestamp']}\n${parts['nonce_str']}\n{"a":1}\n`
    const signature = Buffer.from(parts['signature'] ?? '', 'base64')
    expect(verify('sha256', Buffer.from(text), merchant.publicKey, signature)).toBe(true)
  })

  it('is made afresh at every attempt: other nonce, other second', async () => {
    const first = readAuthorization(await authorize('POST', '/v3/x', ''))
    nowMs += 1_000
    const second = readAuthorization(await authorize('POST', '/v3/x', ''))
    expect(second['nonce_str']).not.toBe(first['nonce_str'])
    expect(second['timestamp']).toBe('1554208461')
    expect(second['signature']).not.toBe(first['signature'])
  })

  it('never repeats a nonce, and keeps it to 32 characters, across many batches', () => {
    const nonces = Array.from({ length: 2_000 }, nextNonce)
    expect(new Set(nonces).size).toBe(2_000)
    expect(nonces.every(nonce => /^[0-9a-f]{32}$/.test(nonce))).toBe(true)
  })
})

function readAuthorization(value: string): Record<string, string> {
  const scheme = 'WECHATPAY2-SHA256-RSA2048 '
  expect(value.startsWith(scheme)).toBe(true)
  const pairs = value.slice(scheme.length).split(',')
  return Object.fromEntries(
    pairs.map(pair => {
      const [, name = '', content = ''] = /^(\w+)="([^"]*)"$/.exec(pair) ?? []
      return [name, content]
    }),
  )
}

describe('a signature begun beforehand', () => {
  const post = ['POST', '/v3/x', '{"a":1}'] as const

  function aSigner() {
    const state = { made: 0, fails: false, nowMs: 0 }
    const signer = createAdvanceSigner(
      async (method, path, body) => {
        state.made += 1
        if (state.fails) throw new Error('no signature')
        return `${method} ${path} ${body} ${state.made}`
      },
      { monotonicMs: () => state.nowMs },
    )
    return { state, ...signer }
  }

  it('serves the call that it was begun for, once: a nonce is used once', async () => {
    const { state, begin, sign } = aSigner()
    begin(...post)
    expect(state.made).toBe(1)
    expect(await sign(...post)).toBe('POST /v3/x {"a":1} 1')
    expect(await sign(...post)).toBe('POST /v3/x {"a":1} 2')
  })

  it.each<[what: string, other: [method: string, path: string, body: string]]>([
    ['path', ['POST', '/v3/y', '{"a":1}']],
    ['body', ['POST', '/v3/x', '{"a":2}']],
    ['method', ['PATCH', '/v3/x', '{"a":1}']],
  ])('serves no call of another %s', async (_, other) => {
    const { begin, sign } = aSigner()
    begin(...post)
    expect(await sign(...other)).toBe(`${other.join(' ')} 2`)
  })

  it('is not used once it is old', async () => {
    const { state, begin, sign } = aSigner()
    begin(...post)
    state.nowMs = 5000
    expect(await sign(...post)).toBe('POST /v3/x {"a":1} 2')
  })

  it('fails the call that takes it, and nobody else', async () => {
    const { state, begin, sign } = aSigner()
    state.fails = true
    begin(...post)
    begin('POST', '/v3/nobody', '')
    await expect(sign(...post)).rejects.toThrow('no signature')
    state.fails = false
    expect(await sign(...post)).toBe('POST /v3/x {"a":1} 3')
  })

  it('is kept for so many calls only', async () => {
    const { state, begin, sign } = aSigner()
    begin(...post)
    for (let other = 0; other < 1024; other++) begin('POST', `/v3/${other}`, '')
    expect(await sign(...post)).toBe(`POST /v3/x {"a":1} ${state.made}`)
  })
})
