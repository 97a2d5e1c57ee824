import { type Answer, cleanText, header } from './answer.ts'
import { readErrorBody } from './error-body.ts'
import type { Mask } from './mask.ts'
import { retryAfterMs } from './retry-after.ts'
import type { Verification } from './verify.ts'

/**
 * What one upstream call taught us.
 *
 * `unknown` is not failure: the request may have taken effect and the answer been lost.
 * It is repeated with the same guide, never decided anew. `not_sent` and `throttled` alone say
 * that it has certainly taken no effect. `requestId` is WeChat Pay's own name for the call.
 */
export type Outcome =
  | { kind: 'accepted'; requestId: string | null }
  | {
      kind: 'rejected'
      blames: Blame
      status: number
      code: string
      message: string
      requestId: string | null
    }
  | {
      kind: 'unknown'
      reason: UnknownReason
      requestId: string | null
      retryAfterMs: number | null
      status: number | null
      detail: string
    }

/** `order` is of an assign alone; `request` is what another call asked for: its fields, its store. */
export type Blame = 'guide' | 'order' | 'request' | 'account'

export type UnknownReason =
  | 'not_sent'
  | 'timeout'
  | 'network'
  | 'throttled'
  | 'server_error'
  | 'unverified'

/**
 * What a call is about, and what its refusal may not tell: an `order` and the guide in an assign, a `guide` in an
 * update; query and register know no guide yet, and are about their own `request`.
 */
export type Subject = { about: 'order' | 'guide' | 'request'; mask?: Mask }

const anOrder: Subject = { about: 'order' }

type Unknown = Extract<Outcome, { kind: 'unknown' }>

/** An attempt that brought no answer. */
export function unanswered(reason: UnknownReason, detail: string): Unknown {
  return { kind: 'unknown', reason, requestId: null, retryAfterMs: null, status: null, detail }
}

/** A verified answer that does not hold what was asked for: what was asked may have been done all the same. */
export function unreadable(answer: Answer): Unknown {
  return unknown(answer, 'server_error', 'a verified answer that cannot be read', 0)
}

/**
 * Reads an answer: pure, and the only place that says what a status means.
 *
 * `verify` is asked at most once, and only when the answer's meaning rests on its signature.
 */
export function classify(
  answer: Answer,
  nowMs: number,
  verify: () => Verification,
  subject = anOrder,
): Outcome {
  const { status } = answer
  if (status === 429) return unknown(answer, 'throttled', 'too many calls', nowMs)
  if (status >= 200 && status < 300) return classifySuccess(answer, nowMs, verify)
  if (status >= 400 && status < 500) {
    return classifyRefusal(answer, nowMs, verify, subject)
  }
  return unknown(answer, 'server_error', `status ${status}`, nowMs)
}

function classifySuccess(answer: Answer, nowMs: number, verify: () => Verification): Outcome {
  const verification = verify()
  if (verification.kind === 'refused') {
    return unknown(answer, 'unverified', verification.reason, nowMs)
  }
  if (answer.status !== 200 && answer.status !== 204) {
    return unknown(answer, 'server_error', `status ${answer.status} is not a final answer`, nowMs)
  }
  return { kind: 'accepted', requestId: requestIdOf(answer) }
}

function classifyRefusal(
  answer: Answer,
  nowMs: number,
  verify: () => Verification,
  { about, mask }: Subject,
): Outcome {
  // The gateway refuses unsigned; but a signature that is there must hold.
  if (header(answer, 'wechatpay-signature') !== null) {
    const verification = verify()
    if (verification.kind === 'refused') {
      return unknown(answer, 'unverified', verification.reason, nowMs)
    }
  }
  const { status } = answer
  // 408 and 425 say that the request was not read or not tried now, not that it is wrong.
  if (status === 408 || status === 425) {
    return unknown(answer, 'server_error', `status ${status}`, nowMs)
  }
  const error = readErrorBody(answer.body, mask)
  if (error === null) {
    return unknown(answer, 'server_error', `status ${status}, unreadable body`, nowMs)
  }
  const { code, message } = error
  const blames = blameFor(status, code, message, error.field, about)
  return { kind: 'rejected', blames, status, code, message, requestId: requestIdOf(answer) }
}

const accountCodes = new Set(['SIGN_ERROR', 'NO_AUTH', 'MCH_NOT_EXISTS'])

// Refusals of how we speak, not of what we said: they would meet every order alike, so they must
// stop the merchant's calls and raise the alarm rather than reject its orders one by one.
const accountStatuses = new Set([401, 403, 405, 406, 411, 413, 414, 415, 417, 421, 426, 431])

function blameFor(
  status: number,
  code: string,
  message: string,
  field: string,
  about: Subject['about'],
): Blame {
  if (accountCodes.has(code) || accountStatuses.has(status)) return 'account'
  if (code === 'INVALID_REQUEST' && /punish|处罚/i.test(message)) return 'account'
  if (sealedWrongly(message)) return 'account'
  // An empty one is a path that nobody knows, a base URL gone wrong: no guide may be taken out for it.
  if (status === 404 && code === '') return 'account'
  if (about === 'request') return 'request'
  if (status === 404) return 'guide'
  if (about === 'guide') return /guide_id/i.test(field || message) ? 'guide' : 'request'
  return code === 'PARAM_ERROR' && namesGuide(message, field) ? 'guide' : 'order'
}

// A key that they do not know, or a field that they cannot open with it: so will be those of every other call.
function sealedWrongly(message: string): boolean {
  return /wechatpay-serial|decrypt|解密/i.test(message)
}

function namesGuide(message: string, field: string): boolean {
  // A field named outright outweighs the wording beside it.
  if (/out_trade_no|sub_mchid/i.test(field)) return false
  return /guide|服务人员/i.test(field) || /guide|服务人员/i.test(message)
}

function unknown(answer: Answer, reason: UnknownReason, detail: string, nowMs: number): Unknown {
  return {
    kind: 'unknown',
    reason,
    requestId: requestIdOf(answer),
    retryAfterMs: retryAfterMs(header(answer, 'retry-after'), nowMs),
    status: answer.status,
    detail,
  }
}

function requestIdOf(answer: Answer): string | null {
  const requestId = header(answer, 'request-id')
  return requestId === null ? null : cleanText(requestId, 128)
}
