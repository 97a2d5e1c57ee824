import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

/** One row an order: the decision, and the outbox until it is settled. */
export const orders = sqliteTable(
  'orders',
  {
    id: integer().primaryKey(),
    merchant: text().notNull(),
    outTradeNo: text('out_trade_no').notNull(),
    storeId: integer('store_id').notNull(),
    facts: text().notNull(),
    cartId: text('cart_id'),
    status: text({
      enum: ['pending', 'assigned', 'unassigned', 'skipped', 'rejected', 'expired'],
    }).notNull(),
    generation: integer().notNull(),
    guideId: text('guide_id'),
    reason: text().notNull(),
    staffVersion: integer('staff_version').notNull(),
    rosterVersion: integer('roster_version').notNull(),
    planVersion: integer('plan_version').notNull(),
    trace: text(),
    turn: text({ enum: ['taken', 'refunded'] }),
    decidedAtMs: integer('decided_at_ms').notNull(),
    expiresAtMs: integer('expires_at_ms').notNull(),
    dueAtMs: integer('due_at_ms'),
    settledAtMs: integer('settled_at_ms'),
    attemptCount: integer('attempt_count').notNull(),
    attempts: text().notNull(),
    upstream: text(),
    paidAtMs: integer('paid_at_ms'),
    closedAtMs: integer('closed_at_ms'),
  },
  table => [
    uniqueIndex('orders_number').on(table.merchant, table.outTradeNo),
    index('orders_pending').on(table.expiresAtMs, table.dueAtMs).where(sql`due_at_ms IS NOT NULL`),
    index('orders_store_time').on(table.storeId, table.decidedAtMs),
    index('orders_cart')
      .on(table.storeId, table.cartId)
      .where(sql`cart_id IS NOT NULL AND guide_id IS NOT NULL`),
  ],
)

/** The fairness books, one row a store and book: `{turn, standings: {guide: [balance, lastServed]}}`. */
export const books = sqliteTable(
  'books',
  {
    storeId: integer('store_id').notNull(),
    book: text().notNull(),
    page: text().notNull(),
  },
  table => [primaryKey({ columns: [table.storeId, table.book] })],
)

/** What the orders that were purged have left, one row a store: their count, and the books as they left them, as JSON. */
export const purged = sqliteTable('purged', {
  storeId: integer('store_id').primaryKey(),
  remains: text().notNull(),
})

/** What purged orders did later than those that are left: refunds, and turns of later generations, as JSON. */
export const purgedLate = sqliteTable(
  'purged_late',
  {
    id: integer().primaryKey(),
    storeId: integer('store_id').notNull(),
    book: text().notNull(),
    number: integer().notNull(),
    kind: text({ enum: ['turn', 'heir', 'refund'] }).notNull(),
    late: text().notNull(),
  },
  table => [index('purged_late_number').on(table.storeId, table.book, table.number)],
)
