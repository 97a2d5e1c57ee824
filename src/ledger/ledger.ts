import { and, desc, eq, isNotNull, isNull, lte, ne, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import type { BookView, DocumentVersions, Owner, StepVerdict, Turn } from '../rules/decide.ts'
import type { CountingFrom, NotChosen } from '../rules/eligibility.ts'
import { inherit, type LoggedTurn, logTurn } from '../rules/logged.ts'
import { openBooks } from './books.ts'
import { createGroupCommit } from './group-commit.ts'
import { orders } from './schema.ts'
import { openTallies } from './tallies.ts'

export type Order = typeof orders.$inferSelect
export type OrderKey = { merchant: string; outTradeNo: string }

export type NewOrder = OrderKey & {
  storeId: number
  /** The posted facts in canonical form: two posts of one order must agree on them to the letter. */
  facts: string
  cartId: string | null
  test: boolean
}

/** What the rules made of a new order. `turn` is charged unless the order is a test. */
export type Resolution = {
  status: 'pending' | 'unassigned' | 'skipped' | 'expired'
  guideId: string | null
  reason: string
  turn: Turn | null
  steps: StepVerdict[]
  blocked: [guideId: string, reason: NotChosen][]
  asked: Asked
  versions: DocumentVersions
  decidedAtMs: number
  expiresAtMs: number
}

/** What was known of the order beside its facts: a replay must ask the same question. */
export type Asked = { owner: Owner | null; sticky: string | null; paused?: readonly string[] }

/** What the decision may ask of the ledger, inside the transaction that records it. */
export type LedgerView = {
  openBook(name: string): BookView
  /** The guide of the newest order of the same cart, if it got one. */
  cartGuide(): string | null
  /** How many orders a guide of the store has had since then. */
  tally(guideId: string, from: CountingFrom): { hour: number; day: number }
}

export type Attempt = {
  at_ms: number
  host: string
  ms: number
  outcome: string
  request_id: string | null
}

export type Upstream = { status: number; code: string; message: string; request_id: string | null }

export type Settlement = {
  status: 'assigned' | 'rejected' | 'expired'
  settledAtMs: number
  upstream: Upstream | null
}

export type OrderTrace = {
  steps: StepVerdict[]
  blocked: [guideId: string, reason: NotChosen][]
  asked: Asked
  turn: LoggedTurn | null
  /** The turn was taken for an earlier order of the cart. */
  inherited?: true
  returned?: Returned
}

/**
 * The order was refused or closed, and counts no more: after which order of the ledger (its id), and the number of
 * the refund in the book of its turn, null when it had none to give back.
 */
export type Returned = { by: 'rejected' | 'closed'; after: number; number: number | null }

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
  /** Ends a pending order; one that was ended already comes back as it is. A refusal gives the turn back. */
  settle(order: Order, settlement: Settlement, attempts: readonly Attempt[]): Promise<Order>
  /** Keeps the order pending, to be sent again at `dueAtMs`. */
  defer(
    order: Order,
    dueAtMs: number,
    upstream: Upstream | null,
    attempts: readonly Attempt[],
  ): Promise<Order>
  /** Ends at most `limit` pending orders whose window is over and that nobody has in the air; how many there were. */
  expire(nowMs: number, limit: number): Promise<number>
  /** Hands out pending orders that are due, nearest expiry first; each is due again only after it expired. */
  lease(nowMs: number, limit: number): Promise<Order[]>
  /** When the next pending order is due; null when none is pending. */
  nextDueAtMs(): Promise<number | null>
  /** Makes every pending order due at once: whoever had them in hand is gone. */
  reclaim(): Promise<number>
  /** Payment ends the window. Null when there is no such order. */
  markPaid(key: OrderKey, paidAtMs: number, nowMs: number): Promise<Order | null>
  /** Closing ends the window and gives the turn back. Null when there is no such order. */
  markClosed(key: OrderKey, closedAtMs: number, nowMs: number): Promise<Order | null>
}

/** An order in the air when it expires is settled by its attempt, whose timeout ends then; the lease waits a little for that. */
const graceMs = 250
const maxAttemptsKept = 20

