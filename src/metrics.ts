import { Counter, Gauge, Registry } from 'prom-client'
import type { Assignments } from './assignment/assignments.ts'
import type { Clock } from './clock.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Mirror } from './mirror/mirror.ts'

export type Metrics = { readonly contentType: string; text(): Promise<string> }

/** What operators watch, in the text format of Prometheus; each number is read when it is asked for. */
export function createMetrics({
  mirror,
  assignments,
  ledger,
  clock,
}: {
  mirror: Mirror
  assignments: Assignments
  ledger: Ledger
  clock: Clock
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
  return { contentType: registry.contentType, text: () => registry.metrics() }
}
