import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import { type BetterSQLite3Database, drizzle } from 'drizzle-orm/better-sqlite3'
import { StartError, startExitCode, storageFaultOf } from '../errors.ts'
import { type ChangeLog, openChangeLog } from './change-log.ts'
import { checkWhole, isCheckedAtOnce } from './check-whole.ts'
import { migrate, migratedBy, migrateWithCopy, selectApplied } from './migrations.ts'
import { damaged, diskExitCode, sayUnusable } from './refusals.ts'
import { type Storage, type StorageWatch, watchStorage } from './storage.ts'
import { brokenLog } from './write-ahead-log.ts'

export type Db = BetterSQLite3Database<Record<string, never>> & {
  $client: Database.Database
  storage: Storage
  changes: ChangeLog
}

/**
 * Opens the service's database, makes it durable and brings it up to the newest migration, with a copy beside it of how
 * it was.
 *
 * @throws StartError when the file cannot be opened, is damaged, or was migrated by other code
 */
export function openDatabase(path: string, watch?: StorageWatch): Db {
  try {
    mkdirSync(dirname(path), { recursive: true })
    refuseHalfRestored(path)
    if (!existsSync(path)) makeDatabase(path)
    refuseDamaged(path)
    // Not closed when it is refused: that would write the log into a file which nobody trusts.
    const client = new Database(path, { timeout: 5000 })
    const db = prepareDatabase(client)
    // A log that begins anew holds nothing of a transaction that was cut off. Emptied, for SQLite goes on with one whose
    // first transaction that was, and what it left behind would look like damage after the next power cut.
    emptyLog(client)
    return Object.assign(db, {
      storage: watchStorage(client, watch),
      changes: openChangeLog(client),
    })
  } catch (cause) {
    throw sayUnusable(cause, path)
  }
}

/** As far as nobody reads it: whoever replicates the database has it open all the time, and is not waited for. */
function emptyLog(client: Database.Database): void {
  const timeoutMs = client.pragma('busy_timeout', { simple: true })
  client.pragma('busy_timeout = 100')
  client.pragma('wal_checkpoint(TRUNCATE)')
  client.pragma(`busy_timeout = ${timeoutMs}`)
}

/** What a restore calls the backup from when the database is being exchanged until it is. */
export const restoringEnd = '.restoring'

function refuseHalfRestored(path: string): void {
  if (!existsSync(`${path}${restoringEnd}`)) return
  throw new StartError(
    `A restore of the database ${path} was cut off: run npm run restore again; the database of before is kept beside it.`,
  )
}

/** Whole or not at all: an empty file is no database that was about to be made. */
function makeDatabase(path: string): void {
  if (existsSync(`${path}-wal`)) {
    throw new StartError(
      `The database ${path} is gone, and its log ${path}-wal is there: restore a backup, or move the log away to begin anew.`,
    )
  }
  const making = `${path}.new`
  for (const end of ['', '-wal', '-shm']) rmSync(`${making}${end}`, { force: true })
  const client = new Database(making)
  prepareDatabase(client)
  client.close()
  renameSync(making, path)
}

/** Before SQLite opens the file: it would take an empty one for a new one, and a damaged log for the end of the log. */
function refuseDamaged(path: string): void {
  if (statSync(path).size === 0) throw damaged(path, 'it is empty')
  const why = brokenLog(`${path}-wal`)
  if (why !== null) throw damaged(path, why)
}

function prepareDatabase(client: Database.Database): BetterSQLite3Database & {
  $client: Database.Database
} {
  refuseForeign(client)
  setPragmas(client)
  const why = isCheckedAtOnce(client) ? checkWhole(client) : null
  if (why !== null) throw damaged(client.name, why)
  migrateWithCopy(client, Date.now())
  const missing = missingFrom(client)
  if (missing !== undefined) throw damaged(client.name, `${missing} is missing`)
  return drizzle(client)
}

/** A table, column or index that the migrations make and the database has not. */
function missingFrom(client: Database.Database): string | undefined {
  const model = new Database(':memory:')
  migrate(model)
  const partsOf = (of: Database.Database) => of.prepare<[], string>(selectParts).pluck().all()
  const parts = new Set(partsOf(client))
  const missing = partsOf(model).find(part => !parts.has(part))
  model.close()
  return missing
}

