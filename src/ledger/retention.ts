import { setImmediate as nextTick } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Db } from '../db/open.ts'
import { storageFaultOf } from '../errors.ts'
import { prepareIdsAfter } from './history.ts'
import type { Ledger } from './ledger.ts'

export type PurgeRun = {
  orders: number
  stores: number
  beforeMs: number
  ms: number
  /** Stores whose old orders stay behind one that is pending or not old, and the first few of those. */
  held: { stores: number; by: { storeId: number; outTradeNo: string }[] }
}

const everyMs = 3_600_000
const dayMs = 24 * everyMs
const mostJumpMs = 3 * 60_000
const namesTold = 10
const firstAfterMs = 1000
const pauseMs = 20
const idsAPage = 1000

/**
 * Removes settled orders once they are `keepMs` old: in small batches with pauses between them, each store's oldest
 * first. Null keeps all.
 *
 * What is gone is gone, so the wall clock is not believed alone: an order is old as of a day after the newest one at
 * the most, and a run before which the clock has jumped is left out.
 */
export function createRetention({
  db,
  ledger,
  clock,
  keepMs,
  done,
  skipped,
  failed,
}: {
  db: Db
  ledger: Pick<Ledger, 'purge'>
  clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
  keepMs: number | null
  /** Told after each run that removed something, or met a store that is held. */
  done(run: PurgeRun): void
  /** Told of a run that was left out: so much further than it took went the wall clock since the last. */
  skipped(run: { jumpedMs: number }): void
  failed(cause: unknown): void
}) {
  const read = prepare(db)
  let isStopped = false
  let timer: NodeJS.Timeout | null = null
  let running: Promise<unknown> = Promise.resolve()
  const startedMs = clock.monotonicMs()
  const newestAtStartMs = keepMs === null ? null : read.newestDecidedAtMs()
  let seen = look()

  function look() {
    return { wallMs: clock.nowMs(), monotonicMs: clock.monotonicMs() }
  }

  /** Of the wall clock since the last run; and is the new time to compare with. */
  function jump(): number {
    const before = seen
    seen = look()
    return seen.wallMs - before.wallMs - (seen.monotonicMs - before.monotonicMs)
  }

  /** A clock that is ahead from the start on dates the orders that come alike: for a day those of before are asked. */
  function believedMs(): number {
    const isFirstDay = clock.monotonicMs() - startedMs < dayMs
    const newestMs = isFirstDay ? newestAtStartMs : read.newestDecidedAtMs()
    return newestMs === null ? 0 : Math.min(clock.nowMs(), newestMs + dayMs)
  }

  async function run(): Promise<void> {
    if (keepMs === null) return
    const jumpedMs = jump()
    if (Math.abs(jumpedMs) > mostJumpMs) return skipped({ jumpedMs })
    const startMs = clock.monotonicMs()
    const beforeMs = believedMs() - keepMs
    const held: PurgeRun['held'] = { stores: 0, by: [] }
    let [orders, stores] = [0, 0]
    for (let storeId = read.nextStore(-1); storeId !== null; storeId = read.nextStore(storeId)) {
      try {
        const { removed, heldBy } = await purgeStore(storeId, beforeMs)
        orders += removed
        if (removed > 0) stores += 1
        if (heldBy !== null) held.stores += 1
        if (heldBy !== null && held.by.length < namesTold)
          held.by.push({ storeId, outTradeNo: heldBy })
      } catch (cause) {
        if (storageFaultOf(cause) !== null) throw cause
        failed(new Error(`store ${storeId} keeps its old orders: ${cause}`, { cause }))
      }
      if (isStopped) break
    }
    if (orders > 0 || held.stores > 0)
      done({ orders, stores, beforeMs, ms: clock.monotonicMs() - startMs, held })
  }

  async function purgeStore(
    storeId: number,
    beforeMs: number,
  ): Promise<{ removed: number; heldBy: string | null }> {
    const { ids, heldBy } = await purgeable(storeId, beforeMs)
    let removed = 0
    while (removed < ids.length && !isStopped) {
      const count = await ledger.purge(storeId, ids.slice(removed, removed + idsAPage))
      if (count === 0) break
      removed += count
      await new Promise(after => setTimeout(after, pauseMs))
    }
    return { removed, heldBy }
  }

  /** By id, up to the first that must stay: the books are taken back to one point, before which no order is left. */
  async function purgeable(
    storeId: number,
    beforeMs: number,
  ): Promise<{ ids: number[]; heldBy: string | null }> {
    const old: number[] = []
    let newestOverdue = 0
    await eachId(storeId, Number.MIN_SAFE_INTEGER, beforeMs, (id, atMs) => {
      old.push(id)
      if (atMs < beforeMs - dayMs) newestOverdue = Math.max(newestOverdue, id)
    })
    if (old.length === 0) return { ids: [], heldBy: null }
    // An order that a clock set back made young, and the newest of all: the next must not have its id.
    let firstKept = read.newest()
    await eachId(storeId, beforeMs, Number.MAX_SAFE_INTEGER, id => {
      firstKept = Math.min(firstKept, id)
    })
    firstKept = Math.min(firstKept, read.firstPending(storeId))
    return {
      ids: old.filter(id => id < firstKept).sort((a, b) => a - b),
      // Within a day of the limit the order of ids and of times may differ a little.
      heldBy: newestOverdue > firstKept ? read.outTradeNo(firstKept) : null,
    }
  }

  async function eachId(
    storeId: number,
    fromMs: number,
    toMs: number,
    tell: (id: number, atMs: number) => void,
  ) {
    for (let [at, last] = [fromMs, -1]; !isStopped; await nextTick()) {
      const page = read.idsAfter(storeId, toMs, at, last)
      for (const { id, at: atMs } of page) tell(id, atMs)
      const end = page.at(-1)
      if (!end || page.length < idsAPage) return
      ;[at, last] = [end.at, end.id]
    }
  }

  function schedule(afterMs: number): void {
    if (isStopped) return
    timer = setTimeout(() => {
      running = run()
        .catch(failed)
        .then(() => schedule(everyMs))
    }, afterMs)
    timer.unref()
  }

  return {
    /** Now, and not when it is due. */
    run,
    start(): void {
      if (keepMs !== null) schedule(firstAfterMs)
    },
    /** Ends after the batch that is under way. */
    async stop(): Promise<void> {
      isStopped = true
      if (timer) clearTimeout(timer)
      await running
    },
  }
}

