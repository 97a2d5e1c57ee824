import type { Db } from '../db/open.ts'
import type { CountingFrom } from '../rules/eligibility.ts'
import { cartLendsMs, type LoggedTurn, logTurn } from '../rules/logged.ts'
import { openBooks } from './books.ts'
import { type Earlier, earlierFrom, maxDecided, standingOf, withoutTurn } from './generations.ts'
import { type CommitCounts, createGroupCommit } from './group-commit.ts'
import { prepareHotRows } from './hot-rows.ts'
import type {
  Attempt,
  LedgerView,
  NewOrder,
  Order,
  OrderKey,
  OrderTrace,
  Resolution,
  Returned,
  Settlement,
  Succession,
  Upstream,
} from './order.ts'
import {
  createOutcomeCounts,
  type Ending,
  isTooLate,
  type OutcomeCounts,
  settledAs,
} from './outcomes.ts'
import { openPurge } from './purge.ts'
import { prepareStatements } from './statements.ts'
import { openTallies } from './tallies.ts'

/** One row an order, and the fairness books. Whatever resolves is on the disk. */
export type Ledger = {
  /** Decides and records the order, or hands back what was recorded before. */
  record(
    order: NewOrder,
    resolve: (view: LedgerView) => Resolution,
  ): Promise<{ order: Order; isNew: boolean }>
  find(key: OrderKey): Promise<Order | null>
  /** How many orders a guide of the store has had since then; for a look, not for a decision. */
  tally(storeId: number, guideId: string, from: CountingFrom): { hour: number; day: number }
  /**
   * Ends a pending order; one that was ended already, or is of a later generation, comes back as it is. A refusal gives
   * the turn back, and the order to the guide whom WeChat Pay has accepted before, if it had: reason `RESTORED`.
   */
  settle(order: Order, settlement: Settlement, attempts: readonly Attempt[]): Promise<Order>
  /**
   * WeChat Pay refused the guide: gives the turn back and records the next generation, pending with whom `next` names.
   * When it names nobody, the window is over, or so many were refused, the order is settled as refused.
   */
  refuse(
    order: Order,
    refusal: { atMs: number; upstream: Upstream | null },
    attempts: readonly Attempt[],
    next: Succession,
  ): Promise<Order>
  /**
   * Gives the turn back and records the next generation as `choose` says, which sees the order as it is; when it says
   * null nothing changes, and null comes back.
   */
  reassign(
    key: OrderKey,
    nowMs: number,
    choose: (order: Order | null, view: LedgerView) => Resolution | null,
  ): Promise<Order | null>
  /** Keeps the order pending, to be sent again at `dueAtMs`. */
  defer(
    order: Order,
    dueAtMs: number,
    upstream: Upstream | null,
    attempts: readonly Attempt[],
  ): Promise<Order>
  /**
   * Looks at no more than `limit` pending orders whose window is over, and ends those that are not in the air: how many.
   * One that is will be looked at again, once its attempt, which ends with the window, has been written down.
   */
  expire(nowMs: number, limit: number, isInAir: (order: Order) => boolean): Promise<number>
  /** Hands out pending orders that are due, nearest expiry first; each is due again only after it expired. */
  lease(nowMs: number, limit: number): Promise<Order[]>
  /** Makes the orders due now that wait for their next attempt; how many. Those in the air stay with whoever has them. */
  hasten(nowMs: number): Promise<number>
  /** When the next pending order is due; null when none is pending. */
  nextDueAtMs(): Promise<number | null>
  /** Makes every pending order due at once: whoever had them in hand is gone. */
  reclaim(): Promise<number>
  /** Payment ends the window. Null when there is no such order. */
  markPaid(key: OrderKey, paidAtMs: number, nowMs: number): Promise<Order | null>
  /** Closing ends the window and gives the turn back. Null when there is no such order. */
  markClosed(key: OrderKey, closedAtMs: number, nowMs: number): Promise<Order | null>
  /**
   * Removes the first few of these orders, a few milliseconds' worth: all that the store has up to the last of them, by
   * their ids. How many; fewer than there are when one is pending.
   */
  purge(storeId: number, ids: readonly number[]): Promise<number>
  /** Orders removed since it was opened. */
  purged(): number
  /** How the orders ended that this ledger has settled since it was opened. */
  outcomes(): OutcomeCounts
  commits(): CommitCounts
  /** What is pending now, and when the first of it expires; null when nothing is. */
  backlog(): { pending: number; nearestExpiryMs: number | null }
}

