import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts'
import type { Attempt, Order, OrderTrace, Settlement } from '../../src/ledger/order.ts'
import {
  aDatabase,
  anOrder,
  asAfterCrash,
  bookOnDisk,
  commitsInLog,
  decideBy,
  onDisk,
  windowMs,
} from '../support/ledger.ts'
import { aStore, mondayMs } from '../support/rules.ts'

let file: ReturnType<typeof aDatabase>
let ledger: Ledger

beforeEach(() => {
  file = aDatabase()
  ledger = openLedger(file.db)
})
afterEach(() => file.close())

const nowMs = mondayMs
const untouched = () => {
  throw new Error('must not be decided again')
}

async function aRecorded(facts: Parameters<typeof anOrder>[0] = {}, atMs = nowMs): Promise<Order> {
  return (await ledger.record(anOrder(facts), decideBy(aStore(), { atMs }))).order
}

function aSettlement(status: Settlement['status'] = 'assigned'): Settlement {
  return { status, settledAtMs: nowMs + 100, upstream: null }
}

function anAttempt(host: string): Attempt {
  return { at_ms: nowMs, host, ms: 12.5, outcome: 'accepted', request_id: null }
}

function turnOf(order: Order): OrderTrace['turn'] {
  const trace: OrderTrace = JSON.parse(order.trace ?? '{}')
  return trace.turn
}

function rowsOnDisk(
  path = file.path,
): { out_trade_no: string; guide_id: string; status: string }[] {
  return onDisk(path, client =>
    client
      .prepare<[], { out_trade_no: string; guide_id: string; status: string }>(
        'SELECT out_trade_no, guide_id, status FROM orders ORDER BY id',
      )
      .all(),
  )
}

describe('an order', () => {
  it('is decided once, however often it is recorded in one tick', async () => {
    const order = anOrder()
    let decisions = 0
    const counted: ReturnType<typeof decideBy> = view => {
      decisions += 1
      return decideBy()(view)
    }
    const all = await Promise.all(Array.from({ length: 50 }, () => ledger.record(order, counted)))
    expect(decisions).toBe(1)
    expect(all.map(({ isNew }) => isNew)).toEqual([true, ...Array(49).fill(false)])
    for (const one of all) expect(one.order).toEqual(all[0]?.order)
    expect(bookOnDisk(file.path)['A']).toEqual([-480_480, 1])
  })

  it('is decided once across a restart, and keeps its first facts', async () => {
    const order = anOrder({ facts: '{"amount":1}' })
    const first = await ledger.record(order, decideBy())
    const reopened = openDatabase(file.path)
    const again = await openLedger(reopened).record({ ...order, facts: '{}' }, untouched)
    reopened.$client.close()
    expect(again).toEqual({ order: first.order, isNew: false })
    expect(again.order.facts).toBe('{"amount":1}')
  })

  it('is another order when another merchant has the same number', async () => {
    const order = anOrder({ outTradeNo: 'same' })
    const mine = await ledger.record(order, decideBy())
    const theirs = await ledger.record({ ...order, merchant: 'other' }, decideBy())
    expect([mine.isNew, theirs.isNew]).toEqual([true, true])
    expect(await ledger.find({ merchant: 'other', outTradeNo: 'same' })).toEqual(theirs.order)
    expect(await ledger.find({ merchant: 'third', outTradeNo: 'same' })).toBeNull()
  })

  it('is handed back by record exactly as find reads it from the file', async () => {
    const order = await aRecorded({ cartId: 'cart', facts: '{"store_id":1}' })
    expect(await ledger.find(order)).toEqual(order)
    expect(order).toMatchObject({
      status: 'pending',
      generation: 1,
      guideId: 'A',
      reason: 'FAIR_TURN',
      turn: 'taken',
      decidedAtMs: nowMs,
      expiresAtMs: nowMs + windowMs,
      attempts: '[]',
      settledAtMs: null,
    })
  })

  it('for nobody is settled when it is recorded, and is never due', async () => {
    const closed = aStore({ roster: { weekly: [] } })
    const { order } = await ledger.record(anOrder(), decideBy(closed))
    expect(order).toMatchObject({ status: 'unassigned', guideId: null, turn: null, dueAtMs: null })
    expect(order.settledAtMs).toBe(nowMs)
    expect(await ledger.nextDueAtMs()).toBeNull()
  })

  it('keeps in its trace what the choice follows from: who, weights, balances, last turns', async () => {
    await aRecorded()
    const order = await aRecorded()
    expect(turnOf(order)).toEqual({
      book: 'orders',
      units: 720_720,
      number: 2,
      chosen: 1,
      candidates: [
        ['A', 1, -480_480, 1],
        ['B', 1, 240_240, 0],
        ['C', 1, 240_240, 0],
      ],
    })
  })
})

