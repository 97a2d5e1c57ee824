import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Assignments } from './assignment/assignments.ts'
import type { Clock } from './clock.ts'
import type { Spread } from './distribution.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Mirror } from './mirror/mirror.ts'

/** Orders whose traces the collector was told of, or was not, by why. */
export type TraceCounts = {
  exported: number
  dropped: Readonly<Record<string, number>>
  queued: number
}

export type Metrics = { readonly contentType: string; text(): Promise<string> }

/** What operators watch, in the text format of Prometheus; each number is read when it is asked for. */
export function createMetrics({
  mirror,
  assignments,
  ledger,
  clock,
  storage,
  traces = null,
  isReady,
}: {
  mirror: Mirror
  assignments: Assignments
  ledger: Ledger
  clock: Clock
  storage: { isFull(): boolean; logBytes(): number; backedUpAtMs(): number | null }
  traces?: (() => TraceCounts) | null
  isReady(): boolean
}): Metrics {
  const registry = new Registry()
  const registers = [registry]

  new Counter({
    name: 'smartguide_orders_settled_total',
    help: 'Orders settled since the start, by what came of them; a later generation settles its order anew.',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset()
      for (const [outcome, count] of Object.entries(ledger.outcomes().settled)) {
        this.inc({ outcome }, count)
      }
    },
  })
  new Counter({
    name: 'smartguide_orders_found_too_late_total',
    help: 'Orders settled as something else, and paid before WeChat Pay had accepted the guide, as was told later.',
    registers,
    collect() {
      this.reset()
      this.inc(ledger.outcomes().foundTooLate)
    },
  })
  new Gauge({
    name: 'smartguide_platform_auto_assign_merchants',
    help: 'Merchants whose orders are skipped because WeChat Pay assigns by itself.',
    registers,
    collect() {
      this.set(mirror.autoAssigning().length)
    },
  })
  new Gauge({
    name: 'smartguide_refused_accounts',
    help: 'Merchants whom WeChat Pay refuses at present, whatever the order.',
    registers,
    collect() {
      this.set(assignments.refusedAccounts().length)
    },
  })
  new Gauge({
    name: 'smartguide_guides',
    help: 'Guides in the mirror.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(mirror.guideCounts())) this.set({ state }, count)
    },
  })
  new Gauge({
    name: 'smartguide_guides_age_seconds',
    help: 'Time since the guides were last brought in line with WeChat Pay; absent before the first time.',
    registers,
    collect() {
      const synced = mirror.lastSync()
      if (synced) this.set(Math.max(0, clock.nowMs() - synced.endedAtMs) / 1000)
      else this.remove()
    },
  })
  new Gauge({
    name: 'smartguide_document_versions',
    help: 'Versions of rule documents that were published in all stores: a step is a change of the rules.',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const [kind, count] of Object.entries(mirror.documentCounts())) this.set({ kind }, count)
    },
  })
  new Counter({
    name: 'smartguide_orders_decided_total',
    help: 'New orders recorded since the start, by what the rules made of them and why.',
    labelNames: ['status', 'reason'],
    registers,
    collect() {
      this.reset()
      for (const { status, reason, count } of ledger.outcomes().decided) {
        this.inc({ status, reason }, count)
      }
    },
  })
  registerSpread(registry, {
    name: 'smartguide_order_accepted_seconds',
    help: 'Time from the arrival of an order to its first acceptance by WeChat Pay.',
    read: () => assignments.counts().accepted,
  })
  new Counter({
    name: 'smartguide_attempts_total',
    help: 'Calls that assign a guide, by host (0 is the primary) and by what they taught; unverified: the signature of the answer does not hold.',
    labelNames: ['host', 'outcome'],
    registers,
    collect() {
      this.reset()
      for (const { host, outcome, count } of assignments.counts().outbound.attempts) {
        this.inc({ host, outcome }, count)
      }
    },
  })
  new Gauge({
    name: 'smartguide_host_breaker_open',
    help: '1 while the host gets no orders but one now and then, to try it; by host (0 is the primary).',
    labelNames: ['host'],
    registers,
    collect() {
      for (const [host, { isOpen }] of assignments.counts().outbound.hosts.entries()) {
        this.set({ host }, Number(isOpen))
      }
    },
  })
  new Gauge({
    name: 'smartguide_repeats_left',
    help: 'Repeats that the merchant with the fewest may make at once.',
    registers,
    collect() {
      this.set(assignments.counts().outbound.repeatsLeft)
    },
  })
  new Gauge({
    name: 'smartguide_orders_in_flight',
    help: 'Orders in hand: being recorded, sent or settled.',
    registers,
    collect() {
      this.set(assignments.counts().inFlight)
    },
  })
  new Gauge({
    name: 'smartguide_orders_waiting',
    help: 'Orders in hand that wait for a place in the air, or for the pace of their merchant.',
    registers,
    collect() {
      this.set(assignments.counts().outbound.waiting)
    },
  })
  new Gauge({
    name: 'smartguide_orders_pending',
    help: 'Recorded orders that are not settled, deferred ones included.',
    registers,
    collect() {
      this.set(ledger.backlog().pending)
    },
  })
  new Gauge({
    name: 'smartguide_orders_pending_expiry_seconds',
    help: 'Time until the first of the pending orders expires; absent when none is pending.',
    registers,
    collect() {
      const { nearestExpiryMs } = ledger.backlog()
      if (nearestExpiryMs === null) this.remove()
      else this.set((nearestExpiryMs - clock.nowMs()) / 1000)
    },
  })
  new Counter({
    name: 'smartguide_orders_shed_total',
    help: 'Orders answered 503 overloaded: unread at the door, or because they would have been late.',
    labelNames: ['when'],
    registers,
    collect() {
      this.reset()
      for (const [when, count] of Object.entries(assignments.counts().shed)) {
        this.inc({ when }, count)
      }
    },
  })
  registerSpread(registry, {
    name: 'smartguide_commit_jobs',
    help: 'Jobs that shared one transaction.',
    read: () => ledger.commits().jobs,
  })
  registerSpread(registry, {
    name: 'smartguide_commit_seconds',
    help: 'Time of a COMMIT, the sync of the disk included.',
    read: () => ledger.commits().seconds,
  })
  new Gauge({
    name: 'smartguide_wal_bytes',
    help: 'Size of the write-ahead log of the database.',
    registers,
    collect() {
      this.set(storage.logBytes())
    },
  })
  new Gauge({
    name: 'smartguide_backup_last_success_timestamp_seconds',
    help: 'When npm run backup last made a copy of the database, in seconds since 1970; absent before the first.',
    registers,
    collect() {
      const atMs = storage.backedUpAtMs()
      if (atMs === null) this.remove()
      else this.set(atMs / 1000)
    },
  })
  new Counter({
    name: 'smartguide_orders_purged_total',
    help: 'Orders removed since the start, because they were older than RETENTION_DAYS.',
    registers,
    collect() {
      this.reset()
      this.inc(ledger.purged())
    },
  })
  new Gauge({
    name: 'smartguide_storage_full',
    help: '1 while the disk of the database is full and no order is taken.',
    registers,
    collect() {
      this.set(Number(storage.isFull()))
    },
  })
  new Gauge({
    name: 'smartguide_ready',
    help: '1 while orders are taken, as /readyz says.',
    registers,
    collect() {
      this.set(Number(isReady() && !storage.isFull()))
    },
  })
  if (traces) registerTraces(registers, traces)
  const turns = monitorEventLoopDelay({ resolution: lagResolutionMs })
  turns.enable()
  new Gauge({
    name: 'smartguide_event_loop_lag_seconds',
    help: 'How late the event loop turned, since the last scrape.',
    labelNames: ['quantile'],
    registers,
    collect() {
      const lagOf = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - lagResolutionMs / 1000)
      this.set({ quantile: '0.5' }, lagOf(turns.percentile(50)))
      this.set({ quantile: '0.99' }, lagOf(turns.percentile(99)))
      this.set({ quantile: '1' }, lagOf(turns.max))
      turns.reset()
    },
  })
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time of the process, user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the process began, in seconds since 1970.',
    registers,
  }).set(performance.timeOrigin / 1000)
  return { contentType: registry.contentType, text: () => registry.metrics() }
}

