import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type Db, openDatabase } from '../../src/db/open.ts'
import type { StorageWatch } from '../../src/db/storage.ts'
import { createGroupCommit } from '../../src/ledger/group-commit.ts'
import { aDirectory } from '../support/ledger.ts'
import { eventually } from '../support/rig.ts'

let directory: ReturnType<typeof aDirectory>
let db: Db
let told: string[]

beforeEach(() => {
  directory = aDirectory()
  told = []
  const watch: StorageWatch = {
    failed: (fault, why) => told.push(`${fault}: ${why}`),
    filled: () => told.push('full'),
    freed: () => told.push('free'),
    unchecked: () => told.push('unchecked'),
  }
  db = openDatabase(join(directory.path, 'smartguide.db'), watch)
  db.$client.exec('CREATE TABLE notes (text TEXT NOT NULL)')
})
afterEach(() => {
  db.$client.close()
  directory.remove()
})

const openCommit = () =>
  createGroupCommit(db.$client, {
    beforeCommit() {},
    afterCommit: db.storage.wrote,
    afterRollback() {},
    failed: db.storage.met,
  })

const sqliteError = (code: string) => Object.assign(new Error('as SQLite says it'), { code })

it('a disk that is full is told once, and that it has space again, when something can be written', async () => {
  const { $client } = db
  // What a probe writes needs no new page: it is for the other statements that there is none.
  $client.pragma(`max_page_count = ${$client.pragma('page_count', { simple: true })}`)
  const note = () => $client.prepare('INSERT INTO notes VALUES (?)').run('x'.repeat(100_000))
  for (let n = 0; n < 3; n++) {
    await expect(openCommit().run(note)).rejects.toMatchObject({ code: 'storage_full' })
  }
  expect([told, db.storage.isFull()]).toEqual([['full'], true])
  await eventually(async () => !db.storage.isFull())
  expect(told).toEqual(['full', 'free'])
})

it.each([
  ['SQLITE_FULL', 'storage_full', ['full']],
  ['SQLITE_IOERR_SHMSIZE', 'storage_full', ['full']],
  ['SQLITE_IOERR_FSYNC', 'SQLITE_IOERR_FSYNC', ['broken: SQLITE_IOERR_FSYNC: as SQLite says it']],
  ['SQLITE_IOERR_WRITE', 'SQLITE_IOERR_WRITE', ['broken: SQLITE_IOERR_WRITE: as SQLite says it']],
  [
    'SQLITE_CORRUPT_INDEX',
    'SQLITE_CORRUPT_INDEX',
    ['damaged: SQLITE_CORRUPT_INDEX: as SQLite says it'],
  ],
  ['SQLITE_BUSY', 'SQLITE_BUSY', []],
])('%s in a batch', async (code, answered, says) => {
  const commit = openCommit()
  let runs = 0
  const job = () => {
    runs += 1
    db.$client.prepare('INSERT INTO notes VALUES (?)').run(`${runs}`)
    if (runs % 3 === 0) throw sqliteError(code)
  }
  const settled = await Promise.allSettled([job, job, job].map(each => commit.run(each)))
  const isOfTheDisk = says.length > 0
  // Whatever else is wrong is one job's fault, and the others run again without it.
  expect(runs).toBe(isOfTheDisk ? 3 : 6)
  expect(db.$client.prepare('SELECT count(*) FROM notes').pluck().get()).toBe(isOfTheDisk ? 0 : 2)
  const rejected = settled.filter(({ status }) => status === 'rejected')
  expect(rejected.map(one => (one.status === 'rejected' ? one.reason.code : ''))).toEqual(
    Array(isOfTheDisk ? 3 : 1).fill(answered),
  )
  expect(told).toEqual(says)
})

it('the log moves into the database while it is written, and does not grow without end', async () => {
  const commit = openCommit()
  const note = db.$client.prepare('INSERT INTO notes VALUES (?)')
  let longest = 0
  for (let n = 0; n < 400; n++) {
    await commit.run(() => note.run('x'.repeat(40_000)))
    const [log] = db.$client.pragma('wal_checkpoint(NOOP)') as { log: number }[]
    longest = Math.max(longest, log?.log ?? 0)
  }
  expect(longest).toBeGreaterThan(1000)
  expect(longest).toBeLessThan(4000)
})

it('a file that was too large for the start is checked beside the service', async () => {
  db.$client.exec(`INSERT INTO notes VALUES (hex(zeroblob(34000000)))`)
  db.$client.pragma('wal_checkpoint(TRUNCATE)')
  const path = db.$client.name
  const endWhole = db.storage.checkBeside()
  endWhole()
  const length = Number(db.$client.pragma('page_count', { simple: true }))
  writeFileSync(path, Buffer.alloc(4096, 0xa7), { flag: 'r+', flush: true })
  expect(length).toBeGreaterThan(16_384)
  db.storage.checkBeside()
  await eventually(async () => told.length > 0, 15_000)
  expect(told).toEqual([expect.stringMatching(/^damaged: /)])
})

it('what a preloaded module prints beside that check is no damage', async () => {
  db.$client.exec(`INSERT INTO notes VALUES (hex(zeroblob(34000000)))`)
  db.$client.pragma('wal_checkpoint(TRUNCATE)')
  // By the end of the second check the first has been heard.
  for (const end of ['first', 'second']) {
    const path = join(directory.path, end)
    const agent = `
      console.log('tracing')
      process.on('exit', () => process.getBuiltinModule('fs').writeFileSync(${JSON.stringify(path)}, ''))`
    vi.stubEnv('NODE_OPTIONS', `--import=data:text/javascript,${encodeURIComponent(agent)}`)
    db.storage.checkBeside()
    vi.unstubAllEnvs()
    await eventually(async () => existsSync(path), 15_000)
  }
  expect(told).toEqual([])
})