export function openLedger(db: Db): Ledger {
  const books = openBooks(db)
  const tallies = openTallies(db)
  const commit = createGroupCommit(db.$client, {
    beforeCommit: books.write,
    afterRollback() {
      books.forget()
      tallies.forget()
    },
  })
  const statements = prepare(db)

  function byKey(key: OrderKey): Order | null {
    return statements.byNumber.get(key) ?? null
  }

  function insert(order: NewOrder, resolution: Resolution): Order {
    const held = turnFor(order, resolution)
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
    const { lastInsertRowid } = statements.insert.run(row)
    if (!order.test) tallies.add(row, 1)
    return { ...row, id: Number(lastInsertRowid) }
  }

  function turnFor(
    { storeId, cartId, test }: NewOrder,
    { turn, reason }: Resolution,
  ): Pick<OrderTrace, 'turn' | 'inherited'> {
    if (test) return { turn: turn && logTurn(turn, 0) }
    if (turn) return { turn: books.take(storeId, turn) }
    const before = reason === 'STICKY_CART' ? statements.byCart.get({ storeId, cartId }) : undefined
    if (!before) return { turn: null }
    const inherited = inherit({ turn: turnOf(before), holds: before.turn })
    switch (inherited.kind) {
      case 'none':
        return { turn: null }
      case 'taken_over':
        update({ ...before, turn: null })
        return { turn: inherited.turn, inherited: true }
      case 'taken_anew':
        return { turn: books.takeAnew(storeId, inherited.turn) }
    }
  }

  /** The turn of a cart goes back to an order of it that had it before and is still open or paid; false when there is none. */
  function passTurnOn(order: Order): boolean {
    const { id, storeId, cartId, guideId, turn } = order
    if (turn !== 'taken' || cartId === null) return false
    const heir = statements.heir.get({ storeId, cartId, guideId, id })
    if (!heir) return false
    const [own, passed] = [turnOf(heir), turnOf(order)]
    if (own?.number !== passed?.number || own?.book !== passed?.book) return false
    update({ ...heir, turn: 'taken' })
    return true
  }

  /** What is given back when an order is refused, or closed for the first time, and where in the ledger that was. */
  function giveBack(order: Order, by: Returned['by']): Pick<Order, 'turn' | 'trace'> {
    const { turn, trace } = order
    if (trace === null) return { turn, trace }
    const read: OrderTrace = JSON.parse(trace)
    const isRefund = turn === 'taken' && read.turn !== null
    const number = isRefund && read.turn ? books.refund(order.storeId, read.turn) : null
    const returned = { by, after: statements.lastId.get()?.id ?? order.id, number }
    const text = JSON.stringify({ ...read, returned } satisfies OrderTrace)
    statements.retrace.run({ id: order.id, trace: text })
    return { turn: isRefund ? 'refunded' : turn, trace: text }
  }

  /** The order counts against no cap any more. */
  function takeBack(order: Order): void {
    if (!isTest(order)) tallies.add(order, -1)
  }

  function update(order: Order): Order {
    statements.update.run(order)
    return order
  }

  return {
    record: (order, resolve) =>
      commit.run(() => {
        const known = byKey(order)
        if (known) return { order: known, isNew: false }
        const resolution = resolve({
          openBook: name => books.view(order.storeId, name),
          cartGuide: () => cartGuide(order),
          tally: (guideId, from) => tallies.of(order.storeId, guideId, from),
        })
        return { order: insert(order, resolution), isNew: true }
      }),

    find: async key => byKey(key),

    tally: tallies.of,

    settle: (order, { status, settledAtMs, upstream }, attempts) =>
      commit.run(() => {
        const now = statements.byId.get(order)
        if (!now) throw new Error(`order ${order.id} is gone from the ledger`)
        if (now.status !== 'pending') return now
        const isRefused = status === 'rejected' && now.closedAtMs === null
        if (isRefused) takeBack(now)
        return update({
          ...now,
          ...withAttempts(now, attempts),
          status,
          settledAtMs,
          upstream: settledUpstream(status, upstream, now),
          dueAtMs: null,
          ...(isRefused ? giveBack(now, 'rejected') : {}),
        })
      }),

    defer: (order, dueAtMs, upstream, attempts) =>
      commit.run(() => {
        const now = statements.byId.get(order)
        if (now?.status !== 'pending') return now ?? order
        return update({
          ...now,
          ...withAttempts(now, attempts),
          upstream: upstream ? JSON.stringify(upstream) : now.upstream,
          dueAtMs: Math.min(dueAtMs, now.expiresAtMs),
        })
      }),

    expire: (nowMs, limit) =>
      commit.run(
        () =>
          statements.over
            .all({ nowMs, limit })
            .map(order =>
              update({ ...order, status: 'expired', settledAtMs: nowMs, dueAtMs: null }),
            ).length,
      ),

    lease: (nowMs, limit) =>
      commit.run(() =>
        statements.due
          .all({ nowMs, limit })
          .map(order =>
            update({ ...order, dueAtMs: Math.max(order.expiresAtMs, nowMs) + graceMs }),
          ),
      ),

    nextDueAtMs: async () => statements.nextDue.get()?.dueAtMs ?? null,

    reclaim: () => commit.run(() => statements.reclaim.run().changes),

    markPaid: (key, paidAtMs, nowMs) =>
      commit.run(() => {
        const order = byKey(key)
        if (!order || order.paidAtMs !== null || order.closedAtMs !== null) return order
        return update({ ...order, ...endOfWindow(order, Math.min(paidAtMs, nowMs)), paidAtMs })
      }),

    markClosed: (key, closedAtMs, nowMs) =>
      commit.run(() => {
        const order = byKey(key)
        if (!order || order.paidAtMs !== null || order.closedAtMs !== null) return order
        const isRefused = order.status === 'rejected'
        if (!isRefused) takeBack(order)
        const open = passTurnOn(order) ? { ...order, turn: null } : order
        return update({
          ...open,
          ...endOfWindow(order, Math.min(closedAtMs, nowMs)),
          closedAtMs,
          ...(isRefused ? {} : giveBack(open, 'closed')),
        })
      }),
  }

  function cartGuide({ storeId, cartId }: NewOrder): string | null {
    if (cartId === null) return null
    return statements.byCart.get({ storeId, cartId })?.guideId ?? null
  }
}

