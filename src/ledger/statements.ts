import { and, count, desc, eq, gt, isNotNull, isNull, lte, ne, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { orders } from './schema.ts'

/** What the ledger asks of the file, prepared once; the two that every order takes are in hot-rows.ts. */
export function prepareStatements(db: Db) {
  const at = sql.placeholder
  const pending = isNotNull(orders.dueAtMs)
  const ofCart = and(
    eq(orders.storeId, at('storeId')),
    eq(orders.cartId, at('cartId')),
    isNotNull(orders.cartId),
    isNotNull(orders.guideId),
  )
  const sharesTurn = and(
    ofCart,
    sql`json_extract(${orders.trace}, '$.turn.number') = ${at('number')}`,
    sql`json_extract(${orders.trace}, '$.turn.book') = ${at('book')}`,
  )
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
      .where(and(ofCart, ne(orders.status, 'rejected')))
      .orderBy(sql`${orders.id} DESC`)
      .limit(1)
      .prepare(),
    mate: db
      .select()
      .from(orders)
      .where(and(ofCart, ne(orders.status, 'rejected'), ne(orders.id, at('id'))))
      .orderBy(desc(orders.id))
      .limit(1)
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
    regenerate: db
      .update(orders)
      .set({
        generation: sql`${at('generation')}`,
        guideId: sql`${at('guideId')}`,
        reason: sql`${at('reason')}`,
        staffVersion: sql`${at('staffVersion')}`,
        rosterVersion: sql`${at('rosterVersion')}`,
        planVersion: sql`${at('planVersion')}`,
        trace: sql`${at('trace')}`,
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
    holder: db
      .select()
      .from(orders)
      .where(and(sharesTurn, eq(orders.turn, 'taken'), isNull(orders.paidAtMs)))
      .orderBy(desc(orders.id))
      .limit(1)
      .prepare(),
    heir: db
      .select()
      .from(orders)
      .where(
        and(
          sharesTurn,
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
    backlog: db
      .select({
        pending: count(),
        nearestExpiryMs: sql<number | null>`min(${orders.expiresAtMs})`,
      })
      .from(orders)
      .where(pending)
      .prepare(),
    // One that is due after its window only was in somebody's hand.
    reclaim: db
      .update(orders)
      .set({
        dueAtMs: 0,
        trace: sql`CASE WHEN ${orders.dueAtMs} > ${orders.expiresAtMs}
          THEN json_set(${orders.trace}, '$.interrupted', json('true')) ELSE ${orders.trace} END`,
      })
      .where(pending)
      .prepare(),
    // One that is leased is due after its window only.
    hasten: db
      .update(orders)
      .set({ dueAtMs: sql`${at('nowMs')}` })
      .where(and(pending, gt(orders.dueAtMs, at('nowMs')), lte(orders.dueAtMs, orders.expiresAtMs)))
      .prepare(),
  }
}
