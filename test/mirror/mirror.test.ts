import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { StartError } from '../../src/errors.ts'
import { type Mirror, openMirror, type Store } from '../../src/mirror/mirror.ts'
import { decide } from '../../src/rules/decide.ts'
import { defaultPlan, type Plan } from '../../src/rules/plan.ts'
import { defaultRoster } from '../../src/rules/roster.ts'
import { aDatabase, merchant } from '../support/ledger.ts'
import { aQuestion, aStaff, mondayMs, shift } from '../support/rules.ts'

let file: ReturnType<typeof aDatabase>
let mirror: Mirror

beforeEach(() => {
  file = aDatabase()
  mirror = openMirror(file.db)
})
afterEach(() => file.close())

const written = { author: 'test', atMs: mondayMs }

function aStoreRow(facts: Partial<Store> = {}): Store {
  return { storeId: 1, merchant, name: '一号店', timezone: 'Asia/Shanghai', ...facts }
}

function open(facts: Partial<Store> = {}, guides: readonly string[] = ['A', 'B']): void {
  const row = aStoreRow(facts)
  mirror.putStore(row)
  for (const id of guides) mirror.putGuide({ id, storeId: row.storeId, state: 'registered' })
}

function rules(storeId = 1, from = mirror) {
  const store = from.readyStore(storeId, mondayMs)
  if (!store) throw new Error(`there is no store ${storeId}`)
  return store.rules
}

function answer(storeId = 1, from = mirror) {
  const { guideId, blocked } = decide(rules(storeId, from), aQuestion())
  return { guideId, blocked: Object.fromEntries(blocked) }
}

describe('a new store', () => {
  it('works from the moment it exists: all its guides, at all hours, the default plan, version 0', () => {
    open()
    expect(rules()).toMatchObject({ plan: defaultPlan, versions: { staff: 0, roster: 0, plan: 0 } })
    for (let hour = 0; hour < 7 * 24; hour++) {
      const { guideId } = decide(rules(), aQuestion({ atMs: mondayMs + hour * 3_600_000 }))
      expect(guideId).toBe('A')
    }
  })

  it('has nobody until a guide is registered, and that one from then on', () => {
    open({}, [])
    expect(answer()).toEqual({ guideId: null, blocked: {} })
    mirror.putGuide({ id: 'A', storeId: 1, state: 'registered' })
    expect(answer().guideId).toBe('A')
  })

  it('is not there before it is put', () => {
    expect(mirror.store(1)).toBeNull()
    open()
    expect(mirror.store(1)).toMatchObject(aStoreRow())
    expect(mirror.stores()).toEqual([aStoreRow()])
  })

  it('has the guides of no other store', () => {
    open()
    open({ storeId: 2 }, ['C'])
    expect(mirror.guidesOf(1)).toEqual(['A', 'B'])
    expect(answer(2)).toEqual({ guideId: 'C', blocked: {} })
  })
})

describe('a document', () => {
  it('is used by the next decision, with its version, and the one that was warm is dropped', () => {
    open()
    expect(answer().guideId).toBe('A')
    expect(mirror.putDocument(1, 'staff', aStaff(['B']), written)).toBe(1)
    expect(answer().guideId).toBe('B')
    expect(mirror.putDocument(1, 'roster', { weekly: [] }, written)).toBe(1)
    expect(answer()).toEqual({ guideId: null, blocked: { B: 'OFF_SHIFT' } })
    expect(mirror.putDocument(1, 'roster', defaultRoster, written)).toBe(2)
    expect(
      mirror.putDocument(1, 'plan', { fair_by: 'orders', steps: [{ use: 'none' }] }, written),
    ).toBe(1)
    expect(answer()).toEqual({ guideId: null, blocked: { B: 'NOT_IN_POOL' } })
    expect(rules().versions).toEqual({ staff: 1, roster: 2, plan: 1 })
  })

  it('leaves the rules alone that a decision has in hand', () => {
    open()
    const inHand = rules()
    mirror.putDocument(1, 'staff', aStaff(['B']), written)
    expect(decide(inHand, aQuestion()).guideId).toBe('A')
    expect(inHand.versions.staff).toBe(0)
  })

  it('of one store changes nothing in another', () => {
    open()
    open({ storeId: 2 }, ['C', 'D'])
    const other = mirror.readyStore(2, mondayMs)
    mirror.putDocument(1, 'staff', aStaff(['B']), written)
    expect(mirror.readyStore(2, mondayMs)).toBe(other)
  })

  it('is there after a restart, the newest version of it', () => {
    open()
    for (const id of ['A', 'B']) mirror.putDocument(1, 'staff', aStaff([id]), written)
    const db = openDatabase(file.path)
    const reopened = openMirror(db)
    expect([answer(1, reopened).guideId, rules(1, reopened).versions.staff]).toEqual(['B', 2])
    db.$client.close()
  })

  it('is refused for a store that does not exist', () => {
    expect(() => mirror.putDocument(404, 'plan', defaultPlan, written)).toThrow('FOREIGN KEY')
  })

  it('may name 1000 guides', () => {
    open({}, [])
    const ids = Array.from({ length: 1000 }, (_, index) => `G${index}`)
    mirror.putDocument(1, 'staff', aStaff(ids), written)
    mirror.putGuide({ id: 'G999', storeId: 1, state: 'registered' })
    expect(answer().guideId).toBe('G999')
  })
})