describe('what was resolved', () => {
  it('is on the disk with its guide and its turn, as a crash would find it', async () => {
    for (let count = 1; count <= 5; count++) {
      const { outTradeNo, guideId } = await aRecorded()
      asAfterCrash(file.path, copy => {
        expect(rowsOnDisk(copy)).toHaveLength(count)
        expect(rowsOnDisk(copy).at(-1)).toMatchObject({
          out_trade_no: outTradeNo,
          guide_id: guideId,
        })
        expect(bookOnDisk(copy)[guideId ?? '']?.[1]).toBe(count)
      })
    }
  })

  it('shares one commit when 64 orders came in one tick, and their turns follow one another', async () => {
    const before = commitsInLog(file.path)
    const all = await Promise.all(Array.from({ length: 64 }, () => aRecorded()))
    expect(commitsInLog(file.path) - before).toBe(1)
    expect(all.map(({ guideId }) => guideId).slice(0, 6)).toEqual(['A', 'B', 'C', 'A', 'B', 'C'])
    expect(all.map(order => turnOf(order)?.number)).toEqual(all.map((_, index) => index + 1))
  })
})

describe('a decision that throws', () => {
  it('fails alone: its neighbours are recorded, with the turns they would have had without it', async () => {
    const settled = await Promise.allSettled([
      aRecorded(),
      ledger.record(anOrder(), untouched),
      aRecorded(),
      ledger.record(anOrder(), untouched),
      aRecorded(),
    ])
    const guides = settled.map(one =>
      one.status === 'fulfilled' && 'guideId' in one.value ? one.value.guideId : 'failed',
    )
    expect(guides).toEqual(['A', 'failed', 'B', 'failed', 'C'])
    expect(rowsOnDisk().map(({ guide_id }) => guide_id)).toEqual(['A', 'B', 'C'])
    expect(bookOnDisk(file.path)).toEqual({ A: [0, 1], B: [0, 2], C: [0, 3] })
  })

  it('leaves nothing in the books, in memory or on the disk, when it throws after it was decided', async () => {
    await aRecorded()
    const before = bookOnDisk(file.path)
    // Fails at COMMIT, when the page of the book was written already.
    const orphan = ledger.record(anOrder(), view => {
      file.db.$client.pragma('defer_foreign_keys = ON')
      file.db.$client.exec(
        "INSERT INTO guides (guide_id, store_id, state) VALUES ('orphan', 404, 'registered')",
      )
      return decideBy()(view)
    })
    await expect(orphan).rejects.toThrow('FOREIGN KEY')
    expect(bookOnDisk(file.path)).toEqual(before)
    expect((await aRecorded()).guideId).toBe('B')
    expect((await aRecorded()).guideId).toBe('C')
    expect(bookOnDisk(file.path)).toEqual({ A: [0, 1], B: [0, 2], C: [0, 3] })
  })
})

