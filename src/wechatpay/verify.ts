import { type KeyObject, verify } from 'node:crypto'
import { type Answer, cleanText, header } from './answer.ts'

export type Verification = { kind: 'verified' } | { kind: 'refused'; reason: string }

/** Keys by serial: `PUB_KEY_ID_…` or a platform certificate's serial number. */
export type Verifiers = { get(serial: string): KeyObject | undefined }

const maxSkewMs = 300_000
const probePrefix = 'WECHATPAY/SIGNTEST/'

/**
 * Whether WeChat Pay signed exactly these bytes, now and with a key that we know. Never throws.
 *
 * A probe (a deliberately wrong signature, prefix WECHATPAY/SIGNTEST/) is refused like any other
 * wrong signature; the call behind it was carried out all the same.
 */
export function verifyAnswer(answer: Answer, verifiers: Verifiers, nowMs: number): Verification {
  const timestamp = header(answer, 'wechatpay-timestamp')
  if (timestamp === null) return refused('no Wechatpay-Timestamp header')
  const nonce = header(answer, 'wechatpay-nonce')
  if (nonce === null) return refused('no Wechatpay-Nonce header')
  const signature = header(answer, 'wechatpay-signature')
  if (signature === null) return refused('no Wechatpay-Signature header')
  const serial = header(answer, 'wechatpay-serial')
  if (serial === null) return refused('no Wechatpay-Serial header')

  if (!/^\d{1,12}$/.test(timestamp)) return refused('Wechatpay-Timestamp is not unix seconds')
  const skewMs = Math.abs(nowMs - Number(timestamp) * 1000)
  if (skewMs >= maxSkewMs) {
    return refused(`its clock and ours differ by ${Math.round(skewMs / 1000)} s`)
  }
  if (signature.startsWith(probePrefix)) return refused('a signature probe (SIGNTEST)')
  // Buffer.from would skip whatever is not base64 and read the rest.
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(signature)) return refused('the signature is not base64')
  const key = verifiers.get(serial)
  if (key === undefined) return refused(`signed with an unknown key (${cleanText(serial, 64)})`)
  const signed = Buffer.concat([
    Buffer.from(`${timestamp}\n${nonce}\n`, 'latin1'),
    answer.body,
    newline,
  ])
  return isSignature(signed, key, signature) ? verified : refused('the signature is wrong')
}

const verified: Verification = { kind: 'verified' }
const newline = Buffer.from('\n')

// On the thread that asks: a check costs about as much as handing it to another.
function isSignature(signed: Buffer, key: KeyObject, signature: string): boolean {
  try {
    return verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64'))
  } catch {
    return false
  }
}

function refused(reason: string): Verification {
  return { kind: 'refused', reason }
}
