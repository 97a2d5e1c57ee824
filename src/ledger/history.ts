import { setImmediate as nextTick } from 'node:timers/promises'
import { type Db, openSnapshot } from '../db/open.ts'
import { AppError } from '../errors.ts'
import type { DocumentVersions } from '../rules/decide.ts'
import type { Standings } from '../rules/logged.ts'
import { parsePage } from './books.ts'
import type { Purged } from './chain.ts'
import { type Carried, parseLate } from './late.ts'
import type { Order, OrderTrace } from './order.ts'

/** An order of the past as the reports read it. */
export type PastRow = Pick<
  Order,
  | 'id'
  | 'outTradeNo'
  | 'status'
  | 'generation'
  | 'guideId'
  | 'reason'
  | 'turn'
  | 'decidedAtMs'
  | 'closedAtMs'
  | 'paidAtMs'
> & { facts: PostedWords; cartId: string | null; versions: DocumentVersions; trace: OrderTrace }

/** The posted facts under the names of the wire, as the ledger keeps them. */
export type PostedWords = {
  member_level?: string
  channel?: string
  amount?: number
  guide_id?: string
  cart_id?: string
  test?: boolean
}

export type StoredBook = { book: string; turn: number; standings: Standings }

/** What a store's orders were, as of one instant. Each slice is a few milliseconds' work; between two the event loop turns. */
export type Snapshot = {
  /** Orders decided in [from, to), in the order in which they were decided. */
  orders(storeId: number, fromMs: number, toMs: number): AsyncGenerator<PastRow[]>
  count(storeId: number, fromMs: number, toMs: number): Promise<number>
  books(storeId: number): StoredBook[]
  /** What the purged orders of the store have left; null when there are none. */
  purged(storeId: number): Purged | null
  /** What they did later than orders that are left. */
  carried(storeId: number): Omit<Carried, 'id'>[]
}

export type History = ReturnType<typeof openHistory>

type Raw = Omit<PastRow, 'facts' | 'versions' | 'trace'> & {
  facts: string
  staff: number
  roster: number
  plan: number
  trace: string | null
}

const idsAPage = 1000
const rowsASlice = 32
// Whoever takes a slice works on it for about as long as it took to read.
const readMs = 4
const noTrace = '{"steps":[],"blocked":[],"asked":{"owner":null,"sticky":null},"turn":null}'

/** The read side of the ledger. A report reads a snapshot of its own, so that what is written meanwhile does not tear it. */
export function openHistory(
  db: Db,
  { maxReaders = 4, maxLogPages = 16_000, maxReadMs = 600_000 } = {},
) {
  const lookAtLog = db.$client.prepare<[], { log: number }>('PRAGMA wal_checkpoint(NOOP)')
  let readers = 0
  let snapshots = 0

  /** Makes a report that reads no snapshot when its turn among the others has come. */
  async function admit<T>(report: () => Promise<T>): Promise<T> {
    if (readers >= maxReaders) throw othersAreMade()
    readers += 1
    try {
      return await report()
    } finally {
      readers -= 1
    }
  }

  /**
   * The log begins anew only once it is moved into the database and nobody reads it: reports that follow one another
   * without a gap would let it grow for as long as they do.
   */
  function holdLogDown(): void {
    if ((lookAtLog.get()?.log ?? 0) < maxLogPages) return
    if (snapshots > 0) throw othersAreMade()
    // Whoever reads after this reads the database alone, and holds up nothing.
    db.$client.pragma('wal_checkpoint(PASSIVE)')
  }

  return {
    admit,

    read: <T>(report: (snapshot: Snapshot) => Promise<T>): Promise<T> =>
      admit(async () => {
        holdLogDown()
        const client = openSnapshot(db)
        snapshots += 1
        try {
          return await report(snapshotOf(client, performance.now() + maxReadMs))
        } finally {
          snapshots -= 1
          client.close()
        }
      }),
  }
}

function othersAreMade(): AppError {
  return new AppError(
    'overloaded',
    { en: 'Other reports are being made.', zh: '其他报表正在生成。' },
    { retryAfterSeconds: 5 },
  )
}