describe('an order of a cart', () => {
  it('keeps the guide of the order before it and takes no second turn', async () => {
    const first = await aRecorded({ cartId: 'cart' })
    const book = bookOnDisk(file.path)
    const second = await aRecorded({ cartId: 'cart' })
    expect(second).toMatchObject({ guideId: first.guideId, reason: 'STICKY_CART' })
    expect(bookOnDisk(file.path)).toEqual(book)
  })

  it.each([
    ['before its new number comes', true],
    ['after its new number came', false],
  ])('costs its guide one turn though the old number is closed %s', async (_, closesFirst) => {
    const served = { A: 0, B: 0, C: 0 }
    for (let cart = 0; cart < 30; cart++) {
      const old = await aRecorded({ cartId: `cart ${cart}` })
      if (closesFirst) await ledger.markClosed(old, nowMs + 1, nowMs + 1)
      const { guideId } = await aRecorded({ cartId: `cart ${cart}` })
      if (!closesFirst) await ledger.markClosed(old, nowMs + 1, nowMs + 1)
      expect(guideId).toBe(old.guideId)
      served[guideId as keyof typeof served] += 1
    }
    expect(served).toEqual({ A: 10, B: 10, C: 10 })
  })

  it('gives its one turn back when all its numbers are closed, in any order', async () => {
    for (const closing of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      const cartId = `cart ${closing}`
      const numbers = [
        await aRecorded({ cartId }),
        await aRecorded({ cartId }),
        await aRecorded({ cartId }),
      ]
      for (const index of closing) {
        const order = numbers[index]
        if (order) await ledger.markClosed(order, nowMs + 1, nowMs + 1)
      }
      expect(Object.values(bookOnDisk(file.path)).map(([balance]) => balance)).toEqual([0, 0, 0])
      for (const order of numbers) expect((await ledger.find(order))?.turn).not.toBe('taken')
    }
  })

  it('is decided anew when the one before it is paid: a till that is its own cart serves in turn', async () => {
    const guides: (string | null)[] = []
    for (let count = 0; count < 6; count++) {
      const order = await aRecorded({ cartId: 'till-1' })
      expect(order).toMatchObject({ reason: 'FAIR_TURN', turn: 'taken' })
      guides.push(order.guideId)
      await ledger.markPaid(order, nowMs + 1, nowMs + 1)
    }
    expect(guides).toEqual(['A', 'B', 'C', 'A', 'B', 'C'])
  })

  it('is decided anew when the newest is paid, though an older number of the cart was closed', async () => {
    const closed = await aRecorded({ cartId: 'till-1' })
    await ledger.markClosed(closed, nowMs + 1, nowMs + 1)
    const paid = await aRecorded({ cartId: 'till-1' })
    await ledger.markPaid(paid, nowMs + 2, nowMs + 2)
    expect(await aRecorded({ cartId: 'till-1' })).toMatchObject({
      guideId: 'B',
      reason: 'FAIR_TURN',
    })
    expect(await ledger.find(paid)).toMatchObject({ guideId: 'A', turn: 'taken' })
  })

  it('keeps the guide for 24 hours after the order before it, and no longer', async () => {
    const dayMs = 24 * 3_600_000
    await aRecorded({ cartId: 'cart' })
    const within = await aRecorded({ cartId: 'cart' }, nowMs + dayMs)
    expect(within).toMatchObject({ guideId: 'A', reason: 'STICKY_CART' })
    const after = await aRecorded({ cartId: 'cart' }, nowMs + 2 * dayMs + 1)
    expect(after).toMatchObject({ guideId: 'B', reason: 'FAIR_TURN', turn: 'taken' })
    expect(JSON.parse(after.trace ?? '{}').asked.sticky).toBeNull()
    expect(await ledger.find(within)).toMatchObject({ turn: 'taken' })
  })

  const close = (order: Order) => ledger.markClosed(order, nowMs + 1, nowMs + 1)
  const reject = (order: Order) => ledger.settle(order, aSettlement('rejected'), [])
  const turnsOf = async (...orders: Order[]) =>
    (await Promise.all(orders.map(order => ledger.find(order)))).map(order => order?.turn)

  it.each([
    ['closed', close],
    ['rejected', reject],
  ])(
    'holds the turn of its cart whichever older one it was passed back to when one was %s',
    async (_, end) => {
      const inCart = () => aRecorded({ cartId: 'cart' })
      const a = await inCart()
      const book = bookOnDisk(file.path)
      const b = await inCart()
      await end(b)
      expect(await turnsOf(a, b)).toEqual(['taken', null])
      const c = await inCart()
      expect(await turnsOf(a, b, c)).toEqual([null, null, 'taken'])
      await end(a)
      const d = await inCart()
      expect(await turnsOf(a, b, c, d)).toEqual([null, null, null, 'taken'])
      expect(bookOnDisk(file.path)).toEqual(book)
    },
  )

  it('leaves a paid order the turn that it holds, and takes its own', async () => {
    const paid = await aRecorded({ cartId: 'cart' })
    const closed = await aRecorded({ cartId: 'cart' })
    await close(closed)
    await ledger.markPaid(paid, nowMs + 2, nowMs + 2)
    const next = await aRecorded({ cartId: 'cart' })
    expect(await turnsOf(paid, closed, next)).toEqual(['taken', null, 'taken'])
    expect(turnOf(next)?.number).toBe(2)
  })

  it('whose guide was its owner takes no turn, then or later', async () => {
    const owned = () =>
      ledger.record(
        anOrder({ cartId: 'cart' }),
        decideBy(aStore(), { owner: { guideId: 'B', sinceMs: 0 } }),
      )
    const [first, second] = [await owned(), await owned()]
    expect([first.order.reason, second.order.reason]).toEqual(['OWNER', 'STICKY_CART'])
    expect([first.order.turn, second.order.turn]).toEqual([null, null])
    expect(bookOnDisk(file.path)).toEqual({})
  })

  it('finds that guide though both numbers were posted in one tick', async () => {
    const [first, second] = await Promise.all([
      aRecorded({ cartId: 'cart' }),
      aRecorded({ cartId: 'cart' }),
    ])
    expect([second?.guideId, second?.reason]).toEqual([first?.guideId, 'STICKY_CART'])
  })

  it('does not know the cart of another store, nor an order without a cart', async () => {
    await aRecorded({ cartId: 'cart' })
    expect(await aRecorded({ cartId: 'cart', storeId: 2 })).toMatchObject({ reason: 'FAIR_TURN' })
    expect(await aRecorded()).toMatchObject({ guideId: 'B', reason: 'FAIR_TURN' })
  })
})

