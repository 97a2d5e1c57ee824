import { statSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { storageFull } from '../../src/errors.ts'
import { openPurge } from '../../src/ledger/purge.ts'
import { createRetention, type PurgeRun } from '../../src/ledger/retention.ts'
import { verify } from '../../src/ledger/verify.ts'
import { aDirectory } from '../support/ledger.ts'
import {
  anyDocuments,
  anyEvent,
  aPlan,
  live,
  merchant,
  openPast,
  type Past,
} from '../support/past.ts'
import { hourMs, minuteMs } from '../support/rules.ts'

const dayMs = 24 * hourMs
let directory: ReturnType<typeof aDirectory>
let past: Past
beforeEach(() => {
  directory = aDirectory()
  past = openPast(join(directory.path, 'smartguide.db'))
})
afterEach(() => {
  past.db.$client.close()
  directory.remove()
})

const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
const verified = (storeId: number) =>
  past.history.read(snapshot => verify(snapshot, storeId, always, () => null))
const numbersOf = (storeId: number) =>
  past.db.$client
    .prepare<[number], string>('SELECT out_trade_no FROM orders WHERE store_id = ? ORDER BY id')
    .pluck()
    .all(storeId)

function retention(keepMs: number, done: (run: PurgeRun) => void = () => {}) {
  const failed = (cause: unknown) => {
    throw cause
  }
  return createRetention({ ...past, keepMs, done, skipped() {}, failed })
}

/** The first `count` orders of the store, as far as they may go, with `maxLate` of what they carry at a time. */
async function purgeFirst(storeId: number, count: number, maxLate?: number): Promise<number> {
  const client = past.db.$client
  const ids = client
    .prepare<[number, number], number>(
      'SELECT id FROM orders WHERE store_id = ? ORDER BY id LIMIT ?',
    )
    .pluck()
    .all(storeId, count)
  const purge = openPurge(past.db, maxLate)
  const batch = client.transaction((from: number) => purge.batch(storeId, ids.slice(from)))
  let done = 0
  for (let more = true; more; ) {
    const { orders, isMore } = batch(done)
    if (orders === 0 && isMore) drained += 1
    done += orders
    more = orders > 0 || isMore
  }
  return done
}
let drained = 0
beforeEach(() => {
  drained = 0
})

it('whatever happened to a store, its books are recomputed from the orders that a purge has left', async () => {
  let storeId = 0
  const met = { purged: 0, left: 0, carried: 0, carts: 0 }
  await fc.assert(
    fc.asyncProperty(
      anyDocuments,
      fc.array(
        fc.record({
          events: fc.array(anyEvent, { maxLength: 40, size: 'max' }),
          purge: fc.nat(12),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      async (documents, phases) => {
        storeId += 1
        past.openStore(storeId, ['A', 'B', 'C', 'D', '__proto__'], documents)
        let purged = 0
        for (const { events, purge } of phases) {
          await live(past, storeId, events, numbersOf(storeId))
          // Whatever is pending is over long before it is old.
          await past.ledger.expire(past.clock.ms + dayMs, 1000, () => false)
          purged += await purgeFirst(storeId, purge, storeId % 2 === 0 ? 1 : 128)
          const left = numbersOf(storeId)
          const { purged: told, ...rest } = await verified(storeId)
          expect(rest).toEqual({ ok: true, checked: left.length, faults: [] })
          expect(told?.orders ?? 0).toBe(purged)
          met.left += left.length
          const [remains, carried] = await past.history.read(async snapshot => [
            snapshot.purged(storeId),
            snapshot.carried(storeId),
          ])
          met.carried += carried.length
          for (const [, state] of remains?.books ?? []) met.carts += state.carts.length
        }
        met.purged += purged
      },
    ),
    { numRuns: Number(process.env['PURGE_RUNS'] ?? 30) },
  )
  // What makes it hard was there.
  if (process.env['SHOW']) process.stdout.write(JSON.stringify({ ...met, drained }))
  expect(met.purged).toBeGreaterThan(50)
  expect(met.left).toBeGreaterThan(50)
  expect(met.carried).toBeGreaterThan(0)
  expect(met.carts).toBeGreaterThan(0)
}, 60_000)

async function twoDays(): Promise<void> {
  past.openStore(1, ['A', 'B', 'C'], { plan: aPlan({ use: 'rotate' }) })
  for (let day = 0; day < 2; day++) {
    for (let made = 0; made < 40; made++) {
      past.clock.ms += 1000
      await past.accept(await past.order(1, { cartId: made % 7 === 0 ? `c${day}` : null }))
    }
    past.clock.ms += dayMs
  }
}

it.each([
  ['a balance of the book', "UPDATE books SET page = json_replace(page, '$.standings.A[0]', 7)"],
  [
    'a balance in an order that is left',
    "UPDATE orders SET trace = json_replace(trace, '$.turn.candidates[0][2]', 7) WHERE id = 60",
  ],
  ['an order that is left', 'DELETE FROM orders WHERE id = 60'],
  ['the remains', "UPDATE purged SET remains = json_replace(remains, '$.books[0][1].last', 3)"],
])('after a purge verify sees that somebody changed %s', async (_, sql) => {
  await twoDays()
  await retention(1.5 * dayMs).run()
  expect(numbersOf(1).length).toBe(40)
  expect((await verified(1)).ok).toBe(true)
  past.db.$client.exec(sql)
  expect((await verified(1)).ok).toBe(false)
})

it('what was wrong with an order is told of after it was purged', async () => {
  await twoDays()
  past.db.$client.exec(
    "UPDATE orders SET trace = json_replace(trace, '$.turn.candidates[0][2]', 7) WHERE id = 20",
  )
  for (const count of [25, 10]) expect(await purgeFirst(1, count)).toBe(count)
  const { faults } = await verified(1)
  expect(faults.map(({ what }) => what).join()).toMatch(
    /of the purged orders: past-1-20 balance of/,
  )
})

it('an old order goes once it is settled, and none of its store that came after one that is pending', async () => {
  await twoDays()
  past.db.$client.exec("UPDATE orders SET status = 'pending', due_at_ms = 1 WHERE id = 11")
  const runs: PurgeRun[] = []
  const keeping = retention(1.5 * dayMs, run => runs.push(run))
  await keeping.run()
  expect(numbersOf(1)[0]).toBe('past-1-11')
  expect(past.ledger.purged()).toBe(10)
  past.db.$client.exec("UPDATE orders SET status = 'expired', due_at_ms = NULL WHERE id = 11")
  await keeping.run()
  expect(numbersOf(1)[0]).toBe('past-1-41')
  expect(runs.map(({ orders, stores }) => [orders, stores])).toEqual([
    [10, 1],
    [30, 1],
  ])
  await keeping.run()
  expect(runs.length).toBe(2)
})

it('a clock that was set back makes no order go before one that came earlier', async () => {
  await twoDays()
  past.db.$client.exec('UPDATE orders SET decided_at_ms = decided_at_ms + 864e5 * 2 WHERE id = 5')
  await retention(1.5 * dayMs).run()
  expect(numbersOf(1).length).toBe(76)
  expect((await verified(1)).faults).toEqual([])
})

it.each(['none', 'some'])(
  'a clock far ahead at the start, and %s of its orders, removes nothing recent',
  async then => {
    await twoDays()
    past.clock.ms += 60 * dayMs
    const keeping = retention(1.5 * dayMs)
    if (then === 'some') await past.order(1)
    await keeping.run()
    expect(numbersOf(1)[0]).toBe('past-1-41')
    expect(past.ledger.purged()).toBe(40)
  },
)

it('a store that took no order for long loses what is old as of a day after its last', async () => {
  await twoDays()
  past.clock.ms += 60 * dayMs
  await retention(dayMs).run()
  await past.order(1)
  const keeping = retention(30 * dayMs)
  past.clock.ms += dayMs
  await keeping.run()
  expect(numbersOf(1)).toEqual(['past-1-81'])
})

it('a clock that jumps while the service runs removes nothing in the next run, and the run says so once', async () => {
  await twoDays()
  let stoodStillMs = 0
  const clock = { ...past.clock, monotonicMs: () => past.clock.ms - stoodStillMs }
  clock.nowMs = past.clock.nowMs
  const jumps: number[] = []
  const keeping = createRetention({
    ...past,
    clock,
    keepMs: 1.5 * dayMs,
    done() {},
    skipped: ({ jumpedMs }) => jumps.push(jumpedMs),
    failed() {},
  })
  past.clock.ms += 10 * minuteMs
  stoodStillMs = 10 * minuteMs
  await keeping.run()
  expect([numbersOf(1).length, jumps]).toEqual([80, [10 * minuteMs]])
  past.clock.ms += hourMs - 2 * minuteMs
  stoodStillMs -= 2 * minuteMs
  await keeping.run()
  expect([numbersOf(1).length, jumps.length]).toEqual([40, 1])
})

it('a row that cannot be read holds its own store alone, and is told of once a run', async () => {
  await twoDays()
  past.openStore(2, ['D'], { plan: aPlan({ use: 'rotate' }) })
  const others = [await past.order(2), await past.order(2)]
  for (const one of others) await past.accept(one)
  past.clock.ms += dayMs
  await past.order(2)
  past.db.$client.exec("UPDATE orders SET trace = '{' WHERE id = 1")
  const failures: unknown[] = []
  const keeping = createRetention({
    ...past,
    keepMs: dayMs / 2,
    done() {},
    skipped() {},
    failed: cause => failures.push(cause),
  })
  for (const run of [1, 2]) {
    await keeping.run()
    expect([numbersOf(1).length, numbersOf(2)]).toEqual([80, ['past-2-3']])
    expect(failures.map(String)).toEqual(
      Array(run).fill(expect.stringMatching(/^Error: store 1 keeps its old orders: SyntaxError/)),
    )
  }
})

it('a full disk ends the run: the other stores are not tried', async () => {
  await twoDays()
  past.openStore(2, ['D'], { plan: aPlan({ use: 'rotate' }) })
  await past.accept(await past.order(2))
  past.clock.ms += 2 * dayMs
  await past.order(2)
  const tried: number[] = []
  const ledger = {
    purge: async (storeId: number) => {
      tried.push(storeId)
      throw storageFull()
    },
  }
  const keeping = createRetention({
    ...past,
    ledger,
    keepMs: dayMs,
    done() {},
    skipped() {},
    failed() {},
  })
  await expect(keeping.run()).rejects.toThrow('free some disk space')
  expect(tried).toEqual([1])
})

it.each([
  ['is pending still', "SET status = 'pending', due_at_ms = 1"],
  ['is dated far ahead', 'SET decided_at_ms = decided_at_ms + 864e5 * 90'],
])('the run says which order holds its store when one %s', async (_, sql) => {
  await twoDays()
  await past.order(1)
  past.db.$client.exec(`UPDATE orders ${sql} WHERE id = 3`)
  const runs: PurgeRun[] = []
  const keeping = retention(0.5 * dayMs, run => runs.push(run))
  for (const gone of [2, 0]) {
    await keeping.run()
    expect(runs.at(-1)).toMatchObject({
      orders: gone,
      held: { stores: 1, by: [{ storeId: 1, outTradeNo: 'past-1-3' }] },
    })
  }
  expect(numbersOf(1)[0]).toBe('past-1-3')
})

it('the newest order of all stays, so that no id is given twice', async () => {
  await twoDays()
  past.clock.ms += 100 * dayMs
  await retention(dayMs).run()
  expect(numbersOf(1)).toEqual(['past-1-80'])
  expect((await verified(1)).faults).toEqual([])
})

it('an order whose number was purged is decided anew, and the books hold', async () => {
  await twoDays()
  await retention(1.5 * dayMs).run()
  expect(await past.ledger.find({ merchant, outTradeNo: 'past-1-1' })).toBe(null)
  past.skip(1, 0)
  expect((await past.order(1)).outTradeNo).toBe('past-1-1')
  expect(await verified(1)).toMatchObject({ ok: true, checked: 41, purged: { orders: 40 } })
})

it('the audit and all other tables stay as they are', async () => {
  await twoDays()
  const tables = past.db.$client
    .prepare<[], string>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('orders', 'purged', 'purged_late')",
    )
    .pluck()
    .all()
  const all = () => tables.map(name => past.db.$client.prepare(`SELECT * FROM ${name}`).all())
  const before = all()
  await retention(1.5 * dayMs).run()
  expect(all()).toEqual(before)
})

it('the file does not grow once as many orders go as come, and each batch is short', async () => {
  past.openStore(1, ['A', 'B', 'C'], { plan: aPlan({ use: 'rotate' }) })
  const sizes: number[] = []
  let longestMs = 0
  const watched = {
    purge: async (storeId: number, ids: readonly number[]) => {
      const startMs = performance.now()
      const removed = await past.ledger.purge(storeId, ids)
      longestMs = Math.max(longestMs, performance.now() - startMs)
      expect(removed).toBeLessThanOrEqual(64)
      return removed
    },
  }
  const bounded = createRetention({
    ...past,
    ledger: watched,
    keepMs: 2 * dayMs,
    done() {},
    skipped() {},
    failed() {},
  })
  for (let day = 0; day < 10; day++) {
    const orders = await Promise.all(Array.from({ length: 300 }, () => past.order(1)))
    await Promise.all(orders.map(past.accept))
    past.clock.ms += dayMs
    await bounded.run()
    past.db.$client.pragma('wal_checkpoint(TRUNCATE)')
    sizes.push(statSync(past.db.$client.name).size)
  }
  expect(numbersOf(1).length).toBeLessThanOrEqual(900)
  expect(past.ledger.purged()).toBeGreaterThan(2000)
  expect(sizes.at(-1)).toBeLessThanOrEqual((sizes[3] ?? 0) * 1.1)
})

it('orders that are closed long after they came make no batch long, and leave what verify needs', async () => {
  const [orders, guides] = (process.env['PURGE_LATE'] ?? '500x4').split('x').map(Number)
  const ids = Array.from({ length: guides ?? 0 }, (_, index) => `guide-${index}`)
  past.openStore(1, ids, { plan: aPlan({ use: 'rotate' }) })
  const came = await Promise.all(Array.from({ length: orders ?? 0 }, () => past.order(1)))
  await Promise.all(came.map(past.accept))
  const backwards = came.toReversed()
  for (const order of [...backwards.slice(100), ...backwards.slice(0, 100)]) await past.close(order)
  for (let made = 0; made < 10; made++) await past.accept(await past.order(1))
  const client = past.db.$client
  const remains = client.prepare<[], string>('SELECT remains FROM purged').pluck()
  const changes = client.prepare<[], number>('SELECT total_changes()').pluck()
  const all = client.prepare<[], number>('SELECT id FROM orders ORDER BY id').pluck().all()
  const purge = openPurge(past.db)
  const took: number[] = []
  let [gone, mostChanges] = [0, 0]
  while (gone < came.length + 5) {
    const before = changes.get() ?? 0
    const startMs = performance.now()
    client.exec('BEGIN IMMEDIATE')
    const batch = purge.batch(1, all.slice(gone, came.length + 5))
    client.exec('COMMIT')
    took.push(performance.now() - startMs)
    gone += batch.orders
    if (batch.orders === 0) drained += 1
    mostChanges = Math.max(mostChanges, (changes.get() ?? 0) - before)
    expect(batch.orders > 0 || batch.isMore).toBe(true)
    expect(remains.get()?.length).toBeLessThan(250 + ids.length * 50)
    if (took.length % 20 === 1) expect((await verified(1)).faults).toEqual([])
  }
  took.sort((a, b) => a - b)
  const told = { batches: took.length, p50: took[took.length >> 1], max: took.at(-1) }
  if (process.env['SHOW']) process.stdout.write(JSON.stringify(told))
  expect(drained).toBeGreaterThan(0)
  // 64 rows, a refund of each, and the remains; or as many refunds as are taken along.
  expect(mostChanges).toBeLessThanOrEqual(64 + 64 + 128 + 1)
  expect(await verified(1)).toMatchObject({ ok: true, checked: 5, purged: { orders: gone } })
  expect(client.prepare('SELECT count(*) FROM purged_late').pluck().get()).toBe(0)
}, 120_000)

it('what the first version of the retention had carried along is there after the migration', async () => {
  past.openStore(1, ['A', 'B', 'C'], { plan: aPlan({ use: 'rotate' }) })
  const came = [await past.order(1), await past.order(1), await past.order(1), await past.order(1)]
  for (const order of came) await past.accept(order)
  for (const order of came.slice(0, 2)) await past.close(order)
  const client = past.db.$client
  const late = client
    .prepare<[], { outTradeNo: string; trace: string }>(
      'SELECT out_trade_no AS outTradeNo, trace FROM orders ORDER BY id LIMIT 2',
    )
    .all()
    .map(({ outTradeNo, trace }) => {
      const { turn, returned } = JSON.parse(trace)
      const row = { outTradeNo, cartId: null }
      return { kind: 'refund', number: returned.number, turn, staff: null, isHeld: true, row }
    })
  expect(await purgeFirst(1, 2)).toBe(2)
  client
    .prepare("UPDATE purged SET remains = json_set(remains, '$.books[0][1].late', json(?))")
    .run(JSON.stringify(late))
  client.exec(`DROP TABLE purged_late;
    DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations)`)
  client.close()
  past = openPast(join(directory.path, 'smartguide.db'))
  expect(past.db.$client.prepare('SELECT number FROM purged_late').pluck().all()).toEqual([5, 6])
  expect(past.db.$client.prepare('SELECT remains FROM purged').pluck().get()).not.toMatch('late')
  expect(await verified(1)).toMatchObject({ ok: true, checked: 2, purged: { orders: 2 } })
  past.db.$client.exec('UPDATE purged_late SET late = replace(late, \'"units":\', \'"units":1\')')
  expect((await verified(1)).ok).toBe(false)
})

it('it ends with the batch under way when the service stops', async () => {
  past.openStore(1, ['A', 'B', 'C'], { plan: aPlan({ use: 'rotate' }) })
  await Promise.all(Array.from({ length: 400 }, async () => past.accept(await past.order(1))))
  past.clock.ms += 10 * dayMs
  await past.order(1)
  const keeping = retention(dayMs)
  const running = keeping.run()
  await past.ledger.nextDueAtMs()
  while (past.ledger.purged() === 0) await new Promise(done => setTimeout(done, 1))
  await keeping.stop()
  await running
  expect(numbersOf(1).length).toBeGreaterThan(100)
  expect((await verified(1)).faults).toEqual([])
})
