import { Gauge, Registry } from 'prom-client'
import type { Assignments } from './assignment/assignments.ts'
import type { Clock } from './clock.ts'
import type { Mirror } from './mirror/mirror.ts'

export type Metrics = { readonly contentType: string; text(): Promise<string> }

/** What operators watch, in the text format of Prometheus; each number is read when it is asked for. */
export function createMetrics({
  mirror,
  assignments,
  clock,
}: {
  mirror: Mirror
  assignments: Assignments
  clock: Clock
}): Metrics {
  const registry = new Registry()
  const registers = [registry]

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