describe('a test order', () => {
  it('gets a guide and takes no turn, and closing it gives none back', async () => {
    await aRecorded()
    const before = bookOnDisk(file.path)
    const order = await aRecorded({ test: true })
    expect(order).toMatchObject({ guideId: 'B', turn: null })
    expect(await ledger.markClosed(order, nowMs + 1, nowMs + 1)).toMatchObject({ turn: null })
    expect(bookOnDisk(file.path)).toEqual(before)
    expect((await aRecorded()).guideId).toBe('B')
  })
})

describe('settling', () => {
  it('keeps the turn of an assigned order and of an expired one', async () => {
    for (const status of ['assigned', 'expired'] as const) {
      const order = await aRecorded()
      const settled = await ledger.settle(order, aSettlement(status), [anAttempt('a')])
      expect(settled).toMatchObject({ status, turn: 'taken', dueAtMs: null, attemptCount: 1 })
      expect(await ledger.find(order)).toEqual(settled)
    }
  })

  it('happens once: the second settlement gets the first one back', async () => {
    const order = await aRecorded()
    const [first, second] = await Promise.all([
      ledger.settle(order, aSettlement('assigned'), []),
      ledger.settle(order, aSettlement('rejected'), [anAttempt('late')]),
    ])
    expect(second).toEqual(first)
    expect(second).toMatchObject({ status: 'assigned', turn: 'taken', attemptCount: 0 })
  })

  it('of an order that the ledger never held is a defect, and says so', async () => {
    const order = await aRecorded()
    const gone = ledger.settle({ ...order, id: 999 }, aSettlement(), [])
    await expect(gone).rejects.toThrow('order 999 is gone')
  })

  it.each([
    ['rejected', (order: Order) => ledger.settle(order, aSettlement('rejected'), [])],
    ['closed unpaid', (order: Order) => ledger.markClosed(order, nowMs + 5, nowMs + 5)],
  ])('gives the turn back when the order was %s', async (_, end) => {
    await aRecorded()
    const before = bookOnDisk(file.path)
    const order = await aRecorded()
    expect(bookOnDisk(file.path)).not.toEqual(before)
    expect(await end(order)).toMatchObject({ turn: 'refunded' })
    expect(bookOnDisk(file.path)).toEqual(before)
    expect((await aRecorded()).guideId).toBe(order.guideId)
  })

  it('gives the turn back once: rejected and closed, closed and rejected, closed twice', async () => {
    const before = bookOnDisk(file.path)
    const reject = (order: Order) => ledger.settle(order, aSettlement('rejected'), [])
    const close = (order: Order) => ledger.markClosed(order, nowMs + 5, nowMs + 5)
    for (const [first, second] of [
      [reject, close],
      [close, reject],
      [close, close],
    ] as const) {
      const order = await aRecorded()
      await Promise.all([first(order), second(order)])
      await close(order)
      expect(await ledger.find(order)).toMatchObject({ turn: 'refunded' })
      const balances = Object.values(bookOnDisk(file.path)).map(([balance]) => balance)
      expect(balances).toEqual([0, 0, 0])
    }
    expect(before).toEqual({})
  })

  it('keeps what WeChat Pay said last, until it accepts', async () => {
    const said = { status: 429, code: 'FREQUENCY_LIMITED', message: 'slower', request_id: 'R1' }
    const order = await aRecorded()
    await ledger.defer(order, nowMs + 10, said, [])
    await ledger.defer(order, nowMs + 20, null, [])
    const other = await aRecorded()
    await ledger.defer(other, nowMs + 10, said, [])
    const expired = await ledger.settle(order, { ...aSettlement(), status: 'expired' }, [])
    expect(JSON.parse(expired.upstream ?? '')).toEqual(said)
    expect(await ledger.settle(other, aSettlement(), [])).toMatchObject({ upstream: null })
  })

  it('keeps the last 20 attempts and the count of all', async () => {
    const order = await aRecorded()
    for (let round = 0; round < 9; round++) {
      await ledger.defer(
        order,
        nowMs,
        null,
        Array.from({ length: 5 }, (_, at) => anAttempt(`${round * 5 + at}`)),
      )
    }
    const { attempts, attemptCount } = await ledger.settle(order, aSettlement(), [anAttempt('45')])
    const kept: Attempt[] = JSON.parse(attempts)
    expect(attemptCount).toBe(46)
    expect(kept.map(({ host }) => host)).toEqual(
      Array.from({ length: 20 }, (_, at) => `${26 + at}`),
    )
  })
})

