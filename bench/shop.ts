import { lookAround, resolve } from '../src/assignment/resolve.ts'
import { openDatabase } from '../src/db/open.ts'
import { openLedger } from '../src/ledger/ledger.ts'
import { openMirror } from '../src/mirror/mirror.ts'
import { fillMirror, merchant } from './bed.ts'

const windowMs = 600_000

type Facts = Parameters<typeof lookAround>[2]

/** Stores on a file of their own, and one order after another, each of the next store. `print` makes its facts a text. */
export function openShop(
  path: string,
  {
    stores,
    guidesEach,
    print,
  }: { stores: number; guidesEach: number; print(facts: Facts): string },
) {
  const db = openDatabase(path)
  const mirror = openMirror(db)
  db.transaction(() => fillMirror(mirror, stores, guidesEach))
  const ledger = openLedger(db)
  let made = 0

  return {
    db,
    record(): Promise<unknown> {
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
      const order = { ...facts, merchant, facts: print(facts) }
      return ledger.record(order, view => resolve(facts, around, view))
    },
  }
}
