import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { lookAround, resolve } from '../src/assignment/resolve.ts'
import { openDatabase } from '../src/db/open.ts'
import { openLedger } from '../src/ledger/ledger.ts'
import { openMirror } from '../src/mirror/mirror.ts'
import { signRsa } from '../src/wechatpay/sign.ts'
import { fillMirror, makeBed, merchant } from './bed.ts'
import { spreadOf } from './figures.ts'

export type Figure = { what: string; microseconds: number }

const windowMs = 600_000
const million = 1_000_000
/** Of one figure; many stores are looked at once before, as in a service that has run for a while. */
const orders = 4096

/**
 * The decision alone, in this process: transaction with plan, fairness and row, at synchronous=NORMAL, so that the disk
 * is not what is measured. Microseconds an order, the median of its batches.
 */
export async function measureScale(say: (figure: Figure) => void): Promise<void> {
  const bed = makeBed()
  try {
    say({ what: 'sign', microseconds: await signing() })
    for (const batch of [1, 32]) {
      const bench = open(join(bed.dir, `batch-${batch}.db`), 10, 8)
      say({ what: `decision, batch of ${batch}`, microseconds: await bench.decide(batch) })
      bench.close()
    }
    for (const stores of [10, 1000, 10_000]) {
      const bench = open(join(bed.dir, `stores-${stores}.db`), stores, 8)
      say({ what: `decision, ${stores} stores`, microseconds: await bench.decide(32) })
      bench.close()
    }
    for (const guides of [8, 50, 200]) {
      const bench = open(join(bed.dir, `guides-${guides}.db`), 10, guides)
      say({ what: `decision, ${guides} guides a store`, microseconds: await bench.decide(32) })
      bench.close()
    }
    const bench = open(join(bed.dir, 'rows.db'), 10, 8)
    say({ what: 'decision, 0 rows', microseconds: await bench.decide(32) })
    bench.copyRows(million)
    say({ what: 'decision, 1,000,000 rows', microseconds: await bench.decide(32) })
    bench.close()
  } finally {
    bed.remove()
  }
}

async function signing(): Promise<number> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const before = process.cpuUsage()
  const times = 500
  for (let done = 0; done < times; done++)
    await signRsa(privateKey, `POST\n/v3/${done}\n1\n2\n{}\n`)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}

function open(path: string, stores: number, guidesEach: number) {
  const db = openDatabase(path)
  db.$client.pragma('synchronous = NORMAL')
  const mirror = openMirror(db)
  db.transaction(() => fillMirror(mirror, stores, guidesEach))
  const ledger = openLedger(db)
  let made = 0

  function record(): Promise<unknown> {
    made += 1
    const nowMs = Date.now()
    const storeId = 1 + (made % stores)
    const store = mirror.readyStore(storeId, nowMs)
    if (!store) throw new Error('no store')
    const facts = {
      storeId,
      outTradeNo: `S${made}`,
      memberId: `m${made % 2000}`,
      memberLevel: null,
      amountFen: (made % 50) * 3000,
      channel: null,
      guideId: null,
      cartId: null,
      createdAtMs: null,
      test: false,
    }
    const around = lookAround(mirror, store, facts, nowMs, windowMs)
    const order = { merchant, outTradeNo: facts.outTradeNo, storeId, facts: '{}', cartId: null }
    return ledger.record({ ...order, test: false }, view => resolve(facts, around, view))
  }

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
