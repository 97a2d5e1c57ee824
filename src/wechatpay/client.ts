import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { type Answer, cleanText } from './answer.ts'
import { attempt, type Leash, type WireRequest } from './attempt.ts'
import { parseBaseUrl } from './base-url.ts'
import { classify, type Outcome, unanswered } from './outcome.ts'
import { openPool } from './pool.ts'
import { createSigner, stringToSign } from './sign.ts'
import { type Verifiers, verifyAnswer } from './verify.ts'

export type ClientOptions = {
  mchid: string
  serialNo: string
  privateKey: KeyObject
  verifiers: Verifiers
  platformSerial: string
  baseUrls: readonly string[]
  clock: Clock
  connections?: number
  userAgent?: string
}

export type AssignRequest = {
  guideId: string
  outTradeNo: string
  subMchid: string | null
  host: number
  timeoutMs: number
  leash?: Leash
}

export type Client = {
  readonly hosts: readonly string[]
  assign(request: AssignRequest): Promise<Outcome>
  probe(request: { host: number; timeoutMs: number }): Promise<Outcome>
  close(): Promise<void>
}

/**
 * The signed APIv3 client of one merchant (or of one service provider, in partner mode).
 *
 * `serialNo` is the merchant certificate's; `platformSerial` names the WeChat Pay key in use and
 * goes with every request. `host` is an index into `hosts`, first is primary. `connections` is
 * the most that are open to each host at a time; further calls wait inside their `timeoutMs`.
 * Whatever upstream does, a call resolves to an Outcome; it rejects only on a caller's defect.
 * A call is one attempt: it is signed afresh, never repeated and never redirected.
 */
export function createClient(options: ClientOptions): Client {
  const { verifiers, platformSerial, clock, connections = 64 } = options
  const { userAgent = 'smartguide-assign' } = options
  const hosts = options.baseUrls.map(parseBaseUrl)
  assert(hosts.length > 0, 'at least one base URL')
  const pools = hosts.map(origin => openPool(origin, connections))
  const sign = createSigner(options)
  const getHeaders = Object.entries({
    accept: 'application/json',
    'user-agent': userAgent,
    'wechatpay-serial': platformSerial,
  }).flat()
  const postHeaders = [...getHeaders, 'content-type', 'application/json']
  let underWay = 0
  const idle = Promise.withResolvers<void>()
  let closing: Promise<unknown> | null = null

  async function call(
    request: WireRequest,
    host: number,
    timeoutMs: number,
    leash?: Leash,
  ): Promise<Outcome> {
    const pool = pools[host]
    assert(pool !== undefined, `no host ${host}`)
    if (closing !== null) return unanswered('not_sent', 'the client is closed')
    if (!(timeoutMs > 0)) return unanswered('not_sent', 'no time left')
    const { method, path, body } = request
    underWay++
    const attempted = await attempt(pool, request, () => sign(method, path, body), timeoutMs, leash)
    if (--underWay === 0 && closing !== null) idle.resolve()
    if (attempted.kind === 'lost') {
      return unanswered(attempted.reason, cleanText(attempted.detail, 256))
    }
    return withOurSide(judge(attempted.answer), request)
  }

  async function closePools(): Promise<void> {
    if (underWay > 0) await idle.promise
    // Not pool.close(): that would wait for connections still being opened, to send nothing.
    await Promise.all(pools.map(pool => pool.destroy()))
  }

  function judge(answer: Answer): Outcome {
    const nowMs = clock.nowMs()
    return classify(answer, nowMs, () => verifyAnswer(answer, verifiers, nowMs))
  }

  return {
    hosts,

    async assign({ guideId, outTradeNo, subMchid, host, timeoutMs, leash }) {
      const path = assignPath(guideId)
      const body = assignBody(outTradeNo, subMchid)
      return call({ method: 'POST', path, body, headers: postHeaders }, host, timeoutMs, leash)
    },

    /** One harmless signed call: `accepted` when merchant number, serial and key fit together. */
    async probe({ host, timeoutMs }) {
      const path = '/v3/certificates'
      const request: WireRequest = { method: 'GET', path, body: '', headers: getHeaders }
      return readProbe(await call(request, host, timeoutMs))
    },

    /** Lets calls under way end, each within its own time; further calls are `not_sent`. */
    async close() {
      closing ??= closePools()
      await closing
    },
  }
}

function assignPath(guideId: string): string {
  assert(guideId.length >= 1 && guideId.length <= 64, 'a guide id has 1 to 64 characters')
  // Dots are not percent-encoded, and a proxy may resolve a segment of them alone.
  assert(guideId !== '.' && guideId !== '..', 'a guide id is not a path')
  return `/v3/smartguide/guides/${encodeURIComponent(guideId)}/assign`
}

function assignBody(outTradeNo: string, subMchid: string | null): string {
  const order = { out_trade_no: outTradeNo }
  return JSON.stringify(subMchid === null ? order : { ...order, sub_mchid: subMchid })
}

// Beside what they read (in the message already), so that the two can be compared.
function withOurSide(outcome: Outcome, { method, path, body }: WireRequest): Outcome {
  if (outcome.kind !== 'rejected' || outcome.code !== 'SIGN_ERROR') return outcome
  const bytes = Buffer.byteLength(stringToSign(method, path, '0'.repeat(10), '0'.repeat(32), body))
  return { ...outcome, message: `${outcome.message} (we signed ${method} ${path}, ${bytes} bytes)` }
}

// A merchant in 公钥 mode has no platform certificates: this 404 comes after the signature passed.
function readProbe(outcome: Outcome): Outcome {
  if (outcome.kind !== 'rejected') return outcome
  if (outcome.code === 'RESOURCE_NOT_EXISTS') {
    return { kind: 'accepted', requestId: outcome.requestId }
  }
  return { ...outcome, blames: 'account' }
}
