import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { type Clock, within } from '../clock.ts'
import { type Answer, cleanText } from './answer.ts'
import { attempt, type Leash } from './attempt.ts'
import { parseBaseUrl } from './base-url.ts'
import { type CertificateList, readCertificates } from './certificates.ts'
import { type Call, createGuideCalls, guidePath } from './guide-calls.ts'
import type { GuideCalls, Reply } from './guides.ts'
import type { MerchantKeys } from './merchant-keys.ts'
import { classify, type Outcome, type Subject, unanswered, unreadable } from './outcome.ts'
import { isInForce, isOf, type PlatformCertificate, type PlatformKeys } from './platform-keys.ts'
import { openPool } from './pool.ts'
import { createAdvanceSigner, createSigner, stringToSign } from './sign.ts'
import { type Verifiers, verifyAnswer } from './verify.ts'

export type ClientOptions = {
  mchid: string
  merchantKeys: MerchantKeys
  platformKeys: PlatformKeys
  baseUrls: readonly string[]
  clock: Clock
  connections?: number
  userAgent?: string
}

export type AssignedOrder = { guideId: string; outTradeNo: string; subMchid: string | null }

export type AssignRequest = AssignedOrder & {
  host: number
  timeoutMs: number
  leash?: Leash
}

/** `sealed`: a list came, and the APIv3 key opens none of it. */
export type Downloaded = Reply<readonly PlatformCertificate[]> | { kind: 'sealed' }

export type Client = GuideCalls & {
  /** Begins the signature of an assign that is soon to be made, and sends nothing. */
  presign(order: AssignedOrder): void
  assign(request: AssignRequest): Promise<Outcome>
  probe(request: { host: number; timeoutMs: number }): Promise<Outcome>
  downloadCertificates(request: {
    host: number
    timeoutMs: number
    apiv3Key: KeyObject
  }): Promise<Downloaded>
  close(): Promise<void>
}

/**
 * The signed APIv3 client of one merchant (or of one service provider, in partner mode).
 *
 * Both keys may change while it runs; the WeChat Pay key in use is named with every request, once
 * one is known. `host` is an index into `hosts`, first is primary. `connections` is
 * the most that are open to each host at a time; further calls wait inside their `timeoutMs`.
 * Whatever upstream does, a call resolves to an Outcome; it rejects only on a caller's defect.
 * A call is one attempt: it is signed afresh, never repeated and never redirected.
 */
