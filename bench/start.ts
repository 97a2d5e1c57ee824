import { join } from 'node:path'
import { openDatabase } from '../src/db/open.ts'
import { fillMirror, guidesEach, makeBed, prepareData, startProcess, stores } from './bed.ts'
import { closedLoop } from './load.ts'
import { copyOrders } from './scale.ts'

export type Start = {
  rows: number
  firstAnswerMs: number
  rssMib: number
  rssAfterMib: number
  orders: number
}

/** How long a start takes with so many orders in the database, until the first is answered; and what memory it takes. */
export async function measureStart(rows: number, seconds: number): Promise<Start> {
  const bed = makeBed()
  const upstream = await bed.startUpstream()
  try {
    const dataDir = join(bed.dir, 'data')
    const key = prepareData(dataDir, mirror => fillMirror(mirror, stores, guidesEach))
    const env = {
      ...bed.account,
      WECHATPAY_BASE_URLS: upstream.url,
      PORT: '0',
      DATA_DIR: dataDir,
      UPSTREAM_RATE_PER_SECOND: '10000',
    }
    const first = await startProcess('src/main.ts', env)
    await closedLoop({ url: first.url, key }, 8, 1)
    await first.stop()
    const db = openDatabase(join(dataDir, 'smartguide.db'))
    db.$client.pragma('synchronous = OFF')
    copyOrders(db.$client, rows)
    db.$client.pragma('wal_checkpoint(TRUNCATE)')
    db.$client.close()

    const startMs = performance.now()
    const service = await startProcess('src/main.ts', env)
    await post(service.url, key)
    const firstAnswerMs = performance.now() - startMs
    const { rssBytes } = await service.used()
    const { answered } = await closedLoop({ url: service.url, key }, 32, seconds)
    const after = await service.used()
    await service.stop()
    return {
      rows,
      firstAnswerMs,
      rssMib: rssBytes / 2 ** 20,
      rssAfterMib: after.rssBytes / 2 ** 20,
      orders: answered,
    }
  } finally {
    await upstream.stop()
    bed.remove()
  }
}

async function post(url: string, key: string): Promise<void> {
  const answer = await fetch(`${url}/orders/first-of-all/assign`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: '{"store_id":1}',
  })
  if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${await answer.text()}`)
}
