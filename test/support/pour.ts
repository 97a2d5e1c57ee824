import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { brokenIn, type Told, toldOf } from './invariants.ts'
import { openRig, type Rig, readJson, scratchDir } from './rig.ts'
import { aRandom } from './rules.ts'
import { startSimulatorProcess } from './service-process.ts'

/** `npm run torture` sets FULL for the figures; otherwise the short forms run. */
export const full = <T>(figures: T, short: T): T => (process.env['FULL'] === '1' ? figures : short)

/** A rig whose simulator, for the figures, has a process of its own: what is measured is the service. */
export async function openRigFor(options: Parameters<typeof openRig>[0]): Promise<Rig> {
  if (!full(true, false)) return openRig(options)
  const stateDir = scratchDir()
  const { url, end } = await startSimulatorProcess(stateDir)
  const stop = async () => {
    await end('SIGTERM')
    rmSync(stateDir, { recursive: true })
  }
  const running = { url, stateDir, port: Number(new URL(url).port), stop }
  const rig = await openRig({ ...options, simulator: { running, stateDir } })
  const close = async () => {
    await rig.close()
    await stop()
  }
  return { ...rig, close }
}

/** `ms` counts from the moment the order was due, whenever it was posted. */
export type Poured = Told & { ms: number }

/** Calls `act` at random moments, so often on average, and waits for nobody. Resolves when the last has begun. */
export async function arrive(
  count: number,
  perSecond: number,
  act: (n: number, dueMs: number) => void,
  seed = 1,
): Promise<void> {
  const random = aRandom(seed)
  let dueMs = performance.now()
  for (let n = 0; n < count; n++) {
    dueMs += (-Math.log(1 - random()) * 1000) / perSecond
    const earlyMs = dueMs - performance.now()
    if (earlyMs > 0) await sleep(earlyMs)
    act(n, dueMs)
  }
}

/** Posts so many orders of store 1001, at random moments, and gathers what was said of each. */
export async function pour(
  rig: Rig,
  prefix: string,
  count: number,
  perSecond: number,
  facts: (n: number) => object = () => ({}),
): Promise<Poured[]> {
  const answers: Promise<Poured>[] = []
  await arrive(count, perSecond, (n, dueMs) => {
    answers.push(post(rig, `${prefix}-${n}`, facts(n), dueMs))
  })
  return Promise.all(answers)
}

async function post(rig: Rig, no: string, facts: object, dueMs: number): Promise<Poured> {
  const answer = await rig.assign(no, { store_id: 1001, ...facts })
  const ms = performance.now() - dueMs
  expect([200, 202]).toContain(answer.status)
  return { ...toldOf(await readJson(answer)), ms }
}

export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

export function statuses({ db }: Rig): Record<string, number> {
  const rows = db.$client
    .prepare<[], { status: string; count: number }>(
      'SELECT status, count(*) AS count FROM orders GROUP BY status',
    )
    .all()
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]))
}

export function attemptsOf({ db }: Rig): number {
  return db.$client.prepare<[], number>('SELECT sum(attempt_count) FROM orders').pluck().get() ?? 0
}

export async function expectSound(rig: Rig, told: readonly Told[]): Promise<void> {
  expect(await brokenIn(rig, told)).toEqual([])
}

/** A figure for docs/measured.md; the short forms keep quiet. */
export function tell(figures: Record<string, unknown>): void {
  if (full(true, false)) process.stdout.write(`${JSON.stringify(figures)}\n`)
}
