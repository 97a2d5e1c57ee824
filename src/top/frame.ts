import type { Sample } from './sample.ts'

export type Count = { name: string; total: number; perSecond: number | null }

/** What one frame shows. Rates and quantiles are of the time between two samples, and null while there is but one. */
export type Frame = {
  /** The service began anew between the two samples. */
  restarted: boolean
  upSeconds: number | null
  isReady: boolean
  isStorageFull: boolean
  ordersPerSecond: number | null
  /** Accepted in this time, and how long it took from their arrival. */
  accepted: { count: number; p50Ms: number | null; p99Ms: number | null } | null
  decided: Count[]
  settled: Count[]
  hosts: { host: string; isOpen: boolean; attempts: Count[] }[]
  shed: Count[]
  inFlight: number
  waiting: number
  pending: number
  nearestExpirySeconds: number | null
  repeatsLeft: number | null
  refusedAccounts: number
  autoAssigning: number
  walBytes: number
  lagMs: { p50: number; p99: number; most: number }
  cpuShare: number | null
  memoryBytes: number
}

const startTime = 'process_start_time_seconds'
const acceptedTimes = 'smartguide_order_accepted_seconds'

/** `wallMs`: the time of day, for how long the service is up. */
export function frameOf(earlier: Sample | null, now: Sample, wallMs: number): Frame {
  const restarted = earlier !== null && earlier.value(startTime) !== now.value(startTime)
  const before = restarted ? null : earlier
  const seconds = before ? (now.atMs - before.atMs) / 1000 : 0
  const rateOf = (was: number, is: number) => (seconds > 0 ? Math.max(0, is - was) / seconds : null)
  const startedAt = now.value(startTime)

  function counts(name: string, label: string, within: Record<string, string> = {}): Count[] {
    return [...now.by(name, label).keys()].map(key => {
      const labels = { ...within, [label]: key }
      const total = now.sum(name, labels)
      return { name: key, total, perSecond: rateOf(before?.sum(name, labels) ?? 0, total) }
    })
  }

  const decidedName = 'smartguide_orders_decided_total'
  const cpuName = 'process_cpu_seconds_total'
  const lag = (quantile: string) =>
    now.sum('smartguide_event_loop_lag_seconds', { quantile }) * 1000
  return {
    restarted,
    upSeconds: startedAt === null ? null : Math.max(0, wallMs / 1000 - startedAt),
    isReady: now.value('smartguide_ready') === 1,
    isStorageFull: now.value('smartguide_storage_full') === 1,
    ordersPerSecond: before ? rateOf(before.sum(decidedName), now.sum(decidedName)) : null,
    accepted: before ? acceptedBetween(before, now) : null,
    decided: counts(decidedName, 'status'),
    settled: counts('smartguide_orders_settled_total', 'outcome'),
    hosts: [...now.by('smartguide_attempts_total', 'host').keys()].sort().map(host => ({
      host,
      isOpen: now.sum('smartguide_host_breaker_open', { host }) === 1,
      attempts: counts('smartguide_attempts_total', 'outcome', { host }),
    })),
    shed: counts('smartguide_orders_shed_total', 'when'),
    inFlight: now.value('smartguide_orders_in_flight') ?? 0,
    waiting: now.value('smartguide_orders_waiting') ?? 0,
    pending: now.value('smartguide_orders_pending') ?? 0,
    nearestExpirySeconds: now.value('smartguide_orders_pending_expiry_seconds'),
    repeatsLeft: now.value('smartguide_repeats_left'),
    refusedAccounts: now.value('smartguide_refused_accounts') ?? 0,
    autoAssigning: now.value('smartguide_platform_auto_assign_merchants') ?? 0,
    walBytes: now.value('smartguide_wal_bytes') ?? 0,
    lagMs: { p50: lag('0.5'), p99: lag('0.99'), most: lag('1') },
    cpuShare: before ? rateOf(before.sum(cpuName), now.sum(cpuName)) : null,
    memoryBytes: now.value('process_resident_memory_bytes') ?? 0,
  }
}

function acceptedBetween(before: Sample, now: Sample) {
  const was = before.by(`${acceptedTimes}_bucket`, 'le')
  const buckets = [...now.by(`${acceptedTimes}_bucket`, 'le')]
    .map(([le, count]): [number, number] => [
      le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le),
      count - (was.get(le) ?? 0),
    ])
    .sort(([one], [other]) => one - other)
  const inMs = (quantile: number) => {
    const seconds = quantileOf(quantile, buckets)
    return seconds === null ? null : seconds * 1000
  }
  return { count: buckets.at(-1)?.[1] ?? 0, p50Ms: inMs(0.5), p99Ms: inMs(0.99) }
}

/**
 * As Prometheus does it: evenly spread inside a bucket, and in the last one its lower bound. Buckets ascend and count
 * everything below them; null when they are empty.
 */
export function quantileOf(
  quantile: number,
  buckets: readonly (readonly [atMost: number, count: number])[],
): number | null {
  const all = buckets.at(-1)?.[1] ?? 0
  if (all <= 0) return null
  const rank = quantile * all
  let [low, below] = [0, 0]
  for (const [atMost, count] of buckets) {
    if (count >= rank && count > below) {
      if (atMost === Number.POSITIVE_INFINITY) return low
      return low + (atMost - low) * ((rank - below) / (count - below))
    }
    low = atMost
    below = count
  }
  return low
}