export type Retention = ReturnType<typeof createRetention>

function prepare({ $client }: Db) {
  const nextStore = $client
    .prepare<[number], number>(
      'SELECT store_id FROM orders WHERE store_id > ? ORDER BY store_id LIMIT 1',
    )
    .pluck()
  const idsAfter = prepareIdsAfter($client)
  const newest = $client.prepare<[], number>('SELECT max(id) FROM orders').pluck()
  const newestDecidedAtMs = $client
    .prepare<[], number>('SELECT decided_at_ms FROM orders ORDER BY id DESC LIMIT 1')
    .pluck()
  const outTradeNo = $client
    .prepare<[number], string>('SELECT out_trade_no FROM orders WHERE id = ?')
    .pluck()
  const firstPending = $client
    .prepare<[number], number | null>(
      'SELECT min(id) FROM orders WHERE due_at_ms IS NOT NULL AND store_id = ?',
    )
    .pluck()
  return {
    nextStore: (after: number) => nextStore.get(after) ?? null,
    idsAfter: (storeId: number, toMs: number, at: number, last: number) =>
      idsAfter.all(storeId, toMs, at, last, idsAPage),
    outTradeNo: (id: number) => outTradeNo.get(id) ?? null,
    newest: () => newest.get() ?? 0,
    newestDecidedAtMs: () => newestDecidedAtMs.get() ?? null,
    firstPending: (storeId: number) => firstPending.get(storeId) ?? Number.MAX_SAFE_INTEGER,
  }
}
