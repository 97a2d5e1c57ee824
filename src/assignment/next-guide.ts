import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { maxGenerations, mayYetTakeEffect } from '../ledger/generations.ts'
import type { LedgerView, Order, Resolution, Succession } from '../ledger/order.ts'
import type { Mirror, ReadyStore } from '../mirror/mirror.ts'
import { decide } from '../rules/decide.ts'
import { readFacts } from './facts.ts'
import { lookAround, resolve } from './resolve.ts'

/** A guide whom a manager names for an order that has one, or nobody. */
export type NamedGuide = {
  guideId: string
  why: string
  by: string
  /** The generations that the manager may have read. */
  generations: readonly number[]
}

/**
 * Whom the rules give an order whose guide WeChat Pay has refused: by the documents, the owner and the settings of that
 * moment. Still in the pool, the guide would be first in turn again, and take every order of the store.
 */
export function nextGuide(
  { mirror, clock, windowMs }: { mirror: Mirror; clock: Clock; windowMs: number },
  order: Order,
): Succession {
  return {
    bar() {
      if (order.guideId !== null) mirror.quarantine(order.guideId)
    },
    resolve(view) {
      const nowMs = clock.nowMs()
      const facts = readFacts(order)
      return resolve(
        facts,
        lookAround(mirror, readyStore(mirror, order, nowMs), facts, nowMs, windowMs),
        view,
      )
    },
  }
}

/**
 * The guide whom a manager names, out of turn and without one.
 *
 * @throws AppError precondition_failed, order_paid, order_closed, order_in_flight, window_over, not_reassignable,
 * guide_not_found, guide_not_eligible
 */
export function nameGuide(
  mirror: Mirror,
  order: Order,
  wanted: NamedGuide,
  view: LedgerView,
  nowMs: number,
): Resolution {
  const { guideId, why, by } = wanted
  refuseStale(order, wanted)
  refuseEnded(order, nowMs)
  const store = readyStore(mirror, order, nowMs)
  refuseGuide(mirror, store, order, guideId)
  const { rules } = store
  const { guides: paused, isPaused } = pausesOf(store, nowMs)
  const { blocked } = decide(
    { ...rules, plan: { ...rules.plan, steps: [byName(guideId), { use: 'none' }] } },
    {
      ...readFacts(order),
      atMs: nowMs,
      hint: null,
      owner: null,
      sticky: null,
      isPaused,
      openBook: view.openBook,
      tally: view.tally,
    },
  )
  return {
    status: 'pending',
    guideId,
    reason: 'NAMED',
    turn: null,
    steps: rules.plan.steps.map(() => 'not_reached'),
    blocked,
    asked: { owner: null, sticky: null, ...(paused.length > 0 ? { paused } : {}) },
    versions: rules.versions,
    decidedAtMs: nowMs,
    expiresAtMs: order.expiresAtMs,
    named: { by, why },
  }
}

function byName(id: string) {
  return { use: 'guide', id, if: 'always', counts: 'none' } as const
}

function pausesOf({ rules, isPaused }: ReadyStore, nowMs: number) {
  const isPausedNow = (id: string) => isPaused(id, nowMs)
  const guides = rules.crew.members.map(({ id }) => id).filter(isPausedNow)
  return { guides, isPaused: isPausedNow }
}

export function refuseStale({ generation }: Order, { generations }: NamedGuide): void {
  if (generations.includes(generation)) return
  throw new AppError(
    'precondition_failed',
    `The order is in generation ${generation} by now: read it, and decide again.`,
  )
}

function refuseEnded(order: Order, nowMs: number): void {
  const { outTradeNo, status } = order
  if (order.paidAtMs !== null) throw new AppError('order_paid', `Order ${outTradeNo} was paid.`)
  if (order.closedAtMs !== null) {
    throw new AppError('order_closed', `Order ${outTradeNo} was closed unpaid.`)
  }
  if (order.expiresAtMs <= nowMs || status === 'expired') {
    throw new AppError('window_over', 'The window to assign a guide is over.')
  }
  if (status === 'rejected' || status === 'skipped') {
    throw new AppError(
      'not_reassignable',
      `The order is ${status}: WeChat Pay takes no guide for it.`,
    )
  }
  if (order.generation >= maxGenerations) {
    throw new AppError('not_reassignable', `The order has had ${maxGenerations} generations.`)
  }
  if (status === 'pending' && mayYetTakeEffect(order)) throw inFlight(order)
}

export function inFlight({ guideId, outTradeNo }: Order): AppError {
  return new AppError(
    'order_in_flight',
    `WeChat Pay may yet accept guide ${guideId} for order ${outTradeNo}: read the order until it is settled.`,
    { retryAfterSeconds: 1 },
  )
}

function refuseGuide(mirror: Mirror, store: ReadyStore, order: Order, guideId: string): void {
  const member = store.rules.crew.byId.get(guideId)
  const known = mirror.knownGuides([guideId]).get(guideId)
  // Of another merchant: no more is told than of a guide whom nobody knows.
  if (!known || known.merchant !== store.merchant) {
    throw new AppError('guide_not_found', `Guide ${guideId} is not registered here.`)
  }
  if (known.state === 'quarantined') {
    throw new AppError('guide_not_eligible', `WeChat Pay has refused guide ${guideId} before.`)
  }
  if (!member) {
    throw new AppError(
      'guide_not_eligible',
      `Guide ${guideId} is not on the staff of store ${store.storeId}.`,
    )
  }
  if (order.guideId === guideId) {
    throw new AppError('guide_not_eligible', `Guide ${guideId} has the order already.`)
  }
}

function readyStore(mirror: Mirror, { storeId }: Order, nowMs: number): ReadyStore {
  const store = mirror.readyStore(storeId, nowMs)
  if (!store) throw new Error(`store ${storeId} of an order is gone`)
  return store
}
