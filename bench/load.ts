import { once } from 'node:events'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import autocannon from 'autocannon'
import { Pool } from 'undici'
import { stores } from './bed.ts'

export type Target = { url: string; key: string }

let posted = 0
/** A number that no order had before, in any round. */
function nextOrder(): { path: string; body: string } {
  posted += 1
  const facts = {
    store_id: 1 + (posted % stores),
    member_id: `m${posted % 2000}`,
    amount: (posted % 50) * 3000,
  }
  return { path: `/orders/B${process.pid}-${posted}/assign`, body: JSON.stringify(facts) }
}

const headersOf = ({ key }: Target) => ({
  authorization: `Bearer ${key}`,
  'content-type': 'application/json',
})

/** As many orders as so many connections get answered, one at a time on each; how many that were, and in which time. */
export async function closedLoop(
  target: Target,
  connections: number,
  seconds: number,
): Promise<{ answered: number; seconds: number }> {
  const load = autocannon({
    url: target.url,
    method: 'POST',
    headers: headersOf(target),
    connections,
    duration: seconds,
    // A long sampling interval, because the generator takes its time from the contenders.
    requests: [{ setupRequest: request => ({ ...request, ...nextOrder() }) }],
  })
  const result = await load
  const { '200': ok } = result.statusCodeStats as Record<string, { count: number } | undefined>
  const answered = ok?.count ?? 0
  const others = result['1xx'] + result['2xx'] - answered + result.non2xx + result.errors
  if (others > 0) {
    throw new Error(`${others} orders were not assigned: ${JSON.stringify(result.statusCodeStats)}`)
  }
  return { answered, seconds: result.duration }
}

export type Arrivals = { histogram: RecordableHistogram; answered: number }

/**
 * Orders that arrive as customers do (Poisson, `perSecond` on average), whether the ones before are answered or not.
 * Each latency, in microseconds, counts from the instant at which the order was due: one that left late counts as late.
 */
export async function openLoop(
  target: Target,
  perSecond: number,
  seconds: number,
): Promise<Arrivals> {
  const pool = new Pool(target.url, { connections: 256, pipelining: 1 })
  const histogram = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 })
  const headers = headersOf(target)
  let answered = 0

  async function post(dueMs: number): Promise<void> {
    const { path, body } = nextOrder()
    const answer = await pool.request({ method: 'POST', path, headers, body })
    await answer.body.dump()
    if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`)
    histogram.record(Math.max(1, Math.round((monotonicMs() - dueMs) * 1000)))
    answered += 1
  }

  const underWay: Promise<void>[] = []
  const metronome = new Worker(new URL('metronome.ts', import.meta.url), {
    workerData: { perSecond, seconds },
  })
  metronome.on('message', (dueMs: number) => underWay.push(post(dueMs)))
  await once(metronome, 'exit')
  await Promise.all(underWay)
  await pool.close()
  return { histogram, answered }
}

const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6
