import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { keepBeforeMigrating } from '../../src/db/migrations.ts'
import { openDatabase } from '../../src/db/open.ts'
import { sayUnusable } from '../../src/db/refusals.ts'

const script = fileURLToPath(new URL('../support/killed-migration.ts', import.meta.url))
const folder = fileURLToPath(new URL('../../migrations', import.meta.url))
const { entries }: { entries: { tag: string; when: number }[] } = JSON.parse(
  readFileSync(join(folder, 'meta/_journal.json'), 'utf8'),
)
/** How many places of each database are tried with a real kill; all are tried with the files as they are there. */
const kills = Number(process.env['MIGRATION_KILLS'] ?? 1)
const memory = '/dev/shm'

let scratch: string
let dir: string
beforeEach(() => {
  scratch = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'smartguide-migrations-'))
  dir = join(scratch, 'data')
  mkdirSync(dir)
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

const pathIn = (of: string) => join(of, 'smartguide.db')

/** A database as the version with the first `count` migrations left it, with rows in it. */
function makeOld(path: string, count: number): void {
  const db = new Database(path)
  db.pragma('journal_mode = WAL')
  db.exec(
    'CREATE TABLE __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)',
  )
  for (const { tag, when } of entries.slice(0, count)) {
    const text = readFileSync(join(folder, `${tag}.sql`), 'utf8')
    db.exec(text)
    db.prepare('INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)').run(
      createHash('sha256').update(text).digest('hex'),
      when,
    )
  }
  db.exec(`
    INSERT INTO stores VALUES (1, 'm', 'Nanjing Road', 'Asia/Shanghai');
    INSERT INTO guides (guide_id, store_id, state) VALUES ('A', 1, 'registered');
    INSERT INTO owners (merchant, member_id, guide_id, expires_at_ms) VALUES ('m', 'member', 'A', NULL);
    INSERT INTO documents (store_id, kind, version, body, author, written_at_ms) VALUES (1, 'plan', 1, '{"steps":[]}', 'x', 1);
    INSERT INTO books VALUES (1, 'orders', '{"turn":0,"standings":{}}');
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO orders SELECT i, 'm', 'N' || i, 1, '{}', NULL, 'assigned', 1, 'A', 'OWNER', 0, 0, 0, NULL, NULL,
      i, i + 1, NULL, i, 0, '[]', NULL, NULL, NULL FROM n`)
  db.close()
}

/** All that is in it but what is drawn at random. */
function contentsOf(path: string): string {
  const db = new Database(path, { readonly: true })
  const schema = db
    .prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name')
    .all()
  const tables = db
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .pluck()
    .all()
  const rows = tables.map(name => [
    name,
    db.prepare<[], Record<string, unknown>>(`SELECT * FROM ${name}`).all(),
  ])
  db.close()
  return JSON.stringify([schema, rows], (key, value) => (key === 'salt' ? '' : value), 1)
}

