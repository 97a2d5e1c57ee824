import type { Db } from '../db/open.ts'
import { type LoggedTurn, logTurn } from '../rules/logged.ts'
import { openBooks } from './books.ts'
import { resolveInCart } from './ledger.ts'
import type { LedgerView, NewOrder, Order, OrderTrace, Resolution } from './order.ts'
import { openTallies } from './tallies.ts'

export type Sandbox = ReturnType<typeof openSandbox>

type Lent = Pick<Order, 'guideId' | 'decidedAtMs'>
type Cart = Lent & { turn: LoggedTurn | null; isHeld: boolean }

/**
 * A ledger that forgets: it decides as the real one would from now on, on copies of the books and the counts, and
 * never writes.
 */
export function openSandbox(db: Db) {
  const books = openBooks(db)
  const tallies = openTallies(db)
  const carts = new Map<string, Cart | null>()
  const newest = db.$client.prepare<[number, string], Lent & Pick<Order, 'trace' | 'paidAtMs'>>(`
    SELECT guide_id AS guideId, decided_at_ms AS decidedAtMs, trace, paid_at_ms AS paidAtMs
    FROM orders
    WHERE store_id = ? AND cart_id = ? AND cart_id IS NOT NULL AND guide_id IS NOT NULL AND status <> 'rejected'
    ORDER BY id DESC LIMIT 1`)
  const holder = db.$client.prepare<[number, string, number, string], { id: number }>(`
    SELECT id FROM orders
    WHERE store_id = ? AND cart_id = ? AND cart_id IS NOT NULL AND guide_id IS NOT NULL AND turn = 'taken'
      AND paid_at_ms IS NULL AND json_extract(trace, '$.turn.number') = ?
      AND json_extract(trace, '$.turn.book') = ?
    ORDER BY id DESC LIMIT 1`)

  function cartOf({ storeId, cartId }: NewOrder): Cart | null {
    if (cartId === null) return null
    const known = carts.get(cartId)
    if (known !== undefined) return known
    const cart = readCart(storeId, cartId)
    carts.set(cartId, cart)
    return cart
  }

  function readCart(storeId: number, cartId: string): Cart | null {
    const row = newest.get(storeId, cartId)
    if (!row || row.paidAtMs !== null) return null
    const { guideId, decidedAtMs, trace } = row
    const { turn }: Pick<OrderTrace, 'turn'> = JSON.parse(trace ?? '{"turn":null}')
    const isHeld = turn !== null && !!holder.get(storeId, cartId, turn.number, turn.book)
    return { guideId, decidedAtMs, turn, isHeld }
  }

  function turnFor(
    { storeId, test }: NewOrder,
    { turn, reason }: Resolution,
    lender: Cart | null,
  ): LoggedTurn | null {
    if (test) return turn && logTurn(turn, 0)
    if (turn) return books.take(storeId, turn)
    const lent = reason === 'STICKY_CART' ? lender?.turn : null
    if (!lent) return null
    return lender?.isHeld ? lent : books.takeAnew(storeId, lent)
  }

  return {
    record(
      order: NewOrder,
      atMs: number,
      resolve: (view: LedgerView) => Resolution,
    ): { resolution: Resolution; turn: LoggedTurn | null } {
      const { storeId, cartId, test } = order
      const { resolution, lender } = resolveInCart(cartOf(order), sticky =>
        resolve({
          openBook: name => books.view(storeId, name),
          cartGuide: () => sticky,
          tally: (guideId, from) => tallies.of(storeId, guideId, from, atMs),
        }),
      )
      const turn = turnFor(order, resolution, lender)
      const { guideId, decidedAtMs } = resolution
      if (!test) {
        tallies.add({ storeId, guideId, decidedAtMs }, 1)
        if (cartId !== null && guideId !== null) {
          carts.set(cartId, { guideId, decidedAtMs, turn, isHeld: turn !== null })
        }
      }
      return { resolution, turn }
    },
  }
}
