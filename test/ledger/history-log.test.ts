import { statSync } from 'node:fs'
import { setImmediate as nextTick } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openHistory } from '../../src/ledger/history.ts'
import { aDirectory } from '../support/ledger.ts'
import { openPast, type Past } from '../support/past.ts'

let directory: ReturnType<typeof aDirectory>
let past: Past

beforeEach(() => {
  directory = aDirectory()
  past = openPast(`${directory.path}/past.db`)
  past.openStore(1, ['A', 'B', 'C'], {})
})
afterEach(() => {
  past.db.$client.close()
  directory.remove()
})

const logBytes = () => statSync(`${directory.path}/past.db-wal`).size

async function post(orders: number): Promise<void> {
  for (let at = 0; at < orders; at++) await past.order(1)
}

describe('the write-ahead log', () => {
  it('does not grow with the orders, nor with the reports that were made meanwhile', async () => {
    for (let report = 0; report < 3; report++) {
      await past.history.read(async snapshot => snapshot.count(1, 0, Number.MAX_SAFE_INTEGER))
      await post(300)
    }
    expect(logBytes()).toBeLessThan(8_000_000)
  })

  it('does not grow without end though reports follow one another without a gap', async () => {
    const history = openHistory(past.db, { maxLogPages: 1500 })
    let reports = 0
    let isOver = false
    const report = () =>
      history.read(async snapshot => {
        reports += 1
        for (let turn = 0; turn < 200; turn++) {
          await nextTick()
          if (isOver) return
          await snapshot.count(1, 0, 1)
        }
      })
    const readers = [0, 1].map(async () => {
      while (!isOver) await report().catch(() => nextTick())
    })
    await post(1200)
    isOver = true
    await Promise.all(readers)
    // About 23 kB an order: without an end it would be 28 MB by now.
    expect(logBytes()).toBeLessThan(12_000_000)
    expect(reports).toBeGreaterThan(5)
  })
})

it('a report that takes too long ends, and leaves its place and its snapshot', async () => {
  await post(100)
  const history = openHistory(past.db, { maxReaders: 1, maxReadMs: 250 })
  const read = (workMs: number) =>
    history.read(async snapshot => {
      let orders = 0
      for await (const slice of snapshot.orders(1, 0, Number.MAX_SAFE_INTEGER)) {
        orders += slice.length
        await new Promise(done => setTimeout(done, workMs))
      }
      return orders
    })
  await expect(read(150)).rejects.toMatchObject({ code: 'invalid_request' })
  await expect(read(0)).resolves.toBe(100)
})
