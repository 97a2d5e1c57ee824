import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { Order, OrderTrace } from '../../src/ledger/order.ts'
import { aDirectory } from '../support/ledger.ts'
import {
  anyDocuments,
  anyEvents,
  aPlan,
  byAmount,
  type Event,
  guideIds,
  live,
  openPast,
} from '../support/past.ts'
import { atLength } from '../support/thorough.ts'

const directory = aDirectory()
const past = openPast(`${directory.path}/past.db`)
afterAll(() => {
  past.db.$client.close()
  directory.remove()
})

let storesMade = 0
const aStoreId = () => ++storesMade
const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
const order = (facts: object = {}): Event => ({ kind: 'order', facts })

const staffOf = (ids: string[]) => ({
  timezone: 'Asia/Shanghai',
  day_starts_at: '00:00',
  guides: ids.map((id, index) => ({ id, weight: index + 1, rotates: true })),
})

/** A history with every way to have a turn: rotated, charged, a cart's, given back, taken anew, in two books. */
async function aHistory() {
  const store = past.openStore(aStoreId(), ['A', 'B', 'C'], {
    staff: staffOf(['A', 'B', 'C']),
    plan: aPlan(
      { use: 'hint', counts: 'full' },
      { use: 'owner', counts: 'clamped' },
      { use: 'rotate', book: 'big', when: { min_amount: 800 } },
      { use: 'rotate' },
    ),
  })
  const orders = await live(past, store.storeId, [
    order(),
    order(),
    order({ guideId: 'C' }),
    order({ cartId: 'c1' }),
    order({ cartId: 'c1' }),
    order({ amountFen: 900 }),
    order({ memberId: 'm1' }),
    { kind: 'reject', order: 1 },
    order(),
    order({ test: true }),
    { kind: 'close', order: 2 },
    order({ amountFen: 1000 }),
    { kind: 'close', order: 4 },
    order({ cartId: 'c2' }),
    { kind: 'close', order: 11 },
    order({ cartId: 'c2' }),
    order(),
    order({ memberId: 'm1' }),
    order(),
    { kind: 'publish', documents: { staff: staffOf(['A', 'B']) } },
    order({ amountFen: 100 }),
    order({ amountFen: 1000 }),
    { kind: 'publish', documents: { staff: staffOf(['A', 'B', 'C']) } },
    order(),
  ])
  expect(orders.filter(one => traceOf(one).turn?.handedOn)).toHaveLength(1)
  expect(await past.reports.verify(store, always)).toEqual({
    ok: true,
    checked: orders.length,
    faults: [],
  })
  return { store, orders }
}

function setColumn({ id }: Order, column: string, value: string | number | null): void {
  past.db.$client.prepare(`UPDATE orders SET ${column} = ? WHERE id = ?`).run(value, id)
}

function traceOf(order: Order): OrderTrace {
  return JSON.parse(order.trace ?? '{}')
}