const selectParts = `
  SELECT 'column ' || t.name || '.' || c.name
    FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'
  UNION ALL
  SELECT 'index ' || i.name || ' of ' || i.tbl_name || '.' || coalesce(c.name, c.seqno)
    FROM sqlite_schema i JOIN pragma_index_info(i.name) c WHERE i.type = 'index'`

// A reopened file comes up with synchronous=NORMAL whatever it was before: these belong to the connection.
export function setPragmas(client: Database.Database): void {
  client.pragma('journal_mode = WAL')
  client.pragma('synchronous = FULL')
  // SQLite says nothing of a checkpoint of its own that fails: the service makes them long before.
  client.pragma('wal_autocheckpoint = 8000')
  client.pragma('foreign_keys = ON')
  client.pragma('trusted_schema = OFF')
  // In KiB. What is not here is in the cache of the system, and read from there in microseconds.
  client.pragma('cache_size = -4000')
  // A container may have no place for temporary files.
  client.pragma('temp_store = MEMORY')
  const set = ['journal_mode', 'synchronous', 'foreign_keys', 'trusted_schema'].map(name =>
    client.pragma(name, { simple: true }),
  )
  if (set.join() !== 'wal,2,1,0') {
    throw new StartError(`SQLite did not take the pragmas that durability needs: ${set.join()}.`)
  }
}

function refuseForeign(client: Database.Database): void {
  const known = client.prepare<[], string>('SELECT name FROM sqlite_master').pluck().all()
  if (known.length === 0) return
  if (!known.includes('__drizzle_migrations')) {
    throw new StartError(
      `The database ${client.name} is not one of this service: move it away, or set DATA_DIR to another directory.`,
    )
  }
  const applied = client.prepare<[], string>(selectApplied).pluck().all()
  const by = migratedBy(applied)
  if (by === 'us') return
  throw new StartError(
    `The database ${client.name} was migrated by ${by === 'newer' ? 'a newer' : 'another'} version of this service: start that version, or restore a backup made by this one.`,
  )
}

export class DataDirInUse extends StartError {}

// A connection that nobody refers to is closed by the garbage collector, and its lock is gone.
const held = new Set<Database.Database>()

/**
 * Takes the data directory for this process until it ends, however it ends: the books are warm in memory, so a
 * second process on the same file would spend turns twice. `service.pid` says who to send a signal to.
 *
 * @throws StartError when another process has it
 */
export function takeDataDir(dataDir: string): { release(): void } {
  try {
    if (!existsSync(dataDir)) mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    const lock = new Database(join(dataDir, 'service.lock'), { timeout: 0 })
    lock.pragma('journal_mode = DELETE')
    lock.exec('BEGIN EXCLUSIVE')
    held.add(lock)
    const forget = writePid(join(dataDir, 'service.pid'))
    return {
      release() {
        forget()
        held.delete(lock)
        lock.close()
      },
    }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : null
    if (code === 'SQLITE_BUSY') {
      throw new DataDirInUse(`The data directory ${dataDir} is in use by another process.`)
    }
    const why = cause instanceof Error ? cause.message : String(cause)
    const fault = storageFaultOf(cause)
    const isOfDisk = fault === 'full' || fault === 'broken'
    throw new StartError(
      `The data directory ${dataDir} cannot be used: ${why}.`,
      isOfDisk ? diskExitCode : startExitCode,
    )
  }
}

/** To be called by whoever has the lock: what another process left is of one that is gone. */
function writePid(path: string): () => void {
  const remove = () => rmSync(path, { force: true })
  remove()
  writeFileSync(path, `${process.pid}\n`, { mode: 0o600, flag: 'wx' })
  process.once('exit', remove)
  return () => {
    process.off('exit', remove)
    remove()
  }
}

/** The file as it is now, whatever is written meanwhile: one connection that only reads, to be closed soon. */
export function openSnapshot(db: Db): Database.Database {
  const client = new Database(db.$client.name, { readonly: true, fileMustExist: true })
  try {
    client.pragma('trusted_schema = OFF')
    client.exec('BEGIN')
    // The snapshot is of the first read, not of the BEGIN.
    client.prepare('SELECT 1 FROM sqlite_master').get()
    return client
  } catch (cause) {
    client.close()
    throw cause
  }
}
