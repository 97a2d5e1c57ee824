import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Audit, openAudit } from '../../src/access/audit.ts'
import { openKeys } from '../../src/access/keys.ts'
import { chainHash } from '../../src/db/change-log.ts'
import { openDatabase } from '../../src/db/open.ts'
import { type Mirror, openMirror } from '../../src/mirror/mirror.ts'
import { aDatabase, merchant } from '../support/ledger.ts'

let file: ReturnType<typeof aDatabase>
let mirror: Mirror
let audit: Audit

beforeEach(() => {
  file = aDatabase()
  mirror = openMirror(file.db)
  audit = openAudit(file.db)
})
afterEach(() => file.close())

const exec = (sql: string) => file.db.$client.exec(sql)
const setWindow = (seconds: number) =>
  mirror.setSettings(merchant, {
    edition: 'standard',
    platformAutoAssign: false,
    assignWindowSeconds: seconds,
  })
const write = (count: number) =>
  file.db.transaction(() => {
    for (let nth = 1; nth <= count; nth++) setWindow(nth)
  })
const all = () => audit.list({ limit: 100_000 }).reverse()
const triggers = () =>
  file.db.$client
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
    .pluck()
    .all()

/** As somebody would who may write into the file. */
function tamper(sql: string): void {
  for (const name of triggers()) exec(`DROP TRIGGER ${name}`)
  exec(sql)
}

/** From that record on, each with the hash that it would have. */
function chainAnew(from: number): { count: number; hash: string } {
  let last = all().find(({ seq }) => seq === from - 1)?.hash ?? ''
  const rows = all().filter(({ seq }) => seq >= from)
  for (const row of rows) {
    last = chainHash(last, row)
    exec(`UPDATE audit SET hash = '${last}' WHERE seq = ${row.seq}`)
  }
  return { count: rows.at(-1)?.seq ?? from - 1, hash: last }
}