/** Each number and name in a trace's turn, changed in turn. */
function tampered(trace: OrderTrace): [what: string, trace: OrderTrace][] {
  const { turn, returned } = trace
  if (!turn) return []
  const made: [string, OrderTrace][] = []
  const change = (what: string, changed: Partial<typeof turn>) =>
    made.push([what, { ...trace, turn: { ...turn, ...changed } }])
  change('number', { number: turn.number + 1 })
  change('number', { number: turn.number + 1000 })
  change('units', { units: turn.units - 1 })
  change('units', { units: turn.units * 2 })
  change('book', { book: 'elsewhere' })
  if (turn.candidates.length > 1) {
    change('chosen', { chosen: (turn.chosen + 1) % turn.candidates.length })
    change('candidates', { candidates: turn.candidates.slice(1) })
  }
  for (const [index, [id, weight, balance, lastServed]] of turn.candidates.entries()) {
    const other = (what: string, one: [string, number, number, number]) =>
      change(what, { candidates: turn.candidates.with(index, one) })
    other(`weight ${id}`, [id, weight + 1, balance, lastServed])
    other(`balance ${id}`, [id, weight, balance + 1, lastServed])
    other(`last ${id}`, [id, weight, balance, lastServed + 1])
    other(`id ${id}`, ['X', weight, balance, lastServed])
  }
  const { handedOn = [] } = turn
  for (const [index, [id, weight, by]] of handedOn.entries()) {
    const other = (what: string, one: [string, number, number]) =>
      change(what, { handedOn: handedOn.with(index, one) })
    other(`handed on weight ${id}`, [id, weight + 1, by])
    other(`handed on by ${id}`, [id, weight, by + 1])
    other(`handed on id ${id}`, ['X', weight, by])
    change(`handed on, without ${id}`, { handedOn: handedOn.toSpliced(index, 1) })
  }
  if (handedOn.length > 0) change('handed on', { handedOn: [] })
  if (returned?.number) {
    made.push(['refund', { ...trace, returned: { ...returned, number: returned.number + 1 } }])
    made.push(['refund', { ...trace, returned: { ...returned, number: null } }])
  }
  made.push(['turn', { ...trace, turn: null }])
  return made
}

