import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { aDirectory } from '../support/ledger.ts'
import { anyDocuments, anyEvents, guideIds, live, openPast } from '../support/past.ts'

const directory = aDirectory()
const past = openPast(`${directory.path}/past.db`)
afterAll(() => {
  past.db.$client.close()
  directory.remove()
})

let storesMade = 0
const aStoreId = () => ++storesMade

describe('a replay', () => {
  it('of the documents that were in force changes nothing, wherever the period begins and ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyDocuments,
        anyEvents,
        fc.nat(20),
        fc.nat(20),
        async (documents, events, skip, drop) => {
          const startMs = past.clock.ms
          const store = past.openStore(aStoreId(), guideIds, documents)
          const orders = (await live(past, store.storeId, events)).filter(
            ({ facts }) => !facts.includes('"test"'),
          )
          const first = orders[Math.min(skip, orders.length - 1)]
          const fromMs = first?.decidedAtMs ?? startMs
          const toMs = Math.max(fromMs + 1, orders.at(-1 - drop)?.decidedAtMs ?? fromMs + 1)
          const asked = orders.filter(o => o.decidedAtMs >= fromMs && o.decidedAtMs < toMs)
          const report = await past.reports.replay(store, { fromMs, toMs }, {})
          expect(report).toMatchObject({ orders: asked.length, changed: 0, sample: [] })
          expect(report?.uncovered_after).toBe(report?.uncovered_before)
        },
      ),
      { numRuns: 300 },
    )
  })
})
