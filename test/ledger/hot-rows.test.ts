import { getTableColumns } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { prepareHotRows } from '../../src/ledger/hot-rows.ts'
import type { Order } from '../../src/ledger/order.ts'
import { orders } from '../../src/ledger/schema.ts'
import { aDatabase } from '../support/ledger.ts'

let file: ReturnType<typeof aDatabase>
let rows: ReturnType<typeof prepareHotRows>

beforeEach(() => {
  file = aDatabase()
  rows = prepareHotRows(file.db.$client)
})
afterEach(() => file.close())

/** Every column has a value of its own, so that two that are mixed up are seen. */
function aRow(): Omit<Order, 'id'> {
  const columns = Object.entries(getTableColumns(orders)).filter(([name]) => name !== 'id')
  const values = columns.map(([name, { dataType }], index) => [
    name,
    dataType === 'number' ? 1000 + index : `${name} ${index}`,
  ])
  return {
    ...(Object.fromEntries(values) as Omit<Order, 'id'>),
    status: 'pending',
    turn: 'taken',
    upstream: null,
    paidAtMs: null,
    closedAtMs: null,
  }
}

function insert(row = aRow()): Order {
  return { ...row, id: rows.insert(row) }
}

const read = (): Order | undefined => file.db.select().from(orders).get()

describe('the rows of the hot path', () => {
  it('are written as the schema reads them, each value in its column', () => {
    const order = insert()
    expect(read()).toEqual(order)
    expect(rows.isKnown(order.merchant, order.outTradeNo)).toBe(true)
    expect(rows.isKnown(order.outTradeNo, order.merchant)).toBe(false)
  })

  it('are settled, and come back, as they then stand', () => {
    const order = insert()
    const settled = rows.assigned(order, 7, { attempts: '[1]', attemptCount: 1 })
    expect(settled).toMatchObject({ status: 'assigned', settledAtMs: 7, dueAtMs: null })
    expect(read()).toEqual(settled)
  })

  it.each<[what: string, touch: Partial<Order>]>([
    ['settled', { status: 'expired' }],
    ['given to another guide', { generation: 2 }],
    ['paid', { paidAtMs: 5 }],
    ['closed', { closedAtMs: 5 }],
    ['attempted', { attemptCount: 9 }],
    ['cut short', { expiresAtMs: 5 }],
    ['rid of its turn', { turn: null }],
  ])('are left alone once somebody has %s them', (_, touch) => {
    const order = insert()
    file.db.update(orders).set(touch).run()
    expect(rows.assigned(order, 7, { attempts: '[1]', attemptCount: 1 })).toBeNull()
    expect(read()).toEqual({ ...order, ...touch })
  })
})
