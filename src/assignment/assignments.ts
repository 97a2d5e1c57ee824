import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { AppError, orderNotFound } from '../errors.ts'
import type { Attempt, Ledger, Order, OrderKey } from '../ledger/ledger.ts'
import type { Mirror, ReadyStore } from '../mirror/mirror.ts'
import type { Outcome } from '../wechatpay/outcome.ts'
import { differingFields, type PostedFacts, printFacts } from './facts.ts'
import { type FlightDeps, fly, type Landing, type Upstreams, type Window } from './fly.ts'
import { createMeter } from './meter.ts'
import { createOutbound } from './outbound.ts'
import { createOutbox } from './outbox.ts'
import { lookAround, resolve } from './resolve.ts'

/** An order as it was posted, its merchant known. */
export type PostedOrder = OrderKey & PostedFacts

export type Answered = { order: Order; isReplay: boolean }

export type Assignments = {
  /**
   * Decides, records, calls; resolves when the order is settled or deferred, or after `waitMs`, whichever is first.
   *
   * @throws AppError store_not_found, order_mismatch, overloaded, draining, storage_full
   */
  assign(posted: PostedOrder, waitMs: number): Promise<Answered>
  /** @throws AppError order_not_found */
  find(key: OrderKey): Promise<Order>
  /** @throws AppError order_not_found, order_closed */
  paid(key: OrderKey, paidAtMs: number): Promise<Order>
  /** @throws AppError order_not_found, order_paid */
  closed(key: OrderKey, closedAtMs: number): Promise<Order>
  /** Takes up what an earlier process left unsettled. */
  resume(): Promise<void>
  /** Refuses new orders; resolves when what is in the air has landed. What is deferred stays for the next start. */
  drain(): Promise<void>
}

type Recorded = { order: Order; isNew: boolean }
type Flight = Window & { recorded: Promise<Recorded>; landed: Promise<Order> }

const maxAttemptsWhileAwaited = 3
const pauseAfterFailureMs = 1000
/** So many in the air, and more, may be too many. */
const crowded = 500
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
  const outbox = createOutbox({ ledger, clock, send: sendAgain, opensAtMs, failed })
  const landings = createMeter()
  let draining = false

  const flying: FlightDeps = {
    client: deps.client,
    clock,
    outbound,
    random,
    subMchidOf: ({ merchant }) => (deps.mode === 'partner' ? merchant : null),
    noted(order, attempt, outcome) {
      if (outcome.kind === 'rejected' && outcome.blames === 'guide') quarantine(order)
      deps.noted?.(order, attempt, outcome)
    },
  }

  // Its turn is given back: still in the pool, the guide would be first again, and take every order of the store.
  function quarantine({ guideId }: Order): void {
    if (guideId !== null) mirror.quarantine(guideId)
  }

  /** Puts the order's flight on the map at once, so that nobody else starts one; it leaves the map when it has landed. */
  function depart(key: string, recorded: Promise<Recorded>, maxAttempts: number): Flight {
    const flight: Flight = {
      endsAtMs: Number.POSITIVE_INFINITY,
      shorten: null,
      recorded,
      landed: recorded.then(({ order, isNew }) =>
        // One that was pending before us is deferred: the outbox has it.
        isNew && order.status === 'pending' ? flyHome(order, flight, maxAttempts) : order,
      ),
    }
    flights.set(key, flight)
    const leave = () => {
      flights.delete(key)
      landings.count(clock.monotonicMs())
    }
    flight.landed.then(leave, leave)
    return flight
  }

  async function flyHome(order: Order, window: Window, maxAttempts: number): Promise<Order> {
    const landing = await fly(order, window, maxAttempts, flying)
    const landed = await writeDown(order, landing)
    if (landed.dueAtMs !== null) outbox.expect(landed.dueAtMs)
    return landed
  }

  /** What was learnt is not lost, and nothing is sent again, because the ledger cannot be written now. */
  async function writeDown(order: Order, landing: Landing): Promise<Order> {
    for (;;) {
      try {
        return landing.kind === 'settle'
          ? await ledger.settle(order, landing.settlement, landing.attempts)
          : await ledger.defer(order, landing.dueAtMs, landing.upstream, landing.attempts)
      } catch (cause) {
        failed(cause)
        if (draining) return order
        await sleep(pauseAfterFailureMs)
      }
    }
  }

  async function sendAgain(due: Order): Promise<void> {
    const key = flightKey(due)
    // A duplicate post holds the order's place for the length of one read.
    for (let other = flights.get(key); other; other = flights.get(key)) {
      await other.landed.catch(() => {})
    }
    const current = ledger.find(due).then(order => ({ order: order ?? due, isNew: true }))
    await depart(key, current, 1).landed
  }

  /** What could not be answered in time is refused at once, so that the rest is answered in time. */
  function refuseOverload(waitMs: number): void {
    const { size } = flights
    const perSecond = size < crowded ? 0 : landings.perSecond(clock.monotonicMs())
    // Where nobody lands at all, WeChat Pay is silent, and the orders are kept.
    const isLate = perSecond > 0 && (size / perSecond) * 1000 > Math.max(waitMs, leastWaitMs)
    if (size < maxInFlight && !isLate) return
    throw new AppError('overloaded', 'Too many orders are in the air.', { retryAfterSeconds: 1 })
  }

  function takeIn(posted: PostedOrder, facts: string, store: ReadyStore, waitMs: number): Flight {
    if (draining) throw new AppError('draining', 'Post the order to another node, or again later.')
    refuseOverload(waitMs)
    outbound.welcome(posted.merchant)
    const around = lookAround(mirror, store, posted, clock.nowMs(), deps.windowMs)
    const recorded = ledger.record({ ...posted, facts }, view => resolve(posted, around, view))
    return depart(flightKey(posted), recorded, maxAttemptsWhileAwaited)
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
    async assign(posted, waitMs) {
      const store = mirror.readyStore(posted.storeId, clock.nowMs())
      if (store?.merchant !== posted.merchant) {
        throw new AppError('store_not_found', {
          en: `Store ${posted.storeId} is not known here.`,
          zh: `这里没有门店 ${posted.storeId}。`,
        })
      }
      const facts = printFacts(posted)
      const joined = flights.get(flightKey(posted))
      const flight = joined ?? takeIn(posted, facts, store, waitMs)
      const { order, isNew } = await flight.recorded
      refuseOtherFacts(order.facts, facts)
      return {
        order: await within(flight.landed, waitMs, order),
        isReplay: joined !== undefined || !isNew,
      }
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

/** The landed order, or the order as recorded when the caller's wait is over first. */
async function within(landed: Promise<Order>, waitMs: number, recorded: Order): Promise<Order> {
  if (waitMs <= 0) return recorded
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<Order>(done => {
    timer = setTimeout(done, waitMs, recorded)
  })
  try {
    return await Promise.race([landed, over])
  } finally {
    clearTimeout(timer)
  }
}
