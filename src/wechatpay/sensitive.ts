import assert from 'node:assert/strict'
import { constants, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto'

/** What RSA-2048 with OAEP and SHA-1 holds: 256 − 2 × 20 − 2 bytes. */
export const maxSensitiveBytes = 214

const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }

/**
 * A name or mobile number for a request, base64, for the platform key that the request's
 * `Wechatpay-Serial` names. At most `maxSensitiveBytes` of UTF-8: checked by the caller.
 */
export function encryptSensitive(text: string, platformKey: KeyObject): string {
  const bytes = Buffer.from(text)
  assert(bytes.length <= maxSensitiveBytes, `at most ${maxSensitiveBytes} bytes can be encrypted`)
  return publicEncrypt({ key: platformKey, ...padding }, bytes).toString('base64')
}

/** A field of an answer, encrypted for the merchant; null when it was not, or not for this key. */
export function decryptSensitive(ciphertext: string, merchantKey: KeyObject): string | null {
  try {
    const bytes = privateDecrypt(
      { key: merchantKey, ...padding },
      Buffer.from(ciphertext, 'base64'),
    )
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}
