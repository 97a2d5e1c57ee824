import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { signatureScheme } from '../access/signature.ts'
import {
  AppError,
  type ErrorCode,
  errorTable,
  isStorageFull,
  storageFull,
  type Words,
  wordsIn,
} from '../errors.ts'
import { preferredLanguage } from './language.ts'
import { problemExample } from './problem-examples.ts'

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    errors: z
      .array(
        z.union([
          z.object({ pointer: z.string(), message: z.string() }),
          z.object({ row: z.int(), column: z.string(), message: z.string() }),
        ]),
      )
      .optional(),
  })
  .openapi('Problem')

type Problem = z.infer<typeof problemSchema>

/** With every answer: it is for whoever asked, and what it says it is. */
export const answerHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}

const mediaType = 'application/problem+json'

/** Where a key is needed, all of these may be said of it. */
const ofTheKey: readonly ErrorCode[] = [
  'signature_required',
  'signature_wrong',
  'clock_skew',
  'nonce_used',
  'too_many_wrong_keys',
]

/**
 * An OpenAPI answer for each code, so that a route says which faults it knows; all codes of one status in one call.
 */
export function problems(...codes: ErrorCode[]) {
  const told = new Set(codes.includes('unauthorized') ? [...codes, ...ofTheKey] : codes)
  const byStatus = Map.groupBy(told, code => errorTable[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, named]) => [
      status,
      {
        description: named.join(', '),
        content: {
          [mediaType]: {
            schema: problemSchema,
            examples: Object.fromEntries(named.map(code => [code, problemExample(code)])),
          },
        },
      },
    ]),
  )
}

/** A fault as it is told over HTTP. */
export type ToldProblem = {
  fault: AppError
  status: (typeof errorTable)[ErrorCode]['status']
  headers: Record<string, string>
  body: string
}

/** Answers a thrown fault as RFC 9457 says, in the language of the caller; a defect of ours is told to `report` and to nobody else. */
export function answerProblem(
  thrown: unknown,
  context: Context,
  report: (cause: unknown) => void,
): Response {
  const cause = context.req.raw.signal.aborted ? brokenOff() : thrown
  const { fault, status, headers, body } = tellProblem(cause, context.req.header('accept-language'))
  if (fault.code === 'internal') report(thrown)
  return context.body(body, status, headers)
}

export function tellProblem(thrown: unknown, acceptLanguage: string | undefined): ToldProblem {
  const fault = asAppError(thrown)
  const { status, title, zh } = errorTable[fault.code]
  const language = preferredLanguage(acceptLanguage)
  const errors = fault.fields.map(field => ({
    ...field,
    message: wordsIn(language, field.message),
  }))
  const problem: Problem = {
    type: 'about:blank',
    title: language === 'zh' ? zh : title,
    status,
    detail: wordsIn(language, fault.detail),
    code: fault.code,
    ...(errors.length > 0 ? { errors } : {}),
  }
  const headers: Record<string, string> = {
    'content-type': mediaType,
    'content-language': language,
    ...answerHeaders,
    vary: 'Accept-Language',
  }
  const retryAfterSeconds = fault.retryAfterSeconds ?? (status === 503 ? 1 : null)
  if (retryAfterSeconds !== null) headers['retry-after'] = String(retryAfterSeconds)
  if (status === 401) {
    headers['www-authenticate'] = fault.code === 'unauthorized' ? 'Bearer' : signatureScheme
  }
  return { fault, status, headers, body: JSON.stringify(problem) }
}

/** The client went away in the middle of its body; nobody reads this answer. */
function brokenOff(): AppError {
  return new AppError('invalid_request', {
    en: 'The request was broken off.',
    zh: '请求中途断开。',
  })
}

function asAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown
  if (isStorageFull(thrown)) return storageFull()
  if (thrown instanceof HTTPException && thrown.status === 400) {
    return notJson()
  }
  return new AppError('internal', {
    en: 'This is a defect of the service; its log has the cause.',
    zh: '这是服务自身的缺陷，原因见其日志。',
  })
}

export function notJson(): AppError {
  return new AppError('invalid_request', {
    en: 'The body is not JSON.',
    zh: '内容不是有效的 JSON。',
  })
}

/** One place of a request that is wrong, found by hand: what stands there, and what is wrong with it. */
export function refusal(path: readonly PropertyKey[], en: string, zh: string): AppError {
  const [pointer, where] = [pointerOf(path), path.join(', ')]
  const detail: Words = { en: `Not valid: ${where} ${en}.`, zh: `请求有误。${where}：${zh}。` }
  return new AppError('invalid_request', detail, { fields: [{ pointer, message: { en, zh } }] })
}

/** An unknown field is named in the answer only if it is not likely to be a value, which may be a person's. */
export function looksLikeField(key: string): boolean {
  return /^[a-z][a-z_]{0,31}$/.test(key)
}

/** RFC 6901. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