/** An order in the air when it expires is settled by its attempt, whose timeout ends then; the lease waits a little for that. */
const graceMs = 250
const maxAttemptsKept = 20

export function openLedger(
  db: Db,
  /** Called once what settled the order is on the disk. */
  settled: (order: Order) => void = () => {},
): Ledger {
  const books = openBooks(db)
  const tallies = openTallies(db)
  const commit = createGroupCommit(db.$client, {
    beforeCommit: books.write,
    afterCommit(jobs) {
      db.storage.wrote(jobs)
      counts.add(endings)
      for (const order of inserted) counts.decided(order)
      const ended = done
      endings = []
      inserted = []
      done = []
      for (const order of ended) settled(order)
    },
    afterRollback() {
      endings = []
      inserted = []
      done = []
      books.forget()
      tallies.forget()
    },
    failed: db.storage.met,
  })
  const statements = prepareStatements(db)
  const hot = prepareHotRows(db.$client)
  const purge = openPurge(db)
  const counts = createOutcomeCounts()
  /** Of the transaction under way. */
  let endings: Ending[] = []
  let done: Order[] = []
  let inserted: Pick<Order, 'status' | 'reason'>[] = []
  let lastSeq = 0
  let purged = 0

  function noteSettled(order: Order): Order {
    const ending = settledAs(order)
    if (ending) {
      endings.push(ending)
      done.push(order)
    }
    return order
  }

  function byKey(key: OrderKey): Order | null {
    return statements.byNumber.get(key) ?? null
  }

  function viewOf(storeId: number, sticky: string | null): LedgerView {
    return {
      openBook: name => books.view(storeId, name),
      cartGuide: () => sticky,
      tally: (guideId, from) => tallies.of(storeId, guideId, from),
    }
  }

  function insert(order: NewOrder, resolution: Resolution, lender: Order | null): Order {
    const held = turnFor(order, resolution, lender)
    const { steps, blocked, asked } = resolution
    const trace: OrderTrace = { steps, blocked, asked, ...held }
    const row: Omit<Order, 'id'> = {
      merchant: order.merchant,
      outTradeNo: order.outTradeNo,
      storeId: order.storeId,
      facts: order.facts,
      // A test scan must not lend its guide to the order that is meant.
      cartId: order.test ? null : order.cartId,
      status: resolution.status,
      generation: 1,
      guideId: resolution.guideId,
      reason: resolution.reason,
      staffVersion: resolution.versions.staff,
      rosterVersion: resolution.versions.roster,
      planVersion: resolution.versions.plan,
      trace: JSON.stringify(trace),
      turn: held.turn && !order.test ? 'taken' : null,
      decidedAtMs: resolution.decidedAtMs,
      expiresAtMs: resolution.expiresAtMs,
      dueAtMs: resolution.status === 'pending' ? resolution.expiresAtMs + graceMs : null,
      settledAtMs: resolution.status === 'pending' ? null : resolution.decidedAtMs,
      attemptCount: 0,
      attempts: '[]',
      upstream: null,
      paidAtMs: null,
      closedAtMs: null,
    }
    const id = hot.insert(row)
    if (!order.test) tallies.add(row, 1)
    inserted.push(row)
    return noteSettled({ ...row, id })
  }

  /**
   * A cart has one turn, and its newest order holds it: else a number that is closed and made anew would serve for
   * nothing, and the same guide be first in turn again.
   */
  function turnFor(
    { storeId, test }: Pick<NewOrder, 'storeId' | 'test'>,
    { turn, reason }: Resolution,
    lender: Order | null,
  ): Pick<OrderTrace, 'turn' | 'inherited'> {
    if (test) return { turn: turn && logTurn(turn, 0) }
    if (turn) return { turn: books.take(storeId, turn) }
    const lent = lender && reason === 'STICKY_CART' ? turnOf(lender) : null
    if (!lender || !lent) return { turn: null }
    return borrow(lender, lent)
  }

  /** A turn that an order of the cart holds, or holds no more. */
  function borrow(
    mate: Pick<Order, 'storeId' | 'cartId'>,
    turn: LoggedTurn,
  ): Pick<OrderTrace, 'turn' | 'inherited'> {
    const holder = mate.cartId === null ? undefined : statements.holder.get(sharing(mate, turn))
    if (!holder) return { turn: books.takeAnew(mate.storeId, turn) }
    update({ ...holder, turn: null })
    return { turn, inherited: true }
  }

  /** The turn of a cart goes back to the newest order that had it before and is still open or paid; false when there is none. */
  function passTurnOn(order: Order): boolean {
    const turn = order.turn === 'taken' && order.cartId !== null ? turnOf(order) : null
    const heir = turn && statements.heir.get({ ...sharing(order, turn), id: order.id })
    if (!heir) return false
    update({ ...heir, turn: 'taken' })
    return true
  }

  /** What is given back when an order is refused, or closed for the first time: a cart's turn passes on instead. */
  function giveBack(order: Order): { turn: Order['turn']; number: number | null } {
    const turn = order.turn === 'taken' && !passTurnOn(order) ? turnOf(order) : null
    const number = turn && books.refund(order.storeId, turn)
    const kept = order.turn === 'taken' ? null : order.turn
    return { turn: turn ? 'refunded' : kept, number }
  }

  function noteEnd(order: Order, by: Returned['by'], number: number | null, nowMs: number): Order {
    if (order.trace === null) return order
    const returned = endOf(order, by, number, nowMs)
    const trace = JSON.stringify({ ...JSON.parse(order.trace), returned } satisfies OrderTrace)
    statements.retrace.run({ id: order.id, trace })
    return { ...order, trace }
  }

  function endOf(
    { id }: Order,
    by: Returned['by'],
    number: number | null,
    nowMs: number,
  ): Returned {
    // Of the clock, so that it grows across a restart as well.
    lastSeq = Math.max(lastSeq + 1, nowMs)
    return { by, after: statements.lastId.get()?.id ?? id, seq: lastSeq, number }
  }

  /** What a refusal makes of an order that is pending: its next generation, the guide before it, or its end. */
  function refuse(found: Order, atMs: number, next: Succession | null): Order {
    if (found.closedAtMs !== null) return end(found, 'rejected', atMs)
    takeBack(found)
    const { turn, number } = giveBack(found)
    // Before anybody asks who of the cart holds the turn.
    const order = update({ ...found, turn })
    const standing = standingOf(order)
    if (standing) return restore(order, standing, number, atMs)
    const isOver =
      order.paidAtMs !== null || order.expiresAtMs <= atMs || order.generation >= maxDecided
    const decided = isOver || !next ? null : decideNext(order, next)
    if (decided?.resolution.status !== 'pending') {
      return noteEnd(end(order, 'rejected', atMs), 'rejected', number, atMs)
    }
    const { resolution, lender } = decided
    const held = turnFor({ ...order, test: isTest(order) }, resolution, lender)
    return succeed(order, { by: 'refused', number, atMs }, resolution, held)
  }

  function decideNext(order: Order, { resolve }: Succession) {
    const mate = order.cartId === null ? undefined : statements.mate.get(order)
    const lender = mate?.paidAtMs === null ? mate : null
    return resolveInCart(lender, sticky => resolve(viewOf(order.storeId, sticky)))
  }

  /** WeChat Pay keeps the guide whom it has accepted: what the order says is what the bill will show. */
  function restore(order: Order, before: Earlier, number: number | null, atMs: number): Order {
    const { guideId, steps, asked, versions, settledAtMs, turn } = before
    const blocked = withoutTurn(before)
    const held = turn && turn.number !== 0 ? borrow(order, turn) : { turn }
    const restored = succeed(
      order,
      { by: 'refused', number, atMs },
      { guideId, steps, blocked, asked, versions, reason: 'RESTORED', decidedAtMs: atMs },
      held,
    )
    const row: Order = {
      ...restored,
      status: 'assigned',
      settledAtMs,
      dueAtMs: null,
      upstream: order.upstream,
    }
    return noteSettled(update(row))
  }

  /** The next generation of the order, pending; the one before it stays in the trace. */
  function succeed(
    order: Order,
    { by, number, atMs }: { by: 'refused' | 'reassigned'; number: number | null; atMs: number },
    next: Omit<Resolution, 'status' | 'turn' | 'expiresAtMs'>,
    held: Pick<OrderTrace, 'turn' | 'inherited'>,
  ): Order {
    const { steps, blocked, asked, named } = next
    const before = earlierFrom(order, endOf(order, by, number, atMs))
    const { earlier = [] }: OrderTrace = JSON.parse(order.trace ?? '{}')
    const trace: OrderTrace = {
      steps,
      blocked,
      asked,
      ...held,
      ...(named ? { named } : {}),
      decidedAtMs: next.decidedAtMs,
      earlier: [...earlier, before],
    }
    const row: Order = {
      ...order,
      status: 'pending',
      generation: order.generation + 1,
      guideId: next.guideId,
      reason: next.reason,
      staffVersion: next.versions.staff,
      rosterVersion: next.versions.roster,
      planVersion: next.versions.plan,
      trace: JSON.stringify(trace),
      turn: held.turn && !isTest(order) ? 'taken' : null,
      dueAtMs: order.expiresAtMs + graceMs,
      settledAtMs: null,
      upstream: null,
    }
    statements.regenerate.run(row)
    if (!isTest(order)) tallies.add(row, 1)
    return update(row)
  }

  /** The order counts against no cap any more. */
  function takeBack(order: Order): void {
    if (!isTest(order)) tallies.add(order, -1)
  }

  function update(order: Order): Order {
    statements.update.run(order)
    return order
  }

  function end(order: Order, status: Settlement['status'], settledAtMs: number): Order {
    return noteSettled(update({ ...order, status, settledAtMs, dueAtMs: null }))
  }

  return {
    record: (order, resolve) =>
      commit.run(() => {
        const known = hot.isKnown(order.merchant, order.outTradeNo) ? byKey(order) : null
        if (known) return { order: known, isNew: false }
        const { resolution, lender } = resolveInCart(lenderTo(order), sticky =>
          resolve(viewOf(order.storeId, sticky)),
        )
        return { order: insert(order, resolution, lender), isNew: true }
      }),

    find: async key => byKey(key),

    tally: tallies.of,

    settle: (order, { status, settledAtMs, upstream }, attempts) =>
      commit.run(() => {
        const untouched =
          status === 'assigned'
            ? hot.assigned(order, settledAtMs, withAttempts(order, attempts))
            : null
        if (untouched) return noteSettled(untouched)
        const found = inHand(order)
        if (!isOf(found, order)) return found
        const now = {
          ...found,
          ...withAttempts(found, attempts),
          upstream: settledUpstream(status, upstream, found),
        }
        return status === 'rejected'
          ? refuse(now, settledAtMs, null)
          : end(now, status, settledAtMs)
      }),

    refuse: (order, { atMs, upstream }, attempts, next) =>
      commit.run(() => {
        next.bar()
        const found = inHand(order)
        if (!isOf(found, order)) return found
        const now = {
          ...found,
          ...withAttempts(found, attempts),
          upstream: settledUpstream('rejected', upstream, found),
        }
        return refuse(now, atMs, next)
      }),

    reassign: (key, nowMs, choose) =>
      commit.run(() => {
        const order = byKey(key)
        const chosen = choose(order, viewOf(order?.storeId ?? 0, null))
        if (!order || !chosen) return null
        takeBack(order)
        const { turn, number } = giveBack(order)
        const before = update({ ...order, turn })
        return succeed(before, { by: 'reassigned', number, atMs: nowMs }, chosen, { turn: null })
      }),

    defer: (order, dueAtMs, upstream, attempts) =>
      commit.run(() => {
        const now = inHand(order)
        if (!isOf(now, order)) return now
        return update({
          ...now,
          ...withAttempts(now, attempts),
          upstream: upstream ? JSON.stringify(upstream) : now.upstream,
          dueAtMs: Math.min(dueAtMs, now.expiresAtMs),
        })
      }),

    expire: (nowMs, limit, isInAir) =>
      commit.run(() => {
        const over = statements.over.all({ nowMs, limit })
        const [flying, landed] = partition(over, isInAir)
        for (const order of flying) update({ ...order, dueAtMs: nowMs + graceMs })
        for (const order of landed) end(order, 'expired', nowMs)
        return landed.length
      }),

    lease: (nowMs, limit) =>
      commit.run(() =>
        statements.due
          .all({ nowMs, limit })
          .map(order =>
            update({ ...order, dueAtMs: Math.max(order.expiresAtMs, nowMs) + graceMs }),
          ),
      ),

    hasten: nowMs => commit.run(() => statements.hasten.run({ nowMs }).changes),

    nextDueAtMs: async () => statements.nextDue.get()?.dueAtMs ?? null,

    reclaim: () => commit.run(() => statements.reclaim.run().changes),

    markPaid: (key, paidAtMs, nowMs) =>
      commit.run(() => {
        const order = byKey(key)
        if (!order || order.paidAtMs !== null || order.closedAtMs !== null) return order
        const isRefused = order.status === 'rejected'
        const noted =
          order.cartId === null || isRefused ? order : noteEnd(order, 'paid', null, nowMs)
        const paid = { ...noted, ...endOfWindow(order, paidAtMs, nowMs), paidAtMs }
        if (paid.status !== 'pending' && isTooLate(paid)) endings.push('found_too_late')
        return update(paid)
      }),

    markClosed: (key, closedAtMs, nowMs) =>
      commit.run(() => {
        const order = byKey(key)
        if (!order || order.paidAtMs !== null || order.closedAtMs !== null) return order
        const closed = {
          ...order,
          ...endOfWindow(order, closedAtMs, nowMs),
          closedAtMs,
        }
        if (order.status === 'rejected') return update(closed)
        takeBack(order)
        const { turn, number } = giveBack(order)
        return update({ ...noteEnd(closed, 'closed', number, nowMs), turn })
      }),

    async purge(storeId, ids) {
      for (;;) {
        const { orders, isMore } = await commit.run(() => purge.batch(storeId, ids))
        purged += orders
        if (orders > 0 || !isMore) return orders
      }
    },
    purged: () => purged,

    outcomes: counts.read,
    commits: commit.commits,
    backlog: () => statements.backlog.get() ?? { pending: 0, nearestExpiryMs: null },
  }

  function inHand(order: Order): Order {
    const now = statements.byId.get(order)
    if (!now) throw new Error(`order ${order.id} is gone from the ledger`)
    return now
  }

  function lenderTo({ storeId, cartId }: NewOrder): Order | null {
    const newest = cartId === null ? undefined : statements.byCart.get({ storeId, cartId })
    return newest?.paidAtMs === null ? newest : null
  }
}

