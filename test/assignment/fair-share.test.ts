import { afterEach, expect, it } from 'vitest'
import type { Roster } from '../../src/rules/roster.ts'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import { openRig, type Rig } from '../support/rig.ts'

const hourMs = 3_600_000
const weight = [3, 2, 2, 1, 1, 1]
// Early, late and a night over midnight; the guides by their place.
const shifts = [
  { from: '08:00', to: '15:00', who: [0, 1, 2, 3] },
  { from: '12:00', to: '22:00', who: [1, 2, 4, 5] },
  { from: '22:00', to: '08:00', who: [0, 5] },
]

let rig: Rig | undefined
afterEach(() => rig?.close())

/** Who is on at an hour of the store's day, told apart from the service's own reading of the roster. */
function onShift(hour: number): number[] {
  const on = (from: number, to: number) =>
    from < to ? hour >= from && hour < to : hour >= from || hour < to
  const places = shifts.filter(({ from, to }) =>
    on(Number(from.slice(0, 2)), Number(to.slice(0, 2))),
  )
  return [...new Set(places.flatMap(({ who }) => who))]
}

it('gives each guide of a store with 10,000 orders their share of the orders that they could have served', async () => {
  const client = {
    hosts: ['http://upstream'],
    assign: async (_: AssignRequest) => ({ kind: 'accepted', requestId: null }) as const,
  }
  rig = await openRig({ client })
  const { assignments, merchant, mirror, skew } = rig
  const ids = await rig.openStore(1001, weight.length)
  const written = { author: 'test', atMs: 0 }
  const roster: Roster = {
    weekly: shifts.map(({ from, to, who }) => ({
      shift: from,
      days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
      from,
      to,
      guides: who.map(place => ids[place] ?? ''),
    })),
  }
  const guides = ids.map((id, place) => ({ id, weight: weight[place] ?? 1, rotates: true }))
  mirror.putDocument(
    1001,
    'staff',
    { timezone: 'Asia/Shanghai', day_starts_at: '04:00', guides },
    written,
  )
  mirror.putDocument(1001, 'roster', roster, written)

  const start = Date.parse('2026-11-02T00:00:00+08:00')
  const count = ids.map(() => 0)
  const share = ids.map(() => 0)
  const perHour = [
    1, 0, 0, 0, 0, 0, 1, 3, 9, 17, 25, 31, 40, 33, 29, 27, 24, 30, 38, 41, 35, 22, 9, 3,
  ]
  let no = 0
  for (let day = 0; no < 10_000; day++) {
    for (const [hour, orders] of perHour.entries()) {
      skew.ms = start + (day * 24 + hour) * hourMs + 60_000 - Date.now()
      const on = onShift(hour)
      const total = on.reduce((sum, place) => sum + (weight[place] ?? 0), 0)
      const answers = await Promise.all(
        Array.from({ length: orders }, () =>
          assignments.assign(
            {
              merchant,
              outTradeNo: `F${no++}`,
              storeId: 1001,
              memberId: null,
              memberLevel: null,
              channel: null,
              amountFen: null,
              guideId: null,
              cartId: null,
              createdAtMs: null,
              test: false,
            },
            5000,
          ),
        ),
      )
      for (const { order } of answers) {
        const place = ids.indexOf(order.guideId ?? '')
        expect(on).toContain(place)
        count[place] = (count[place] ?? 0) + 1
        for (const one of on) share[one] = (share[one] ?? 0) + (weight[one] ?? 0) / total
      }
    }
  }

  expect(no).toBeGreaterThanOrEqual(10_000)
  const worst = Math.max(...count.map((got, place) => Math.abs(got - (share[place] ?? 0))))
  expect(worst).toBeLessThanOrEqual((ids.length - 1) / 2)
  const page: { standings: Record<string, [number, number]> } = JSON.parse(
    rig.db.$client.prepare<[], { page: string }>('SELECT page FROM books').get()?.page ?? '{}',
  )
  expect(Object.values(page.standings).reduce((sum, [balance]) => sum + balance, 0)).toBe(0)
}, 60_000)
