import { existsSync, realpathSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { checkWhole } from '../db/check-whole.ts'
import { copyWhole } from '../db/copy-whole.ts'
import { migratedBy, selectApplied } from '../db/migrations.ts'
import { damaged, sayUnusable } from '../db/refusals.ts'
import { backedUpEnd } from '../db/storage.ts'
import { StartError, sayCause } from '../errors.ts'

/**
 * Copies the database as it is at one instant into `file`, whole or not at all, beside a service that goes on writing.
 * Free pages stay behind, and with them what was erased. Why it could not be noted beside the database that there is a
 * backup; null when it was.
 *
 * @throws StartError when there is none
 */
export function backUp(dataDir: string, file: string): string | null {
  const path = join(dataDir, 'smartguide.db')
  if (!existsSync(path)) throw new StartError(`There is no database ${path} to back up.`)
  if (existsSync(file) && realpathSync(file) === realpathSync(path)) {
    throw new StartError(`${file} is the database itself: name another file.`)
  }
  const making = join(dirname(resolve(file)), `.${basename(file)}.${process.pid}`)
  try {
    const source = new Database(path, { readonly: true, fileMustExist: true, timeout: 5000 })
    try {
      source.pragma('trusted_schema = OFF')
      copyWhole(source, file, making, checkBackup)
    } finally {
      source.close()
    }
  } catch (cause) {
    throw sayUnusable(cause, path)
  }
  try {
    writeFileSync(`${path}${backedUpEnd}`, `${file}\n`, { mode: 0o600 })
    return null
  } catch (cause) {
    return sayCause(cause)
  }
}

/** @throws StartError when it is damaged, or not one that this version of the service can go on with */
export function checkBackup(file: string): void {
  const client = new Database(file, { fileMustExist: true })
  try {
    // No log beside it, while it is looked at or after.
    client.pragma('journal_mode = DELETE')
    client.pragma('trusted_schema = OFF')
    const why = checkWhole(client)
    if (why !== null) throw damaged(file, why)
    const made = client
      .prepare<[], string>("SELECT name FROM sqlite_master WHERE name = '__drizzle_migrations'")
      .get()
    if (!made) throw new StartError(`${file} is not a backup of this service.`)
    const by = migratedBy(client.prepare<[], string>(selectApplied).pluck().all())
    if (by === 'us') return
    throw new StartError(
      `${file} is of ${by === 'newer' ? 'a newer' : 'another'} version of this service: restore it with that version.`,
    )
  } finally {
    client.close()
  }
}