const copiesIn = (of: string) => readdirSync(of).filter(name => name.includes('.db.at-'))
const filesIn = (of: string) =>
  readdirSync(of)
    .filter(name => !name.endsWith('-shm'))
    .sort()
    .map(
      name =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(of, name)))
          .digest('hex')}`,
    )
    .join('\n')

describe.each([
  ['none', 0],
  ['one of the first migration', 1],
  ['one of the migration before the last', entries.length - 1],
])('where the database is %s', (_, count) => {
  /** What must come of it, and of how it was. */
  let whole: string
  let before: string
  beforeEach(() => {
    const twin = join(scratch, 'twin')
    mkdirSync(twin)
    for (const of of [dir, twin]) if (count > 0) makeOld(pathIn(of), count)
    before = count > 0 ? contentsOf(pathIn(twin)) : ''
    openDatabase(pathIn(twin)).$client.close()
    whole = contentsOf(pathIn(twin))
    expect(whole).not.toBe(before)
  })

  function expectRecovered(of: string): void {
    // As the next process finds it: migrated whole or not at all.
    const files = readdirSync(of)
    if (files.includes('smartguide.db') && statSync(pathIn(of)).size > 0) {
      const copy = `${of}-looked-at`
      cpSync(of, copy, { recursive: true })
      expect([before, whole]).toContain(contentsOf(pathIn(copy)))
    }
    openDatabase(pathIn(of)).$client.close()
    expect(contentsOf(pathIn(of))).toBe(whole)
    expect(readdirSync(of).filter(name => name.endsWith('-making'))).toEqual([])
    const copies = copiesIn(of)
    expect(copies.length > 0).toBe(count > 0)
    for (const name of copies) expect(contentsOf(join(of, name))).toBe(before)
  }

  it('a process that is killed at any statement leaves what the next start makes whole', () => {
    const places = join(scratch, 'places')
    const { stdout, stderr } = spawnSync(process.execPath, [script, dir, 'nowhere', places])
    expect(stderr.toString()).toBe('')
    const made = readdirSync(places)
    expect(made.length).toBe(Number(stdout))
    const statements = entries
      .slice(count)
      .map(({ tag }) => readFileSync(join(folder, `${tag}.sql`), 'utf8').split('--> ').length)
    expect(made.length).toBeGreaterThan(2 * statements.reduce((sum, one) => sum + one, 0))
    // Files that are the same recover alike.
    const states = Map.groupBy(made, at => filesIn(join(places, at)))
    expect(states.size).toBeGreaterThan(count > 0 ? 4 : 3)
    for (const [at = ''] of states.values()) expectRecovered(join(places, at))
  })

  // One is enough, unless more is asked for: the files are the same at a kill.
  it.runIf(kills > 1 || count === 1)(
    'kill -9 in fact',
    async () => {
      const probe = join(scratch, 'probe')
      cpSync(dir, probe, { recursive: true })
      const { stdout } = spawnSync(process.execPath, [script, probe])
      const places = Number(stdout)
      const step = Math.max(1, Math.floor(places / kills))
      const tries = Array.from({ length: Math.ceil(places / step) }, (_, index) => index * step)
      for (const two of Map.groupBy(tries, (_, index) => index >> 1).values()) {
        await Promise.all(
          two.map(async at => {
            const of = join(scratch, `killed-${at}`)
            cpSync(dir, of, { recursive: true })
            const ended = promisify(execFile)(process.execPath, [script, of, String(at)])
            await expect(ended).rejects.toMatchObject({ signal: 'SIGKILL' })
            expectRecovered(of)
          }),
        )
      }
    },
    60_000 + kills * 4000,
  )
})

it('of processes that start at once on an old database one migrates it, and the others are refused', async () => {
  makeOld(pathIn(dir), 1)
  const start = () =>
    promisify(execFile)(process.execPath, [script, dir]).then(
      () => 'migrated',
      ({ stderr }) => /in use by another process/.exec(stderr)?.[0] ?? stderr,
    )
  const ends = await Promise.all([start(), start(), start()])
  expect(ends).toContain('migrated')
  // Who came after the first had ended found nothing to bring.
  expect(new Set([...ends, 'in use by another process']).size).toBe(2)
  const db = openDatabase(pathIn(dir)).$client
  const applied = db.prepare('SELECT count(*) FROM __drizzle_migrations').pluck().get()
  expect(applied).toBe(entries.length)
  expect(db.prepare('SELECT count(*) FROM orders').pluck().get()).toBe(300)
  expect(copiesIn(dir).length).toBe(1)
  db.close()
})

it('a copy of how it was is kept for the owner alone, named by migration and time, and no more than three', () => {
  const path = pathIn(dir)
  makeOld(path, 1)
  const was = contentsOf(path)
  const db = new Database(path)
  const start = Date.parse('2026-11-23T10:00:00.000Z')
  for (let hour = 0; hour < 5; hour++) keepBeforeMigrating(db, start + hour * 3_600_000)
  db.close()
  const copies = copiesIn(dir).sort()
  expect(copies).toEqual(
    [12, 13, 14].map(hour => `smartguide.db.at-${entries[0]?.tag}-2026-11-23T${hour}-00-00-000Z`),
  )
  for (const name of copies) {
    expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600)
    expect(contentsOf(join(dir, name))).toBe(was)
  }
})

it('a migration that fails at each start leaves no copy and takes none away; the one that succeeds leaves one', () => {
  const path = pathIn(dir)
  makeOld(path, entries.length - 1)
  const older = [1, 2, 3].map(day => `smartguide.db.at-0000_start-2026-01-0${day}T00-00-00-000Z`)
  for (const name of older) writeFileSync(join(dir, name), 'of before')
  const db = new Database(path)
  db.exec('CREATE TABLE purged_late (id)')
  for (let start = 0; start < 4; start++) {
    expect(() => openDatabase(path)).toThrow('already exists')
    expect(copiesIn(dir).sort()).toEqual(older)
  }
  db.exec('DROP TABLE purged_late')
  db.close()
  openDatabase(path).$client.close()
  const copies = copiesIn(dir).sort()
  expect(copies.slice(0, 2)).toEqual(older.slice(1))
  expect(copies[2]).toMatch(`.db.at-${entries.at(-2)?.tag}-`)
  expect(copies.length).toBe(3)
})

it('starts that are killed in a migration again and again leave three copies of it, and those of other versions', () => {
  const path = pathIn(dir)
  makeOld(path, 1)
  const other = 'smartguide.db.at-0000_star-2026-01-01T00-00-00-000Z'
  writeFileSync(join(dir, other), 'of before')
  const db = new Database(path)
  for (let start = 0; start < 5; start++) keepBeforeMigrating(db, 1.8e12 + start)
  db.close()
  expect(copiesIn(dir).length).toBe(4)
  expect(copiesIn(dir)).toContain(other)
})

it('no space for the copy ends the start as a full disk does, to be started again', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const cause = Object.assign(new Error(`${code}: open`), { code })
    const told = sayUnusable(cause, 'x.db')
    expect([told.exitCode, told.message]).toEqual([74, expect.stringMatching('x.db is full')])
  }
  const cause = Object.assign(new Error('EACCES: open'), { code: 'EACCES' })
  expect(sayUnusable(cause, 'x.db').exitCode).toBe(78)
})

it('a database that is up to date is not copied', () => {
  openDatabase(pathIn(dir)).$client.close()
  openDatabase(pathIn(dir)).$client.close()
  expect(copiesIn(dir)).toEqual([])
})

it('the migrations are those of the folder, in the order of their numbers and of their times', () => {
  const files = readdirSync(folder).filter(name => name.endsWith('.sql'))
  expect(entries.map(({ tag }) => `${tag}.sql`)).toEqual(files.sort())
  const times = entries.map(({ when }) => when)
  expect(times).toEqual([...new Set(times)].sort((a, b) => a - b))
})
