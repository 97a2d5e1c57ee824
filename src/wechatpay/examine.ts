import type { KeyObject } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { type Answer, cleanText, header } from './answer.ts'
import { attempt, type WireRequest } from './attempt.ts'
import { readCertificates } from './certificates.ts'
import { readErrorBody, readSignInformation, type SignInformation } from './error-body.ts'
import { openPool } from './pool.ts'
import { createSigner, stringToSign } from './sign.ts'
import { type Verification, verifyAnswer } from './verify.ts'

export type Examined = { kind: 'lost'; detail: string } | AnsweredExam

/** One answer with all that it tells of keys and clocks. */
export type AnsweredExam = {
  kind: 'answered'
  status: number
  code: string
  message: string
  /** The part of the request that a refusal names. */
  field: string
  requestId: string | null
  /** Our clock when half of the round trip was over. */
  atMs: number
  dateMs: number | null
  timestampMs: number | null
  /** Names the WeChat Pay key that signed the answer. */
  serial: string | null
  isProbe: boolean
  /** Null: nothing was signed, so nothing could be verified. */
  verification: Verification | null
  /** The five lines that we signed. */
  signed: string
  /** What WeChat Pay says that it built in their place. */
  rebuilt: SignInformation | null
  body: Buffer
}

export type Examiner = {
  /** `GET /v3/certificates`: harmless, and refused to whoever's signature does not hold. */
  askCertificates(): Promise<Examined>
  /** One guide of a store at most: harmless, and refused to whoever has not opened the product. */
  askGuides(storeId: number, subMchid: string | null): Promise<Examined>
  close(): Promise<void>
}

export type ExaminerOptions = {
  origin: string
  /** Null: the call goes unsigned, is refused, and tells the clock all the same. */
  signer: { mchid: string; serialNo: string; privateKey: KeyObject } | null
  platformSerial: string | null
  /** Those configured; those that an answer carries itself come with the APIv3 key. */
  verifiers: ReadonlyMap<string, KeyObject>
  apiv3Key: KeyObject | null
  clock: Clock
  timeoutMs: number
}

/** Asks one host by the client's own signature, connection and verification, and tells everything of the answer. */
export function createExaminer(options: ExaminerOptions): Examiner {
  const { clock, timeoutMs, platformSerial } = options
  const pool = openPool(options.origin, 1)
  const { signer } = options
  const sign = signer
    ? createSigner({ mchid: signer.mchid, merchantKeys: { current: () => signer }, clock })
    : null
  // Certificates that an answer carries verify the later ones too; only the APIv3 key's owner can have sealed them.
  const verifiers = new Map(options.verifiers)
  const headers = ['accept', 'application/json', 'user-agent', 'smartguide-assign']
  if (platformSerial !== null) headers.push('wechatpay-serial', platformSerial)

  async function ask(path: string): Promise<Examined> {
    const request: WireRequest = { method: 'GET', path, body: '', headers }
    let authorization = 'none'
    async function authorize(): Promise<string> {
      authorization = (await sign?.('GET', path, '')) ?? authorization
      return authorization
    }
    const sentMs = clock.nowMs()
    const attempted = await attempt(pool, request, authorize, timeoutMs)
    if (attempted.kind === 'lost') {
      return { kind: 'lost', detail: cleanText(attempted.detail, 256) }
    }
    const nowMs = clock.nowMs()
    const signed = signedText(path, authorization)
    return tell(attempted.answer, { signed, nowMs, atMs: (sentMs + nowMs) / 2 })
  }

  function tell(
    answer: Answer,
    { signed, nowMs, atMs }: { signed: string; nowMs: number; atMs: number },
  ): AnsweredExam {
    const error = answer.status >= 400 ? readErrorBody(answer.body) : null
    const signature = header(answer, 'wechatpay-signature')
    const serial = header(answer, 'wechatpay-serial')
    const carried = options.apiv3Key ? readCertificates(answer.body, options.apiv3Key) : null
    if (carried?.kind === 'read') {
      for (const { serial, key } of carried.certificates) verifiers.set(serial, key)
    }
    return {
      kind: 'answered',
      status: answer.status,
      code: error?.code ?? '',
      message: error?.message.replace(/ \(they read .*$/s, '') ?? '',
      field: error?.field ?? '',
      requestId: cleaned(header(answer, 'request-id')),
      atMs,
      dateMs: dateMs(header(answer, 'date')),
      timestampMs: secondsMs(header(answer, 'wechatpay-timestamp')),
      serial: cleaned(serial),
      isProbe: signature?.startsWith('WECHATPAY/SIGNTEST/') ?? false,
      verification:
        signature === null && answer.status >= 300 ? null : verifyAnswer(answer, verifiers, nowMs),
      signed,
      rebuilt: readSignInformation(answer.body),
      body: answer.body,
    }
  }

  return {
    askCertificates: () => ask('/v3/certificates'),
    askGuides(storeId, subMchid) {
      const sub = subMchid === null ? '' : `&sub_mchid=${encodeURIComponent(subMchid)}`
      return ask(`/v3/smartguide/guides?store_id=${storeId}&limit=1&offset=0${sub}`)
    },
    close: () => pool.destroy(),
  }
}

// Taken from the header that was sent, so that it is what was signed and not what should have been.
function signedText(path: string, authorization: string): string {
  const value = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(authorization)?.[1] ?? ''
  return stringToSign('GET', path, value('timestamp'), value('nonce_str'), '')
}

function cleaned(text: string | null): string | null {
  return text === null ? null : cleanText(text, 128)
}

function dateMs(text: string | null): number | null {
  const atMs = text === null ? Number.NaN : Date.parse(text)
  return Number.isNaN(atMs) ? null : atMs
}

function secondsMs(text: string | null): number | null {
  return text !== null && /^\d{1,12}$/.test(text) ? Number(text) * 1000 : null
}