describe('verify', () => {
  it('finds nothing in any untouched history: carts, refunds, tests, amounts, charges, changed documents', async () => {
    await fc.assert(
      fc.asyncProperty(anyDocuments, anyEvents, async (documents, events) => {
        const store = past.openStore(aStoreId(), guideIds, documents)
        const orders = await live(past, store.storeId, events)
        const verified = await past.reports.verify(store, always)
        expect(verified).toEqual({ ok: true, checked: orders.length, faults: [] })
      }),
      { numRuns: atLength(50, 150) },
    )
  })

  it('names an order whose guide was changed', async () => {
    const { store, orders } = await aHistory()
    for (const one of orders) {
      for (const guideId of ['A', 'B', 'C', 'X', null].filter(id => id !== one.guideId)) {
        setColumn(one, 'guide_id', guideId)
        const { ok, faults } = await past.reports.verify(store, always)
        expect(ok).toBe(false)
        expect(faults.map(fault => fault.out_trade_no)).toContain(one.outTradeNo)
      }
      setColumn(one, 'guide_id', one.guideId)
    }
    expect((await past.reports.verify(store, always)).ok).toBe(true)
  })

  it('names an order whose turn was taken from it, given to it, or given back by hand', async () => {
    const { store, orders } = await aHistory()
    for (const one of orders) {
      for (const turn of ['taken', 'refunded', null].filter(state => state !== one.turn)) {
        setColumn(one, 'turn', turn)
        const { ok, faults } = await past.reports.verify(store, always)
        expect(ok).toBe(false)
        const { turn: logged } = traceOf(one)
        const mates = orders.filter(other => {
          const theirs = traceOf(other).turn
          return theirs?.number === logged?.number && theirs?.book === logged?.book
        })
        const named = faults.map(fault => fault.out_trade_no)
        expect(mates.some(({ outTradeNo }) => named.includes(outTradeNo))).toBe(true)
      }
      setColumn(one, 'turn', one.turn)
    }
  })

  it('names an order of which any logged number was changed', async () => {
    const { store, orders } = await aHistory()
    let changes = 0
    for (const one of orders.filter(({ facts }) => !facts.includes('"test"'))) {
      for (const [what, trace] of tampered(traceOf(one))) {
        setColumn(one, 'trace', JSON.stringify(trace))
        const { ok, faults } = await past.reports.verify(store, always)
        const named = faults.map(fault => fault.out_trade_no)
        expect([what, one.reason, ok, named]).toEqual([what, one.reason, false, named])
        const { turn: logged } = traceOf(one)
        const isShared = orders.some(
          other => other.id !== one.id && traceOf(other).turn?.number === logged?.number,
        )
        if (isShared) expect(named.filter(name => name !== null)).not.toEqual([])
        else expect([what, one.reason, ...named]).toContain(one.outTradeNo)
        changes += 1
      }
      setColumn(one, 'trace', one.trace)
    }
    expect(changes).toBeGreaterThan(atLength(40, 150))
    expect((await past.reports.verify(store, always)).ok).toBe(true)
  })

  it('names an order that was given to another throughout, guide and turn alike', async () => {
    const { store, orders } = await aHistory()
    const last = orders.at(-1)
    const trace = last && traceOf(last)
    if (!last || !trace?.turn) throw new Error('no turn')
    const chosen = (trace.turn.chosen + 1) % trace.turn.candidates.length
    setColumn(last, 'guide_id', trace.turn.candidates[chosen]?.[0] ?? null)
    setColumn(last, 'trace', JSON.stringify({ ...trace, turn: { ...trace.turn, chosen } }))
    expect((await past.reports.verify(store, always)).faults).toContainEqual({
      out_trade_no: last.outTradeNo,
      what: 'the one who serves does not follow from its numbers',
    })
  })

  it('names an order that was opened again, or accepted after all, though it gave its turn back', async () => {
    const { store, orders } = await aHistory()
    const closed = orders.filter(one => one.turn === 'refunded' && one.closedAtMs !== null)
    const rejected = orders.filter(({ status }) => status === 'rejected')
    expect([closed.length, rejected.length]).toEqual([2, 1])
    for (const one of [...closed, ...rejected]) {
      const by = one.status === 'rejected' ? 'rejected' : 'closed'
      if (by === 'rejected') setColumn(one, 'status', 'assigned')
      else setColumn(one, 'closed_at_ms', null)
      expect((await past.reports.verify(store, always)).faults).toContainEqual({
        out_trade_no: one.outTradeNo,
        what: `ended as ${by}, and its row does not say so`,
      })
      setColumn(one, 'status', one.status)
      setColumn(one, 'closed_at_ms', one.closedAtMs)
    }
    expect((await past.reports.verify(store, always)).ok).toBe(true)
  })

  it('names an order of a cart whose payment was taken away', async () => {
    const store = past.openStore(aStoreId(), ['A', 'B'], { plan: aPlan({ use: 'rotate' }) })
    const [paid] = await live(past, store.storeId, [
      order({ cartId: 'till-1' }),
      { kind: 'pay', order: 0 },
      order({ cartId: 'till-1' }),
    ])
    if (!paid) throw new Error('no order')
    expect((await past.reports.verify(store, always)).ok).toBe(true)
    setColumn(paid, 'paid_at_ms', null)
    expect((await past.reports.verify(store, always)).faults).toEqual([
      { out_trade_no: paid.outTradeNo, what: 'ended as paid, and its row does not say so' },
    ])
  })

  it('names an order that has a guide and is said to have none', async () => {
    const { store, orders } = await aHistory()
    for (const one of orders) {
      for (const status of ['unassigned', 'skipped']) {
        setColumn(one, 'status', status)
        expect((await past.reports.verify(store, always)).faults).toContainEqual({
          out_trade_no: one.outTradeNo,
          what: `is ${status}, and has a guide`,
        })
      }
      setColumn(one, 'status', one.status)
    }
  })

  it('names an order that passes its turn off as the turn of a test', async () => {
    const { store, orders } = await aHistory()
    const last = orders.at(-1)
    const trace = last && traceOf(last)
    if (!last || !trace?.turn) throw new Error('no turn')
    setColumn(last, 'trace', JSON.stringify({ ...trace, turn: { ...trace.turn, number: 0 } }))
    expect((await past.reports.verify(store, always)).faults).toContainEqual({
      out_trade_no: last.outTradeNo,
      what: 'has the turn of a test, and is none',
    })
  })

  it('says that an order is gone, and which numbers with it', async () => {
    const { store, orders } = await aHistory()
    const [, , gone] = orders
    past.db.$client.prepare('DELETE FROM orders WHERE id = ?').run(gone?.id)
    const { ok, faults } = await past.reports.verify(store, always)
    expect(ok).toBe(false)
    expect(faults[0]?.what).toMatch(/missing before it/)
  })

  it('says that a book was changed, and when it no longer sums to zero', async () => {
    const { store } = await aHistory()
    const change = (path: string) =>
      past.db.$client
        .prepare(
          `UPDATE books SET page = json_set(page, '${path}', json_extract(page, '${path}') + 1) WHERE store_id = ? AND book = 'orders'`,
        )
        .run(store.storeId)
    change('$.standings.B[0]')
    const { faults } = await past.reports.verify(store, always)
    expect(faults.map(({ what }) => what)).toEqual([
      expect.stringMatching(/^book orders has B at/),
      'book orders sums to 1, not to 0',
    ])
    change('$.standings.A[1]')
    change('$.turn')
    expect((await past.reports.verify(store, always)).faults).toHaveLength(4)
  })

  it('tells only of orders decided in the period, though it reads them all', async () => {
    const { store, orders } = await aHistory()
    const [first, , third] = orders
    if (!first || !third) throw new Error('no orders')
    setColumn(first, 'guide_id', 'X')
    const since = { fromMs: third.decidedAtMs, toMs: Number.MAX_SAFE_INTEGER }
    expect(await past.reports.verify(store, since)).toEqual({
      ok: true,
      checked: orders.length - 2,
      faults: [],
    })
    const until = { fromMs: 0, toMs: third.decidedAtMs }
    const { ok, checked, faults } = await past.reports.verify(store, until)
    expect([ok, checked]).toEqual([false, 2])
    expect(new Set(faults.map(fault => fault.out_trade_no))).toEqual(new Set([first.outTradeNo]))
  })

  it('is not torn by what is recorded and given back while it reads', async () => {
    const store = past.openStore(aStoreId(), ['A', 'B'], { plan: byAmount({ use: 'rotate' }) })
    const first = await live(
      past,
      store.storeId,
      Array.from({ length: 300 }, (_, index) => order({ amountFen: index })),
    )
    const verifying = past.reports.verify(store, always)
    for (const one of first.slice(0, 100)) {
      await past.close(one)
      await past.order(store.storeId, { amountFen: 7 })
    }
    expect(await verifying).toEqual({ ok: true, checked: 300, faults: [] })
    expect(await past.reports.verify(store, always)).toMatchObject({ ok: true, checked: 400 })
  })
})

