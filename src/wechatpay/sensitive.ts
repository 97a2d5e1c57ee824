import assert from 'node:assert/strict'
import { constants, type KeyObject, publicEncrypt, subtle, type webcrypto } from 'node:crypto'

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

/**
 * A field of an answer, encrypted for the merchant; null when it was not, or not for this key.
 *
 * By Web Crypto, on the thread pool: node:crypto decrypts on the event loop alone, 0.3 ms a field.
 */
export async function decryptSensitive(
  ciphertext: string,
  merchantKey: KeyObject,
): Promise<string | null> {
  try {
    const key = decryptionKey(merchantKey)
    const bytes = await subtle.decrypt('RSA-OAEP', key, Buffer.from(ciphertext, 'base64'))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

const decryptionKeys = new WeakMap<KeyObject, webcrypto.CryptoKey>()

function decryptionKey(key: KeyObject): webcrypto.CryptoKey {
  const known = decryptionKeys.get(key)
  if (known) return known
  const made = key.toCryptoKey({ name: 'RSA-OAEP', hash: 'SHA-1' }, false, ['decrypt'])
  decryptionKeys.set(key, made)
  return made
}