describe('payment', () => {
  it('ends the window at once, and the pending order is due', async () => {
    const order = await aRecorded()
    await ledger.defer(order, nowMs + 5000, null, [])
    const paid = await ledger.markPaid(order, nowMs + 700, nowMs + 700)
    expect(paid).toMatchObject({ status: 'pending', paidAtMs: nowMs + 700, turn: 'taken' })
    expect(paid).toMatchObject({ expiresAtMs: nowMs + 700, dueAtMs: nowMs + 700 })
    expect(await ledger.nextDueAtMs()).toBe(nowMs + 700)
  })

  it.each(['markPaid', 'markClosed'] as const)(
    'leaves an order that is in the air in hand, by %s: what its attempt learns is still to be written down',
    async mark => {
      const first = await aRecorded()
      const again = await aRecorded()
      await ledger.defer(again, nowMs, null, [])
      expect(await ledger.lease(nowMs, 5)).toHaveLength(1)
      for (const order of [first, again]) {
        const marked = await ledger[mark](order, nowMs + 500, nowMs + 700)
        expect(marked).toMatchObject({ status: 'pending', expiresAtMs: nowMs + 500 })
        expect(marked?.dueAtMs).toBeGreaterThan(nowMs + 900)
        expect(marked?.dueAtMs).toBeLessThan(nowMs + 1000)
      }
      const nobody = () => false
      expect(await ledger.expire(nowMs + 700, 5, nobody)).toBe(0)
      expect(await ledger.settle(first, aSettlement(), [])).toMatchObject({ status: 'assigned' })
      // The disk took its time, and the attempt with it.
      const isAgain = ({ id }: Order) => id === again.id
      expect(await ledger.expire(nowMs + 1000, 5, isAgain)).toBe(0)
      expect((await ledger.find(again))?.dueAtMs).toBeGreaterThan(nowMs + 1200)
      expect(await ledger.expire(nowMs + 1300, 5, nobody)).toBe(1)
      expect(await ledger.find(again)).toMatchObject({ status: 'expired' })
    },
  )

  it('never moves the end of the window later, nor before the decision', async () => {
    const late = await ledger.markPaid(
      await aRecorded(),
      nowMs + windowMs + 1,
      nowMs + windowMs + 1,
    )
    expect(late?.expiresAtMs).toBe(nowMs + windowMs)
    const early = await ledger.markPaid(await aRecorded(), nowMs - 1, nowMs - 1)
    expect(early).toMatchObject({ expiresAtMs: nowMs, paidAtMs: nowMs - 1 })
  })

  it('leaves a settled order settled: it is not due again', async () => {
    const order = await aRecorded()
    await ledger.settle(order, aSettlement(), [])
    expect(await ledger.markPaid(order, nowMs + 700, nowMs + 700)).toMatchObject({
      status: 'assigned',
      dueAtMs: null,
    })
    expect(await ledger.nextDueAtMs()).toBeNull()
  })

  it('is remembered as it was first told', async () => {
    const order = await aRecorded()
    const first = await ledger.markPaid(order, nowMs + 700, nowMs + 700)
    expect(await ledger.markPaid(order, nowMs + 900, nowMs + 900)).toEqual(first)
  })

  it('refuses a later close, which gets the paid order back untouched', async () => {
    const order = await aRecorded()
    const paid = await ledger.markPaid(order, nowMs + 700, nowMs + 700)
    expect(await ledger.markClosed(order, nowMs + 800, nowMs + 800)).toEqual(paid)
    expect(await ledger.find(order)).toMatchObject({ closedAtMs: null, turn: 'taken' })
  })

  it('is refused by a closed order, which comes back untouched', async () => {
    const order = await aRecorded()
    const closed = await ledger.markClosed(order, nowMs + 700, nowMs + 700)
    expect(closed).toMatchObject({
      closedAtMs: nowMs + 700,
      turn: 'refunded',
      expiresAtMs: nowMs + 700,
    })
    expect(await ledger.markPaid(order, nowMs + 800, nowMs + 800)).toEqual(closed)
  })

  it('and close of an order that nobody posted are answered with nothing', async () => {
    const key = { merchant: 'nobody', outTradeNo: 'none' }
    expect(await ledger.markPaid(key, nowMs, nowMs)).toBeNull()
    expect(await ledger.markClosed(key, nowMs, nowMs)).toBeNull()
    expect(await ledger.find(key)).toBeNull()
  })
})

