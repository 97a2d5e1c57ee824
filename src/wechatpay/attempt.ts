import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import type { Answer } from './answer.ts'

/** What came of one request on the wire. `not_sent` is certain: not a byte of it left. */
export type Attempted =
  | { kind: 'answered'; answer: Answer }
  | { kind: 'lost'; reason: 'not_sent' | 'timeout' | 'network'; detail: string }

export type WireRequest = {
  method: 'GET' | 'POST' | 'PATCH'
  path: string
  body: string
  headers: string[]
}

/** Lets whoever asked shorten a request under way. */
export type Leash = {
  /** From `leftMs` on it is not sent any more; if it has left, its answer has a moment longer. Null while nothing is under way. */
  shorten: ((leftMs: number) => void) | null
}

const answerGraceMs = 200

/**
 * Sends one request and gathers its answer; resolves always, within `timeoutMs` of the call.
 *
 * The one timer spans everything from `authorize` (the signature) to the last byte of the body.
 * When it ends, the connection is destroyed, so that a late answer reaches nobody.
 */
export function attempt(
  pool: Dispatcher,
  request: WireRequest,
  authorize: () => Promise<string>,
  timeoutMs: number,
  leash?: Leash,
): Promise<Attempted> {
  const { promise, resolve } = Promise.withResolvers<Attempted>()
  const attempt = new Attempt(resolve, timeoutMs)
  if (leash) leash.shorten = leftMs => attempt.shorten(leftMs)
  authorize().then(
    authorization => attempt.send(pool, request, authorization),
    error => attempt.onResponseError(null, error),
  )
  return promise
}

// undici calls onRequestStart in the same turn as it writes the request to an open connection:
// an error before it is certain to have sent nothing, which no error code could tell.
class Attempt implements Dispatcher.DispatchHandler {
  #settled = false
  #controller: Dispatcher.DispatchController | null = null
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #chunks: Buffer[] = []
  readonly #resolve: (attempted: Attempted) => void
  #timer: NodeJS.Timeout
  #sendBeforeMs: number

  constructor(resolve: (attempted: Attempted) => void, timeoutMs: number) {
    this.#resolve = resolve
    this.#sendBeforeMs = performance.now() + timeoutMs
    this.#timer = setTimeout(() => this.#expire(), timeoutMs)
  }

  shorten(leftMs: number): void {
    const endMs = performance.now() + leftMs
    if (this.#settled || endMs >= this.#sendBeforeMs) return
    this.#sendBeforeMs = endMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#expire(), leftMs + (this.#left ? answerGraceMs : 0))
  }

  send(pool: Dispatcher, request: WireRequest, authorization: string): void {
    if (this.#settled) return
    const { method, path, body } = request
    const headers = [...request.headers, 'authorization', authorization]
    pool.dispatch({ method, path, headers, body: body === '' ? null : body }, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Its time ran out in the queue. Throwing takes it off the queue and, unlike an abort,
    // leaves the good connection to the next.
    if (this.#settled || performance.now() >= this.#sendBeforeMs) {
      throw new Error('timed out before it was sent')
    }
    this.#controller = controller
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders) {
    this.#status = status
    this.#headers = headers
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    const [first, second] = this.#chunks
    const body = first !== undefined && second === undefined ? first : Buffer.concat(this.#chunks)
    const answer = { status: this.#status, headers: this.#headers, body }
    this.#settle({ kind: 'answered', answer })
  }

  onResponseError(_: Dispatcher.DispatchController | null, error: Error): void {
    this.#settle({ kind: 'lost', reason: this.#left ? 'network' : 'not_sent', detail: say(error) })
  }

  get #left(): boolean {
    return this.#controller !== null
  }

  #expire(): void {
    const detail = 'no answer in time'
    this.#settle({ kind: 'lost', reason: this.#left ? 'timeout' : 'not_sent', detail })
    this.#controller?.abort(new Error(detail))
  }

  #settle(attempted: Attempted): void {
    if (this.#settled) return
    this.#settled = true
    clearTimeout(this.#timer)
    this.#resolve(attempted)
  }
}

function say(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : ''
  return `${code}${error.message}`
}
