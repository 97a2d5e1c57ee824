import { createHash } from 'node:crypto'
import type { InHand } from '../assignment/assignments.ts'
import type { Attempt, Order } from '../ledger/order.ts'

/** What spans are made of, taken when an order is settled, once a generation; nothing that a till sent of the payer. */
export type Settled = Pick<
  Order,
  | 'outTradeNo'
  | 'storeId'
  | 'status'
  | 'reason'
  | 'guideId'
  | 'generation'
  | 'decidedAtMs'
  | 'settledAtMs'
  | 'attempts'
  | 'attemptCount'
> & {
  inHand: InHand | null
  /** By `at_ms` and host of an attempt; absent: none was read. */
  statuses: ReadonlyMap<string, number>
}

type Value = { stringValue: string } | { intValue: string }
export type Attribute = { key: string; value: Value }

/** As OTLP has it in JSON: ids in hexadecimal, 64-bit numbers as text, enumerations as numbers. */
export type Span = {
  traceId: string
  spanId: string
  parentSpanId?: string
  flags: number
  name: string
  kind: 1 | 2 | 3
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: Attribute[]
  status: { code: 0 | 2; message?: string }
}

/**
 * The spans of one settled order: the order itself below the caller's span, its recording, and a child for each attempt of
 * this generation. `seed`, random bytes of its own for each order, names what the caller did not.
 */
export function spansOf(settled: Settled, seed: Buffer): Span[] {
  const { inHand, decidedAtMs, generation } = settled
  const parent = inHand?.origin?.trace ?? null
  const all: Attempt[] = settled.attemptCount === 0 ? [] : JSON.parse(settled.attempts)
  const attempts = all.filter(attempt => (attempt.generation ?? 1) === generation)
  const traceId = parent?.traceId ?? nameOf(seed, 'trace', 32)
  const orderSpan = nameOf(seed, 'order', 16)
  const recordedMs = inHand?.origin ? inHand.recordedMs : null
  const startMs = generation === 1 ? decidedAtMs : (attempts[0]?.at_ms ?? decidedAtMs)
  const lastMs = Math.max(startMs, ...attempts.map(({ at_ms, ms }) => at_ms + ms))
  const endMs = Math.max(lastMs, settled.settledAtMs ?? startMs + (recordedMs ?? 0))
  const within = { traceId, flags: 1 }
  const below = { ...within, parentSpanId: orderSpan }

  const order: Span = {
    ...within,
    spanId: orderSpan,
    ...(parent ? { parentSpanId: parent.spanId } : {}),
    name: 'assign order',
    kind: 2,
    ...lasting(startMs, endMs),
    attributes: attributesOf({
      'smartguide.out_trade_no': settled.outTradeNo,
      'smartguide.store_id': settled.storeId,
      'smartguide.status': settled.status,
      'smartguide.reason': settled.reason,
      'smartguide.guide_id': settled.guideId,
      'smartguide.generation': generation,
      'smartguide.attempts': settled.attemptCount,
      'smartguide.request_id': inHand?.origin?.requestId ?? null,
    }),
    status: /^(rejected|expired)$/.test(settled.status)
      ? { code: 2, message: settled.status }
      : { code: 0 },
  }
  const recording: Span[] =
    recordedMs === null || generation > 1
      ? []
      : [
          {
            ...below,
            spanId: nameOf(seed, 'record', 16),
            name: 'decide and record',
            kind: 1,
            ...lasting(decidedAtMs, decidedAtMs + recordedMs),
            attributes: [],
            status: { code: 0 },
          },
        ]
  const calls = attempts.map((attempt, nth): Span => {
    const { at_ms, ms, host, outcome, request_id } = attempt
    const isAccepted = outcome === 'accepted'
    return {
      ...below,
      spanId: nameOf(seed, `attempt ${nth}`, 16),
      name: 'POST assign',
      kind: 3,
      ...lasting(at_ms, at_ms + ms),
      attributes: attributesOf({
        'http.request.method': 'POST',
        'http.response.status_code': settled.statuses.get(attemptKey(attempt)) ?? null,
        'server.address': host,
        'smartguide.outcome': outcome,
        'smartguide.upstream_request_id': request_id,
        'error.type': isAccepted ? null : outcome,
      }),
      status: isAccepted ? { code: 0 } : { code: 2, message: outcome },
    }
  })
  return [order, ...recording, ...calls]
}

export const attemptKey = ({ at_ms, host }: Pick<Attempt, 'at_ms' | 'host'>): string =>
  `${at_ms} ${host}`

function nameOf(seed: Buffer, what: string, digits: number): string {
  return createHash('sha256').update(seed).update(what).digest('hex').slice(0, digits)
}

function lasting(startMs: number, endMs: number) {
  return { startTimeUnixNano: nanoOf(startMs), endTimeUnixNano: nanoOf(endMs) }
}

/** Microseconds are as fine as a number can tell the time of day. */
const nanoOf = (ms: number) => `${Math.round(ms * 1000)}000`

function attributesOf(values: Record<string, string | number | null>): Attribute[] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (value === null) return []
    return [
      {
        key,
        value: typeof value === 'number' ? { intValue: `${value}` } : { stringValue: value },
      },
    ]
  })
}
