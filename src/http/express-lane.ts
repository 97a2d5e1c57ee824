import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Key, Keys } from '../access/keys.ts'
import type { Assignments } from '../assignment/assignments.ts'
import type { Clock } from '../clock.ts'
import { jsonMedia, smallBodyBytes } from './body.ts'
import { enterStore, type Merchant, merchantOf, requestIdPattern } from './edge.ts'
import { answerPost } from './order-view.ts'
import { postedSchema, readPosted } from './orders.ts'
import { readPrefer } from './prefer.ts'
import { tellProblem } from './problem.ts'

type Answer = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/** What of a request's headers the assignment of an order looks at. */
type Headers = {
  authorization: string
  contentType: string
  contentLength: number
  prefer: string | undefined
  requestId: string | undefined
  acceptLanguage: string | undefined
}

// No escapes: a number that needs them is read by the router.
const target = /^\/orders\/([0-9A-Za-z_\-*!@]{1,32})\/assign$/

/**
 * The posting of orders without the router, which costs as much as deciding. Only what is plainly right is answered
 * here: a request with anything unusual about it, a wrong key or a fault in the body goes to the router as it came, so that there is one place
 * that says what is wrong. Both answer alike.
 */
export function createExpressLane({
  assignments,
  keys,
  clock,
  merchant,
  waitMs,
  isReady,
  report,
  router,
}: {
  assignments: Assignments
  keys: Keys
  clock: Clock
  merchant: Merchant
  waitMs: number
  isReady(): boolean
  report(cause: unknown, requestId: string): void
  router: Answer
}): Answer {
  return (incoming, outgoing) => {
    const outTradeNo = incoming.method === 'POST' ? target.exec(incoming.url ?? '')?.[1] : undefined
    const headers = outTradeNo === undefined ? null : readHeaders(incoming.rawHeaders)
    if (outTradeNo === undefined || headers === null || !isReady()) {
      return router(incoming, outgoing)
    }
    const chunks: Buffer[] = []
    incoming.on('data', chunk => chunks.push(chunk))
    incoming.once('end', () => {
      const [first, second] = chunks
      const body = first && !second ? first : Buffer.concat(chunks)
      const key = keys.authenticate(headers.authorization, clock.nowMs())
      const posted = key?.scope === 'assign' ? readOrder(body) : null
      if (!key || !posted) return router(Object.assign(incoming, { rawBody: body }), outgoing)
      assign(outTradeNo, posted, key, headers, outgoing)
    })
  }

  async function assign(
    outTradeNo: string,
    posted: Posted,
    key: Key,
    { prefer, requestId = randomUUID(), acceptLanguage }: Headers,
    outgoing: ServerResponse,
  ): Promise<void> {
    try {
      enterStore(key, posted.store_id)
      const preference = readPrefer(prefer, waitMs)
      const { order, isReplay } = await assignments.assign(
        {
          merchant: merchantOf(merchant, posted.sub_mchid),
          outTradeNo,
          ...readPosted(posted),
        },
        preference.waitMs,
      )
      const answer = answerPost(order, preference, posted.sub_mchid, isReplay)
      answer.headers['content-type'] = 'application/json'
      send(answer.status, answer.headers, JSON.stringify(answer.body))
    } catch (thrown) {
      const { fault, status, headers, body } = tellProblem(thrown, acceptLanguage)
      if (fault.code === 'internal') report(thrown, requestId)
      send(status, headers, body)
    }

    function send(status: number, headers: Record<string, string>, body: string): void {
      headers['x-request-id'] = requestId
      // A client that keeps its connection would hold up the stop.
      if (!isReady()) headers['connection'] = 'close'
      headers['content-length'] = String(Buffer.byteLength(body))
      outgoing.writeHead(status, headers).end(body)
    }
  }
}

type Posted = NonNullable<ReturnType<typeof readOrder>>

/** Null for what the router has to refuse. */
function readOrder(body: Buffer) {
  try {
    const read = postedSchema.safeParse(JSON.parse(body.toString()))
    return read.success ? read.data : null
  } catch {
    return null
  }
}

/** Null for what is not plainly the post of an order: a header twice, a body of another kind or of unknown length. */
function readHeaders(raw: readonly string[]): Headers | null {
  const headers: Headers = {
    authorization: '',
    contentType: '',
    contentLength: -1,
    prefer: undefined,
    requestId: undefined,
    acceptLanguage: undefined,
  }
  for (let at = 0; at < raw.length; at += 2) {
    const value = raw[at + 1] ?? ''
    switch (raw[at]?.toLowerCase()) {
      case 'authorization':
        if (headers.authorization !== '') return null
        headers.authorization = value
        break
      case 'content-type':
        if (headers.contentType !== '') return null
        headers.contentType = value
        break
      case 'content-length':
        headers.contentLength = Number(value)
        break
      case 'prefer':
        if (headers.prefer !== undefined) return null
        headers.prefer = value
        break
      case 'accept-language':
        if (headers.acceptLanguage !== undefined) return null
        headers.acceptLanguage = value
        break
      case 'x-request-id':
        if (!requestIdPattern.test(value) || headers.requestId !== undefined) return null
        headers.requestId = value
        break
      case 'host':
        if (!plainHost.test(value)) return null
        break
      case 'transfer-encoding':
      case 'expect':
      case 'upgrade':
        return null
    }
  }
  const { contentLength, contentType } = headers
  const isWhole = contentLength > 0 && contentLength <= smallBodyBytes
  return isWhole && jsonMedia.test(contentType) ? headers : null
}

const plainHost = /^[\w.-]+(:\d{1,5})?$/
