import { randomBytes } from 'node:crypto'
import type { Answer } from './answer.ts'
import type { Fault } from './faults.ts'
import type { PlatformKey } from './key-ring.ts'
import { signMessage } from './signature.ts'

const PROBE = 'WECHATPAY/SIGNTEST/'
const SKEW_SECONDS = -600

/** The four Wechatpay-* headers of a 2xx, or what a fault makes of them. */
export async function sealOf(
  answer: Answer,
  key: PlatformKey,
  nowMs: number,
  fault: Fault | null,
): Promise<Record<string, string>> {
  if (fault === 'unsigned') return {}
  const skew = fault === 'clock_skew' ? SKEW_SECONDS : 0
  const timestamp = String(Math.floor(nowMs / 1000) + skew)
  const nonce = randomBytes(16).toString('hex')
  // A true signature by the true key, of another answer.
  const body = fault === 'wrong_signature' ? `${answer.body} ` : answer.body
  const message = Buffer.from(`${timestamp}\n${nonce}\n${body}\n`)
  const signature = (await signMessage(message, key.signing)).toString('base64')
  return {
    'Wechatpay-Timestamp': timestamp,
    'Wechatpay-Nonce': nonce,
    'Wechatpay-Signature': fault === 'signtest' ? PROBE + signature : signature,
    'Wechatpay-Serial': key.serial,
    'Wechatpay-Signature-Type': 'WECHATPAY2-SHA256-RSA2048',
  }
}