export function createClient(options: ClientOptions): Client {
  const { merchantKeys, platformKeys, clock, connections = 64 } = options
  const { userAgent = 'smartguide-assign' } = options
  const hosts = options.baseUrls.map(parseBaseUrl)
  assert(hosts.length > 0, 'at least one base URL')
  const pools = hosts.map(origin => openPool(origin, connections))
  const signer = createAdvanceSigner(createSigner(options), clock)
  let underWay = 0
  const idle = Promise.withResolvers<void>()
  let closing: Promise<unknown> | null = null

  /** One attempt, and what became of it; nobody gets to see an answer that was not accepted. */
  async function exchange(call: Call, { leash, verifiers }: Special = {}): Promise<Reply<Answer>> {
    const { method, path, body, platformKey, host, timeoutMs, subject } = call
    const pool = pools[host]
    assert(pool !== undefined, `no host ${host}`)
    if (closing !== null) return unanswered('not_sent', 'the client is closed')
    if (!(timeoutMs > 0)) return unanswered('not_sent', 'no time left')
    underWay++
    const request = { method, path, body, headers: headersOf(call) }
    const attempted = await attempt(
      pool,
      request,
      () => signer.sign(method, path, body),
      timeoutMs,
      leash,
    )
    if (--underWay === 0 && closing !== null) idle.resolve()
    if (attempted.kind === 'lost') {
      return unanswered(attempted.reason, cleanText(attempted.detail, 256))
    }
    const { answer } = attempted
    let arriving: Promise<unknown> | null = null
    const judge = (): Outcome => {
      const nowMs = clock.nowMs()
      const known = verifiers?.(answer, nowMs) ?? {
        get(serial) {
          const key = platformKeys.find(serial, nowMs)
          if (key === undefined) arriving = platformKeys.missed?.(serial) ?? null
          return key
        },
      }
      return classify(answer, nowMs, () => verifyAnswer(answer, known, nowMs), subject)
    }
    let outcome = judge()
    if (arriving !== null) {
      await within(arriving, longestHoldMs)
      outcome = judge()
    }
    outcome = withOurSide(outcome, call)
    if (platformKey !== null && disownsSerial(outcome)) platformKeys.missed?.(platformKey.serial)
    return outcome.kind === 'accepted' ? { ...outcome, value: answer } : outcome
  }

  async function ask<T>(
    call: Call,
    read: (body: Buffer) => T | null | Promise<T | null>,
    special?: Special,
  ): Promise<Reply<T>> {
    const reply = await exchange(call, special)
    if (reply.kind !== 'accepted') return reply
    const value = await read(reply.value.body)
    return value === null ? unreadable(reply.value) : { ...reply, value }
  }

  function headersOf({ platformKey, body }: Call): string[] {
    const headers = ['accept', 'application/json', 'user-agent', userAgent]
    if (platformKey !== null) headers.push('wechatpay-serial', platformKey.serial)
    if (body !== '') headers.push('content-type', 'application/json')
    return headers
  }

  const currentKey = () => platformKeys.current(clock.nowMs())

  async function closePools(): Promise<void> {
    if (underWay > 0) await idle.promise
    // Not pool.close(): that would wait for connections still being opened, to send nothing.
    await Promise.all(pools.map(pool => pool.destroy()))
  }

  function certificatesCall(host: number, timeoutMs: number): Call {
    return {
      method: 'GET',
      path: '/v3/certificates',
      body: '',
      platformKey: currentKey(),
      host,
      timeoutMs,
      subject: aRequest,
    }
  }

  return {
    hosts,

    presign({ guideId, outTradeNo, subMchid }) {
      signer.begin('POST', assignPath(guideId), assignBody(outTradeNo, subMchid))
    },

    async assign({ guideId, outTradeNo, subMchid, host, timeoutMs, leash }) {
      const path = assignPath(guideId)
      const body = assignBody(outTradeNo, subMchid)
      const key = currentKey()
      const call: Call = {
        method: 'POST',
        path,
        body,
        platformKey: key,
        host,
        timeoutMs,
        subject: anOrder,
      }
      return outcomeOf(await exchange(call, leash ? { leash } : {}))
    },

    ...createGuideCalls({
      ask,
      send: async call => outcomeOf(await exchange(call)),
      merchantKeys,
      platformKey: currentKey,
    }),

    /** One harmless signed call: `accepted` when merchant number, serial and key fit together. */
    async probe({ host, timeoutMs }) {
      return readProbe(outcomeOf(await exchange(certificatesCall(host, timeoutMs))))
    },

    /**
     * The platform certificates that WeChat Pay lists now.
     *
     * During a rotation, and the first time, the answer is signed with a certificate that only itself carries. It is
     * believed all the same, because AES-256-GCM opens that certificate with the APIv3 key, which none but the merchant
     * and WeChat Pay know. A carried one vouches only if it is in force and no older than any that we have: whoever
     * kept a withdrawn key, and a list of its time, cannot bring it back.
     */
    async downloadCertificates({ host, timeoutMs, apiv3Key }) {
      const seen: { list: CertificateList | null } = { list: null }
      const verifiers = ({ body }: Answer, nowMs: number): Verifiers => {
        const list = readCertificates(body, apiv3Key)
        seen.list = list
        const carried = list.kind === 'read' ? list.certificates : []
        return {
          get: serial => platformKeys.find(serial, nowMs) ?? vouching(carried, serial, nowMs),
        }
      }
      const read = () => (seen.list?.kind === 'read' ? seen.list.certificates : null)
      const reply = await ask(certificatesCall(host, timeoutMs), read, { verifiers })
      return seen.list?.kind === 'sealed' ? { kind: 'sealed' } : reply
    },

    /** Lets calls under way end, each within its own time; further calls are `not_sent`. */
    async close() {
      closing ??= closePools()
      await closing
    },
  }

  function vouching(carried: readonly PlatformCertificate[], serial: string, nowMs: number) {
    const found = carried.find(each => isOf(each, serial) && isInForce(each, nowMs))
    const [newest] = platformKeys.certificates()
    return found && found.effectiveAtMs >= (newest?.effectiveAtMs ?? 0) ? found.key : undefined
  }
}

// An answer signed with a certificate that is being downloaded is held back, but no order past its end for long.
const longestHoldMs = 800

type Special = { leash?: Leash; verifiers?: (answer: Answer, nowMs: number) => Verifiers }

const anOrder: Subject = { about: 'order' }
const aRequest: Subject = { about: 'request' }

// A refusal is not signed: the certificate that we encrypted with was withdrawn, and no answer has said so yet.
function disownsSerial(outcome: Outcome): boolean {
  return outcome.kind === 'rejected' && /wechatpay-serial/i.test(outcome.message)
}

function outcomeOf(reply: Reply<unknown>): Outcome {
  return reply.kind === 'accepted' ? { kind: 'accepted', requestId: reply.requestId } : reply
}

function assignPath(guideId: string): string {
  return `${guidePath(guideId)}/assign`
}

function assignBody(outTradeNo: string, subMchid: string | null): string {
  const order = { out_trade_no: outTradeNo }
  return JSON.stringify(subMchid === null ? order : { ...order, sub_mchid: subMchid })
}

// Beside what they read (in the message already), so that the two can be compared.
function withOurSide(outcome: Outcome, { method, path, body }: Call): Outcome {
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
