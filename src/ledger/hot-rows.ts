import type Database from 'better-sqlite3'
import type { Order } from './order.ts'

/**
 * The statements that every order runs, as SQL: built by drizzle each would take longer to bind its values than to run.
 * The columns are those of `schema.ts`, to which a test holds them.
 */
export function prepareHotRows(client: Database.Database) {
  const isKnown = client
    .prepare<[merchant: string, outTradeNo: string], 1>(
      'SELECT 1 FROM orders WHERE merchant = ? AND out_trade_no = ?',
    )
    .pluck()
  const insert = client.prepare<Omit<Order, 'id'>>(`
    INSERT INTO orders (
      merchant, out_trade_no, store_id, facts, cart_id, status, generation, guide_id, reason, staff_version,
      roster_version, plan_version, trace, turn, decided_at_ms, expires_at_ms, due_at_ms, settled_at_ms, attempt_count,
      attempts
    ) VALUES (
      @merchant, @outTradeNo, @storeId, @facts, @cartId, @status, @generation, @guideId, @reason, @staffVersion,
      @rosterVersion, @planVersion, @trace, @turn, @decidedAtMs, @expiresAtMs, @dueAtMs, @settledAtMs, @attemptCount,
      @attempts
    )`)
  const assigned = client.prepare<Order & { attemptsNow: string; countNow: number; atMs: number }>(`
    UPDATE orders
    SET status = 'assigned', settled_at_ms = @atMs, due_at_ms = NULL, attempts = @attemptsNow, attempt_count = @countNow,
      upstream = NULL
    WHERE id = @id AND status = 'pending' AND generation = @generation AND attempt_count = @attemptCount
      AND turn IS @turn AND expires_at_ms = @expiresAtMs AND paid_at_ms IS NULL AND closed_at_ms IS NULL`)

  return {
    isKnown: (merchant: string, outTradeNo: string): boolean =>
      isKnown.get(merchant, outTradeNo) !== undefined,

    /** The id of the new row. */
    insert: (row: Omit<Order, 'id'>): number => Number(insert.run(row).lastInsertRowid),

    /**
     * Settles an order that nobody has touched since it was read; null when somebody has, and nothing is written.
     */
    assigned(
      order: Order,
      settledAtMs: number,
      now: Pick<Order, 'attempts' | 'attemptCount'>,
    ): Order | null {
      const { changes } = assigned.run({
        ...order,
        atMs: settledAtMs,
        attemptsNow: now.attempts,
        countNow: now.attemptCount,
      })
      if (changes === 0) return null
      return { ...order, ...now, status: 'assigned', settledAtMs, dueAtMs: null, upstream: null }
    },
  }
}
