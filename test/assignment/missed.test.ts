import { afterAll, describe, expect, it } from 'vitest'
import { rosterSchema } from '../../src/rules/roster.ts'
import { aDirectory } from '../support/ledger.ts'
import { aPlan, openPast } from '../support/past.ts'
import { aStaff, hourMs, mondayMs, shift } from '../support/rules.ts'

const directory = aDirectory()
const past = openPast(`${directory.path}/past.db`)
afterAll(() => {
  past.db.$client.close()
  directory.remove()
})

let storesMade = 0

/** On Monday A is on from 09:00 to 12:00, B always. */
const roster = rosterSchema.parse({
  weekly: [
    shift(['mon'], '09:00', '12:00', ['A']),
    shift(['sun', 'mon', 'tue'], '00:00', '00:00', ['B']),
  ],
})

function aStore() {
  past.clock.ms = mondayMs
  storesMade += 1
  return past.openStore(storesMade, ['A', 'B'], {
    staff: aStaff(['A', 'B']),
    roster,
    plan: aPlan({ use: 'hint' }, { use: 'rotate' }),
  })
}

const at = (hour: number) => {
  past.clock.ms = mondayMs + hour * hourMs
}

describe('the orders that a guide missed', () => {
  it('are none that were refused or closed unpaid, whoever they had been given to', async () => {
    const { storeId, ...store } = aStore()
    at(10)
    const orders = []
    for (let made = 0; made < 4; made++) {
      orders.push(await past.order(storeId, { guideId: 'B', outTradeNo: `${storeId}-${made}` }))
    }
    const [refused, closed, paid] = orders
    if (!refused || !closed || !paid) throw new Error('no orders')
    await past.reject(refused)
    await past.close(closed)
    await past.pay(paid)
    const report = await past.reports.missed({ storeId, ...store }, 'A', '2026-11-23')
    expect(report).toMatchObject({ orders: 4, missed: 2, reasons: { STEP_NOT_REACHED: 2 } })
    expect(report.sample.map(({ outTradeNo }) => outTradeNo)).toEqual([
      `${storeId}-2`,
      `${storeId}-3`,
    ])
  })

  it.each([
    [
      'QUARANTINED',
      () => past.mirror.putGuide({ id: 'A', storeId: storesMade, state: 'quarantined' }),
    ],
    [
      'WRONG_STORE',
      () => {
        past.mirror.putStore({
          storeId: 9999,
          merchant: 'other',
          name: '',
          timezone: 'Asia/Shanghai',
        })
        past.mirror.putGuide({ id: 'A', storeId: 9999, state: 'registered' })
      },
    ],
  ])('are those of their own hours alone while they are barred as %s', async (why, bar) => {
    const store = aStore()
    bar()
    for (const hour of [8.99, 9, 11.99, 12]) {
      at(hour)
      await past.order(store.storeId)
    }
    const report = await past.reports.missed(store, 'A', '2026-11-23')
    expect(report).toMatchObject({ orders: 4, missed: 2, reasons: { [why]: 2 } })
    expect(report.sample.map(({ decidedAtMs }) => (decidedAtMs - mondayMs) / hourMs)).toEqual([
      9, 11.99,
    ])
  })

  it('are reckoned, of one who is barred, by the roster that each order names', async () => {
    const store = aStore()
    past.mirror.putGuide({ id: 'A', storeId: store.storeId, state: 'quarantined' })
    at(10)
    await past.order(store.storeId)
    past.publish(store.storeId, {
      roster: { ...roster, away: [{ guide: 'A', from: '2026-11-23', to: '2026-11-23' }] },
    })
    await past.order(store.storeId)
    past.publish(store.storeId, { roster })
    at(14)
    await past.order(store.storeId)
    past.publish(store.storeId, {
      roster: rosterSchema.parse({ weekly: [shift(['mon'], '09:00', '16:00', ['*'])] }),
    })
    await past.order(store.storeId)
    expect(await past.reports.missed(store, 'A', '2026-11-23')).toMatchObject({
      orders: 4,
      missed: 2,
      reasons: { QUARANTINED: 2 },
    })
  })

  it('are reckoned, of one who is on the staff and not registered, by their shifts too', async () => {
    const store = aStore()
    past.publish(store.storeId, {
      staff: aStaff(['A', 'B', 'NEW']),
      roster: rosterSchema.parse({
        weekly: [
          shift(['mon'], '00:00', '00:00', ['B']),
          shift(['mon'], '10:00', '11:00', ['NEW']),
        ],
      }),
    })
    for (const hour of [9, 10, 11]) {
      at(hour)
      await past.order(store.storeId)
    }
    expect(await past.reports.missed(store, 'NEW', '2026-11-23')).toMatchObject({
      orders: 3,
      missed: 1,
      reasons: { UNREGISTERED: 1 },
    })
  })
})