describe('the outbox', () => {
  const graceMs = 250
  const numbers = (orders: readonly Order[]) => orders.map(({ outTradeNo }) => outTradeNo)

  it('leaves a new order to those who posted it until it has expired and a little more', async () => {
    const order = await aRecorded()
    const endMs = order.expiresAtMs + graceMs
    expect(await ledger.nextDueAtMs()).toBe(endMs)
    expect(await ledger.lease(endMs - 1, 10)).toEqual([])
    expect(numbers(await ledger.lease(endMs, 10))).toEqual([order.outTradeNo])
  })

  it('hands out the nearest expiry first, at most as many as asked for', async () => {
    for (const [outTradeNo, laterMs] of [
      ['c', 30],
      ['a', 10],
      ['d', 40],
      ['b', 20],
    ] as const) {
      await aRecorded({ outTradeNo }, nowMs + laterMs)
    }
    expect(await ledger.reclaim()).toBe(4)
    expect(numbers(await ledger.lease(nowMs + 50, 3))).toEqual(['a', 'b', 'c'])
    expect(numbers(await ledger.lease(nowMs + 50, 3))).toEqual(['d'])
    expect(await ledger.lease(nowMs + 50, 3)).toEqual([])
  })

  it('hands an order out again only after its expiry and a little more', async () => {
    const { expiresAtMs, outTradeNo } = await aRecorded()
    await ledger.reclaim()
    expect(await ledger.lease(nowMs + 1, 10)).toHaveLength(1)
    expect(await ledger.lease(expiresAtMs + graceMs - 1, 10)).toEqual([])
    expect(numbers(await ledger.lease(expiresAtMs + graceMs, 10))).toEqual([outTradeNo])
    expect(await ledger.lease(expiresAtMs + graceMs, 10)).toEqual([])
    expect(await ledger.lease(expiresAtMs + 2 * graceMs, 10)).toHaveLength(1)
  })

  it('gives no order to two who ask in one tick', async () => {
    await Promise.all(Array.from({ length: 10 }, () => aRecorded()))
    await ledger.reclaim()
    const [one, other] = await Promise.all([ledger.lease(nowMs, 6), ledger.lease(nowMs, 6)])
    expect(new Set(numbers([...(one ?? []), ...(other ?? [])])).size).toBe(10)
    expect([one?.length, other?.length]).toEqual([6, 4])
  })

  it('brings a deferred order back when it is due, and no later than its expiry', async () => {
    const order = await aRecorded()
    expect(await ledger.defer(order, nowMs + 500, null, [])).toMatchObject({ dueAtMs: nowMs + 500 })
    expect(await ledger.lease(nowMs + 499, 10)).toEqual([])
    expect(await ledger.lease(nowMs + 500, 10)).toHaveLength(1)
    const far = await ledger.defer(order, order.expiresAtMs + 99_999, null, [])
    expect(far.dueAtMs).toBe(order.expiresAtMs)
  })

  it('does not make a settled order pending again when it is deferred too late', async () => {
    const order = await aRecorded()
    const settled = await ledger.settle(order, aSettlement(), [])
    expect(await ledger.defer(order, nowMs + 500, null, [anAttempt('late')])).toEqual(settled)
    expect(await ledger.nextDueAtMs()).toBeNull()
  })

  it('makes all that is pending due at once after a restart, and nothing that is settled', async () => {
    const [leased, deferred, fresh, settled] = await Promise.all(
      [1, 2, 3, 4].map(() => aRecorded()),
    )
    if (!leased || !deferred || !fresh || !settled) throw new Error('four orders were recorded')
    await ledger.reclaim()
    await ledger.lease(nowMs, 1)
    await ledger.defer(deferred, nowMs + 500, null, [])
    await ledger.settle(settled, aSettlement(), [])
    const reopened = openDatabase(file.path)
    const next = openLedger(reopened)
    expect(await next.reclaim()).toBe(3)
    const due = await next.lease(nowMs, 10)
    reopened.$client.close()
    expect(numbers(due).toSorted()).toEqual(numbers([leased, deferred, fresh]).toSorted())
  })

  it('keeps the guide of an order through lease, deferral and restart', async () => {
    const { guideId, outTradeNo, merchant } = await aRecorded()
    for (let round = 0; round < 5; round++) {
      await ledger.reclaim()
      const [order] = await ledger.lease(nowMs, 1)
      if (!order) throw new Error('nothing was due')
      expect([order.guideId, order.generation]).toEqual([guideId, 1])
      await ledger.defer(order, nowMs + 1, null, [])
      await aRecorded()
    }
    expect(await ledger.find({ merchant, outTradeNo })).toMatchObject({ guideId, generation: 1 })
  })
})