/** Asks with the guide whom the cart lends; only the answer says when that was, and without them if it was too late. */
export function resolveInCart<Lender extends Pick<Order, 'guideId' | 'decidedAtMs'>>(
  lender: Lender | null,
  ask: (sticky: string | null) => Resolution,
): { resolution: Resolution; lender: Lender | null } {
  const resolution = ask(lender?.guideId ?? null)
  const isLent = !lender || resolution.decidedAtMs - lender.decidedAtMs <= cartLendsMs
  return isLent ? { resolution, lender } : { resolution: ask(null), lender: null }
}

/** The orders of the cart that log this very turn. */
function sharing(
  { storeId, cartId }: Pick<Order, 'storeId' | 'cartId'>,
  { book, number }: LoggedTurn,
) {
  return { storeId, cartId, book, number }
}

/** Whether what was sent for `sent` says anything of the order as it is now. */
function isOf(now: Order, sent: Order): boolean {
  return now.status === 'pending' && now.generation === sent.generation
}

function turnOf({ trace }: Order): LoggedTurn | null {
  const { turn }: Pick<OrderTrace, 'turn'> = JSON.parse(trace ?? '{"turn":null}')
  return turn
}

function isTest({ facts }: Order): boolean {
  const { test }: { test?: boolean } = JSON.parse(facts)
  return test === true
}

