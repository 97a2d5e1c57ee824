import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { AppError, type ErrorCode, errorTable, isStorageFull, storageFull } from '../errors.ts'

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

const mediaType = 'application/problem+json'

/** An OpenAPI answer for each code, so that a route says which faults it knows. */
export function problems(...codes: ErrorCode[]) {
  const byStatus = new Map<number, string[]>()
  for (const code of codes) {
    const { status } = errorTable[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, named]) => [
      status,
      { description: named.join(', '), content: { [mediaType]: { schema: problemSchema } } },
    ]),
  )
}

/** Answers a thrown fault as RFC 9457 says; a defect of ours is told to `report` and to nobody else. */
export function answerProblem(
  thrown: unknown,
  context: Context,
  report: (cause: unknown) => void,
): Response {
  const fault = context.req.raw.signal.aborted ? brokenOff() : asAppError(thrown)
  if (fault.code === 'internal') report(thrown)
  const { status, title } = errorTable[fault.code]
  const problem: Problem = {
    type: 'about:blank',
    title,
    status,
    detail: fault.message,
    code: fault.code,
    ...(fault.fields.length > 0 ? { errors: [...fault.fields] } : {}),
  }
  const headers: Record<string, string> = { 'content-type': mediaType, 'cache-control': 'no-store' }
  const retryAfterSeconds = fault.retryAfterSeconds ?? (status === 503 ? 1 : null)
  if (retryAfterSeconds !== null) headers['retry-after'] = String(retryAfterSeconds)
  if (fault.code === 'unauthorized') headers['www-authenticate'] = 'Bearer'
  return context.body(JSON.stringify(problem), status, headers)
}

/** The client went away in the middle of its body; nobody reads this answer. */
function brokenOff(): AppError {
  return new AppError('invalid_request', 'The request was broken off.')
}

function asAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown
  if (isStorageFull(thrown)) return storageFull()
  if (thrown instanceof HTTPException && thrown.status === 400) {
    return new AppError('invalid_request', 'The body is not JSON.')
  }
  return new AppError('internal', 'This is a defect of the service; its log has the cause.')
}

type Issue = { path: readonly PropertyKey[]; message: string; keys?: readonly string[] }

/** Validation issues as a fault with JSON pointers; never with the values that were sent. */
export function refusal(issues: readonly Issue[]): AppError {
  const fields = issues.slice(0, 20).map(({ path, message, keys = [] }) => ({
    pointer: pointerOf(path),
    message: keys.every(looksLikeField)
      ? message.slice(0, 200)
      : 'has a name that is not known here',
  }))
  const where = fields.map(({ pointer }) => pointer || 'the body').join(', ')
  return new AppError('invalid_request', `Not valid: ${where}.`, { fields })
}

/** An unknown field is named in the answer only if it is not likely to be a value, which may be a person's. */
export function looksLikeField(key: string): boolean {
  return /^[a-z][a-z_]{0,31}$/.test(key)
}

/** RFC 6901. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
