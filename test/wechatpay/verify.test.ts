import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { verifyAnswer } from '../../src/wechatpay/verify.ts'
import { publishedAnswer } from './published.ts'
import { platform, platformSerial, signedHeaders } from './upstream.ts'

const nowMs = 1_722_850_400_000
const verifiers = new Map([[platformSerial, platform.publicKey]])
const body = '{"guide_id": "LLA3",  "name": "导购"}'
const headers = signedHeaders({ body, nowMs })
const answer = { status: 200, headers, body: Buffer.from(body) }

type Change = { headers?: NodeJS.Dict<string | string[]>; body?: Buffer }

function reasonFor(change: Change, atMs = nowMs): string {
  const changed = { ...answer, ...change, headers: { ...headers, ...change.headers } }
  const verification = verifyAnswer(changed, verifiers, atMs)
  return verification.kind === 'refused' ? verification.reason : 'verified'
}

describe('an answer is believed', () => {
  it('when WeChat Pay signed it: a published answer with its published key', () => {
    const published = {
      status: 200,
      headers: {
        'wechatpay-timestamp': publishedAnswer.timestamp,
        'wechatpay-nonce': publishedAnswer.nonce,
        'wechatpay-signature': publishedAnswer.signature,
        'wechatpay-serial': 'PUB_KEY_ID_X',
      },
      body: Buffer.from(publishedAnswer.body),
    }
    const keys = new Map([['PUB_KEY_ID_X', createPublicKey(publishedAnswer.publicKey)]])
    expect(verifyAnswer(published, keys, 1_722_850_421_000)).toEqual({ kind: 'verified' })
  })

  it('when its raw bytes, spaces and all, are the signed ones', () => {
    expect(reasonFor({})).toBe('verified')
  })

  it('when it is empty and signed as empty', () => {
    const empty = { status: 204, headers: signedHeaders({ nowMs }), body: Buffer.alloc(0) }
    expect(verifyAnswer(empty, verifiers, nowMs)).toEqual({ kind: 'verified' })
  })

  it('by the key that its serial names, when several are known', () => {
    const next = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const both = new Map([...verifiers, ['7132D72A03E93CDDF8C03BBD1F37EEDF', next.publicKey]])
    const serial = '7132D72A03E93CDDF8C03BBD1F37EEDF'
    const byNext = signedHeaders({ nowMs, serial, key: next.privateKey })
    const byOther = signedHeaders({ nowMs, serial })
    const empty = { status: 204, body: Buffer.alloc(0) }
    expect(verifyAnswer({ ...empty, headers: byNext }, both, nowMs).kind).toBe('verified')
    expect(verifyAnswer({ ...empty, headers: byOther }, both, nowMs).kind).toBe('refused')
  })

  it.each([-299_999, 299_999])('when its clock is off by %d ms', offMs => {
    expect(reasonFor({}, nowMs + offMs)).toBe('verified')
  })
})

describe('an answer is refused', () => {
  it('when any one of its bytes differs by one bit', () => {
    for (const [index, byte] of answer.body.entries()) {
      const altered = Buffer.from(answer.body)
      altered.writeUInt8(byte ^ 1, index)
      expect(reasonFor({ body: altered })).toBe('the signature is wrong')
    }
  })

  it('when its body was parsed and written again', () => {
    const rewritten = Buffer.from(JSON.stringify(JSON.parse(body)))
    expect(reasonFor({ body: rewritten })).toBe('the signature is wrong')
  })

  it('when its body was cut off or went missing', () => {
    expect(reasonFor({ body: answer.body.subarray(0, -1) })).toBe('the signature is wrong')
    expect(reasonFor({ body: Buffer.alloc(0) })).toBe('the signature is wrong')
  })

  it.each([
    ['wechatpay-timestamp', 'no Wechatpay-Timestamp header'],
    ['wechatpay-nonce', 'no Wechatpay-Nonce header'],
    ['wechatpay-signature', 'no Wechatpay-Signature header'],
    ['wechatpay-serial', 'no Wechatpay-Serial header'],
  ])('when %s is missing, empty or doubled', (name, reason) => {
    expect(reasonFor({ headers: { [name]: undefined } })).toBe(reason)
    expect(reasonFor({ headers: { [name]: '' } })).toBe(reason)
    expect(reasonFor({ headers: { [name]: ['1722850400', '1722850400'] } })).toBe(reason)
  })

  it.each([-300_000, 300_000, 86_400_000])('when its clock is off by %d ms', offMs => {
    expect(reasonFor({}, nowMs + offMs)).toMatch(/^its clock and ours differ by \d+ s$/)
  })

  it.each(['soon', '1722850400.5', '-1722850400', '0x66b0', '1e9', ' ', '9'.repeat(40)])(
    'when its timestamp is %j',
    timestamp => {
      const reason = reasonFor({ headers: { 'wechatpay-timestamp': timestamp } })
      expect(reason).toBe('Wechatpay-Timestamp is not unix seconds')
    },
  )

  it('when it is a signature probe', () => {
    const signature = `WECHATPAY/SIGNTEST/${headers['wechatpay-signature']}`
    const reason = reasonFor({ headers: { 'wechatpay-signature': signature } })
    expect(reason).toBe('a signature probe (SIGNTEST)')
  })

  it('when it names a key that we do not have', () => {
    const reason = reasonFor({ headers: { 'wechatpay-serial': 'PUB_KEY_ID_OTHER' } })
    expect(reason).toBe('signed with an unknown key (PUB_KEY_ID_OTHER)')
  })

  it('when somebody else signed it under the right serial', () => {
    const forged = signedHeaders({
      body,
      nowMs,
      key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
    })
    expect(reasonFor({ headers: forged })).toBe('the signature is wrong')
  })

  it.each(['====', 'AA==', 'A'.repeat(10_000)])('when its signature is %j', signature => {
    expect(reasonFor({ headers: { 'wechatpay-signature': signature } })).not.toBe('verified')
  })

  it.each([':', ' ', '\t', '\u0000', '-', '='])(
    'when %j stands before, in or after a right signature',
    junk => {
      const right = String(headers['wechatpay-signature'])
      for (const at of [0, 100, right.length]) {
        const signature = right.slice(0, at) + junk + right.slice(at)
        const reason = reasonFor({ headers: { 'wechatpay-signature': signature } })
        expect(reason).toBe('the signature is not base64')
      }
    },
  )

  it('when the signature was made for another second or nonce', () => {
    const second = { 'wechatpay-timestamp': String(nowMs / 1000 + 1) }
    expect(reasonFor({ headers: second })).toBe('the signature is wrong')
    expect(reasonFor({ headers: { 'wechatpay-nonce': 'other' } })).toBe('the signature is wrong')
  })
})
