import type { Clock } from '../clock.ts'
import type { History, PastRow } from '../ledger/history.ts'
import type { Order, OrderTrace } from '../ledger/order.ts'
import type { Sandbox } from '../ledger/sandbox.ts'
import { type Verified, verify, type WeightsOf } from '../ledger/verify.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import { type Calendar, calendarOf } from '../rules/calendar.ts'
import {
  type Explanation,
  explain,
  inOrders,
  type NamesOf,
  type Recorded,
  whyNotThem,
} from '../rules/explain.ts'
import { unitsPerOrder } from '../rules/fairness.ts'
import { dayNumber, minutesOf } from '../rules/names.ts'
import type { ReplayReport } from '../rules/replay.ts'
import { isOnShift, type Presence, readRoster } from '../rules/roster.ts'
import { replayPeriod } from './replays.ts'
import type { OrderFacts } from './resolve.ts'
import { type Draft, draftStore, type Simulated, simulate } from './simulate.ts'

export type Period = { fromMs: number; toMs: number }

export type FairnessReport = {
  orders: number
  turns: number
  guides: {
    guide_id: string
    orders: number
    count: number
    share: number
    deviation: number
    balances: { book: string; units: number; orders: number }[]
  }[]
}

export type MissedReport = Period & {
  orders: number
  missed: number
  reasons: Record<string, number>
  /** The first of them, oldest first. */
  sample: { outTradeNo: string; decidedAtMs: number; guideId: string; why: string }[]
}

export type Reports = ReturnType<typeof createReports>

export const maxReplayed = 200_000
/** Orders of a simulation times guides on the staff: each order tells of each guide. */
export const maxSimulated = 50_000
const maxMissedTold = 1000
const offDuty = ['OFF_SHIFT', 'AWAY', 'LEFT']
/** Said before anybody looks at the shifts. */
const barred = ['WRONG_STORE', 'QUARANTINED', 'UNREGISTERED']

/** What managers ask about decisions: why, what if, and whether it was fair. Nothing here writes. */
export function createReports({
  mirror,
  history,
  openSandbox,
  clock,
  windowMs,
}: {
  mirror: Mirror
  history: History
  openSandbox(): Sandbox
  clock: Clock
  windowMs: number
}) {
  return {
    /** Of an order decided on the default staff its trace alone knows who stood in it: that staff is whoever is registered. */
    explain(order: Order, namesOf?: NamesOf): Explanation {
      const trace: OrderTrace = JSON.parse(order.trace ?? '{"steps":[],"blocked":[],"turn":null}')
      const versions = {
        staff: order.staffVersion,
        roster: order.rosterVersion,
        plan: order.planVersion,
      }
      const store = mirror.store(order.storeId)
      const plan = store && mirror.version(store, 'plan', versions.plan)?.body
      const staff =
        versions.staff === 0 ? null : store && mirror.version(store, 'staff', versions.staff)?.body
      return explain(
        recordedOf({ ...order, versions, trace }),
        plan ?? { fair_by: 'orders', steps: [] },
        staff?.guides.map(({ id }) => id) ?? [],
        namesOf,
      )
    },

    simulate(
      store: Store,
      orders: readonly OrderFacts[],
      draft: Draft,
      atMs = clock.nowMs(),
      namesOf?: NamesOf,
    ): Promise<Simulated[]> {
      return history.admit(() => {
        const published = draftStore(mirror, store, {}, clock.nowMs(), atMs)
        const ready = draftStore(mirror, store, draft, clock.nowMs(), atMs)
        const deps = { mirror, sandbox: openSandbox(), windowMs }
        return simulate(deps, ready, published, orders, atMs, namesOf)
      })
    },

    /** Null when the period has more than `maxReplayed` orders. */
    replay: (store: Store, period: Period, draft: Draft): Promise<ReplayReport | null> =>
      history.read(async snapshot => {
        const { fromMs, toMs } = period
        const count = await snapshot.count(store.storeId, fromMs, toMs)
        return count > maxReplayed ? null : replayPeriod(mirror, snapshot, store, period, draft)
      }),

    fairness: (store: Store, { fromMs, toMs }: Period): Promise<FairnessReport> =>
      history.read(async snapshot => {
        const staff = mirror.documentsAt(store, clock.nowMs()).staff.body
        const sums = createSums(staff.guides.map(({ id }) => id))
        for await (const slice of snapshot.orders(store.storeId, fromMs, toMs)) {
          for (const row of slice) if (!row.facts.test) sums.add(row)
        }
        for (const { book, standings } of snapshot.books(store.storeId)) {
          for (const [id, { balance }] of standings) sums.stands(id, book, balance)
        }
        return sums.report()
      }),

    verify: (store: Store, period: Period): Promise<Verified> =>
      history.read(snapshot =>
        verify(snapshot, store.storeId, period, createWeightsOf(mirror, store)),
      ),

    /**
     * The orders of that business day of the store that another guide had while this one was on shift. What was refused or
     * closed unpaid went to nobody in the end.
     */
    missed: (store: Store, guideId: string, date: string): Promise<MissedReport> =>
      history.read(async snapshot => {
        const period = businessDayOf(mirror, store, date, clock.nowMs())
        const report: MissedReport = { ...period, orders: 0, missed: 0, reasons: {}, sample: [] }
        const reasons = new Map<string, number>()
        const wasOnShift = createShiftsOf(mirror, store, guideId)
        const { fromMs, toMs } = period
        for await (const slice of snapshot.orders(store.storeId, fromMs, toMs)) {
          for (const row of slice) {
            if (row.facts.test) continue
            report.orders += 1
            if (row.guideId === null || row.status === 'rejected' || row.closedAtMs !== null)
              continue
            const why = whyNotThem(recordedOf(row), guideId)
            if (why === null || offDuty.includes(why)) continue
            if (barred.includes(why) && !wasOnShift(row)) continue
            report.missed += 1
            reasons.set(why, (reasons.get(why) ?? 0) + 1)
            if (report.sample.length >= maxMissedTold) continue
            const { outTradeNo, decidedAtMs } = row
            report.sample.push({ outTradeNo, decidedAtMs, guideId: row.guideId, why })
          }
        }
        return { ...report, reasons: Object.fromEntries(reasons) }
      }),
  }
}

