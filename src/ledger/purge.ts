import type { Db } from '../db/open.ts'
import {
  type ChainState,
  createAhead,
  createChain,
  deciders,
  type Purged,
  type Report,
  stateIn,
  turnOf,
} from './chain.ts'
import { generationsOf } from './generations.ts'
import { type PastRow, preparePastRow, preparePurged } from './history.ts'

const maxRows = 64
/** A batch ends with the row at which it has taken so long. */
const batchMs = 2
const maxFaults = 10
// Who was on the staff then may be known no more; what the rows say of each other is checked.
const unknownStaff = () => null

/**
 * Takes orders out of the ledger, the oldest of a store first, and leaves what the books were when they were done: so
 * the books can be recomputed from the orders that are there.
 */
export function openPurge(db: Db) {
  const client = db.$client
  const readRow = preparePastRow(client)
  const readPurged = preparePurged(client)
  const isPending = client.prepare<[number], 1>(
    'SELECT 1 FROM orders WHERE id = ? AND due_at_ms IS NOT NULL',
  )
  const remove = client.prepare<[number]>('DELETE FROM orders WHERE id = ?')
  const keep = client.prepare<[storeId: number, remains: string]>(`
    INSERT INTO purged (store_id, remains) VALUES (?, ?)
    ON CONFLICT (store_id) DO UPDATE SET remains = excluded.remains`)
  const ofCart = client.prepare<[number, string], 1>(
    'SELECT 1 FROM orders WHERE store_id = ? AND cart_id = ? AND cart_id IS NOT NULL AND guide_id IS NOT NULL LIMIT 1',
  )

  return {
    /**
     * Inside a transaction: removes the first of these, which are all that the store has up to the last of them in the
     * order of their ids; how many. It stops at one that is pending.
     */
    batch(storeId: number, ids: readonly number[]): number {
      const rows: PastRow[] = []
      const startMs = performance.now()
      for (const id of ids.slice(0, maxRows)) {
        const row = isPending.get(id) ? null : readRow(id)
        if (!row) break
        rows.push(row)
        if (performance.now() - startMs > batchMs / 2) break
      }
      if (rows.length === 0) return 0
      for (const { id } of rows) remove.run(id)
      const isOver = (cartId: string) => ofCart.get(storeId, cartId) === undefined
      keep.run(storeId, JSON.stringify(foldIn(readPurged(storeId), rows, isOver)))
      return rows.length
    },
  }
}

/** What is left of the store's purged orders once `rows`, the next of them, are purged too. */
function foldIn(
  before: Purged | null,
  rows: readonly PastRow[],
  isOver: (cartId: string) => boolean,
): Purged {
  const faults = [...(before?.faults ?? [])]
  const tell: Report = (outTradeNo, what) => {
    if (faults.length < maxFaults) faults.push(`${outTradeNo ?? ''} ${what}`.trim())
  }
  const ahead = createAhead(unknownStaff, before)
  for (const row of rows) ahead.note(row, true)
  const late = ahead.read()
  // How many are to inherit a turn is not known before the last order of the cart is here.
  const heirs = { get: () => Number.POSITIVE_INFINITY }
  const chains = new Map<string, ReturnType<typeof createChain>>()
  const chainOf = (book: string) => {
    const known = chains.get(book)
    if (known) return known
    const ofBook = { late: late.get(book)?.late ?? [], heirs }
    const made = createChain(book, ofBook, tell, stateIn(before, book))
    chains.set(book, made)
    return made
  }
  for (const [book] of before?.books ?? []) chainOf(book)
  for (const row of rows) {
    const [first] = generationsOf(row)
    const turn = first && turnOf(first)
    if (!first || !turn) continue
    chainOf(turn.book).take(row, first, turn, deciders(first, unknownStaff), tell)
  }
  for (const book of late.keys()) chainOf(book)
  return {
    orders: (before?.orders ?? 0) + rows.length,
    untilMs: Math.max(before?.untilMs ?? 0, ...rows.map(({ decidedAtMs }) => decidedAtMs)),
    faults,
    books: [...chains.values()].map((chain): [string, ChainState] => [
      chain.book,
      chain.rest(isOver),
    ]),
  }
}
