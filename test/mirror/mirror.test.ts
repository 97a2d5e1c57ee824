import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { StartError } from '../../src/errors.ts'
import { type Mirror, openMirror, type Store } from '../../src/mirror/mirror.ts'
import { decide } from '../../src/rules/decide.ts'
import { defaultPlan } from '../../src/rules/plan.ts'
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
  const store = from.store(storeId)
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
    const other = mirror.store(2)
    mirror.putDocument(1, 'staff', aStaff(['B']), written)
    expect(mirror.store(2)).toBe(other)
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

  it('who moved serves where they are now, also when a document of the old store names them', () => {
    open()
    open({ storeId: 2 }, [])
    mirror.putDocument(1, 'staff', aStaff(['A', 'B']), written)
    expect([answer(1).guideId, answer(2).guideId]).toEqual(['A', null])
    mirror.putGuide({ id: 'A', storeId: 2, state: 'registered' })
    expect(answer(1)).toEqual({ guideId: 'B', blocked: { A: 'WRONG_STORE' } })
    expect(answer(2).guideId).toBe('A')
  })

  it('who is not registered yet is blocked for that reason, and for the true one once they are', () => {
    open()
    open({ storeId: 2 }, [])
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
    const warm = mirror.store(3)
    expect(mirror.store(3)).toBe(warm)
  })
})

describe('the owner of a member', () => {
  it('is the guide who was set last, for that merchant only', () => {
    mirror.setOwner(merchant, 'M1', 'A', null)
    mirror.setOwner(merchant, 'M1', 'B', null)
    expect(mirror.ownerOf(merchant, 'M1', mondayMs)).toBe('B')
    expect(mirror.ownerOf('other', 'M1', mondayMs)).toBeNull()
    expect(mirror.ownerOf(merchant, 'M2', mondayMs)).toBeNull()
  })

  it('is nobody from the instant at which the bond expires', () => {
    mirror.setOwner(merchant, 'M1', 'A', mondayMs)
    expect(mirror.ownerOf(merchant, 'M1', mondayMs - 1)).toBe('A')
    expect(mirror.ownerOf(merchant, 'M1', mondayMs)).toBeNull()
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
