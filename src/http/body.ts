import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { AppError } from '../errors.ts'
import type { Env } from './env.ts'
import { refuseAmbiguous } from './json-shape.ts'

type Kind = { media: RegExp | null; says: string; maxBytes: number; maxFields: number | null }

const kib = 1024
const mib = 1024 * kib

// As hono reads it, or the body would not be looked at; JSON is UTF-8 (RFC 8259).
export const jsonMedia = /^application\/json(;\s*charset="?utf-8"?)?$/i
const table = /^(text\/csv|application\/x-ndjson)(;\s*(charset="?utf-8"?|header="?present"?))*$/i

export const smallBodyBytes = 64 * kib
/** So many that a body below `plainBodyBytes` cannot have more. */
const smallBodyFields = 1000
export const plainBodyBytes = 4 * kib
const small: Kind = {
  media: jsonMedia,
  says: 'application/json',
  maxBytes: smallBodyBytes,
  maxFields: smallBodyFields,
}
const ignored: Kind = { ...small, media: null, maxFields: null }
const large: Kind = { ...small, maxBytes: 4 * mib, maxFields: 400_000 }
const file: Kind = {
  media: table,
  says: 'text/csv or application/x-ndjson',
  maxBytes: 4 * mib,
  maxFields: null,
}

/** What a path takes that is not the rule: larger bodies, tables, none at all. */
const others: readonly [path: RegExp, kind: Kind][] = [
  [/^\/stores\/[^/]+\/(staff|roster|plan)$/, { ...large, maxBytes: mib, maxFields: 100_000 }],
  [/^\/stores\/[^/]+\/(simulate|replay)$/, large],
  [/^\/stores\/[^/]+\/fairness\/verify$/, { ...small, media: null }],
  [/^\/stores\/[^/]+\/import$/, large],
  [/^\/stores\/[^/]+\/(staff|roster|plan)\/versions\/[^/]+\/restore$/, ignored],
  [/^\/guides\/sync$/, ignored],
  [/^\/guides\/import$/, { ...file, maxBytes: 8 * mib }],
  [/^\/members\/owners\/import$/, file],
]

const kindOf = (path: string): Kind => others.find(([pattern]) => pattern.test(path))?.[1] ?? small
const mayHaveBody = (method: string) => method === 'POST' || method === 'PUT' || method === 'PATCH'

/** Refuses JSON that is not plain, before any route reads it; for whoever was let in. */
export function refuseOddJson(): MiddlewareHandler<Env> {
  return async (context, next) => {
    const { method, path } = context.req
    const { maxFields } = kindOf(path)
    // Where there is no route, that is what is said.
    if (maxFields !== null && mayHaveBody(method) && context.var.operation !== undefined) {
      const body = await context.req.arrayBuffer()
      if (body.byteLength > 0) refuseAmbiguous(new Uint8Array(body), maxFields)
    }
    await next()
  }
}

/** Refuses what a request says of its body, before anybody reads it: another media type, or more bytes, than its path takes. */
export function refuseBodies(): MiddlewareHandler<Env> {
  return async (context, next) => {
    const { method, path } = context.req
    const kind = kindOf(path)
    if (
      mayHaveBody(method) &&
      kind.media &&
      !kind.media.test(context.req.header('content-type') ?? '')
    ) {
      throw new AppError('unsupported_media_type', {
        en: `Send Content-Type: ${kind.says}.`,
        zh: `请发送 Content-Type: ${kind.says.replace(' or ', ' 或 ')}。`,
      })
    }
    const length = lengthOf(context)
    if (length !== null && length > kind.maxBytes) throw tooLarge(kind.maxBytes)
    await next()
  }
}

/** Reads a body that does not say how long it is, up to its limit; for whoever was let in, as it takes memory. */
export function gatherBodies(): MiddlewareHandler<Env> {
  return async (context, next) => {
    // Where there is no route, nobody reads it.
    if (context.var.operation !== undefined) await gather(context)
    await next()
  }
}

/** The bytes as they were received. @throws AppError body_too_large */
export async function bytesOf(context: Context<Env>): Promise<Uint8Array> {
  await gather(context)
  return new Uint8Array(await context.req.arrayBuffer())
}

async function gather(context: Context<Env>): Promise<void> {
  // What was signed has been read to verify it.
  if (lengthOf(context) !== null || context.req.raw.bodyUsed) return
  await limits.get(kindOf(context.req.path))?.(context, async () => {})
}

/** What Node holds a body to; null when it comes in chunks, or is none. */
function lengthOf(context: Context<Env>): number | null {
  const length = context.req.header('content-length')
  const isInChunks = context.req.header('transfer-encoding') !== undefined
  return length === undefined || isInChunks ? null : Number(length)
}

function limit({ maxBytes }: Kind): MiddlewareHandler<Env> {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw tooLarge(maxBytes)
    },
  })
}

const tooLarge = (maxBytes: number): AppError =>
  new AppError('body_too_large', {
    en: `A body has at most ${maxBytes} bytes here.`,
    zh: `此处内容最多 ${maxBytes} 字节。`,
  })

const limits = new Map([small, ...others.map(([, kind]) => kind)].map(kind => [kind, limit(kind)]))