function recordedOf(
  row: Pick<PastRow, 'status' | 'guideId' | 'reason' | 'closedAtMs' | 'versions' | 'trace'>,
): Recorded {
  const { steps, blocked, turn } = row.trace
  const { status, guideId, reason, versions } = row
  const { named, earlier = [] } = row.trace
  const isClosed = row.closedAtMs !== null
  return {
    ...{ status, guideId, reason, versions, steps, blocked, turn, isClosed },
    ...(named ? { named } : {}),
    earlier: earlier.map(({ guideId, returned }) => ({
      guideId,
      ended: returned.by === 'refused' ? 'refused' : 'reassigned',
    })),
  }
}

/** Reads each version once: many orders name the same. */
function createWeightsOf(mirror: Mirror, store: Store): WeightsOf {
  const known = new Map<number, ReturnType<WeightsOf>>()
  return version => {
    const warm = known.get(version)
    if (warm !== undefined) return warm
    const staff = mirror.version(store, 'staff', version)?.body
    const weights = staff ? new Map(staff.guides.map(({ id, weight }) => [id, weight])) : null
    known.set(version, weights)
    return weights
  }
}

/** Whether the guide was on shift when an order was decided, by the documents that it names. */
function createShiftsOf(mirror: Mirror, store: Store, guideId: string): (row: PastRow) => boolean {
  const known = new Map<string, { calendar: Calendar; presence: Presence }>()

  function read({ staff, roster }: PastRow['versions']) {
    const timezone = mirror.version(store, 'staff', staff)?.body.timezone ?? store.timezone
    const shifts = mirror.version(store, 'roster', roster)?.body ?? { weekly: [] }
    return { calendar: calendarOf(timezone), presence: readRoster(shifts, [guideId]) }
  }

  return ({ versions, decidedAtMs, trace }) => {
    const key = `${versions.staff}/${versions.roster}`
    const { calendar, presence } = known.get(key) ?? read(versions)
    known.set(key, { calendar, presence })
    return isOnShift(presence, guideId, calendar.momentAt(trace.decidedAtMs ?? decidedAtMs))
  }
}

function businessDayOf(mirror: Mirror, store: Store, date: string, nowMs: number): Period {
  const { timezone, day_starts_at } = mirror.documentsAt(store, nowMs).staff.body
  const { instantOf } = calendarOf(timezone)
  const [day, minute] = [dayNumber(date), minutesOf(day_starts_at)]
  return { fromMs: instantOf(day, minute), toMs: instantOf(day + 1, minute) }
}

type Sum = { orders: number; count: number; share: number; books: Map<string, number> }

function createSums(ids: readonly string[]) {
  const sums = new Map<string, Sum>()
  const total = { orders: 0, turns: 0 }
  for (const id of ids) sumOf(id)

  function sumOf(id: string): Sum {
    const known = sums.get(id)
    if (known) return known
    const made = { orders: 0, count: 0, share: 0, books: new Map<string, number>() }
    sums.set(id, made)
    return made
  }

  return {
    add({ guideId, status, closedAtMs, reason, turn: holds, trace: { turn } }: PastRow): void {
      total.orders += 1
      if (guideId !== null && status !== 'rejected' && closedAtMs === null) {
        sumOf(guideId).orders += 1
      }
      if (holds !== 'taken' || !turn) return
      total.turns += 1
      const isCharge = ['HINT', 'OWNER', 'OWNER_COVER', 'NAMED'].includes(reason)
      // A clamped charge is less than a turn.
      const part = isCharge ? Math.min(1, turn.units / unitsPerOrder) : 1
      const weights = turn.candidates.reduce((sum, [, weight]) => sum + weight, 0)
      for (const [index, [id, weight]] of turn.candidates.entries()) {
        const sum = sumOf(id)
        sum.share += (part * weight) / weights
        if (index === turn.chosen) sum.count += part
      }
    },

    stands(id: string, book: string, units: number): void {
      sumOf(id).books.set(book, units)
    },

    report(): FairnessReport {
      return {
        ...total,
        guides: [...sums].map(([guide_id, { orders, count, share, books }]) => ({
          guide_id,
          orders,
          count: rounded(count),
          share: rounded(share),
          deviation: rounded(count - share),
          balances: [...books].map(([book, units]) => ({ book, units, orders: inOrders(units) })),
        })),
      }
    },
  }
}

function rounded(orders: number): number {
  return Math.round(orders * 10_000) / 10_000 + 0
}
