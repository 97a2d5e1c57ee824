import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, within } from '../clock.ts'
import { createDistribution, type Spread } from '../distribution.ts'
import { AppError, orderNotFound, overloaded } from '../errors.ts'
import { standingOf } from '../ledger/generations.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Attempt, Order, OrderKey, Resolution } from '../ledger/order.ts'
import type { Mirror, ReadyStore } from '../mirror/mirror.ts'
import type { Outcome } from '../wechatpay/outcome.ts'
import { createAdmission } from './admission.ts'
import { differingFields, type PostedFacts, printFacts } from './facts.ts'
import { type FlightDeps, fly, type Landing, type Upstreams, type Window } from './fly.ts'
import { createMeter } from './meter.ts'
import { inFlight, type NamedGuide, nameGuide, nextGuide, refuseStale } from './next-guide.ts'
import { createOutbound, type OutboundState } from './outbound.ts'
import { createOutbox } from './outbox.ts'
import { lookAround, resolve } from './resolve.ts'
import { createShares } from './shares.ts'

/** An order as it was posted, its merchant known. */
export type PostedOrder = OrderKey & PostedFacts

/** The caller's place in a trace (W3C Trace Context); one that is not sampled is recorded by nobody. */
export type TraceParent = { traceId: string; spanId: string; isSampled: boolean }

/** Which request posted an order, and of which trace it is. */
export type Origin = { requestId: string; trace: TraceParent | null }

/** What is known of an order beside its row, while it is in hand. `recordedMs`: from its arrival until it was on the disk. */
export type InHand = { origin: Origin | null; recordedMs: number | null }

export type AssignmentCounts = {
  /** Seconds from the arrival of an order to its first acceptance by WeChat Pay. */
  accepted: Spread
  /** Orders refused because there was too much to do: unread, or because they would have been late. */
  shed: { unread: number; late: number }
  inFlight: number
  outbound: OutboundState
}

export type Answered = { order: Order; isReplay: boolean }

export type Assignments = {
  /** Asked before anything is read of a posted order: false when more come than can be served, and this one is refused. */
  admits(): boolean
  /**
   * Decides, records, calls; resolves when the order is settled or deferred, or after `waitMs`, whichever is first.
   *
   * @throws AppError store_not_found, order_mismatch, overloaded, draining, storage_full
   */
  assign(posted: PostedOrder, waitMs: number, origin?: Origin): Promise<Answered>
  /**
   * Gives the order to the guide whom a manager names, as its next generation; waits as `assign` does.
   *
   * @throws AppError order_not_found and whatever `nameGuide` does; draining, storage_full
   */
  reassign(key: OrderKey, named: NamedGuide, waitMs: number): Promise<Order>
  /** @throws AppError order_not_found */
  find(key: OrderKey): Promise<Order>
  /** @throws AppError order_not_found, order_closed */
  paid(key: OrderKey, paidAtMs: number): Promise<Order>
  /** @throws AppError order_not_found, order_paid */
  closed(key: OrderKey, closedAtMs: number): Promise<Order>
  /** Merchants whom WeChat Pay refuses at present, whatever the order: their calls rest, their orders are kept. */
  refusedAccounts(): string[]
  /** Since the start, and now. */
  counts(): AssignmentCounts
  /** Null when nobody has it in hand. */
  inHand(key: OrderKey): InHand | null
  /** Takes up what an earlier process left unsettled. */
  resume(): Promise<void>
  /** Refuses new orders; resolves when what is in the air has landed. What is deferred stays for the next start. */
  drain(): Promise<void>
}

type Recorded = { order: Order; isNew: boolean }
type Flight = Window & {
  recorded: Promise<Recorded>
  landed: Promise<Order>
  /** It has more to do than to read the order. */
  isInAir: boolean
  /** Once its guide was refused: the order as its newest generation was recorded. */
  newest: Order | null
  /** Of the order, and not of a repeat or of another guide. */
  isFirst: boolean
  origin: Origin | null
  arrivedMs: number
  recordedMs: number | null
}

const acceptedBounds = [
  0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
]

