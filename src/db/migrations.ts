import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type Database from 'better-sqlite3'
import { copyWhole } from './copy-whole.ts'

/** `name` begins with its number; `atMs` grows from one to the next. */
type Migration = { name: string; atMs: number; hash: string; statements: string[] }
type Journal = { entries: { tag: string; when: number }[] }

const folder = fileURLToPath(new URL('../../migrations', import.meta.url))
const keptCopies = 3

// The table is drizzle's, whose migrator made it in the databases that there are.
const makeTable = `
  CREATE TABLE IF NOT EXISTS __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)`

export const selectApplied = 'SELECT hash FROM __drizzle_migrations ORDER BY created_at'

let known: Migration[] | null = null

function migrations(): Migration[] {
  known ??= readMigrations()
  return known
}

function readMigrations(): Migration[] {
  const { entries }: Journal = JSON.parse(readFileSync(join(folder, 'meta/_journal.json'), 'utf8'))
  return entries.map(({ tag, when }) => {
    const text = readFileSync(join(folder, `${tag}.sql`), 'utf8')
    return {
      name: tag,
      atMs: when,
      hash: createHash('sha256').update(text).digest('hex'),
      statements: text.split('--> statement-breakpoint'),
    }
  })
}

/** Whose migrations these are: ours (perhaps not all of them yet), those of a newer program, or of another line. */
export function migratedBy(applied: readonly string[]): 'us' | 'newer' | 'other' {
  const ours = migrations()
  if (applied.every((hash, index) => hash === ours[index]?.hash)) return 'us'
  return ours.every(({ hash }, index) => hash === applied[index]) ? 'newer' : 'other'
}

/** Whether there is no migration to bring. */
export function isNewest(client: Database.Database): boolean {
  const applied = client.prepare<[], string>(selectApplied).pluck().all()
  return migratedBy(applied) === 'us' && applied.length === migrations().length
}

/**
 * Brings what is missing, all of it in one transaction: whoever is killed meanwhile leaves the database as it was, and
 * whoever comes at the same time waits, and finds nothing to bring. To be asked first: `migratedBy`.
 */
export function migrate(client: Database.Database): void {
  client.exec('BEGIN IMMEDIATE')
  try {
    client.exec(makeTable)
    const note = client.prepare<[hash: string, atMs: number]>(
      'INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)',
    )
    for (const { statements, hash, atMs } of missingIn(client)) {
      for (const statement of statements) client.exec(statement)
      note.run(hash, atMs)
    }
    client.exec('COMMIT')
  } catch (cause) {
    if (client.inTransaction) client.exec('ROLLBACK')
    throw cause
  }
}

const selectTable = "SELECT 1 FROM sqlite_schema WHERE name = '__drizzle_migrations'"

function missingIn(client: Database.Database): Migration[] {
  if (!client.prepare(selectTable).get()) return migrations()
  const applied = client.prepare<[], string>(selectApplied).pluck().all()
  return migrations().slice(applied.length)
}

/**
 * `migrate`, and before, of an older database a whole copy beside it: `.at-`, the last migration that it has, and the
 * time. The newest three are kept. Whoever fails is started again, perhaps for ever: it leaves no copy, and takes none away.
 */
export function migrateWithCopy(client: Database.Database, nowMs: number): void {
  const copy = keepBeforeMigrating(client, nowMs)
  try {
    migrate(client)
  } catch (cause) {
    if (copy !== null) rmSync(copy, { force: true })
    throw cause
  }
  if (copy !== null) removeOldCopies(client.name, '')
}

/** The copy; of those with the same last migration, which starts that were killed may have left, three stay. */
export function keepBeforeMigrating(client: Database.Database, nowMs: number): string | null {
  const last = migrations()[migrations().length - missingIn(client).length - 1]
  if (!last || last === migrations().at(-1)) return null
  const path = client.name
  const making = `${path}.at-making`
  rmSync(making, { force: true })
  const copy = `${path}.at-${last.name}-${stampOf(nowMs)}`
  copyWhole(client, copy, making)
  removeOldCopies(path, `${last.name}-`)
  return copy
}

function stampOf(nowMs: number): string {
  return new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-')
}

function removeOldCopies(path: string, of: string): void {
  const timeOf = (name: string) => name.slice(-stampOf(0).length)
  const kept = readdirSync(dirname(path))
    .filter(name => name.startsWith(`${basename(path)}.at-${of}`))
    .sort((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1))
  for (const name of kept.slice(0, -keptCopies)) rmSync(join(dirname(path), name))
}
