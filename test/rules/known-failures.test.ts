import { describe, expect, it } from 'vitest'
import { decide, type Question, type Rules } from '../../src/rules/decide.ts'
import { weekdays } from '../../src/rules/names.ts'
import type { Roster } from '../../src/rules/roster.ts'
import {
  aLedger,
  aPlan,
  aQuestion,
  aStore,
  hourMs,
  minuteMs,
  shanghai,
  shift,
} from '../support/rules.ts'

/** Decides and enters the turn, as an assignment would, and counts. */
function aShop(rules: Rules) {
  const ledger = aLedger()
  const counts = new Map<string | null, number>()
  return {
    serve(facts: Partial<Question> = {}): string | null {
      const decision = decide(rules, aQuestion({ openBook: ledger.openBook, ...facts }))
      ledger.enter(decision)
      counts.set(decision.guideId, (counts.get(decision.guideId) ?? 0) + 1)
      return decision.guideId
    },
    counts: () => Object.fromEntries(counts),
  }
}

const always = [shift([...weekdays], '00:00', '00:00', ['*'])]

describe('known failures of others', () => {
  it('a daily reset lets the senior win every tie: here 3 guides with 4 orders a day have 40 each after 30 days', () => {
    const roster: Roster = { weekly: [shift([...weekdays], '09:00', '21:00', ['*'])] }
    const shop = aShop(aStore({ roster }))
    for (let day = 0; day < 30; day++) {
      for (let order = 0; order < 4; order++) {
        shop.serve({ atMs: shanghai('2026-11-23', '10:00') + day * 24 * hourMs + order * hourMs })
      }
    }
    expect(shop.counts()).toEqual({ A: 40, B: 40, C: 40 })
  })

  it('a leave of one day is ignored because both its ends are midnight UTC: here it is the whole local day', () => {
    for (const timezone of ['Asia/Shanghai', 'America/New_York', 'UTC']) {
      const rules = aStore({
        guides: ['A'],
        timezone,
        roster: { weekly: always, away: [{ guide: 'A', from: '2026-12-01', to: '2026-12-01' }] },
      })
      const midnight = rules.crew.calendar.instantOf(
        rules.crew.calendar.momentAt(Date.UTC(2026, 11, 1, 12)).day,
        0,
      )
      const absent = Array.from({ length: 48 * 60 }, (_, minute) => minute).filter(minute => {
        const atMs = midnight + (minute - 12 * 60) * minuteMs
        return decide(rules, aQuestion({ atMs })).guideId === null
      })
      expect([absent.length, absent.at(0), absent.at(-1)]).toEqual([1440, 720, 720 + 1439])
    }
  })

  it('the cover of a cover is lost: here covers are followed to their end, and a circle ends', () => {
    const today = { from: '2026-11-23', to: '2026-11-23' }
    const told = (last: string) => {
      const away = [
        { guide: 'A', ...today, cover: 'B' },
        { guide: 'B', ...today, cover: 'C' },
        { guide: 'C', ...today, cover: last },
      ]
      const rules = aStore({ guides: ['A', 'B', 'C', 'D', 'E'], roster: { weekly: always, away } })
      const atMs = shanghai('2026-11-23', '12:00')
      return decide(rules, aQuestion({ atMs, owner: { guideId: 'A', sinceMs: atMs } }))
    }
    expect(told('E')).toMatchObject({ guideId: 'E', reason: 'OWNER_COVER' })
    expect(told('A').steps).toEqual(['AWAY', 'hit', 'not_reached'])
    expect(told('B').steps).toEqual(['AWAY', 'hit', 'not_reached'])
  })

  it('who returns from leave is flooded with what they missed: here they get their turns and no more', () => {
    const away = [{ guide: 'C', from: '2026-11-24', to: '2026-12-23' }]
    const shop = aShop(aStore({ roster: { weekly: always, away } }))
    for (let order = 0; order < 91; order++) shop.serve({ atMs: shanghai('2026-11-23', '12:00') })
    for (let order = 0; order < 1000; order++) shop.serve({ atMs: shanghai('2026-12-01', '12:00') })
    const back = Array.from({ length: 9 }, () =>
      shop.serve({ atMs: shanghai('2026-12-24', '12:00') }),
    )
    expect(back.filter(id => id === 'C')).toHaveLength(3)
    expect(back.slice(0, 4).filter(id => id === 'C').length).toBeLessThanOrEqual(2)
  })

  it('who joins late is flooded with what they never had: here they get their turns and no more', () => {
    const roster: Roster = {
      weekly: [shift([...weekdays], '00:00', '00:00', ['A', 'B', 'C'])],
      dates: [
        {
          date: '2026-12-24',
          mode: 'add',
          shifts: [{ shift: '新人', from: '00:00', to: '00:00', guides: ['D'] }],
        },
      ],
    }
    const shop = aShop(aStore({ guides: ['A', 'B', 'C', 'D'], roster }))
    for (let order = 0; order < 1000; order++) shop.serve({ atMs: shanghai('2026-12-23') })
    const joined = Array.from({ length: 12 }, () => shop.serve({ atMs: shanghai('2026-12-24') }))
    expect(joined.filter(id => id === 'D')).toHaveLength(3)
  })

  it.each([2, 4, 6])(
    'a pointer advanced twice skips half of an even number of guides: here each of %d has the same',
    size => {
      const guides = Array.from({ length: size }, (_, index) => `G${index}`)
      const shop = aShop(aStore({ guides }))
      for (let order = 0; order < 100 * size; order++) shop.serve()
      expect(shop.counts()).toEqual(Object.fromEntries(guides.map(id => [id, 100])))
    },
  )

  it('an order that is asked about twice moves the pointer twice: here asking moves nothing', () => {
    const rules = aStore({ guides: ['A', 'B', 'C', 'D'] })
    const shop = aShop(rules)
    const ledger = aLedger()
    const chosen = Array.from({ length: 8 }, () => {
      decide(rules, aQuestion({ openBook: ledger.openBook }))
      const decision = decide(rules, aQuestion({ openBook: ledger.openBook }))
      ledger.enter(decision)
      return [decision.guideId, shop.serve()]
    })
    for (const [asked, once] of chosen) expect(asked).toBe(once)
  })

  it('the minute 23:59 is lost: here a shift to 00:00 holds it, and a whole day holds every minute', () => {
    for (const [from, to] of [
      ['09:00', '00:00'],
      ['00:00', '00:00'],
      ['18:00', '02:00'],
    ] as const) {
      const rules = aStore({ guides: ['A'], roster: { weekly: [shift(['mon'], from, to, ['A'])] } })
      for (const second of [0, 30, 59.999]) {
        const atMs = shanghai('2026-11-23', '23:59') + second * 1000
        expect(decide(rules, aQuestion({ atMs })).guideId).toBe('A')
      }
    }
  })

  it('the day flips at 08:00 in Beijing: here shifts, leave and what caps count from flip at local midnight', () => {
    const asked: number[] = []
    const rules = aStore({
      guides: [{ id: 'A', caps: { per_day: 60 } }],
      roster: { weekly: [shift(['mon'], '00:00', '00:00', ['A'])] },
    })
    const told = (date: string, time: string) =>
      decide(
        rules,
        aQuestion({
          atMs: shanghai(date, time),
          tally(_, { dayMs }) {
            asked.push(dayMs)
            return { hour: 0, day: 0 }
          },
        }),
      ).guideId
    expect(told('2026-11-22', '23:59')).toBeNull()
    for (const time of ['00:00', '07:59', '08:00', '23:59']) {
      asked.length = 0
      expect(told('2026-11-23', time)).toBe('A')
      expect(new Set(asked)).toEqual(new Set([shanghai('2026-11-23')]))
    }
    expect(told('2026-11-24', '00:00')).toBeNull()
    expect(told('2026-11-24', '07:59')).toBeNull()
  })

  it('an order number made anew for the same cart takes a second turn: here it keeps its guide and takes none', () => {
    const rules = aStore({ plan: aPlan([{ use: 'rotate' }]) })
    const decision = decide(rules, aQuestion({ outTradeNo: 'anew', sticky: 'B' }))
    expect(decision).toMatchObject({ guideId: 'B', reason: 'STICKY_CART', turn: null })
  })
})
