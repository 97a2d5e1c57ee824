import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { openRig, scratchDir } from './support/rig.ts'
import { scrape } from './support/scrape.ts'

const docs = fileURLToPath(new URL('../docs', import.meta.url))
const rulesFile = join(docs, 'alerts.yml')
const rules = readFileSync(rulesFile, 'utf8')
const dashboard = readFileSync(join(docs, 'grafana.json'), 'utf8')
const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name)

const hasPromtool = spawnSync('promtool', ['--version']).status === 0
if (!hasPromtool)
  process.stderr.write('promtool is missing: the alert rules are not tried (apt: prometheus).\n')

/** Each minute of seven hours, in the notation of promtool; most failures are told sooner. */
const minutes = 420
const soon = 45
const steady = (value: number) => `${value}x${minutes}`
const growing = (perMinute: number) => `0+${perMinute}x${minutes}`

const late = 'smartguide_order_accepted_seconds_bucket{le="1"}'
const settled = (outcome: string) => `smartguide_orders_settled_total{outcome="${outcome}"}`
const attempts = (outcome: string) => `smartguide_attempts_total{host="0",outcome="${outcome}"}`
const resting = (host: number) => `smartguide_host_breaker_open{host="${host}"}`
const decided = (status: string, reason: string) =>
  `smartguide_orders_decided_total{status="${status}",reason="${reason}"}`

const health: Record<string, string> = {
  up: steady(1),
  smartguide_ready: steady(1),
  [decided('pending', 'FAIR_TURN')]: growing(1000),
  [decided('pending', 'OWNER')]: growing(1000),
  [decided('unassigned', 'NO_STEP_MATCHED')]: growing(100),
  [late]: growing(1999.5),
  [settled('assigned')]: growing(2000),
  [settled('expired')]: growing(0),
  [settled('too_late')]: growing(0.05),
  [settled('unassigned')]: growing(100),
  [attempts('accepted')]: growing(2000),
  [attempts('server_error')]: growing(50),
  [attempts('unverified')]: growing(1),
  [resting(0)]: steady(0),
  [resting(1)]: steady(0),
  smartguide_refused_accounts: steady(0),
  smartguide_platform_auto_assign_merchants: steady(0),
  smartguide_storage_full: steady(0),
  smartguide_guides_age_seconds: steady(6 * 3600),
  smartguide_wal_bytes: steady(8e6),
  // The trial begins at the second 0.
  smartguide_backup_last_success_timestamp_seconds: steady(0),
  'smartguide_event_loop_lag_seconds{quantile="0.99"}': steady(0.01),
  'smartguide_event_loop_lag_seconds{quantile="1"}': steady(0.3),
  smartguide_orders_pending_expiry_seconds: steady(590),
  smartguide_repeats_left: steady(100),
  'smartguide_orders_shed_total{when="late"}': steady(12),
}

type Planted = {
  title: string
  series: Record<string, string>
  atMinute?: number
  fires: string[]
  /** It has been so all along: each window must say the same. */
  isEven?: boolean
}

const planted: Planted[] = [
  { title: 'health', series: {}, fires: [], isEven: true },
  { title: 'health without an order', series: without('smartguide_order'), fires: [] },
  {
    title: 'one order in ten late for an hour',
    series: { [late]: growing(1800) },
    atMinute: 62,
    fires: ['SmartguideLateFast', 'SmartguideLateSlow'],
  },
  {
    title: 'eight orders in a thousand late all day',
    series: { [late]: growing(1984) },
    isEven: true,
    fires: ['SmartguideLateSlow'],
  },
  {
    title: 'an hour of late orders that has been over for 40 minutes',
    series: { [late]: `0+1800x60 ${1800 * 60 + 2000}+2000x360` },
    atMinute: 101,
    fires: [],
  },
  {
    title: 'WeChat Pay silent: orders are decided, and none is accepted or settled',
    series: {
      [late]: steady(0),
      [settled('assigned')]: steady(0),
      [settled('too_late')]: steady(0),
    },
    atMinute: 62,
    fires: ['SmartguideLateFast', 'SmartguideLateSlow'],
  },
  {
    title: 'three orders in a thousand paid too early',
    series: { [settled('too_late')]: growing(6) },
    fires: ['SmartguideLostFast', 'SmartguideLostSlow'],
  },
  {
    title: 'one order in a thousand expired',
    series: { [settled('expired')]: growing(2) },
    fires: ['SmartguideLostSlow'],
  },
  {
    title: 'orders that were posted after their window',
    series: { [settled('expired')]: growing(20), [decided('expired', 'WINDOW_OVER')]: growing(20) },
    isEven: true,
    fires: [],
  },
  { title: 'no answer', series: { up: steady(0) }, fires: ['SmartguideDown'] },
  { title: 'nobody is scraped', series: without(''), fires: ['SmartguideDown'] },
  { title: 'not ready', series: { smartguide_ready: steady(0) }, fires: ['SmartguideNotReady'] },
  { title: 'one host dead', series: { [resting(1)]: steady(1) }, fires: ['SmartguideHostResting'] },
  {
    title: 'both hosts dead',
    series: { [resting(0)]: steady(1), [resting(1)]: steady(1) },
    fires: ['SmartguideHostResting', 'SmartguideNoHost'],
  },
  {
    title: 'an account refused',
    series: { smartguide_refused_accounts: steady(1) },
    fires: ['SmartguideAccountRefused'],
  },
  {
    title: 'forged answers',
    series: { [attempts('unverified')]: growing(200) },
    fires: ['SmartguideUnverified'],
  },
  {
    title: 'a pending order about to expire',
    series: { smartguide_orders_pending_expiry_seconds: steady(40) },
    fires: ['SmartguideExpiringSoon'],
  },
  {
    title: 'repeats spent',
    series: { smartguide_repeats_left: steady(0.4) },
    fires: ['SmartguideRepeatsSpent'],
  },
  {
    title: 'orders turned away',
    series: { 'smartguide_orders_shed_total{when="late"}': growing(3) },
    fires: ['SmartguideShedding'],
  },
  {
    title: 'a full disk',
    series: { smartguide_storage_full: steady(1) },
    fires: ['SmartguideStorageFull'],
  },
  {
    title: 'guides of yesterday',
    series: { smartguide_guides_age_seconds: steady(20 * 3600) },
    fires: ['SmartguideGuidesOld'],
  },
  {
    title: 'a backup of the day before yesterday',
    series: { smartguide_backup_last_success_timestamp_seconds: steady(-26 * 3600) },
    fires: ['SmartguideBackupOld'],
  },
  {
    title: 'a log that grows',
    series: { smartguide_wal_bytes: steady(4e8) },
    fires: ['SmartguideWalLarge'],
  },
  {
    title: 'a log that was large for a moment',
    series: { smartguide_wal_bytes: `8000000x60 400000000x3 8000000x7` },
    fires: [],
  },
  {
    title: 'a process that turns late',
    series: { 'smartguide_event_loop_lag_seconds{quantile="0.99"}': steady(0.2) },
    fires: ['SmartguideEventLoopLate'],
  },
  {
    title: '自动分配 left on',
    series: { smartguide_platform_auto_assign_merchants: steady(1) },
    fires: ['SmartguidePlatformAutoAssign'],
  },
]