function partition<T>(all: readonly T[], isOne: (one: T) => boolean): [ones: T[], others: T[]] {
  const { ones = [], others = [] } = Object.groupBy(all, one => (isOne(one) ? 'ones' : 'others'))
  return [ones, others]
}

/** An order in the air stays in hand: its attempt is about to end, and what it learns is to be written down. */
function endOfWindow(
  { expiresAtMs, dueAtMs, decidedAtMs }: Order,
  endedAtMs: number,
  nowMs: number,
): Pick<Order, 'expiresAtMs' | 'dueAtMs'> {
  const endsAtMs = Math.min(expiresAtMs, Math.max(Math.min(endedAtMs, nowMs), decidedAtMs))
  if (dueAtMs === null) return { expiresAtMs: endsAtMs, dueAtMs }
  const isInHand = dueAtMs > expiresAtMs
  const latestMs = isInHand ? Math.max(endsAtMs, nowMs) + graceMs : endsAtMs
  return { expiresAtMs: endsAtMs, dueAtMs: Math.min(dueAtMs, latestMs) }
}

function settledUpstream(
  status: Settlement['status'],
  upstream: Upstream | null,
  before: Order,
): string | null {
  if (status === 'assigned') return null
  return upstream ? JSON.stringify(upstream) : before.upstream
}

function withAttempts(
  order: Order,
  attempts: readonly Attempt[],
): Pick<Order, 'attempts' | 'attemptCount'> {
  const before: Attempt[] = order.attemptCount === 0 ? [] : JSON.parse(order.attempts)
  return {
    attempts: JSON.stringify([...before, ...attempts].slice(-maxAttemptsKept)),
    attemptCount: order.attemptCount + attempts.length,
  }
}