function turnOf({ trace }: Order): LoggedTurn | null {
  const { turn }: Pick<OrderTrace, 'turn'> = JSON.parse(trace ?? '{"turn":null}')
  return turn
}

function isTest({ facts }: Order): boolean {
  const { test }: { test?: boolean } = JSON.parse(facts)
  return test === true
}

function endOfWindow(order: Order, atMs: number): Pick<Order, 'expiresAtMs' | 'dueAtMs'> {
  const expiresAtMs = Math.min(order.expiresAtMs, Math.max(atMs, order.decidedAtMs))
  return {
    expiresAtMs,
    dueAtMs: order.dueAtMs === null ? null : Math.min(order.dueAtMs, expiresAtMs),
  }
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

function prepare(db: Db) {
  const at = sql.placeholder
  const pending = isNotNull(orders.dueAtMs)
  return {
    byNumber: db
      .select()
      .from(orders)
      .where(and(eq(orders.merchant, at('merchant')), eq(orders.outTradeNo, at('outTradeNo'))))
      .prepare(),
    byId: db
      .select()
      .from(orders)
      .where(eq(orders.id, at('id')))
      .prepare(),
    byCart: db
      .select()
      .from(orders)
      .where(
        and(
          eq(orders.storeId, at('storeId')),
          eq(orders.cartId, at('cartId')),
          isNotNull(orders.cartId),
          isNotNull(orders.guideId),
          ne(orders.status, 'rejected'),
        ),
      )
      .orderBy(sql`${orders.id} DESC`)
      .limit(1)
      .prepare(),
    insert: db
      .insert(orders)
      .values({
        merchant: at('merchant'),
        outTradeNo: at('outTradeNo'),
        storeId: at('storeId'),
        facts: at('facts'),
        cartId: at('cartId'),
        status: at('status'),
        generation: at('generation'),
        guideId: at('guideId'),
        reason: at('reason'),
        staffVersion: at('staffVersion'),
        rosterVersion: at('rosterVersion'),
        planVersion: at('planVersion'),
        trace: at('trace'),
        turn: at('turn'),
        decidedAtMs: at('decidedAtMs'),
        expiresAtMs: at('expiresAtMs'),
        dueAtMs: at('dueAtMs'),
        settledAtMs: at('settledAtMs'),
        attemptCount: at('attemptCount'),
        attempts: at('attempts'),
      })
      .prepare(),
    update: db
      .update(orders)
      .set({
        status: sql`${at('status')}`,
        turn: sql`${at('turn')}`,
        expiresAtMs: sql`${at('expiresAtMs')}`,
        dueAtMs: sql`${at('dueAtMs')}`,
        settledAtMs: sql`${at('settledAtMs')}`,
        attemptCount: sql`${at('attemptCount')}`,
        attempts: sql`${at('attempts')}`,
        upstream: sql`${at('upstream')}`,
        paidAtMs: sql`${at('paidAtMs')}`,
        closedAtMs: sql`${at('closedAtMs')}`,
      })
      .where(eq(orders.id, at('id')))
      .prepare(),
    due: db
      .select()
      .from(orders)
      .where(and(pending, lte(orders.dueAtMs, at('nowMs'))))
      .orderBy(orders.expiresAtMs)
      .limit(at('limit'))
      .prepare(),
    over: db
      .select()
      .from(orders)
      .where(and(pending, lte(orders.expiresAtMs, at('nowMs')), lte(orders.dueAtMs, at('nowMs'))))
      .limit(at('limit'))
      .prepare(),
    heir: db
      .select()
      .from(orders)
      .where(
        and(
          eq(orders.storeId, at('storeId')),
          eq(orders.cartId, at('cartId')),
          isNotNull(orders.cartId),
          eq(orders.guideId, at('guideId')),
          isNotNull(orders.guideId),
          isNull(orders.turn),
          ne(orders.id, at('id')),
          ne(orders.status, 'rejected'),
          isNull(orders.closedAtMs),
        ),
      )
      .orderBy(desc(orders.id))
      .limit(1)
      .prepare(),
    retrace: db
      .update(orders)
      .set({ trace: sql`${at('trace')}` })
      .where(eq(orders.id, at('id')))
      .prepare(),
    lastId: db.select({ id: orders.id }).from(orders).orderBy(desc(orders.id)).limit(1).prepare(),
    nextDue: db
      .select({ dueAtMs: sql<number | null>`min(${orders.dueAtMs})` })
      .from(orders)
      .where(pending)
      .prepare(),
    reclaim: db.update(orders).set({ dueAtMs: 0 }).where(pending).prepare(),
  }
}