describe('a guide', () => {
  it('is not chosen from the moment of quarantine, and is again when it is over', () => {
    open()
    expect(answer().guideId).toBe('A')
    mirror.putGuide({ id: 'A', storeId: 1, state: 'quarantined' })
    expect(answer()).toEqual({ guideId: 'B', blocked: { A: 'QUARANTINED' } })
    mirror.putGuide({ id: 'A', storeId: 1, state: 'registered' })
    expect(answer().guideId).toBe('A')
  })

  it('who moved to another merchant serves there now, also when a document of the old store names them', () => {
    open()
    open({ storeId: 2, merchant: '1900000110' }, [])
    mirror.putDocument(1, 'staff', aStaff(['A', 'B']), written)
    expect([answer(1).guideId, answer(2).guideId]).toEqual(['A', null])
    mirror.putGuide({ id: 'A', storeId: 2, state: 'registered' })
    expect(answer(1)).toEqual({ guideId: 'B', blocked: { A: 'WRONG_STORE' } })
    expect(answer(2).guideId).toBe('A')
  })

  it('who is not registered yet is blocked for that reason, and for the true one once they are', () => {
    open()
    open({ storeId: 2, merchant: '1900000110' }, [])
    mirror.putDocument(1, 'staff', aStaff(['N', 'B']), written)
    expect(answer(1)).toEqual({ guideId: 'B', blocked: { N: 'UNREGISTERED' } })
    mirror.putGuide({ id: 'N', storeId: 2, state: 'registered' })
    expect(answer(1)).toEqual({ guideId: 'B', blocked: { N: 'WRONG_STORE' } })
  })

  it('is refused for a store that does not exist', () => {
    expect(() => mirror.putGuide({ id: 'A', storeId: 404, state: 'registered' })).toThrow(
      'FOREIGN KEY',
    )
  })
})

describe('a store that changes', () => {
  it('has its new name, merchant and time zone in the next decision', () => {
    open()
    mirror.putDocument(1, 'roster', { weekly: [shift(['mon'], '00:00', '01:00', ['A'])] }, written)
    expect(answer().guideId).toBe('A')
    mirror.putStore(aStoreRow({ timezone: 'UTC', merchant: '1900000110' }))
    expect(answer().guideId).toBeNull()
    expect(mirror.store(1)?.merchant).toBe('1900000110')
  })

  it('is made ready anew when more stores decide than are kept warm', () => {
    mirror = openMirror(file.db, 2)
    for (const storeId of [1, 2, 3]) open({ storeId }, [`G${storeId}`])
    for (let round = 0; round < 3; round++) {
      for (const storeId of [1, 2, 3]) expect(answer(storeId).guideId).toBe(`G${storeId}`)
    }
    const warm = mirror.readyStore(3, mondayMs)
    expect(mirror.readyStore(3, mondayMs)).toBe(warm)
  })
})

describe('the owner of a member', () => {
  const bond = { merchant, memberId: 'M1', sinceMs: mondayMs - 1000, expiresAtMs: null }

  it('is the guide who was set last, for that merchant only, since when it was said', () => {
    mirror.setOwner({ ...bond, guideId: 'A' })
    mirror.setOwner({ ...bond, guideId: 'B', sinceMs: 7 })
    expect(mirror.ownerAt(merchant, 'M1', mondayMs)).toEqual({ guideId: 'B', sinceMs: 7 })
    expect(mirror.ownerAt('other', 'M1', mondayMs)).toBeNull()
    expect(mirror.ownerAt(merchant, 'M2', mondayMs)).toBeNull()
  })

  it('is nobody from the instant at which the bond expires, or once it is removed', () => {
    mirror.setOwner({ ...bond, guideId: 'A', expiresAtMs: mondayMs })
    expect(mirror.ownerAt(merchant, 'M1', mondayMs - 1)?.guideId).toBe('A')
    expect(mirror.ownerAt(merchant, 'M1', mondayMs)).toBeNull()
    expect(mirror.removeOwner(merchant, 'M1')).toBe(true)
    expect(mirror.removeOwner(merchant, 'M1')).toBe(false)
    expect(mirror.owner(merchant, 'M1')).toBeNull()
  })
})