describe('the chain of the audit', () => {
  const row = (seq: number) => `(SELECT hash FROM audit WHERE seq = ${seq})`
  const columns = 'at_ms, key_id, key_name, request_id, kind, subject, store_id, before, after'

  it.each<[what: string, sql: string, firstBad: number]>([
    ['another before', `UPDATE audit SET before = '{}' WHERE seq = 5`, 5],
    ['another after', `UPDATE audit SET after = replace(after, '5', '6') WHERE seq = 5`, 5],
    ['no after', 'UPDATE audit SET after = NULL WHERE seq = 300', 300],
    ['another time', 'UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 1', 1],
    ['another key', `UPDATE audit SET key_id = 'somebody' WHERE seq = 200`, 200],
    ['another name of it', `UPDATE audit SET key_name = 'x' WHERE seq = 201`, 201],
    ['another request', `UPDATE audit SET request_id = 'x' WHERE seq = 2`, 2],
    ['another kind', `UPDATE audit SET kind = 'plan' WHERE seq = 3`, 3],
    ['another subject', `UPDATE audit SET subject = 'x' WHERE seq = 4`, 4],
    ['another store', 'UPDATE audit SET store_id = 7 WHERE seq = 4', 4],
    ['another hash', `UPDATE audit SET hash = ${row(6)} WHERE seq = 5`, 5],
    ['the first removed', 'DELETE FROM audit WHERE seq = 1', 1],
    ['one removed', 'DELETE FROM audit WHERE seq = 100', 100],
    ['some removed', 'DELETE FROM audit WHERE seq BETWEEN 200 AND 300', 200],
    [
      'one removed, and the others closed up',
      'DELETE FROM audit WHERE seq = 100; UPDATE audit SET seq = seq - 1000000 WHERE seq > 100; UPDATE audit SET seq = seq + 999999 WHERE seq < 0',
      100,
    ],
    [
      'two that changed places',
      'UPDATE audit SET seq = -1 WHERE seq = 50; UPDATE audit SET seq = 50 WHERE seq = 51; UPDATE audit SET seq = 51 WHERE seq = -1',
      50,
    ],
    [
      'one put in',
      `UPDATE audit SET seq = -seq - 1 WHERE seq >= 60; UPDATE audit SET seq = -seq WHERE seq < 0;
       INSERT INTO audit SELECT 60, ${columns}, hash FROM audit WHERE seq = 20`,
      60,
    ],
    [
      'one put in before the first',
      `INSERT INTO audit SELECT 0, ${columns}, hash FROM audit WHERE seq = 1`,
      1,
    ],
    [
      'one put in long before the first',
      `INSERT INTO audit SELECT -9223372036854775808, ${columns}, hash FROM audit WHERE seq = 1`,
      1,
    ],
    [
      'one put at the end',
      `INSERT INTO audit SELECT 401, ${columns}, hash FROM audit WHERE seq = 1`,
      401,
    ],
    ['the last removed', 'DELETE FROM audit WHERE seq = 400', 400],
    ['the tail cut off', 'DELETE FROM audit WHERE seq > 200', 201],
    ['all removed', 'DELETE FROM audit', 1],
    ['the count gone', 'DELETE FROM audit_head', 401],
    ['all gone', 'DELETE FROM audit; DELETE FROM audit_head', 1],
    ['a lower count', 'UPDATE audit_head SET count = 399', 400],
  ])('shows %s', async (_, sql, firstBad) => {
    write(400)
    expect(await audit.verify()).toMatchObject({ checked: 400, firstBad: null })
    tamper(sql)
    expect(await audit.verify()).toMatchObject({ firstBad, checked: Math.min(400, firstBad - 1) })
  })

  it('shows a record that got the hash that it would have, and all after it too', async () => {
    write(30)
    tamper(`UPDATE audit SET after = '{"edition":"commercial"}' WHERE seq = 30`)
    chainAnew(30)
    expect((await audit.verify()).firstBad).toBe(30)
    tamper(`UPDATE audit SET after = '{"edition":"commercial"}' WHERE seq = 3`)
    chainAnew(3)
    expect((await audit.verify()).firstBad).not.toBeNull()
  })

  it('shows a chain that was written anew with its count, to whoever kept an earlier hash', async () => {
    write(30)
    const { head } = await audit.verify()
    expect(await audit.verify(head)).toMatchObject({ firstBad: null })
    setWindow(99)
    expect(await audit.verify(head)).toMatchObject({ checked: 31, firstBad: null })

    tamper(`UPDATE audit SET after = '{}' WHERE seq = 3`)
    const { count, hash } = chainAnew(3)
    exec(`UPDATE audit_head SET count = ${count}, hash = '${hash}'`)
    expect(await audit.verify()).toMatchObject({ firstBad: null })
    expect(await audit.verify(head)).toMatchObject({ firstBad: 30 })

    tamper('DELETE FROM audit WHERE seq > 20')
    exec(`UPDATE audit_head SET count = 20, hash = ${row(20)}`)
    expect(await audit.verify()).toMatchObject({ firstBad: null })
    expect(await audit.verify(head)).toMatchObject({ firstBad: 21 })
  })

  it('is not altered, cut or reordered by mistake', async () => {
    write(3)
    const before = all()
    for (const sql of [
      "UPDATE audit SET after = '{}'",
      'DELETE FROM audit',
      'DELETE FROM audit WHERE seq = 3',
      `INSERT INTO audit SELECT 3, ${columns}, hash FROM audit WHERE seq = 1`,
      `INSERT INTO audit SELECT 9, ${columns}, hash FROM audit WHERE seq = 1`,
      `INSERT OR REPLACE INTO audit SELECT 2, ${columns}, hash FROM audit WHERE seq = 1`,
      'DELETE FROM audit_head',
      'UPDATE audit_head SET count = 2',
      'UPDATE audit_head SET count = count',
      "UPDATE audit_head SET count = count + 1, salt = 'x'",
    ]) {
      expect(() => exec(sql), sql).toThrow(/audit/)
    }
    expect(all()).toEqual(before)
    expect((await audit.verify()).firstBad).toBeNull()
  })

  it('goes on when a second process writes beside the first', async () => {
    write(3)
    const second = openDatabase(file.path)
    const admin = { scope: 'admin', stores: null, name: null, expiresAtMs: null } as const
    openKeys(second).create(admin, 1)
    setWindow(10)
    second.$client.close()
    expect(await audit.verify()).toMatchObject({ checked: 5, firstBad: null })
  })

  it('of 10,000 records is gone through in a moment, while others write', async () => {
    write(10_000)
    let [turns, longestMs, lastMs] = [0, 0, performance.now()]
    let verifying = true
    const turn = () => {
      if (!verifying) return
      const nowMs = performance.now()
      longestMs = Math.max(longestMs, nowMs - lastMs)
      lastMs = nowMs
      turns += 1
      setWindow(10_000 + turns)
      setImmediate(turn)
    }
    setImmediate(turn)
    const startedMs = performance.now()
    const { firstBad, checked } = await audit.verify()
    const tookMs = performance.now() - startedMs
    verifying = false
    expect(firstBad).toBeNull()
    expect(checked).toBeGreaterThan(10_000)
    expect(turns).toBeGreaterThan(1)
    expect(longestMs).toBeLessThan(Math.max(500, tookMs / 2))
    expect(tookMs).toBeLessThan(5000)
  })
})

