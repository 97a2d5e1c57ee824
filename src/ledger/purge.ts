import type { Db } from '../db/open.ts'
import type { LoggedTurn } from '../rules/logged.ts'
import {
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
import { type Carried, type Late, parseLate, printLate } from './late.ts'

const maxRows = 64
/** A batch ends with the row at which it has taken so long. */
const batchMs = 2
const maxFaults = 10
/** Refunds and the like of purged orders that a batch takes along, at the most. */
const mostLate = 128
// Who was on the staff then may be known no more; what the rows say of each other is checked.
const unknownStaff = () => null

/**
 * Takes orders out of the ledger, the oldest of a store first, and leaves what the books were when they were done: so
 * the books can be recomputed from the orders that are there.
 */
export function openPurge(db: Db, maxLate = mostLate) {
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
  const late = openLate(client, maxLate)

  return {
    /**
     * Inside a transaction: removes the first of these, which are all that the store has up to the last of them in the
     * order of their ids; how many. It stops at one that is pending, and takes none yet (`isMore`) where many refunds
     * come before the first.
     */
    batch(storeId: number, ids: readonly number[]): { orders: number; isMore: boolean } {
      const carried = late.of(storeId)
      const rows: PastRow[] = []
      let isMore = false
      const startMs = performance.now()
      for (const id of ids.slice(0, maxRows)) {
        const row = isPending.get(id) ? null : readRow(id)
        if (!row) break
        isMore = !carried.reaches(firstTurn(row))
        if (isMore) break
        rows.push(row)
        if (performance.now() - startMs > batchMs / 2) break
      }
      if (rows.length === 0 && !isMore) return { orders: 0, isMore }
      for (const { id } of rows) remove.run(id)
      const isOver = (book: string) => (cartId: string, number: number) =>
        ofCart.get(storeId, cartId) === undefined && !carried.isAwaited(book, number)
      const { remains, behind } = foldIn(readPurged(storeId), rows, carried.read(), isOver)
      keep.run(storeId, JSON.stringify(remains))
      carried.keep(behind)
      return { orders: rows.length, isMore }
    },
  }
}

function firstTurn(row: PastRow): LoggedTurn | null {
  const [first] = generationsOf(row)
  return first ? turnOf(first) : null
}

/** What is carried along of the purged orders: read, book by book, as far as a batch has to. */
function openLate(client: Db['$client'], maxLate: number) {
  const select = client.prepare<
    [storeId: number, book: string, limit: number],
    { id: number; number: number; late: string }
  >(`
    SELECT id, number, late FROM purged_late WHERE store_id = ? AND book = ?
    ORDER BY number, CASE kind WHEN 'turn' THEN 0 WHEN 'heir' THEN 1 ELSE 2 END, id LIMIT ?`)
  const heirs = client
    .prepare<[storeId: number, book: string, number: number], number>(
      "SELECT id FROM purged_late WHERE store_id = ? AND book = ? AND number = ? AND kind = 'heir'",
    )
    .pluck()
  const insert = client.prepare<[number, string, number, string, string]>(
    'INSERT INTO purged_late (store_id, book, number, kind, late) VALUES (?, ?, ?, ?, ?)',
  )
  const remove = client.prepare<[number]>('DELETE FROM purged_late WHERE id = ?')

  return {
    of(storeId: number) {
      const ids = new Map<Late, number>()
      /** By book, the number from which on nothing is read yet. */
      const readTo = new Map<string, number>()
      const carried: Omit<Carried, 'id'>[] = []

      function read(book: string): number {
        const found = select.all(storeId, book, maxLate + 1)
        for (const { id, late: text } of found.slice(0, maxLate)) {
          const late = parseLate(text)
          ids.set(late, id)
          carried.push({ book, late })
        }
        const end = found[maxLate]?.number ?? Number.POSITIVE_INFINITY
        readTo.set(book, end)
        return end
      }

      return {
        /** Whether all that comes before the turn is read. */
        reaches(turn: LoggedTurn | null): boolean {
          if (!turn) return true
          if (!readTo.has(turn.book) && carried.length >= maxLate) return false
          return turn.number < (readTo.get(turn.book) ?? read(turn.book))
        },
        read: () => carried,
        /** Whether one who inherits the turn is carried along and not read yet. */
        isAwaited(book: string, number: number): boolean {
          const known = new Set(ids.values())
          return heirs.all(storeId, book, number).some(id => !known.has(id))
        },
        /** These are what is carried along of what was read, and of the orders of the batch. */
        keep(behind: readonly Omit<Carried, 'id'>[]): void {
          const kept = new Set(behind.map(({ late }) => late))
          for (const [one, id] of ids) if (!kept.has(one)) remove.run(id)
          for (const { book, late } of behind)
            if (!ids.has(late)) insert.run(storeId, book, late.number, late.kind, printLate(late))
        },
      }
    },
  }
}

/**
 * What is left of the store's purged orders once `rows`, the next of them, are purged too; without any, once all that is
 * `carried` has been told.
 */
function foldIn(
  before: Purged | null,
  rows: readonly PastRow[],
  carried: readonly Omit<Carried, 'id'>[],
  isOver: (book: string) => (cartId: string, number: number) => boolean,
): { remains: Purged; behind: Omit<Carried, 'id'>[] } {
  const faults = [...(before?.faults ?? [])]
  const tell: Report = (outTradeNo, what) => {
    if (faults.length < maxFaults) faults.push(`${outTradeNo ?? ''} ${what}`.trim())
  }
  const ahead = createAhead(unknownStaff, carried)
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
  if (rows.length === 0) for (const chain of chains.values()) chain.takeLate()
  const rests = [...chains.values()].map(({ book, rest }) => ({ book, ...rest(isOver(book)) }))
  return {
    remains: {
      orders: (before?.orders ?? 0) + rows.length,
      untilMs: Math.max(before?.untilMs ?? 0, ...rows.map(({ decidedAtMs }) => decidedAtMs)),
      faults,
      books: rests.map(({ book, state }) => [book, state]),
    },
    behind: rests.flatMap(({ book, late }) => late.map(one => ({ book, late: one }))),
  }
}