const lagResolutionMs = 10

function registerTraces(registers: Registry[], traces: () => TraceCounts): void {
  new Counter({
    name: 'smartguide_traces_exported_total',
    help: 'Orders whose trace the collector took.',
    registers,
    collect() {
      this.reset()
      this.inc(traces().exported)
    },
  })
  new Counter({
    name: 'smartguide_traces_dropped_total',
    help: 'Orders whose trace was given up: the queue was full, the collector refused it or was not reached, or the process stopped.',
    labelNames: ['why'],
    registers,
    collect() {
      this.reset()
      for (const [why, count] of Object.entries(traces().dropped)) this.inc({ why }, count)
    },
  })
  new Gauge({
    name: 'smartguide_traces_queued',
    help: 'Orders whose trace the collector has not taken yet.',
    registers,
    collect() {
      this.set(traces().queued)
    },
  })
}

/** A histogram that was counted elsewhere. */
function registerSpread(
  registry: Registry,
  { name, help, read }: { name: string; help: string; read(): Spread },
): void {
  const histogram = new Histogram({ name, help, registers: [registry] })
  const getForPromString = async () => {
    const { buckets, sum, count } = read()
    const bucket = (le: number | '+Inf', value: number) => ({
      metricName: `${name}_bucket`,
      labels: { le },
      value,
    })
    return {
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [
        ...buckets.map(([atMost, value]) => bucket(atMost, value)),
        bucket('+Inf', count),
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: count },
      ],
    }
  }
  Object.assign(histogram, { getForPromString })
}