const later = { isFirst: false, origin: null }
const maxAttemptsWhileAwaited = 3
const pauseAfterFailureMs = 1000
/** So many in the air, and more, may be too many; and, for a process that cannot keep up, so few. */
const crowded = 500
const few = 64
const leastWaitMs = 800

export function createAssignments(deps: {
  ledger: Ledger
  mirror: Mirror
  client: Upstreams
  clock: Clock
  mode: 'direct' | 'partner'
  windowMs: number
  random?: () => number
  /** Of one merchant. */
  ratePerSecond: number
  /** The longest that an attempt is waited for. */
  attemptTimeoutMs?: number
  maxInFlight?: number
  noted?: (order: Order, attempt: Attempt, outcome: Outcome) => void
  /** A defect or a storage fault that no caller is told of. */
  failed(cause: unknown): void
}): Assignments {
  const { ledger, mirror, clock, failed, maxInFlight = 10_000 } = deps
  const flights = new Map<string, Flight>()
  const shares = createShares()
  const random = deps.random ?? Math.random
  const outbound = createOutbound({
    hosts: deps.client.hosts.length,
    clock,
    ratePerSecond: deps.ratePerSecond,
    longestTimeoutMs: deps.attemptTimeoutMs ?? 2000,
    random,
    recovered: () => outbox.hasten(),
  })
  const { opensAtMs } = outbound
  const outbox = createOutbox({
    ledger,
    clock,
    send: sendAgain,
    isInAir: order => flights.get(flightKey(order))?.isInAir === true,
    opensAtMs,
    failed,
  })
  const landings = createMeter()
  const admission = createAdmission({ clock, backlogMs: () => backlogMs(few) })
  const accepted = createDistribution(acceptedBounds)
  const shed = { unread: 0, late: 0 }
  let draining = false

  const flying: FlightDeps = {
    client: deps.client,
    clock,
    outbound,
    random,
    subMchidOf: ({ merchant }) => (deps.mode === 'partner' ? merchant : null),
    noted(order, attempt, outcome) {
      deps.noted?.(order, attempt, outcome)
    },
  }

  /** Puts the order's flight on the map at once, so that nobody else starts one; it leaves the map when it has landed. */
  function depart(
    { merchant, outTradeNo }: OrderKey,
    recorded: Promise<Recorded>,
    maxAttempts: number,
    { isFirst, origin }: Pick<Flight, 'isFirst' | 'origin'> = later,
  ): Flight {
    const flight: Flight = {
      isFirst,
      origin,
      arrivedMs: clock.monotonicMs(),
      recordedMs: null,
      endsAtMs: Number.POSITIVE_INFINITY,
      shorten: null,
      isInAir: false,
      newest: null,
      recorded,
      landed: recorded.then(({ order, isNew }) => {
        flight.recordedMs = clock.monotonicMs() - flight.arrivedMs
        // One that was pending before us is deferred: the outbox has it.
        flight.isInAir = isNew && order.status === 'pending'
        return flight.isInAir ? flyHome(order, flight, maxAttempts) : order
      }),
    }
    const key = flightKey({ merchant, outTradeNo })
    flights.set(key, flight)
    shares.take(merchant)
    const leave = () => {
      flights.delete(key)
      shares.leave(merchant)
      landings.count(clock.monotonicMs())
    }
    flight.landed.then(leave, leave)
    return flight
  }

  async function flyHome(order: Order, flight: Flight, maxAttempts: number): Promise<Order> {
    const landing = await fly(order, flight, maxAttempts, flying)
    const landedMs = clock.monotonicMs()
    const landed = await writeDown(order, landing)
    if (isAccepted(order, landing, landed) && standingOf(landed) === null) {
      // Of an order that had been deferred, the clock on the wall knows when it came.
      const tookMs = flight.isFirst
        ? landedMs - flight.arrivedMs
        : (landed.settledAtMs ?? 0) - landed.decidedAtMs
      accepted.add(Math.max(0, tookMs) / 1000)
    }
    if (landed.status === 'pending' && landed.generation > order.generation) {
      flight.newest = landed
      return flyHome(landed, flight, maxAttempts)
    }
    if (landed.dueAtMs !== null) outbox.expect(landed.dueAtMs)
    return landed
  }

  /** What was learnt is not lost, and nothing is sent again, because the ledger cannot be written now. */
  async function writeDown(order: Order, landing: Landing): Promise<Order> {
    for (;;) {
      try {
        return await write(order, landing)
      } catch (cause) {
        failed(cause)
        if (draining) return order
        await sleep(pauseAfterFailureMs)
      }
    }
  }

  function write(order: Order, landing: Landing): Promise<Order> {
    const { attempts } = landing
    switch (landing.kind) {
      case 'settle':
        return ledger.settle(order, landing.settlement, attempts)
      case 'defer':
        return ledger.defer(order, landing.dueAtMs, landing.upstream, attempts)
      case 'next_guide':
        return ledger.refuse(order, landing, attempts, nextGuide(deps, order))
    }
  }

  async function sendAgain(due: Order): Promise<void> {
    const key = flightKey(due)
    // A duplicate post holds the order's place for the length of one read.
    for (let other = flights.get(key); other; other = flights.get(key)) {
      await other.landed.catch(() => {})
    }
    const current = ledger.find(due).then(order => ({ order: order ?? due, isNew: true }))
    await depart(due, current, 1).landed
  }

  /**
   * What could not be answered in time is refused at once, so that the rest is answered in time. Merchants take turns to
   * depart, so whoever has little in hand is not late because of another.
   */
  function refuseOverload(merchant: string, waitMs: number): void {
    const isLate = backlogMs(crowded) > Math.max(waitMs, leastWaitMs)
    if (flights.size < maxInFlight && !isLate) return
    if (flights.size < 2 * maxInFlight && shares.hasLittle(merchant)) return
    shed.late += 1
    throw overloaded()
  }

  /** How long it takes until all have landed, if there are so many at all, at the rate of the last second. */
  function backlogMs(atLeast: number): number {
    const perSecond = flights.size < atLeast ? 0 : landings.perSecond(clock.monotonicMs())
    // Where nobody lands at all, WeChat Pay is silent, and the orders are kept.
    return perSecond > 0 ? (flights.size / perSecond) * 1000 : 0
  }

  function takeIn(
    posted: PostedOrder,
    facts: string,
    store: ReadyStore,
    waitMs: number,
    origin: Origin | undefined,
  ): Flight {
    if (draining) throw new AppError('draining', 'Post the order to another node, or again later.')
    refuseOverload(posted.merchant, waitMs)
    outbound.welcome(posted.merchant)
    const nowMs = clock.nowMs()
    const recorded = ledger.record({ ...posted, facts }, view => {
      // Inside the transaction: to read by itself would lock the file once more.
      const around = lookAround(mirror, store, posted, nowMs, deps.windowMs)
      const resolution = resolve(posted, around, view)
      if (resolution.status === 'pending') presign(posted, resolution)
      return resolution
    })
    return depart(posted, recorded, maxAttemptsWhileAwaited, {
      isFirst: true,
      origin: origin ?? null,
    })
  }

  function presign({ merchant, outTradeNo }: OrderKey, { guideId }: Resolution): void {
    if (guideId === null) return
    const subMchid = flying.subMchidOf({ merchant })
    deps.client.presign?.({ guideId, outTradeNo, subMchid })
  }

  /** A flight that only reads the order is over soon; one that has it in the air is not waited for. */
  async function awaitReader(key: string, flight: Flight, named: NamedGuide): Promise<void> {
    const { order, isNew } = await flight.recorded
    refuseStale(flight.newest ?? order, named)
    if (isNew && order.status === 'pending' && flights.get(key) === flight) {
      throw inFlight(flight.newest ?? order)
    }
    await flight.landed.catch(() => {})
  }

  function endWindow(order: Order): void {
    const flight = flights.get(flightKey(order))
    if (flight) {
      flight.endsAtMs = order.expiresAtMs
      flight.shorten?.(Math.max(0, order.expiresAtMs - clock.nowMs()))
    }
    if (order.dueAtMs !== null) outbox.expect(order.dueAtMs)
  }

  return {
    admits() {
      if (admission.admits()) return true
      shed.unread += 1
      return false
    },

    async assign(posted, waitMs, origin) {
      const store = mirror.readyStore(posted.storeId, clock.nowMs())
      if (store?.merchant !== posted.merchant) {
        throw new AppError('store_not_found', {
          en: `Store ${posted.storeId} is not known here.`,
          zh: `这里没有门店 ${posted.storeId}。`,
        })
      }
      const facts = printFacts(posted)
      const joined = flights.get(flightKey(posted))
      const flight = joined ?? takeIn(posted, facts, store, waitMs, origin)
      const { order, isNew } = await flight.recorded
      refuseOtherFacts(order.facts, facts)
      return {
        order: await landedWithin(flight, waitMs, order),
        isReplay: joined !== undefined || !isNew,
      }
    },

    async reassign(key, named, waitMs) {
      const found = present(await ledger.find(key), key)
      refuseStale(found, named)
      const place = flightKey(key)
      for (let other = flights.get(place); other; other = flights.get(place)) {
        await awaitReader(place, other, named)
      }
      if (draining) throw new AppError('draining', 'Ask another node, or again later.')
      const nowMs = clock.nowMs()
      const choosing = ledger.reassign(key, nowMs, (order, view) =>
        nameGuide(mirror, present(order, key), named, view, nowMs),
      )
      // Whoever posts the order meanwhile is told of the order, and nothing of what the manager did wrong.
      const recorded = choosing.then(
        order => ({ order: order ?? found, isNew: order !== null }),
        async () => ({ order: (await ledger.find(key)) ?? found, isNew: false }),
      )
      const flight = depart(key, recorded, maxAttemptsWhileAwaited)
      const order = present(await choosing, key)
      return landedWithin(flight, waitMs, order)
    },

    async find(key) {
      return present(await ledger.find(key), key)
    },

    async paid(key, paidAtMs) {
      const order = present(await ledger.markPaid(key, paidAtMs, clock.nowMs()), key)
      if (order.closedAtMs !== null) {
        throw new AppError('order_closed', `Order ${key.outTradeNo} was closed unpaid.`)
      }
      endWindow(order)
      return order
    },

    async closed(key, closedAtMs) {
      const order = present(await ledger.markClosed(key, closedAtMs, clock.nowMs()), key)
      if (order.paidAtMs !== null) {
        throw new AppError('order_paid', `Order ${key.outTradeNo} was paid.`)
      }
      endWindow(order)
      return order
    },

    refusedAccounts: outbound.refusedAccounts,

    counts: () => ({
      accepted: accepted.read(),
      shed: { ...shed },
      inFlight: flights.size,
      outbound: outbound.state(),
    }),

    inHand(key) {
      const flight = flights.get(flightKey(key))
      if (!flight) return null
      const { origin, arrivedMs } = flight
      return { origin, recordedMs: flight.recordedMs ?? clock.monotonicMs() - arrivedMs }
    },

    resume: () => outbox.start(),

    async drain() {
      draining = true
      await outbox.stop()
      await Promise.allSettled([...flights.values()].map(({ landed }) => landed))
      outbound.close()
    },
  }
}

function flightKey({ merchant, outTradeNo }: OrderKey): string {
  return `${merchant}/${outTradeNo}`
}

/** The acceptance came before the order was ended otherwise. */
function isAccepted(order: Order, landing: Landing, landed: Order): boolean {
  if (landing.kind !== 'settle' || landing.settlement.status !== 'assigned') return false
  return landed.status === 'assigned' && landed.generation === order.generation
}

function refuseOtherFacts(recorded: string, posted: string): void {
  const names = differingFields(recorded, posted)
  if (names.length === 0) return
  throw new AppError(
    'order_mismatch',
    `The order was posted before with another ${names.join(', ')}.`,
    {
      fields: names.map(name => ({ pointer: `/${name}`, message: 'differs from the first post' })),
    },
  )
}

function present(order: Order | null, { outTradeNo }: OrderKey): Order {
  if (!order) throw orderNotFound(outTradeNo)
  return order
}

/** The landed order, or the order as recorded last when the caller's wait is over first. */
async function landedWithin(flight: Flight, waitMs: number, recorded: Order): Promise<Order> {
  const landed = waitMs > 0 ? await within(flight.landed, waitMs) : null
  return landed ?? flight.newest ?? recorded
}
