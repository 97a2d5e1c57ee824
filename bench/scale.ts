import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import type { openDatabase } from '../src/db/open.ts'
import { signRsa } from '../src/wechatpay/sign.ts'
import { makeBed } from './bed.ts'
import { spreadOf } from './figures.ts'
import { openShop } from './shop.ts'

export type Figure = { what: string; microseconds: number }

const million = 1_000_000
/** Of a pass; many stores are looked at once before, as in a service that has run for a while. */
const orders = 2048
const passes = 5

/**
 * The decision alone, in this process: transaction with plan, fairness and row, at synchronous=NORMAL, so that the disk
 * is not what is measured. Microseconds an order: the median of its batches, and of several passes in turns the least,
 * because what else goes on in the machine only adds.
 */
export async function measureScale(say: (figure: Figure) => void): Promise<void> {
  const bed = makeBed()
  const open = (name: string, stores: number, guidesEach: number) =>
    openBench(join(bed.dir, `${name}.db`), stores, guidesEach)
  const small = open('small', 10, 8)
  const full = open('full', 10, 8)
  await full.decide(32)
  full.copyRows(million)
  const each: [what: string, bench: Bench, batch: number][] = [
    ['decision, batch of 1', small, 1],
    ['decision, batch of 32', small, 32],
    ['decision, 1,000 stores', open('stores-1000', 1000, 8), 32],
    ['decision, 10,000 stores', open('stores-10000', 10_000, 8), 32],
    ['decision, 50 guides a store', open('guides-50', 10, 50), 32],
    ['decision, 200 guides a store', open('guides-200', 10, 200), 32],
    ['decision, 1,000,000 rows', full, 32],
  ]
  try {
    const least = new Map<string, number>()
    for (let pass = 0; pass <= passes; pass++) {
      for (const [what, bench, batch] of each) {
        const median = await bench.decide(batch)
        // The first pass warms up.
        if (pass > 0) least.set(what, Math.min(median, least.get(what) ?? median))
      }
      const signed = await signing()
      if (pass > 0) least.set('sign', Math.min(signed, least.get('sign') ?? signed))
    }
    for (const [what, microseconds] of least) say({ what, microseconds })
  } finally {
    for (const bench of new Set(each.map(([, bench]) => bench))) bench.close()
    bed.remove()
  }
}

type Bench = ReturnType<typeof openBench>

async function signing(): Promise<number> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const before = process.cpuUsage()
  const times = 500
  for (let done = 0; done < times; done++)
    await signRsa(privateKey, `POST\n/v3/${done}\n1\n2\n{}\n`)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}

function openBench(path: string, stores: number, guidesEach: number) {
  const { db, record } = openShop(path, { stores, guidesEach, print: () => '{}' })
  db.$client.pragma('synchronous = NORMAL')

  async function decide(batch: number): Promise<number> {
    for (let warm = 0; warm < stores; warm += 32) {
      await Promise.all(Array.from({ length: 32 }, record))
    }
    const each: number[] = []
    for (let done = 0; done < orders; done += batch) {
      const startMs = performance.now()
      await Promise.all(Array.from({ length: batch }, record))
      each.push(((performance.now() - startMs) * 1000) / batch)
    }
    return spreadOf(each).median
  }

  return {
    decide,

    /** Rows of the past year, made of those that there are: settled, and under numbers of their own. */
    copyRows(count: number): void {
      copyOrders(db.$client, count)
    },

    close: () => db.$client.close(),
  }
}

export function copyOrders(
  client: ReturnType<typeof openDatabase>['$client'],
  count: number,
): void {
  const columns = client
    .prepare<[], { name: string }>(
      "SELECT name FROM pragma_table_info('orders') WHERE name <> 'id'",
    )
    .all()
    .map(({ name }) => name)
  const changed: Record<string, string> = {
    out_trade_no: "'C' || n",
    status: "'assigned'",
    due_at_ms: 'NULL',
    settled_at_ms: 'decided_at_ms',
    decided_at_ms: 'decided_at_ms - 86400000 - n * 31',
  }
  client.exec(`
    INSERT INTO orders (${columns.join()})
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count}),
      sample AS MATERIALIZED (SELECT *, row_number() OVER () - 1 AS at FROM orders LIMIT 1000)
    SELECT ${columns.map(name => changed[name] ?? name).join()}
    FROM numbers JOIN sample ON sample.at = n % 1000`)
}

if (import.meta.main) {
  await measureScale(({ what, microseconds }) => {
    process.stdout.write(`${what.padEnd(32)} ${microseconds.toFixed(1).padStart(7)} µs\n`)
  })
}
