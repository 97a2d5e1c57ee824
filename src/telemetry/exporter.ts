import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as after } from 'node:timers/promises'
import { Agent, request } from 'undici'
import type { InHand } from '../assignment/assignments.ts'
import type { Collector } from '../collector.ts'
import type { Attempt, Order } from '../ledger/order.ts'
import type { Outcome } from '../wechatpay/outcome.ts'
import { attemptKey, type Settled, spansOf } from './spans.ts'

export type Exporter = ReturnType<typeof openExporter>

type Limits = { maxQueued: number; everyMs: number; timeoutMs: number; pauseMs: number }

const usual: Limits = { maxQueued: 2048, everyMs: 1000, timeoutMs: 5000, pauseMs: 1000 }
/** What is made into JSON in one turn of the event loop. */
const batch = 64
const maxTries = 3
const longestPauseMs = 30_000
const maxAnswerBytes = 64 * 1024

/**
 * Tells an OpenTelemetry collector of settled orders (OTLP over HTTP, as JSON). No order waits for it: what the collector
 * does not take in time is dropped and counted. One post at a time.
 */
export function openExporter(
  { url, headers, serviceName }: Collector,
  { tell, limits = {} }: { tell(isWell: boolean, why: string): void; limits?: Partial<Limits> },
) {
  const { maxQueued, everyMs, timeoutMs, pauseMs } = { ...usual, ...limits }
  const agent = new Agent({ connections: 1, pipelining: 1, maxResponseSize: maxAnswerBytes })
  const resource = {
    attributes: [
      { key: 'service.name', value: { stringValue: serviceName } },
      { key: 'service.instance.id', value: { stringValue: randomUUID() } },
    ],
  }
  const statuses = new Map<string, Map<string, number>>()
  const dropped = { queue_full: 0, refused: 0, unreachable: 0, stopped: 0 }
  const closing = new AbortController()
  let queue: Settled[] = []
  let leaving: Settled[] = []
  let exported = 0
  let isWell = true
  let timer: NodeJS.Timeout | null = null
  let sending: Promise<void> | null = null

  function schedule(): void {
    if (sending || closing.signal.aborted) return
    if (queue.length >= batch) start()
    else timer ??= setTimeout(start, everyMs).unref()
  }

  function start(): void {
    if (timer) clearTimeout(timer)
    timer = null
    sending ??= sendAll().finally(() => {
      sending = null
      if (queue.length > 0) schedule()
    })
  }

  async function sendAll(): Promise<void> {
    do {
      leaving = queue.slice(0, batch)
      queue = queue.slice(batch)
      await sendBatch()
      leaving = []
    } while (queue.length >= batch)
  }

  async function sendBatch(): Promise<void> {
    const spans = leaving.flatMap(settled => spansOf(settled, randomBytes(16)))
    const scopeSpans = [{ scope: { name: 'smartguide-assign' }, spans }]
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] })
    for (let tries = 1; ; tries++) {
      const answered = await post(body)
      if (answered.kind === 'taken') {
        exported += leaving.length
        return judge(true, '')
      }
      judge(false, answered.why)
      if (answered.kind === 'refused') {
        dropped.refused += leaving.length
        return
      }
      if (tries === maxTries || closing.signal.aborted) {
        dropped[closing.signal.aborted ? 'stopped' : 'unreachable'] += leaving.length
        return
      }
      await pause(Math.min(longestPauseMs, answered.afterMs ?? pauseMs * tries))
    }
  }

  type Answered =
    | { kind: 'taken' }
    | { kind: 'refused'; why: string }
    | { kind: 'later'; why: string; afterMs: number | null }

  async function post(body: string): Promise<Answered> {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const answer = await request(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        dispatcher: agent,
        signal,
      })
      // What it says is not needed; an answer that does not end is cut off.
      answer.body.on('error', () => {})
      answer.body.dump({ limit: maxAnswerBytes, signal }).catch(() => {})
      const { statusCode } = answer
      const why = `it answers ${statusCode}`
      if (statusCode >= 200 && statusCode < 300) return { kind: 'taken' }
      // These four, says the specification of OTLP, and no other.
      if (![429, 502, 503, 504].includes(statusCode)) return { kind: 'refused', why }
      const seconds = Number(answer.headers['retry-after'])
      return { kind: 'later', why, afterMs: seconds > 0 ? seconds * 1000 : null }
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no answer'
      return { kind: 'later', why: code, afterMs: null }
    }
  }

  /** Until it closes, at most. */
  function pause(ms: number): Promise<void> {
    return after(ms, undefined, { signal: closing.signal, ref: false }).catch(() => {})
  }

  function judge(now: boolean, why: string): void {
    if (now !== isWell) tell(now, why)
    isWell = now
  }

  return {
    /** An attempt, with the status of its answer. */
    noted(order: Order, attempt: Attempt, outcome: Outcome): void {
      const status = outcome.kind === 'accepted' ? 204 : outcome.status
      if (status === null) return
      const place = `${order.merchant} ${order.outTradeNo}`
      const known = statuses.get(place)
      if (known) known.set(attemptKey(attempt), status)
      else statuses.set(place, new Map([[attemptKey(attempt), status]]))
      const [oldest] = statuses.keys()
      if (statuses.size > maxQueued && oldest !== undefined) statuses.delete(oldest)
    },

    /** A settled order; one whose caller does not record its trace is left out. */
    take(order: Order, inHand: InHand | null): void {
      const place = `${order.merchant} ${order.outTradeNo}`
      const known = statuses.get(place) ?? new Map<string, number>()
      statuses.delete(place)
      if (inHand?.origin?.trace?.isSampled === false) return
      if (closing.signal.aborted || queue.length >= maxQueued) {
        dropped[closing.signal.aborted ? 'stopped' : 'queue_full'] += 1
        return
      }
      const { outTradeNo, storeId, status, reason, guideId, generation } = order
      const { decidedAtMs, settledAtMs, attempts, attemptCount } = order
      queue.push({
        ...{ outTradeNo, storeId, status, reason, guideId, generation },
        ...{ decidedAtMs, settledAtMs, attempts, attemptCount },
        inHand,
        statuses: known,
      })
      schedule()
    },

    /** Orders since the start: told, given up by why, and not told yet. */
    counts: () => ({
      exported,
      dropped: { ...dropped },
      queued: queue.length + leaving.length,
    }),

    /** Tells what is left, for so long at most. */
    async close(limitMs: number): Promise<void> {
      const limit = setTimeout(() => agent.destroy(), limitMs)
      closing.abort()
      if (timer) clearTimeout(timer)
      await sending
      while (queue.length > 0 && !agent.destroyed) {
        await sendAll()
        if (!isWell) break
      }
      clearTimeout(limit)
      dropped.stopped += queue.length
      queue = []
      await agent.destroy()
    },
  }
}