describe('the read side of the ledger', () => {
  it('gives the orders of one store in [from, to), in the order of their decisions, whatever the clock did', async () => {
    const [storeId, other] = [aStoreId(), aStoreId()]
    for (const id of [storeId, other]) past.openStore(id, ['A'], {})
    const startMs = past.clock.ms
    const offsets = Array.from({ length: 150 }, (_, index) => (index * 37) % 101)
    for (const offset of offsets) {
      past.clock.ms = startMs + offset
      await past.order(storeId)
      await past.order(other)
    }
    const read = await past.history.read(async snapshot => {
      const rows = []
      for await (const slice of snapshot.orders(storeId, startMs + 10, startMs + 60)) {
        expect(slice.length).toBeLessThanOrEqual(32)
        rows.push(...slice)
      }
      return rows
    })
    expect(read.map(({ decidedAtMs }) => decidedAtMs - startMs)).toEqual(
      offsets.filter(offset => offset >= 10 && offset < 60),
    )
    const ids = read.map(({ id }) => id)
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
    past.clock.ms = startMs + 1000
  })

  it('refuses a fifth report while four are being made, and takes the next when one is done', async () => {
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
    const running = gates.map(({ promise }) => past.history.read(() => promise))
    await expect(past.history.read(async () => 1)).rejects.toMatchObject({ code: 'overloaded' })
    for (const { resolve } of gates) resolve()
    await Promise.all(running)
    expect(await past.history.read(async () => 1)).toBe(1)
  })
})
