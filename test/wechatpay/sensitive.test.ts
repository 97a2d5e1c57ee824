import { constants, privateDecrypt, publicEncrypt } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decryptSensitive,
  encryptSensitive,
  maxSensitiveBytes,
} from '../../src/wechatpay/sensitive.ts'
import { merchant, platform } from './upstream.ts'

const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }

describe('a name or mobile number', () => {
  it('is readable by WeChat Pay alone: RSA-OAEP with SHA-1, base64', async () => {
    const sent = encryptSensitive('张三', platform.publicKey)
    expect(sent).toMatch(/^[A-Za-z0-9+/]{342}==$/)
    const bytes = privateDecrypt({ key: platform.privateKey, ...oaep }, Buffer.from(sent, 'base64'))
    expect(bytes.toString()).toBe('张三')
    expect(await decryptSensitive(sent, merchant.privateKey)).toBeNull()
  })

  it('never looks the same twice', () => {
    const [a, b] = [0, 1].map(() => encryptSensitive('13900000000', platform.publicKey))
    expect(a).not.toBe(b)
  })

  it('comes back whole from an answer, up to the longest that fits', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 50 })
    await fc.assert(
      fc.asyncProperty(text, async plain => {
        fc.pre(Buffer.byteLength(plain) <= maxSensitiveBytes && plain.isWellFormed())
        const sent = encryptSensitive(plain, merchant.publicKey)
        expect(await decryptSensitive(sent, merchant.privateKey)).toBe(plain)
      }),
      { numRuns: 20 },
    )
    const longest = 'x'.repeat(maxSensitiveBytes)
    const sent = encryptSensitive(longest, merchant.publicKey)
    expect(await decryptSensitive(sent, merchant.privateKey)).toBe(longest)
  })

  it('is opened off the event loop, which turns between any two of them', async () => {
    const sent = encryptSensitive('张三', merchant.publicKey)
    let turns = 0
    let ticking = setImmediate(count)
    function count() {
      turns++
      ticking = setImmediate(count)
    }
    for (let n = 1; n <= 20; n++) {
      expect(await decryptSensitive(sent, merchant.privateKey)).toBe('张三')
      expect(turns).toBeGreaterThanOrEqual(n)
    }
    clearImmediate(ticking)
  })

  it('of 215 bytes is refused before it is sent', () => {
    expect(() => encryptSensitive('x'.repeat(215), platform.publicKey)).toThrow('at most 214 bytes')
    expect(() => encryptSensitive('导'.repeat(72), platform.publicKey)).toThrow('at most 214 bytes')
  })

  it('that was not encrypted, or is no text, reads as null', async () => {
    const noText = publicEncrypt({ key: merchant.publicKey, ...oaep }, Buffer.from([0xff, 0xfe]))
    for (const field of ['', 'plain', 'AAAA', noText.toString('base64')]) {
      expect(await decryptSensitive(field, merchant.privateKey)).toBeNull()
    }
  })
})
