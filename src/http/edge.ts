import { OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import { type createEntrance, unauthorized } from '../access/entrance.ts'
import type { Key, Scope } from '../access/keys.ts'
import { judge, mayEnter, rights, type Verdict } from '../access/rights.ts'
import { AppError } from '../errors.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import { say } from '../rules/names.ts'
import { bytesOf } from './body.ts'
import type { Env } from './env.ts'
import { refusal } from './problem.ts'
import { faultsOf } from './sentences.ts'

/** A caller may name a request. */
export const requestIdPattern = /^[\w.:-]{1,128}$/

/** A router whose validation faults are problems like all others. */
export function createRouter() {
  return new OpenAPIHono<Env>({
    defaultHook: result => {
      if (result.success) return
      // The validator tells what was sent too; its type does not.
      const sent = 'data' in result ? result.data : undefined
      throw faultsOf(result.target, result.error.issues, sent)
    },
  })
}

/** What a route that needs a key says of it: sent, or signed with. */
export const bearer = [{ bearer: [] }, { signature: [] }]

/** An instant, RFC 3339 with offset, read into epoch milliseconds. */
export const instantSchema = z.iso
  .datetime({ offset: true, message: 'must be RFC 3339 with an offset' })
  .refine(text => /^20\d\d-/.test(text), say('must be in this century', '应在本世纪内'))
  .openapi({ format: 'date-time', example: '2026-11-23T10:00:00+08:00' })

/** The same in a query string, where the + of an offset arrives as a space unless it was escaped. */
export const instantQuery = z
  .string()
  .transform(text => text.replace(/ (?=\d\d:\d\d$)/, '+'))
  .pipe(instantSchema)
  .openapi({
    param: { in: 'query' },
    type: 'string',
    format: 'date-time',
    example: '2026-11-23T10:00:00+08:00',
  })

export const isoOf = (atMs: number): string => new Date(atMs).toISOString()

export const storeIdSchema = z.int().positive().openapi({ example: 1234 })

/** Text of a pattern, whose refusal says in both languages what it must be. */
export const matching = (pattern: RegExp, en: string, zh: string) =>
  z
    .string()
    .refine(text => pattern.test(text), say(en, zh))
    .openapi({ pattern: pattern.source })

export const mchidSchema = matching(/^\d{1,32}$/, 'must be digits', '应为数字')

/** Printable and well-formed: such text comes back from the store as it went in. */
export const opaque = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine(
      text => text.isWellFormed() && !/\p{Cc}/u.test(text),
      say('must be printable text', '应为可显示的文字'),
    )

export const merchantQuery = z.object({
  sub_mchid: mchidSchema.optional().openapi({ param: { in: 'query' } }),
})

const storeIdPattern = /^[1-9]\d{0,14}$/

export const storeIdText = matching(
  storeIdPattern,
  'must be a store_id',
  '应为门店ID（数字）',
).transform(Number)

export const storeParams = z.object({
  store_id: storeIdText.openapi({ param: { in: 'path' }, type: 'integer', example: 1234 }),
})

export const json = <T extends z.ZodType>(schema: T) => ({ 'application/json': { schema } })
export const jsonBody = <T extends z.ZodType>(schema: T) => ({
  required: true,
  content: json(schema),
})

export type Merchant = { mode: 'direct' | 'partner'; mchid: string }

/** The merchant whose order, store or member it is: ourselves, or in partner mode the one that is named. */
export function merchantOf({ mode, mchid }: Merchant, subMchid: string | undefined): string {
  if (mode === 'direct' && subMchid !== undefined) {
    throw refusal(
      ['sub_mchid'],
      'is for partner mode; this service runs in direct mode',
      '仅用于服务商模式，本服务为直连模式',
    )
  }
  if (mode === 'direct') return mchid
  if (subMchid === undefined) {
    throw refusal(['sub_mchid'], 'is required in partner mode', '服务商模式下必填')
  }
  return subMchid
}

/** Lets a request pass only with a key that may do it; what the rights do not name, with none. */
export function createGate(entrance: ReturnType<typeof createEntrance>): MiddlewareHandler<Env> {
  return async (context, next) => {
    const route = matchedRoutes(context).find(({ method }) => method !== 'ALL')
    // Nothing is there, and everybody may be told so.
    if (!route) return next()
    const operation = operationOf(route)
    const key = isForAnyone(operation) ? null : await keyOf(context, operation, entrance)
    refuseUnless(judge(operation, key, storeInPath(operation, context.req.path)))
    context.set('operation', operation)
    if (key) context.set('key', key)
    await next()
  }
}

const isForAnyone = (operation: string): boolean => rights.get(operation)?.scopes === 'anyone'

/** Null when none was sent. */
async function keyOf(
  context: Context<Env>,
  operation: string,
  entrance: ReturnType<typeof createEntrance>,
): Promise<Key | null> {
  const { req, env } = context
  const authorization = req.header('authorization')
  if (authorization === undefined) return null
  const { pathname, search } = new URL(req.url)
  // Off a socket there is no target as it was received.
  const { url: target = pathname + search, socket: peer = {} } = env?.incoming ?? {}
  const body = () => bytesOf(context)
  return entrance.enter({ operation, authorization, method: req.method, target, peer, body })
}

/** A route as the rights and the API's description call it. */
export function operationOf({ method, path }: { method: string; path: string }): string {
  return `${method} ${path.replace(/:(\w+)/g, '{$1}')}`
}

/** Undefined too for what is no store_id, which the route refuses. */
function storeInPath(operation: string, path: string): number | undefined {
  if (rights.get(operation)?.store !== 'path') return undefined
  const text = path.split('/')[2] ?? ''
  return storeIdPattern.test(text) ? Number(text) : undefined
}

function refuseUnless(verdict: Verdict): void {
  switch (verdict.kind) {
    case 'allowed':
      return
    case 'no_key':
      throw unauthorized()
    case 'wrong_scope':
      throw new AppError('forbidden', scopesNeeded(verdict.scopes))
    case 'foreign_store':
      throw new AppError('forbidden', {
        en: 'This key is for other stores.',
        zh: '此密钥用于其他门店。',
      })
  }
}

function scopesNeeded(scopes: readonly Scope[]): { en: string; zh: string } {
  if (scopes.length === 0) return { en: 'No key may do this.', zh: '任何密钥都无权这样做。' }
  return {
    en: `This needs a key of scope ${scopes.join(' or ')}.`,
    zh: `需要 ${scopes.join(' 或 ')} 范围的密钥。`,
  }
}

/** @throws AppError forbidden */
export function enterStore(
  { operation, key }: { operation: string; key: Key },
  storeId: number,
): void {
  refuseUnless(judge(operation, key, storeId))
}

/** The stores of the key that the guide serves: the one where they are registered, or else those on whose staff they stand. */
export function storesOf(
  context: Context<Env>,
  mirror: Mirror,
  guideId: string,
  nowMs: number,
): number[] {
  const { key } = context.var
  const home = mirror.knownGuides([guideId]).get(guideId)?.storeId
  if (home !== undefined && mayEnter(key, home)) return [home]
  return (key.stores ?? []).filter(storeId =>
    mirror.readyStore(storeId, nowMs)?.rules.crew.byId.has(guideId),
  )
}

/** A store that the key may enter; whether a foreign one exists is not told. */
export function findStore(context: Context<Env>, mirror: Mirror, storeId: number): Store {
  enterStore(context.var, storeId)
  const store = mirror.store(storeId)
  if (store) return store
  throw new AppError('store_not_found', {
    en: `Store ${storeId} is not known here.`,
    zh: `这里没有门店 ${storeId}。`,
  })
}
