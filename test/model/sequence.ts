import { copyFileSync, existsSync, rmSync } from 'node:fs'
import { expect } from 'vitest'
import { brokenInvariants, type Told } from '../support/invariants.ts'
import { mondayMs } from '../support/rules.ts'
import { type Call, createCounterpart, type Fate } from './counterpart.ts'
import { holdTime } from './hours.ts'
import {
  type Answer,
  type Life,
  merchant,
  type OrderRow,
  openLife,
  type Secrets,
  storeId,
} from './life.ts'
import { type Kept, openShop, type Posted } from './shop.ts'

/** What was asked for and not yet seen in the file. */
type Intent =
  | { kind: 'post'; no: string; posted: Posted }
  | { kind: 'paid' | 'closed'; order: Kept; atMs: number }
  | { kind: 'reassign'; order: Kept; guideId: string; generation: number }

const longestPendingMs = 1000
const firstCallMs = 1000
const longestPauseMs = 2500
/** So many failures may open a breaker, and then nobody is called for a while. */
const breakerFailures = 8
const harmless = ['not_sent', 'throttled', 'rejected']

/**
 * One sequence from an empty store on: the service beside its model, compared whenever all has come to rest. `from` is
 * the file that it begins with, `path` where its files go.
 */
export async function beginSequence(from: string, path: string, secrets: Secrets) {
  const hours = holdTime(mondayMs + 13 * 3_600_000)
  const counterpart = createCounterpart(hours.clock)
  const shop = openShop()
  const told: Told[] = []
  const files: string[] = []
  let intents: Intent[] = []
  let life = await open(1, from)
  let isUncertain = false
  let isStopping = false
  await start()

  async function open(number: number, was: string): Promise<Life> {
    const file = `${path}-${number}.db`
    copyFileSync(was, file)
    if (existsSync(`${was}-wal`)) copyFileSync(`${was}-wal`, `${file}-wal`)
    files.push(file)
    return openLife(number, file, { hours, counterpart, secrets })
  }

  async function start(): Promise<void> {
    hours.watch({ progress: life.progress, rested })
    await hours.until(life.start())
    isUncertain = false
    isStopping = false
    intents = []
  }

  /** Everything is at rest: what has happened is told to the model, and then both must say the same. */
  function rested(): void {
    const rows = life.rows()
    const rowOf = (no: string) => rows.find(row => row.no === no)
    for (const call of counterpart.takeDelivered()) {
      if (!isUncertain || isWritten(call, rowOf(call.no))) shop.learn(call, hours.clock.nowMs())
    }
    for (const row of rows) {
      if (shop.find(row.no)) continue
      const intent = intents.find(one => one.kind === 'post' && one.no === row.no)
      if (intent?.kind !== 'post') throw new Error(`${row.no} is in the file, and nobody posted it`)
      shop.record(row.no, intent.posted, row)
    }
    intents = intents.filter(intent => !isSeen(intent, rowOf))
    for (const order of shop.orders) {
      const row = rowOf(order.no)
      if (!row) throw new Error(`${order.no} is gone`)
      if (order.status === 'pending' && row.status === 'expired') expire(order, row)
      compare(order, row)
    }
    compareBook()
    const faults = [...life.failures, ...life.early]
    if (faults.length > 0) expect(faults).toEqual([])
  }

  function isWritten({ generation, outcome }: Call, row: OrderRow | undefined): boolean {
    if (!row || outcome?.kind === 'unknown') return false
    if (outcome?.kind === 'accepted') return row.status === 'assigned'
    return row.generation > generation || row.status === 'rejected'
  }

  function isSeen(intent: Intent, rowOf: (no: string) => OrderRow | undefined): boolean {
    switch (intent.kind) {
      case 'post':
        return rowOf(intent.no) !== undefined
      case 'paid': {
        const { order, atMs } = intent
        if (rowOf(order.no)?.paidAtMs === null) return false
        shop.pay(order, atMs)
        return true
      }
      case 'closed': {
        const { order, atMs } = intent
        if (rowOf(order.no)?.closedAtMs === null) return false
        shop.close(order, atMs)
        return true
      }
      case 'reassign': {
        const { order, guideId, generation } = intent
        if ((rowOf(order.no)?.generation ?? 0) <= generation) return false
        expectNothingUnderWay(order)
        shop.reassign(order, guideId)
        return true
      }
    }
  }

  /** Whoever gets the order now, the guide of before cannot any more. */
  function expectNothingUnderWay(order: Kept): void {
    if (order.status !== 'pending') return
    const mayTakeEffect = callsOf(order).filter(
      ({ isApplied, outcome, life: of }) =>
        isApplied || (outcome === null && of === life.number) || !isHarmless(outcome),
    )
    expect(mayTakeEffect, `${order.no} was given to another guide meanwhile`).toEqual([])
  }

  function expire(order: Kept, row: OrderRow): void {
    expect(hours.clock.nowMs(), `${order.no} expired early`).toBeGreaterThanOrEqual(
      order.expiresAtMs,
    )
    expect(row.settledAtMs).toBeGreaterThanOrEqual(order.expiresAtMs)
    const inTheAir = callsOf(order).filter(
      ({ outcome, life: of }) => outcome === null && of === life.number,
    )
    expect(inTheAir, `${order.no} expired in the air`).toEqual([])
    order.status = 'expired'
  }

  /** The calls of the newest generation. */
  function callsOf(order: Kept): Call[] {
    const generation = order.generations.length
    return counterpart.calls.filter(one => one.no === order.no && one.generation === generation)
  }

  function compare(order: Kept, row: OrderRow): void {
    const { guideId, reason } = shop.newestOf(order)
    const { status, holds, expiresAtMs, isPaid, isClosed } = order
    const seen = {
      ...row,
      isPaid: row.paidAtMs !== null,
      isClosed: row.closedAtMs !== null,
      isDue: row.dueAtMs !== null,
    }
    const generation = order.generations.length
    const isDue = status === 'pending'
    const must = { generation, status, guideId, reason, expiresAtMs, isPaid, isClosed, isDue }
    const isSame =
      row.turn === holds &&
      (Object.keys(must) as (keyof typeof must)[]).every(name => seen[name] === must[name])
    if (!isSame) expect(seen).toMatchObject({ no: order.no, ...must, turn: holds })
    if (status === 'assigned') expectAccepted(order)
    // What a service that stops has deferred stays for the next start.
    if (status === 'pending' && !isStopping) expectLooked(order)
  }

  function expectAccepted(order: Kept): void {
    const { guideId, reason } = shop.newestOf(order)
    const calls = counterpart.calls.filter(one => one.no === order.no && one.guideId === guideId)
    expect(calls.some(({ outcome }) => outcome?.kind === 'accepted')).toBe(true)
    // Whom WeChat Pay had, it has still, unless it carried something out without telling.
    const isSilent = counterpart.calls.some(
      one => one.no === order.no && one.isApplied && one.outcome?.kind !== 'accepted',
    )
    if (reason !== 'RESTORED' || !isSilent) expect(counterpart.shown(order.no)).toBe(guideId)
  }

  /** Nobody forgets it: it is called for within a second of the start, again and again, and ends in time. */
  function expectLooked(order: Kept): void {
    const nowMs = hours.clock.nowMs()
    expect(nowMs, `${order.no} is stuck`).toBeLessThanOrEqual(order.expiresAtMs + longestPendingMs)
    const mine = counterpart.calls.filter(one => one.life === life.number)
    const isAccountRefused = mine.some(
      ({ outcome }) => outcome?.kind === 'rejected' && outcome.blames === 'account',
    )
    const failures = mine.filter(({ outcome }) => outcome?.kind === 'unknown').length
    const calls = callsOf(order).filter(one => one.life === life.number)
    if (isAccountRefused || failures >= breakerFailures) return
    if (calls.some(({ outcome }) => outcome === null)) return
    const lastMs = Math.max(
      life.startedAtMs,
      order.decidedAtMs,
      ...mine.filter(one => one.no === order.no).map(one => one.sentAtMs + 2000),
    )
    const allowedMs = calls.length === 0 ? firstCallMs : longestPauseMs
    const untilMs = Math.min(order.expiresAtMs, nowMs)
    expect(untilMs - lastMs, `${order.no} is forgotten`).toBeLessThanOrEqual(allowedMs)
  }

  function compareBook(): void {
    const { turn, standings } = life.book()
    const page = shop.book.page()
    expect(turn).toBe(page.turn)
    let sum = 0
    for (const id of new Set([...Object.keys(standings), ...page.standings.keys()])) {
      const standing = Object.hasOwn(standings, id) ? standings[id] : undefined
      const must = page.standings.get(id)
      if (String(standing ?? [0, 0]) !== String(must ?? [0, 0]))
        expect([id, ...(standing ?? [0, 0])]).toEqual([id, ...(must ?? [0, 0])])
      sum += standing?.[0] ?? 0
    }
    expect(sum).toBe(0)
  }

  function leave(): void {
    life.close()
    hours.forgetTimers()
  }

  return {
    hours,
    counterpart,
    shop,
    life: () => life,
    rowOf: (order: Kept) => life.rows().find(row => row.no === order.no),
    callsOf,
    intend: (intent: Intent) => intents.push(intent),
    /** Whatever was not done by now was refused. */
    forgetIntents(): void {
      intents = []
    },

    /** An answer about an order says what the file says, and is kept for the end. */
    tell({ status, headers, body }: Answer, order: Kept): void {
      const { guideId, reason } = shop.newestOf(order)
      const generation = order.generations.length
      // Whoever is answered in the instant in which the window ends is told one or the other.
      const isJustOver = order.status === 'expired' && hours.clock.nowMs() === order.expiresAtMs
      const toldStatus = isJustOver && body.status === 'pending' ? 'pending' : order.status
      expect(body).toMatchObject({
        out_trade_no: order.no,
        store_id: storeId,
        status: toldStatus,
        guide_id: guideId,
        generation,
        reason,
      })
      expect(status).toBe(toldStatus === 'pending' ? 202 : 200)
      expect(headers.get('etag')).toBe(`"${generation}"`)
      expect(body.assigned_at === null).toBe(order.status !== 'assigned')
      told.push({ outTradeNo: order.no, status: toldStatus, guideId, generation })
    },

    isHarmless: ({ outcome }: Call) => isHarmless(outcome),

    async restart(isGraceful: boolean, downMs: number): Promise<void> {
      const before = life
      isStopping = isGraceful
      if (isGraceful) await hours.until(life.drain())
      // The copy is what is on the disk at this instant; what the old life does afterwards reaches nobody.
      before.mute()
      hours.skip(downMs)
      if (isGraceful) leave()
      const next = await open(before.number + 1, before.path)
      if (!isGraceful) {
        for (const order of shop.orders)
          if (order.status === 'pending') order.mayBeInterrupted = true
        await hours.rest()
        leave()
      }
      life = next
      isUncertain = true
      await start()
    },

    /** Whatever is pending ends; and the three who know agree. */
    async end(): Promise<void> {
      while (shop.orders.some(({ status }) => status === 'pending')) await hours.pass(1000)
      const verified = await hours.until(
        life.request('POST', `/stores/${storeId}/fairness/verify`, {
          scope: 'manage',
          body: { from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' },
        }),
      )
      expect(verified.body).toEqual({ ok: true, checked: shop.orders.length, faults: [] })
      const sent = counterpart.calls.map(({ no, guideId, sentAtMs, outcome }) => ({
        guideId,
        outTradeNo: no,
        subMchid: null,
        atMs: sentAtMs,
        accepted: outcome?.kind === 'accepted',
      }))
      const nowMs = hours.clock.nowMs()
      expect(
        brokenInvariants({ db: life.client, sent, told, nowMs, wasDown: life.number > 1 }),
      ).toEqual([])
      for (const [key, calls] of Map.groupBy(
        counterpart.calls,
        ({ no, generation }) => `generation ${generation} of ${no}`,
      )) {
        expect([key, new Set(calls.map(({ guideId }) => guideId)).size]).toEqual([key, 1])
      }
    },

    remove(): void {
      leave()
      hours.release()
      for (const file of files)
        for (const end of ['', '-wal', '-shm']) rmSync(`${file}${end}`, { force: true })
    },
  }
}

function isHarmless(outcome: Call['outcome']): boolean {
  if (outcome === null) return false
  return harmless.includes(outcome.kind === 'unknown' ? outcome.reason : outcome.kind)
}

export type Sequence = Awaited<ReturnType<typeof beginSequence>>
export type { Fate }
export { merchant }