/** Nothing is known of these. */
function without(prefix: string): Record<string, string> {
  const gone = Object.keys(health).filter(name => name.startsWith(prefix))
  return Object.fromEntries(gone.map(name => [name, '_']))
}

function agreeing(what: string): object {
  const windows = `{__name__=~"smartguide:orders_${what}:ratio_.*"}`
  return {
    expr: `count(${windows}) == 4 and max(${windows}) - min(${windows}) < 1e-6 and max(${windows}) >= 0`,
    eval_time: `${minutes}m`,
    exp_samples: [{ labels: '{}', value: 4 }],
  }
}

/** As a file of `promtool test rules`. */
function trial({ series, fires, isEven = false, atMinute = isEven ? minutes : soon }: Planted) {
  const ofJob = (name: string) =>
    name.endsWith('}')
      ? name.replace('{', '{job="smartguide",instance="a",')
      : `${name}{job="smartguide",instance="a"}`
  return {
    rule_files: [rulesFile],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: Object.entries({ ...health, ...series }).map(([name, values]) => ({
          series: ofJob(name),
          values,
        })),
        promql_expr_test: [
          {
            expr: 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0',
            eval_time: `${atMinute}m`,
            exp_samples: fires.map(name => ({ labels: `{alertname="${name}"}`, value: 1 })),
          },
          ...(isEven ? ['late', 'lost'].map(agreeing) : []),
        ],
      },
    ],
  }
}

describe('the alerts', () => {
  const dir = scratchDir()
  afterAll(() => rmSync(dir, { recursive: true }))

  /** What promtool has against it; empty when it has nothing. */
  function complaints(one: Planted): string {
    const file = join(dir, 'trial.yml')
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(trial(one)))
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file])
    return status === 0 ? '' : `${stdout}${stderr}`
  }

  it.skipIf(!hasPromtool)('are rules that Prometheus takes', () => {
    expect(execFileSync('promtool', ['check', 'rules', rulesFile]).toString()).toContain('SUCCESS')
  })

  it.skipIf(!hasPromtool).each(planted)('$title: $fires', one => {
    expect(complaints(one)).toBe('')
  })

  it.skipIf(!hasPromtool)('a trial that expects the wrong alert fails', () => {
    const full = { smartguide_storage_full: steady(1) }
    expect(complaints({ title: '', series: full, fires: [] })).toContain('SmartguideStorageFull')
    expect(complaints({ title: '', series: {}, fires: ['SmartguideDown'] })).not.toBe('')
  })

  it('each have a planted failure', () => {
    expect(alerts.length).toBeGreaterThan(15)
    expect([...new Set(planted.flatMap(({ fires }) => fires))].sort()).toEqual(alerts.sort())
  })
})

it('the alerts and the dashboard ask for what /metrics tells, and for nothing else', async () => {
  const rig = await openRig()
  try {
    await rig.openStore(1001, 1)
    await rig.assign('A', { store_id: 1001 })
    await rig.assign('B', { store_id: 1001 }, { prefer: 'respond-async' })
    const { names } = await scrape(rig)
    // Told only while an order is pending, after a first sync, and after a first backup.
    names.add('smartguide_orders_pending_expiry_seconds').add('smartguide_guides_age_seconds')
    names.add('smartguide_backup_last_success_timestamp_seconds')
    const asked = (text: string) => text.match(/\b(smartguide|process)_\w+/g) ?? []
    expect(asked(rules).filter(name => !names.has(name))).toEqual([])
    expect(asked(dashboard).filter(name => !names.has(name))).toEqual([])
    // `up` and the recorded ratios are Prometheus's own.
    const recorded = [...rules.matchAll(/- record: (\S+)/g)].map(([, name]) => name)
    expect(
      dashboard.match(/smartguide:\w+:\w+/g)?.filter(name => !recorded.includes(name)),
    ).toEqual([])
    const shown = new Set(asked(dashboard))
    const families = [...names].filter(name => !/_(bucket|sum|count)$/.test(name))
    expect(families.filter(name => !shown.has(name)).sort()).toEqual(['process_start_time_seconds'])
  } finally {
    await rig.close()
  }
})
