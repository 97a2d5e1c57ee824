import { OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { type Key, type Keys, mayEnter, type Scope } from '../access/keys.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { refusal } from './problem.ts'

export type Env = { Variables: { requestId: string; key: Key } }

/** A router whose validation faults are problems like all others. */
export function createRouter() {
  return new OpenAPIHono<Env>({
    defaultHook: result => {
      if (!result.success) throw refusal(result.error.issues)
    },
  })
}

export const bearer = [{ bearer: [] }]

/** An instant, RFC 3339 with offset, read into epoch milliseconds. */
export const instantSchema = z.iso
  .datetime({ offset: true, message: 'must be RFC 3339 with an offset' })
  .refine(text => /^20\d\d-/.test(text), 'must be in this century')
  .openapi({ format: 'date-time', example: '2026-11-23T10:00:00+08:00' })

export const isoOf = (atMs: number): string => new Date(atMs).toISOString()

export const storeIdSchema = z.int().positive().openapi({ example: 1234 })

/** Lets a request pass only with a key of one of the scopes. */
export function createGate(keys: Keys, clock: Clock) {
  return (...allowed: readonly Scope[]): MiddlewareHandler<Env> =>
    async (context, next) => {
      const key = keys.authenticate(context.req.header('authorization'), clock.nowMs())
      if (!key)
        throw new AppError('unauthorized', 'Send Authorization: Bearer KEY with a valid key.')
      if (!allowed.includes(key.scope)) {
        throw new AppError('forbidden', `This needs a key of scope ${allowed.join(' or ')}.`)
      }
      context.set('key', key)
      await next()
    }
}

export function enterStore(context: Context<Env>, storeId: number): void {
  if (mayEnter(context.var.key, storeId)) return
  throw new AppError('forbidden', 'This key is for other stores.')
}
