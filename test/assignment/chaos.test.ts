import { afterEach, expect, it } from 'vitest'
import { type ChaosProxy, openChaosProxy } from '../support/chaos-proxy.ts'
import {
  attemptsOf,
  expectSound,
  full,
  openRigFor,
  type Poured,
  pour,
  quantile,
  statuses,
  tell,
} from '../support/pour.ts'
import { eventually, type Rig } from '../support/rig.ts'

let rig: Rig
let primary: ChaosProxy
let backup: ChaosProxy
afterEach(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
  await eventually(async () => primary.open + backup.open === 0, 1000)
  await Promise.all([primary.close(), backup.close()])
})

/** The service in front of two hosts of WeChat Pay, each behind weather of its own. */
async function openStorm(options: { windowMs?: number; waitMs?: number } = {}): Promise<void> {
  primary = await openChaosProxy(7)
  backup = await openChaosProxy(8)
  rig = await openRigFor({ ...options, hosts: url => [primary.toward(url), backup.toward(url)] })
  await rig.openStore(1001, 6)
}

const msOf = (orders: readonly Poured[]) => orders.map(({ ms }) => ms)
const p99 = (orders: readonly Poured[]) => quantile(msOf(orders), 0.99)

it('ends every order rightly, with one guide, and keeps no connection, though both hosts spoil one call in four', async () => {
  await openStorm({ windowMs: 30_000, waitMs: 300 })
  const weather = {
    deaf: 0.02,
    chances: [
      [0.05, { kind: 'reset' }],
      [0.05, { kind: 'closed' }],
      [0.04, { kind: 'truncated' }],
      [0.02, { kind: 'blackhole' }],
      [0.05, { kind: 'late', ms: 150 }],
      [0.05, { kind: 'hung_up', ms: 2 }],
    ],
  } as const
  for (const host of [primary, backup]) host.set(weather)
  const count = full(6000, 300)
  const told = await pour(rig, 'C', count, full(200, 150))
  await eventually(async () => statuses(rig)['assigned'] === count, 20_000)
  expect(statuses(rig)).toEqual({ assigned: count })
  await expectSound(rig, told)
  const calls = primary.calls + backup.calls
  expect(calls).toBeGreaterThan(count * 1.1)
  tell({ what: 'chaos at both hosts', count, calls, attempts: attemptsOf(rig) })
  for (const host of [primary, backup]) host.set({})
  await eventually(async () => primary.awaiting + backup.awaiting === 0, 4000)
  await eventually(async () => Math.max(primary.open, backup.open) <= 64, 4000)
}, 90_000)

it.each(['blackholed', 'refused'] as const)(
  'is as fast as ever while the primary host is %s, loses no order, and goes back to it when it lives again',
  async how => {
    await openStorm({ windowMs: 30_000, waitMs: 5000 })
    const part = full(1500, 120)
    const perSecond = full(100, 150)
    const alive = await pour(rig, 'A', part, perSecond)
    expect(primary.calls).toBeGreaterThanOrEqual(part * 0.9)

    if (how === 'refused') await primary.refuse()
    else primary.set({ chances: [[1, { kind: 'blackhole' }]] })
    const dying = await pour(rig, 'D', perSecond * 1.6, perSecond)
    const callsDying = primary.calls
    const dead = await pour(rig, 'E', part, perSecond)
    expect(primary.calls - callsDying).toBeLessThan(5 + part / perSecond)

    if (how === 'refused') await primary.accept()
    else primary.set({})
    const callsDead = primary.calls
    const back: Poured[] = []
    for (let n = 0; n < 20 && primary.calls < callsDead + 20; n++) {
      back.push(...(await pour(rig, `B${n}`, 40, perSecond)))
    }
    const callsBackup = backup.calls
    const revived = await pour(rig, 'R', part, perSecond)
    // All the hedges there may be, and no more.
    expect(backup.calls - callsBackup).toBeLessThanOrEqual(part * 0.05 + 20)

    const all = [...alive, ...dying, ...dead, ...back, ...revived]
    expect(all.filter(({ status }) => status !== 'assigned')).toEqual([])
    await expectSound(rig, all)
    tell({
      what: `primary ${how}`,
      part,
      p99: [alive, dying, dead, revived].map(orders => Math.round(p99(orders) * 10) / 10),
      worst: [alive, dying, dead, revived].map(orders => Math.round(Math.max(...msOf(orders)))),
    })
    expect(p99(dead)).toBeLessThan(full(p99(alive) * 1.5 + 25, p99(alive) * 3 + 100))
    // Not even the one that tries it.
    expect(Math.max(...msOf(dead.slice(part >> 1)))).toBeLessThan(600)
  },
  120_000,
)

it('answers in time by asking the other host, of the same guide, when one call in fifty takes 2 s', async () => {
  await openStorm({ windowMs: 30_000, waitMs: 5000 })
  await pour(rig, 'W', 60, 200)
  for (const host of [primary, backup]) host.set({ chances: [[0.02, { kind: 'late', ms: 2000 }]] })
  const count = full(6000, 300)
  const orders = await pour(rig, 'H', count, full(200, 100))
  expect(statuses(rig)).toEqual({ assigned: count + 60 })
  await expectSound(rig, orders)
  const extra = primary.calls + backup.calls - count - 60
  const ms = msOf(orders)
  tell({
    what: '2 % of calls take 2 s',
    count,
    p50: quantile(ms, 0.5),
    p99: quantile(ms, 0.99),
    p999: quantile(ms, 0.999),
    extra: extra / count,
  })
  expect(extra).toBeGreaterThan(count * 0.01)
  expect(extra).toBeLessThanOrEqual(count * 0.05 + full(0, 20))
  expect(quantile(ms, full(0.999, 0.985))).toBeLessThanOrEqual(full(400, 900))
}, 90_000)
