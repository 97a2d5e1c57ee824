import { afterEach, beforeEach, expect, it } from 'vitest'
import { type MemberOwner, type Mirror, openMirror } from '../../src/mirror/mirror.ts'
import { aDatabase, merchant } from '../support/ledger.ts'

let file: ReturnType<typeof aDatabase>
let mirror: Mirror

beforeEach(() => {
  file = aDatabase()
  mirror = openMirror(file.db)
})
afterEach(() => file.close())

function owners(count: number, facts: Partial<MemberOwner> = {}): MemberOwner[] {
  return Array.from({ length: count }, (_, index) => ({
    merchant,
    memberId: `member-${(index * 7919) % count}`,
    guideId: 'A',
    sinceMs: index,
    expiresAtMs: null,
    ...facts,
  }))
}

const stored = () =>
  file.db.$client
    .prepare<[], MemberOwner>(
      'SELECT merchant, member_id AS memberId, guide_id AS guideId, since_ms AS sinceMs, expires_at_ms AS expiresAtMs FROM owners ORDER BY member_id',
    )
    .all()
const byMember = (rows: MemberOwner[]) =>
  rows.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
const leftOver = () => file.db.$client.prepare('SELECT name FROM temp.sqlite_schema').all()

it('sets new owners and changes old ones, to the last row', async () => {
  await mirror.setOwners(owners(1001))
  expect(stored()).toEqual(byMember(owners(1001)))
  const changed = owners(1500, { guideId: 'B', expiresAtMs: 7 })
  await mirror.setOwners(changed)
  expect(stored()).toEqual(byMember(changed))
  await mirror.setOwners([])
  expect(stored()).toHaveLength(1500)
  expect(leftOver()).toEqual([])
})

it('sets none of them when one cannot be set, and leaves nothing behind', async () => {
  await mirror.setOwners(owners(1))
  const before = stored()
  file.db.$client.exec(
    "CREATE TRIGGER refuse BEFORE INSERT ON owners WHEN NEW.member_id = 'member-999' BEGIN SELECT RAISE(ABORT, 'no'); END",
  )
  await expect(mirror.setOwners(owners(1200))).rejects.toThrow('no')
  expect(stored()).toEqual(before)
  expect(leftOver()).toEqual([])
})

it('shows nobody half of an import, whenever they look', async () => {
  const seen = new Set<number>()
  let importing = true
  const look = () => {
    seen.add(stored().length)
    if (importing) setImmediate(look)
  }
  setImmediate(look)
  await mirror.setOwners(owners(5000))
  importing = false
  look()
  expect([...seen]).toEqual([0, 5000])
})

it('keeps imports that run at the same time apart', async () => {
  const mine = owners(3000)
  const theirs = owners(3000, { merchant: 'other', guideId: 'B' })
  await Promise.all([mirror.setOwners(mine), mirror.setOwners(theirs)])
  expect(stored().filter(one => one.merchant === merchant)).toEqual(byMember(mine))
  expect(stored().filter(one => one.merchant === 'other')).toEqual(byMember(theirs))
})

it('lets the event loop go between slices, and holds it a moment for all 90,000', async () => {
  let longestMs = 0
  let lastMs = performance.now()
  let importing = true
  const look = () => {
    const nowMs = performance.now()
    longestMs = Math.max(longestMs, nowMs - lastMs)
    lastMs = nowMs
    if (importing) setImmediate(look)
  }
  const rows = owners(90_000)
  setImmediate(look)
  lastMs = performance.now()
  await mirror.setOwners(rows)
  importing = false
  look()
  expect(longestMs).toBeLessThan(300)
  expect(stored()).toHaveLength(90_000)
})
