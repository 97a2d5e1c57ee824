import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase, takeDataDir } from '../../src/db/open.ts'
import { StartError } from '../../src/errors.ts'
import { aDirectory } from '../support/ledger.ts'

let directory: ReturnType<typeof aDirectory>
let path: string

beforeEach(() => {
  directory = aDirectory()
  path = join(directory.path, 'smartguide.db')
})
afterEach(() => directory.remove())

function refusal(open: () => unknown): string {
  try {
    open()
  } catch (cause) {
    if (cause instanceof StartError) return cause.message
    throw cause
  }
  throw new Error('it was not refused')
}

/** Opens the file without the service, as another program would. */
function meddle(sql: string): void {
  const client = new Database(path)
  client.exec(sql)
  client.close()
}

describe('the database', () => {
  it('syncs each commit, checks foreign keys and trusts no schema, on every connection', () => {
    for (let opening = 0; opening < 3; opening++) {
      const one = openDatabase(path)
      const other = openDatabase(path)
      for (const { $client } of [one, other]) {
        const set = [
          'journal_mode',
          'synchronous',
          'foreign_keys',
          'trusted_schema',
          'busy_timeout',
        ]
        expect(set.map(name => $client.pragma(name, { simple: true }))).toEqual([
          'wal',
          2,
          1,
          0,
          5000,
        ])
      }
      one.$client.close()
      other.$client.close()
    }
  })

  it('does not wait for one who reads it all the time, as a replicator does', () => {
    openDatabase(path).$client.close()
    meddle("INSERT INTO books VALUES (1, 'orders', '{}')")
    const reader = new Database(path)
    reader.exec('BEGIN')
    reader.prepare('SELECT * FROM books').all()
    const writer = new Database(path)
    writer.exec("INSERT INTO books VALUES (2, 'orders', '{}')")
    const startMs = performance.now()
    const db = openDatabase(path)
    expect(performance.now() - startMs).toBeLessThan(3000)
    expect(db.$client.pragma('busy_timeout', { simple: true })).toBe(5000)
    expect(db.$client.prepare('SELECT count(*) FROM books').pluck().get()).toBe(2)
    for (const one of [db.$client, writer, reader]) one.close()
  })

  it('is made with its directory, and is as it was when it is opened again', () => {
    path = join(directory.path, 'not', 'yet', 'there.db')
    const db = openDatabase(path)
    const tables = () =>
      db.$client.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all()
    expect(tables()).toEqual(
      expect.arrayContaining(['orders', 'books', 'stores', 'documents', 'keys']),
    )
    db.$client.exec("INSERT INTO books VALUES (1, 'orders', '{}')")
    db.$client.close()
    const again = openDatabase(path)
    expect(again.$client.prepare('SELECT count(*) FROM books').pluck().get()).toBe(1)
    again.$client.close()
  })

  it.each([
    [
      'a migration was edited',
      'another',
      "UPDATE __drizzle_migrations SET hash = 'edited' WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations)",
    ],
    [
      'a newer version migrated it',
      'a newer',
      "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('newer', 9999999999999)",
    ],
    [
      'an older migration was slipped in',
      'another',
      "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('older', 1)",
    ],
  ])('is refused with a sentence when %s, and is not touched', (_, version, sql) => {
    openDatabase(path).$client.close()
    meddle(sql)
    const before = readFileSync(path)
    expect(refusal(() => openDatabase(path))).toBe(
      `The database ${path} was migrated by ${version} version of this service: start that version, or restore a backup made by this one.`,
    )
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  it.each([
    ['a text', Buffer.from('these are not the books you are looking for\n'.repeat(200))],
    ['noise', Buffer.alloc(8192, 0xa7)],
  ])('is refused with a sentence when the file is %s, and is not touched', (_, bytes) => {
    writeFileSync(path, bytes)
    expect(refusal(() => openDatabase(path))).toBe(
      `The database ${path} is damaged (SQLITE_NOTADB: file is not a database): keep a copy of it and of ${path}-wal, then restore a backup, or save what can be read with sqlite3's .recover.`,
    )
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })

  it('is refused with a sentence when a directory stands in its place', () => {
    mkdirSync(path)
    expect(refusal(() => openDatabase(path))).toContain(`The database ${path} cannot be opened: `)
  })

  it('is refused with a sentence when it is the database of another program', () => {
    meddle('CREATE TABLE orders (a INTEGER)')
    const before = readFileSync(path)
    expect(refusal(() => openDatabase(path))).toBe(
      `The database ${path} is not one of this service: move it away, or set DATA_DIR to another directory.`,
    )
    expect(readFileSync(path).equals(before)).toBe(true)
    const tables = new Database(path, { readonly: true })
      .prepare("SELECT name FROM sqlite_master WHERE name IN ('books', 'stores')")
      .all()
    expect(tables).toEqual([])
  })

  it.each([
    [
      'a guide of no store',
      "INSERT INTO guides (guide_id, store_id, state) VALUES ('A', 404, 'registered')",
    ],
    [
      'a second order of one number',
      'INSERT INTO orders SELECT NULL, merchant, out_trade_no, store_id, facts, cart_id, status, generation, guide_id, reason, staff_version, roster_version, plan_version, trace, turn, decided_at_ms, expires_at_ms, due_at_ms, settled_at_ms, attempt_count, attempts, upstream, paid_at_ms, closed_at_ms FROM orders',
    ],
  ])('refuses rows that break its keys: %s', (_, sql) => {
    const { $client } = openDatabase(path)
    $client.exec(
      "INSERT INTO orders VALUES (1, 'm', 'n', 1, '{}', NULL, 'pending', 1, 'A', 'OWNER', 0, 0, 0, NULL, NULL, 1, 2, 3, NULL, 0, '[]', NULL, NULL, NULL)",
    )
    expect(() => $client.exec(sql)).toThrow('constraint failed')
    $client.close()
  })
})

describe('the data directory', () => {
  const holders: ChildProcess[] = []
  afterEach(() => {
    for (const holder of holders.splice(0)) holder.kill('SIGKILL')
  })

  /** Another process that takes the directory, keeps nothing of it in hand, says what came of it, and then stays. */
  async function aHolder(): Promise<{ said: string; kill(): Promise<void> }> {
    const open = fileURLToPath(new URL('../../src/db/open.ts', import.meta.url))
    const script = `
      import { takeDataDir } from ${JSON.stringify(open)}
      try {
        takeDataDir(${JSON.stringify(directory.path)})
        for (let turn = 0; turn < 3; turn++) {
          globalThis.gc()
          await new Promise(done => setImmediate(done))
        }
        console.log('taken')
      } catch (cause) {
        console.log(cause.message)
      }
      process.stdin.resume()`
    const holder = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    holders.push(holder)
    const [said]: string[] = await once(createInterface(holder.stdout), 'line')
    return {
      said: said ?? '',
      async kill() {
        const gone = once(holder, 'exit')
        holder.kill('SIGKILL')
        await gone
      },
    }
  }

  const inUse = () => `The data directory ${directory.path} is in use by another process.`

  it('is refused to a second process, in both directions, with a sentence', async () => {
    const mine = takeDataDir(directory.path)
    expect((await aHolder()).said).toBe(inUse())
    mine.release()
    expect((await aHolder()).said).toBe('taken')
    expect(refusal(() => takeDataDir(directory.path))).toBe(inUse())
  })

  it('is free again the moment its holder was killed with -9', async () => {
    const holder = await aHolder()
    expect(holder.said).toBe('taken')
    expect(refusal(() => takeDataDir(directory.path))).toBe(inUse())
    await holder.kill()
    takeDataDir(directory.path).release()
  })

  it('is refused to a second taker in the same process, and free after release', () => {
    const first = takeDataDir(directory.path)
    expect(refusal(() => takeDataDir(directory.path))).toBe(inUse())
    first.release()
    takeDataDir(directory.path).release()
  })

  it('holds the process id of its holder for its owner alone, whatever an earlier one left', () => {
    const pid = join(directory.path, 'service.pid')
    writeFileSync(pid, '1\n', { mode: 0o644 })
    const mine = takeDataDir(directory.path)
    expect(refusal(() => takeDataDir(directory.path))).toBe(inUse())
    expect(readFileSync(pid, 'utf8')).toBe(`${process.pid}\n`)
    expect(statSync(pid).mode & 0o777).toBe(0o600)
    mine.release()
    expect(existsSync(pid)).toBe(false)
  })

  it('is made for its owner alone', () => {
    const made = join(directory.path, 'new')
    takeDataDir(made).release()
    expect(statSync(made).mode & 0o777).toBe(0o700)
  })

  it('is refused with a sentence when it is a file', () => {
    writeFileSync(path, '')
    expect(refusal(() => takeDataDir(path))).toContain(
      `The data directory ${path} cannot be used: `,
    )
  })
})