describe('a change and its record', () => {
  it('are both written or neither', () => {
    setWindow(1)
    const before = all()
    exec("CREATE TRIGGER no_change BEFORE UPDATE ON merchants BEGIN SELECT RAISE(ABORT, 'no'); END")
    expect(() => setWindow(2)).toThrow('no')
    exec('DROP TRIGGER no_change')
    expect(all()).toEqual(before)

    exec("CREATE TRIGGER no_record BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
    expect(() => setWindow(3)).toThrow('no')
    expect(() => mirror.putStore({ storeId: 9, merchant, name: 'x', timezone: 'UTC' })).toThrow()
    exec('DROP TRIGGER no_record')
    exec("CREATE TRIGGER no_head BEFORE UPDATE ON audit_head BEGIN SELECT RAISE(ABORT, 'no'); END")
    expect(() => setWindow(4)).toThrow('no')
    exec('DROP TRIGGER no_head')
    expect(all()).toEqual(before)
    expect(openMirror(file.db).settings(merchant).assignWindowSeconds).toBe(1)
    expect(mirror.store(9)).toBeNull()
  })

  it('of an import stand for all of its rows, or none', async () => {
    const rows = [1, 2, 3].map(nth => ({
      merchant,
      memberId: `member-${nth}`,
      guideId: 'A',
      sinceMs: nth,
      expiresAtMs: null,
    }))
    exec(
      "CREATE TRIGGER no BEFORE INSERT ON owners WHEN NEW.member_id = 'member-3' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    await expect(mirror.setOwners(rows)).rejects.toThrow('no')
    expect(all()).toEqual([])
    exec('DROP TRIGGER no')
    await mirror.setOwners(rows)
    await mirror.setOwners(rows.map(row => ({ ...row, guideId: 'B' })))
    const records = all().map(({ kind, before, after }) => ({
      kind,
      owners: [before, after].map(text => JSON.parse(text ?? 'null').owners),
    }))
    expect(records).toEqual([
      { kind: 'owners', owners: [0, 3] },
      { kind: 'owners', owners: [3, 3] },
    ])
    expect(all()[1]?.before).toBe(all()[0]?.after)
  })

  it('is put down to whoever asked, even where the work goes on after the answer', async () => {
    const actor = { keyId: 'k', keyName: 'head office', requestId: 'r' }
    const later = audit.actingAs(
      () => actor,
      async () => {
        setWindow(1)
        await new Promise(done => setTimeout(done, 5))
        setWindow(2)
      },
    )
    setWindow(3)
    await later
    expect(all().map(({ keyId }) => keyId)).toEqual(['k', null, 'k'])
    expect(all()[0]).toMatchObject(actor)
  })

  it('is of a key that the service installs anew only when it is another', () => {
    const keys = openKeys(file.db)
    const admin = {
      scope: 'admin',
      stores: null,
      name: 'ADMIN_KEY_FILE',
      expiresAtMs: null,
    } as const
    const [one, two] = [keys.create(admin, 1), keys.create({ ...admin, name: 'by hand' }, 1)]
    const before = all().length
    keys.install(one.key, admin, 2)
    keys.install(one.key, admin, 3)
    expect(all()).toHaveLength(before)
    keys.install(two.key, admin, 4)
    expect(
      all()
        .slice(before)
        .map(({ subject, before: was, after }) => [subject, was !== null, after !== null]),
    ).toEqual([
      [one.id, true, false],
      [two.id, true, true],
    ])
    expect(keys.list().map(({ id }) => id)).toEqual([two.id])
  })
})
