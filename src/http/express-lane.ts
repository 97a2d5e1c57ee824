import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import type { RequestListener, ServerResponse } from 'node:http'
import type { z } from 'zod'
import type { Key, Keys } from '../access/keys.ts'
import { judge } from '../access/rights.ts'
import type { Peer } from '../access/throttle.ts'
import type { Assignments } from '../assignment/assignments.ts'
import type { Clock } from '../clock.ts'
import { jsonMedia, plainBodyBytes } from './body.ts'
import { enterStore, type Merchant, merchantOf, requestIdPattern } from './edge.ts'
import { shapeOf } from './json-shape.ts'
import { answerPost } from './order-view.ts'
import { postedSchema, readPosted } from './orders.ts'
import { readPrefer } from './prefer.ts'
import { answerHeaders, tellProblem } from './problem.ts'
import { readTraceparent } from './trace-context.ts'

/** The headers that the posting of an order looks at, each once. */
type Headers = Map<string, string>
const usual = new Set([
  'host',
  'authorization',
  'content-type',
  'content-length',
  'prefer',
  'accept-language',
  'x-request-id',
  'traceparent',
])
const unusual = new Set(['transfer-encoding', 'expect', 'upgrade'])
const plainHost = /^[\w.-]+(:\d{1,5})?$/

const operation = 'POST /orders/{out_trade_no}/assign'

type Post = { key: Key; posted: z.output<typeof postedSchema> }

// No escapes: a number that needs them is read by the router.
const target = /^\/orders\/([0-9A-Za-z_\-*!@]{1,32})\/assign$/

/**
 * The posting of orders without the router, which costs more than deciding does. Only what is plainly right is answered
 * here: a request with anything unusual about it, a wrong key or a fault in the body goes to the router as it came, so
 * that one place says what is wrong. Both answer alike.
 */
export function createExpressLane({
  assignments,
  keys,
  clock,
  merchant,
  waitMs,
  storage,
  isReady,
  report,
  router,
}: {
  assignments: Assignments
  keys: Keys
  clock: Clock
  merchant: Merchant
  waitMs: number
  /** Told of whatever went wrong, for it may be the disk. */
  storage: { met(cause: unknown): void }
  isReady(): boolean
  report(cause: unknown, requestId: string): void
  router: RequestListener
}): RequestListener {
  return (incoming, outgoing) => {
    const outTradeNo = incoming.method === 'POST' ? target.exec(incoming.url ?? '')?.[1] : undefined
    const headers = outTradeNo === undefined ? null : readHeaders(incoming.rawHeaders)
    if (outTradeNo === undefined || headers === null || !isReady()) {
      router(incoming, outgoing)
      return
    }
    const chunks: Buffer[] = []
    incoming.on('data', chunk => chunks.push(chunk))
    incoming.once('end', () => {
      const [first, second] = chunks
      const body = first && !second ? first : Buffer.concat(chunks)
      const post = read(headers, body, incoming.socket)
      if (post) assign(outTradeNo, post, headers, outgoing)
      else router(Object.assign(incoming, { rawBody: body }), outgoing)
    })
  }

  /** Null for what the router has to refuse, or to fail at. */
  function read(headers: Headers, body: Buffer, peer: Peer): Post | null {
    try {
      const key = keys.authenticate(headers.get('authorization'), clock.nowMs(), peer)
      if (!key || judge(operation, key).kind !== 'allowed' || !isUtf8(body)) return null
      const sent: unknown = JSON.parse(body.toString())
      const posted = postedSchema.safeParse(sent)
      // A field that stands there twice is in the text, and not in what was read.
      if (shapeOf(body).fields !== Object.keys(Object(sent)).length) return null
      return posted.success ? { key, posted: posted.data } : null
    } catch {
      return null
    }
  }

  async function assign(
    outTradeNo: string,
    { key, posted }: Post,
    headers: Headers,
    outgoing: ServerResponse,
  ): Promise<void> {
    const requestId = headers.get('x-request-id') ?? randomUUID()
    try {
      enterStore({ operation, key }, posted.store_id)
      const prefer = readPrefer(headers.get('prefer'), waitMs)
      const { order, isReplay } = await assignments.assign(
        {
          merchant: merchantOf(merchant, posted.sub_mchid),
          outTradeNo,
          ...readPosted(posted),
        },
        prefer.waitMs,
        { requestId, trace: readTraceparent(headers.get('traceparent')) },
      )
      const answer = answerPost(order, prefer, posted.sub_mchid, isReplay)
      answer.headers['content-type'] = 'application/json'
      send(answer.status, answer.headers, JSON.stringify(answer.body))
    } catch (thrown) {
      storage.met(thrown)
      const problem = tellProblem(thrown, headers.get('accept-language'))
      if (problem.fault.code === 'internal') report(thrown, requestId)
      send(problem.status, problem.headers, problem.body)
    }

    function send(status: number, told: Record<string, string>, body: string): void {
      Object.assign(told, answerHeaders)
      told['x-request-id'] = requestId
      // A client that keeps its connection would hold up the stop.
      if (!isReady()) told['connection'] = 'close'
      told['content-length'] = String(Buffer.byteLength(body))
      outgoing.writeHead(status, told).end(body)
    }
  }
}

/** Null for what is not plainly the post of an order: a header twice, a body of another kind or of unknown length. */
function readHeaders(raw: readonly string[]): Headers | null {
  const headers: Headers = new Map()
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]?.toLowerCase() ?? ''
    if (unusual.has(name) || headers.has(name)) return null
    if (usual.has(name)) headers.set(name, raw[at + 1] ?? '')
  }
  const length = Number(headers.get('content-length'))
  const isPlain =
    length > 0 &&
    length < plainBodyBytes &&
    jsonMedia.test(headers.get('content-type') ?? '') &&
    plainHost.test(headers.get('host') ?? '') &&
    requestIdPattern.test(headers.get('x-request-id') ?? 'none')
  return isPlain ? headers : null
}