/** Four reports of months, of a draft that takes long for each order, would hold their places and the log for hours. */
function takesTooLong(): AppError {
  return new AppError('invalid_request', {
    en: 'The report takes too long: ask for a shorter period.',
    zh: '报表耗时过长：请缩短时间范围。',
  })
}

function snapshotOf(client: Db['$client'], endsAtMs: number): Snapshot {
  const idsAfter = prepareIdsAfter(client)
  const row = preparePastRow(client)
  const purged = preparePurged(client)
  const carried = client.prepare<[number], { book: string; late: string }>(
    'SELECT book, late FROM purged_late WHERE store_id = ? ORDER BY id',
  )
  const pages = client.prepare<[number], { book: string; page: string }>(
    'SELECT book, page FROM books WHERE store_id = ? ORDER BY book',
  )

  /** By number and not by time: a clock that was set back must not shuffle them. */
  async function idsOf(storeId: number, fromMs: number, toMs: number): Promise<number[]> {
    const ids: number[] = []
    let [at, last] = [fromMs, -1]
    let isSorted = true
    for (;;) {
      const page = idsAfter.all(storeId, toMs, at, last, idsAPage)
      for (const row of page) {
        isSorted &&= row.id > (ids.at(-1) ?? -1)
        ids.push(row.id)
        ;[at, last] = [row.at, row.id]
      }
      if (page.length < idsAPage) return isSorted ? ids : ids.sort((a, b) => a - b)
      if (performance.now() > endsAtMs) throw takesTooLong()
      await nextTick()
    }
  }

  return {
    async *orders(storeId, fromMs, toMs) {
      const ids = await idsOf(storeId, fromMs, toMs)
      let slice: PastRow[] = []
      let startedMs = performance.now()
      for (const id of ids) {
        const past = row(id)
        if (past) slice.push(past)
        if (slice.length < rowsASlice && performance.now() - startedMs < readMs) continue
        yield slice
        if (performance.now() > endsAtMs) throw takesTooLong()
        await nextTick()
        slice = []
        startedMs = performance.now()
      }
      yield slice
    },

    count: async (storeId, fromMs, toMs) => (await idsOf(storeId, fromMs, toMs)).length,

    books: storeId => pages.all(storeId).map(({ book, page }) => ({ book, ...parsePage(page) })),

    purged,

    carried: storeId =>
      carried.all(storeId).map(({ book, late }) => ({ book, late: parseLate(late) })),
  }
}

export function preparePastRow(client: Db['$client']): (id: number) => PastRow | null {
  const byId = client.prepare<[number], Raw>(`
    SELECT id, out_trade_no AS outTradeNo, facts, cart_id AS cartId, status, generation, guide_id AS guideId, reason,
      staff_version AS staff, roster_version AS roster, plan_version AS plan, trace, turn,
      decided_at_ms AS decidedAtMs, closed_at_ms AS closedAtMs, paid_at_ms AS paidAtMs
    FROM orders WHERE id = ?`)
  return id => {
    const raw = byId.get(id)
    return raw ? readRow(raw) : null
  }
}

export function preparePurged(client: Db['$client']): (storeId: number) => Purged | null {
  const remains = client
    .prepare<[number], string>('SELECT remains FROM purged WHERE store_id = ?')
    .pluck()
  return storeId => {
    const text = remains.get(storeId)
    return text === undefined ? null : JSON.parse(text)
  }
}

function readRow({ facts, staff, roster, plan, trace, ...row }: Raw): PastRow {
  return {
    ...row,
    facts: JSON.parse(facts),
    versions: { staff, roster, plan },
    trace: JSON.parse(trace ?? noTrace),
  }
}

/** Of a store, before an instant and after an order, by its instant and its id: a page in the order they were decided. */
export function prepareIdsAfter(client: Db['$client']) {
  return client.prepare<
    [storeId: number, beforeMs: number, afterMs: number, afterId: number, limit: number],
    { id: number; at: number }
  >(`
    SELECT id, decided_at_ms AS at FROM orders
    WHERE store_id = ? AND decided_at_ms < ? AND (decided_at_ms, id) > (?, ?)
    ORDER BY decided_at_ms, id LIMIT ?`)
}
