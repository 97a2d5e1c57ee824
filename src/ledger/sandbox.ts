import type { Db } from '../db/open.ts'
import { type CartTurn, inherit, type LoggedTurn, logTurn } from '../rules/logged.ts'
import { openBooks } from './books.ts'
import type { LedgerView, NewOrder, OrderTrace, Resolution } from './ledger.ts'
import { openTallies } from './tallies.ts'

export type Sandbox = ReturnType<typeof openSandbox>

type Cart = CartTurn & { guideId: string | null }

/**
 * A ledger that forgets: it decides as the real one would from now on, on copies of the books and the counts, and
 * never writes.
 */
export function openSandbox(db: Db) {
  const books = openBooks(db)
  const tallies = openTallies(db)
  const carts = new Map<string, Cart | null>()
  const newest = db.$client.prepare<
    [number, string],
    { guideId: string; holds: CartTurn['holds']; trace: string | null }
  >(`
    SELECT guide_id AS guideId, turn AS holds, trace
    FROM orders
    WHERE store_id = ? AND cart_id = ? AND cart_id IS NOT NULL AND guide_id IS NOT NULL AND status <> 'rejected'
    ORDER BY id DESC LIMIT 1`)

  function cartOf({ storeId, cartId }: NewOrder): Cart | null {
    if (cartId === null) return null
    const known = carts.get(cartId)
    if (known !== undefined) return known
    const row = newest.get(storeId, cartId)
    const turn = row?.trace ? (JSON.parse(row.trace) as OrderTrace).turn : null
    const cart = row ? { guideId: row.guideId, holds: row.holds, turn } : null
    carts.set(cartId, cart)
    return cart
  }

  function turnFor(order: NewOrder, { turn, reason }: Resolution): LoggedTurn | null {
    if (order.test) return turn && logTurn(turn, 0)
    if (turn) return books.take(order.storeId, turn)
    if (reason !== 'STICKY_CART') return null
    const inherited = inherit(cartOf(order))
    if (inherited.kind === 'none') return null
    return inherited.kind === 'taken_over'
      ? inherited.turn
      : books.takeAnew(order.storeId, inherited.turn)
  }

  return {
    record(
      order: NewOrder,
      resolve: (view: LedgerView) => Resolution,
    ): { resolution: Resolution; turn: LoggedTurn | null } {
      const { storeId, cartId, test } = order
      const resolution = resolve({
        openBook: name => books.view(storeId, name),
        cartGuide: () => cartOf(order)?.guideId ?? null,
        tally: (guideId, from) => tallies.of(storeId, guideId, from),
      })
      const turn = turnFor(order, resolution)
      const { guideId, decidedAtMs } = resolution
      if (!test) {
        tallies.add({ storeId, guideId, decidedAtMs }, 1)
        if (cartId !== null && guideId !== null) {
          carts.set(cartId, { guideId, turn, holds: turn ? 'taken' : null })
        }
      }
      return { resolution, turn }
    },
  }
}
