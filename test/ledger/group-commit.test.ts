import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createGroupCommit, type GroupCommit } from '../../src/ledger/group-commit.ts'
import { aDatabase, asAfterCrash, commitsInLog, onDisk } from '../support/ledger.ts'

let file: ReturnType<typeof aDatabase>
let events: string[]
let commit: GroupCommit

beforeEach(() => {
  file = aDatabase()
  events = []
  file.db.$client.exec('CREATE TABLE notes (text TEXT NOT NULL)')
  commit = createGroupCommit(file.db.$client, {
    beforeCommit: () => events.push('commit'),
    afterCommit() {},
    afterRollback: () => events.push('rollback'),
    failed() {},
  })
})
afterEach(() => file.close())

function note(text: string): () => string {
  return () => {
    file.db.$client.prepare('INSERT INTO notes VALUES (?)').run(text)
    return text
  }
}

function failing(text: string): () => never {
  return () => {
    note(text)()
    throw new Error(`no ${text}`)
  }
}

/** SQLite looks at a deferred foreign key when it commits, so this job fails after it ran. */
function failingAtCommit(): void {
  file.db.$client.pragma('defer_foreign_keys = ON')
  file.db.$client.exec(
    "INSERT INTO guides (guide_id, store_id, state) VALUES ('orphan', 404, 'registered')",
  )
}

function notes(path = file.path): string[] {
  return onDisk(path, client =>
    client.prepare<[], string>('SELECT text FROM notes ORDER BY text').pluck().all(),
  )
}

function briefly(settled: PromiseSettledResult<unknown>[]): unknown[] {
  return settled.map(one => (one.status === 'fulfilled' ? one.value : String(one.reason)))
}

describe('jobs that arrive together', () => {
  it('share one commit, 64 of them, each with its own answer', async () => {
    const before = commitsInLog(file.path)
    const texts = Array.from({ length: 64 }, (_, index) => `note ${index}`)
    expect(await Promise.all(texts.map(text => commit.run(note(text))))).toEqual(texts)
    expect(commitsInLog(file.path) - before).toBe(1)
    expect(notes()).toEqual(texts.toSorted())
  })

  it('are cut into commits of at most 256, in the order in which they came', async () => {
    const before = commitsInLog(file.path)
    const order: number[] = []
    await Promise.all(
      Array.from({ length: 600 }, (_, index) => commit.run(() => note(`${order.push(index)}`)())),
    )
    expect(order).toEqual(Array.from({ length: 600 }, (_, index) => index))
    expect(commitsInLog(file.path) - before).toBe(3)
  })

  it('are one commit each when they come one after the other', async () => {
    const before = commitsInLog(file.path)
    await commit.run(note('a'))
    await commit.run(note('b'))
    expect(commitsInLog(file.path) - before).toBe(2)
  })

  it('see what those before them wrote', async () => {
    const count = () => file.db.$client.prepare('SELECT count(*) FROM notes').pluck().get()
    const [, seen] = await Promise.all([commit.run(note('a')), commit.run(count)])
    expect(seen).toBe(1)
  })
})

describe('a job that throws', () => {
  it('fails alone, with its own cause, and its neighbours are on the disk', async () => {
    const settled = await Promise.allSettled([
      commit.run(note('a')),
      commit.run(failing('b')),
      commit.run(note('c')),
      commit.run(failing('d')),
      commit.run(note('e')),
    ])
    expect(briefly(settled)).toEqual(['a', 'Error: no b', 'c', 'Error: no d', 'e'])
    expect(asAfterCrash(file.path, notes)).toEqual(['a', 'c', 'e'])
  })

  it('has what it remembers undone before anything else runs', async () => {
    const seen: string[][] = []
    await Promise.allSettled([
      commit.run(failing('a')),
      commit.run(() => seen.push([...events])),
      commit.run(() => seen.push([...events])),
    ])
    expect(seen).toEqual([
      ['rollback', 'rollback'],
      ['rollback', 'rollback', 'commit'],
    ])
  })

  it('runs once when it came alone, and leaves nothing', async () => {
    let runs = 0
    const job = commit.run(() => {
      runs += 1
      failing('a')()
    })
    await expect(job).rejects.toThrow('no a')
    expect([runs, notes(), events]).toEqual([1, [], ['rollback']])
    await commit.run(note('b'))
    expect(notes()).toEqual(['b'])
  })
})

describe('a commit that fails', () => {
  it('fails the job that was alone in it: nothing resolves that is not on the disk', async () => {
    await expect(commit.run(failingAtCommit)).rejects.toThrow('FOREIGN KEY')
    expect(file.db.$client.inTransaction).toBe(false)
    expect(events).toEqual(['commit', 'rollback'])
  })

  it('fails none of the neighbours', async () => {
    const settled = await Promise.allSettled([
      commit.run(note('a')),
      commit.run(failingAtCommit),
      commit.run(note('b')),
    ])
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(asAfterCrash(file.path, notes)).toEqual(['a', 'b'])
  })

  it('for want of disk space says so, and works again once there is some', async () => {
    const { $client } = file.db
    $client.pragma(`max_page_count = ${$client.pragma('page_count', { simple: true })}`)
    const large = commit.run(note('x'.repeat(100_000)))
    await expect(large).rejects.toMatchObject({ name: 'AppError', code: 'storage_full' })
    expect(notes()).toEqual([])
    $client.pragma('max_page_count = 100000')
    await commit.run(note('x'.repeat(100_000)))
    expect(notes()).toHaveLength(1)
  })

  it('because another program holds the file fails the batch after one wait, not one wait for each', async () => {
    const holder = new Database(file.path)
    holder.exec('BEGIN IMMEDIATE')
    file.db.$client.pragma('busy_timeout = 100')
    const startMs = performance.now()
    const settled = await Promise.allSettled(
      Array.from({ length: 64 }, (_, index) => commit.run(note(`${index}`))),
    )
    expect(performance.now() - startMs).toBeLessThan(3200)
    holder.close()
    expect(new Set(briefly(settled))).toEqual(new Set(['SqliteError: database is locked']))
    expect(await commit.run(note('after'))).toBe('after')
    expect(notes()).toEqual(['after'])
  })

  it('because the file is closed fails all of them, and nobody waits for ever', async () => {
    file.db.$client.close()
    const settled = await Promise.allSettled([commit.run(() => 1), commit.run(() => 2)])
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })
})
