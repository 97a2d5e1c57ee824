import { type KeyObject, sign } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { MerchantKey } from './merchant-keys.ts'
import { nextNonce } from './nonce.ts'

export type Signer = (method: string, path: string, body: string) => Promise<string>

/**
 * The five lines that are signed, each ended by a newline.
 *
 * `path` with its query and `body` exactly as sent; `timestamp` in unix seconds. Source: 签名生成.
 */
export function stringToSign(
  method: string,
  path: string,
  timestamp: string,
  nonce: string,
  body: string,
): string {
  return `${method}\n${path}\n${timestamp}\n${nonce}\n${body}\n`
}

/** RSA-SHA256, PKCS #1 v1.5, base64; on the thread pool, for it is the dearest part of a call. */
export function signRsa(privateKey: KeyObject, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    sign('RSA-SHA256', Buffer.from(text), privateKey, (error, signature) => {
      if (error === null) resolve(signature.toString('base64'))
      else reject(error)
    })
  })
}

/**
 * Makes `Authorization` header values, each with its own nonce and the present second, and with the key of its moment.
 *
 * The serial number in it is that of the merchant's certificate, not of the platform's.
 */
export function createSigner(options: {
  mchid: string
  merchantKeys: { current(): MerchantKey }
  clock: Clock
}): Signer {
  const { mchid, merchantKeys, clock } = options
  return async function authorize(method, path, body) {
    const { serialNo, privateKey } = merchantKeys.current()
    const timestamp = String(Math.floor(clock.nowMs() / 1000))
    const nonce = nextNonce()
    const signature = await signRsa(privateKey, stringToSign(method, path, timestamp, nonce, body))
    return `WECHATPAY2-SHA256-RSA2048 mchid="${mchid}",serial_no="${serialNo}",nonce_str="${nonce}",timestamp="${timestamp}",signature="${signature}"`
  }
}

/** Signatures begun before they are needed: what is signed is known while the disk is still writing it down. */
export type AdvanceSigner = {
  begin(method: string, path: string, body: string): void
  /** The signature that was begun, once; or else a new one. */
  sign: Signer
}

/** A timestamp must not be of long ago. */
const freshMs = 5000
const maxBegun = 1024

export function createAdvanceSigner(
  sign: Signer,
  clock: Pick<Clock, 'monotonicMs'>,
): AdvanceSigner {
  const begun = new Map<string, { authorization: Promise<string>; atMs: number }>()

  return {
    begin(method, path, body) {
      const authorization = sign(method, path, body)
      // Whoever takes it hears of it; nobody may.
      authorization.catch(() => {})
      const oldest = begun.size >= maxBegun ? begun.keys().next().value : undefined
      if (oldest !== undefined) begun.delete(oldest)
      begun.set(nameOf(method, path, body), { authorization, atMs: clock.monotonicMs() })
    },

    sign(method, path, body) {
      const name = nameOf(method, path, body)
      const found = begun.get(name)
      begun.delete(name)
      const isFresh = found !== undefined && clock.monotonicMs() - found.atMs < freshMs
      return isFresh ? found.authorization : sign(method, path, body)
    },
  }
}

const nameOf = (method: string, path: string, body: string): string => `${method} ${path} ${body}`
