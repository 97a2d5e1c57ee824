import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { isSame } from './compare.ts'
import { type Key, type Keys, parseBearer } from './keys.ts'
import { createNonces, toleranceSeconds } from './nonces.ts'
import {
  type Arrived,
  isOfSigner,
  messageOf,
  parseSigned,
  type Signed,
  signatureOf,
} from './signature.ts'
import type { Peer } from './throttle.ts'

/** A request at the entrance. `operation`: what the router takes it for. `body` is read for a signed one alone. */
export type AtEntrance = Omit<Arrived, 'body'> & {
  operation: string
  authorization: string
  peer: Peer
  body(): Promise<Uint8Array>
}

/** A reassign is none of them: with another If-Match, which is not signed, it has another effect. */
const repeatable: ReadonlySet<string> = new Set([
  'POST /orders/{out_trade_no}/assign',
  'POST /orders/{out_trade_no}/paid',
  'POST /orders/{out_trade_no}/closed',
])

/** Nobody's: what an unknown key is held against. */
const dummyText = ''

/**
 * Where a key is looked at: sent as it is, or as a signature over the request.
 *
 * Nonces are kept in memory. After a restart a signature of before could be shown once more, so it is refused, except
 * for what changes nothing when it is repeated, so that a till whose clock is slow is not kept waiting. After twice the
 * tolerance, by a clock that nobody sets, all that was signed before is too old whatever the time was at the start.
 */
export function createEntrance({ keys, clock }: { keys: Keys; clock: Clock }) {
  const nonces = createNonces()
  const startedSeconds = secondsOf(clock.nowMs())
  const closedUntilMs = clock.monotonicMs() + 2 * toleranceSeconds * 1000

  async function verify(signed: Signed, asked: AtEntrance): Promise<Key> {
    const { keyId } = signed
    const { method, target, peer } = asked
    // Whoever has no key is not listened to; and who had one meanwhile may have lost it.
    if (!keys.signer(keyId, clock.nowMs(), peer)) throw wrong(keyId, peer, signatureWrong)
    const message = messageOf(signed, { method, target, body: await asked.body() })
    const nowMs = clock.nowMs()
    const signer = keys.signer(keyId, nowMs, peer)
    const isRight = isSame(signatureOf(signer?.text ?? dummyText, message), signed.signature)
    if (!signer || !isRight) throw wrong(keyId, peer, signatureWrong)
    refuseStale(signed, asked.operation, nowMs)
    keys.used(signer.key, nowMs)
    return signer.key
  }

  /** Told only to who has the key, and so is no help to anybody else. */
  function refuseStale(
    { keyId, timestamp, nonce }: Signed,
    operation: string,
    nowMs: number,
  ): void {
    const nowSeconds = secondsOf(nowMs)
    const isOfBefore =
      timestamp < startedSeconds &&
      clock.monotonicMs() < closedUntilMs &&
      !repeatable.has(operation)
    if (isOfBefore || Math.abs(nowSeconds - timestamp) > toleranceSeconds) {
      throw clockSkew(timestamp, nowMs, isOfBefore)
    }
    switch (nonces.use(keyId, nonce, timestamp, nowSeconds)) {
      case 'new':
        return
      case 'late':
        throw clockSkew(timestamp, nowMs, true)
      case 'used':
        throw new AppError('nonce_used', {
          en: 'Sign each request anew, with a nonce and a timestamp of its own.',
          zh: '每次请求都须用新的随机串和时间戳重新签名。',
        })
    }
  }

  function wrong(keyId: string | null, peer: Peer, otherwise: () => AppError): AppError {
    const retryAfterSeconds = keys.countWrong(keyId, clock.nowMs(), peer)
    if (retryAfterSeconds === 0) return otherwise()
    const detail = {
      en: 'No more wrong keys are heard from here for now; a right one is.',
      zh: '来自此处的错误密钥过多，暂不受理；正确的密钥不受影响。',
    }
    return new AppError('too_many_wrong_keys', detail, { retryAfterSeconds })
  }

  return {
    /** @throws AppError unauthorized, signature_required, signature_wrong, clock_skew, nonce_used, too_many_wrong_keys */
    async enter(asked: AtEntrance): Promise<Key> {
      const { authorization, peer } = asked
      const signed = parseSigned(authorization)
      if (signed) return verify(signed, asked)
      if (isOfSigner(authorization)) throw wrong(null, peer, signatureWrong)
      const key = keys.authenticate(authorization, clock.nowMs(), peer)
      if (key) return key
      if (keys.shouldSign(authorization, clock.nowMs(), peer)) throw signatureRequired()
      throw wrong(parseBearer(authorization)?.id ?? null, peer, unauthorized)
    },
  }
}

const secondsOf = (ms: number): number => Math.floor(ms / 1000)

export const unauthorized = (): AppError =>
  new AppError('unauthorized', {
    en: 'Send Authorization: Bearer KEY with a valid key.',
    zh: '请发送 Authorization: Bearer 密钥，密钥须有效。',
  })

const signatureRequired = (): AppError =>
  new AppError('signature_required', {
    en: 'This key is never sent: sign each request with it, as docs/signing.md says.',
    zh: '此密钥不可直接发送：请按 docs/signing.zh-CN.md 所述用它为每个请求签名。',
  })

const signatureWrong = (): AppError =>
  new AppError('signature_wrong', {
    en: 'It must be the base64 of HMAC-SHA-256, with a valid key that signs, over the method, the path with its query as sent, the timestamp, the nonce and the hex SHA-256 of the body, a newline after each.',
    zh: '签名应为 HMAC-SHA-256 的 base64，所用密钥须有效且用于签名；内容依次为：请求方法、原样的路径及查询串、时间戳、随机串、请求体 SHA-256 的十六进制，每项之后一个换行符。',
  })

function clockSkew(timestamp: number, nowMs: number, isOfBefore: boolean): AppError {
  const now = new Date(nowMs).toISOString()
  const seconds = secondsOf(nowMs)
  if (isOfBefore) {
    return new AppError('clock_skew', {
      en: `The time here is ${now} (${seconds}). What was signed at ${timestamp} can no longer be told from a repetition: sign anew.`,
      zh: `此处时间为 ${now}（${seconds}）。时间戳 ${timestamp} 的请求已无法判断是否重放，请重新签名。`,
    })
  }
  return new AppError('clock_skew', {
    en: `The time here is ${now} (${seconds}), and the timestamp ${timestamp} is more than ${toleranceSeconds} s away: set the clock.`,
    zh: `此处时间为 ${now}（${seconds}），时间戳 ${timestamp} 相差超过 ${toleranceSeconds} 秒，请校准时钟。`,
  })
}