describe('a version of a document', () => {
  const plan = (by: 'orders' | 'amount'): Plan => ({ ...defaultPlan, fair_by: by })
  const inForce = (atMs: number) => mirror.readyStore(1, atMs)?.rules.versions.plan

  it('takes effect at its instant, though it was written before, and gives way to one that takes effect later', () => {
    open()
    mirror.putDocument(1, 'plan', plan('orders'), { ...written, effectiveAtMs: mondayMs })
    mirror.putDocument(1, 'plan', plan('amount'), { ...written, effectiveAtMs: mondayMs + 1000 })
    mirror.putDocument(1, 'plan', plan('orders'), { ...written, effectiveAtMs: mondayMs + 500 })
    expect([0, 499, 500, 999, 1000].map(ms => inForce(mondayMs + ms))).toEqual([1, 1, 3, 3, 2])
    expect(mirror.newest(aStoreRow(), 'plan').version).toBe(3)
    expect(mirror.versions(1, 'plan').map(({ version }) => version)).toEqual([3, 2, 1])
    expect(mirror.version(aStoreRow(), 'plan', 2)?.body.fair_by).toBe('amount')
    expect(mirror.version(aStoreRow(), 'plan', 4)).toBeNull()
  })

  it('is written only over the version that its author had seen', () => {
    open()
    const put = (ifVersion: number) =>
      mirror.putDocument(1, 'plan', plan('amount'), { ...written, ifVersion })
    expect([put(1), put(0), put(0), put(1)]).toEqual([null, 1, null, 2])
  })
})

describe('a pause', () => {
  it('takes the guide out until it ends by itself, or is ended', () => {
    open()
    const pause = {
      storeId: 1,
      guideId: 'A',
      untilMs: mondayMs + 1000,
      why: '午休',
      author: 'test',
    }
    mirror.pause(pause)
    const paused = (ms: number) => mirror.readyStore(1, mondayMs + ms)?.isPaused('A', mondayMs + ms)
    expect([paused(0), paused(999), paused(1000)]).toEqual([true, true, false])
    expect(mirror.pauses(1, mondayMs)).toEqual([pause])
    expect(mirror.pauses(1, mondayMs + 1000)).toEqual([])
    expect([mirror.unpause(1, 'A'), mirror.unpause(1, 'A')]).toEqual([true, false])
    expect(paused(0)).toBe(false)
  })
})

describe('a guide of another store', () => {
  it.each([
    [merchant, null],
    ['1900000110', 'WRONG_STORE'],
  ])('of merchant %s stands on the staff with %s against them', (theirs, barred) => {
    open({ storeId: 1 }, ['A'])
    open({ storeId: 2, merchant: theirs }, ['B'])
    const guides = ['A', 'B'].map(id => ({ id, weight: 1, rotates: true }))
    mirror.putDocument(
      1,
      'staff',
      { timezone: 'Asia/Shanghai', day_starts_at: '00:00', guides },
      written,
    )
    expect(rules().crew.byId.get('B')?.barred).toBe(barred)
  })
})

describe('the settings of a merchant', () => {
  it('are those of the standard edition until they are set', () => {
    const standard = { edition: 'standard', platformAutoAssign: false, assignWindowSeconds: null }
    expect(mirror.settings(merchant)).toEqual(standard)
    const set = {
      edition: 'commercial',
      platformAutoAssign: true,
      assignWindowSeconds: 30,
    } as const
    mirror.setSettings(merchant, set)
    expect(mirror.settings(merchant)).toEqual(set)
    expect(mirror.settings('other')).toEqual(standard)
  })
})

describe('the data directory', () => {
  it('is claimed once, by the merchant and mode that first opened it', () => {
    mirror.claim({ mode: 'direct', mchid: merchant })
    mirror.claim({ mode: 'partner', mchid: 'late' })
    expect(() => mirror.refuseOther({ mode: 'direct', mchid: merchant })).not.toThrow()
  })

  it.each([
    ['another merchant', { mode: 'direct', mchid: '1900000110' }],
    ['another mode', { mode: 'partner', mchid: merchant }],
  ] as const)('refuses %s with a sentence that names both, after a restart too', (_, other) => {
    mirror.claim({ mode: 'direct', mchid: merchant })
    const db = openDatabase(file.path)
    const claim = () => openMirror(db).refuseOther(other)
    expect(claim).toThrow(StartError)
    expect(claim).toThrow(
      `belongs to direct merchant ${merchant}, and the configuration names ${other.mode} merchant ${other.mchid}: set DATA_DIR`,
    )
    db.$client.close()
  })
})
