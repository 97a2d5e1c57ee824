import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { StartError } from '../errors.ts'
import { openChangeLog } from './change-log.ts'
import { isNewest } from './migrations.ts'
import { DataDirInUse, type Db, openDatabase, setPragmas, takeDataDir } from './open.ts'
import { sayUnusable } from './refusals.ts'
import { watchStorage } from './storage.ts'

/** `isNew`: there was no database before. */
export type Beside = { db: Db; isNew: boolean; close(): void }

/**
 * The database for a command of the operator's, whether the service runs or not. Beside a service it is a second
 * connection, and brings no migration; without one the data directory is taken meanwhile, as by a service.
 *
 * @throws StartError when there is none and `mayMake` is false, or when it cannot be used as it is
 */
export function openBeside(dataDir: string, { mayMake }: { mayMake: boolean }): Beside {
  const path = join(dataDir, 'smartguide.db')
  const isNew = !existsSync(path)
  if (isNew && !mayMake) {
    throw new StartError(`There is no database ${path}: set DATA_DIR as for npm start.`)
  }
  refuseOtherUser(path)
  const lock = takeUnlessRunning(dataDir)
  try {
    const db = lock ? openDatabase(path) : openSecond(path)
    return {
      db,
      isNew,
      close() {
        db.$client.close()
        lock?.release()
      },
    }
  } catch (cause) {
    lock?.release()
    throw cause
  }
}

/** Files that another user makes beside the database are closed to the service. */
function refuseOtherUser(path: string): void {
  const owner = statSync(path, { throwIfNoEntry: false })?.uid
  const user = process.getuid?.()
  if (owner === undefined || user === undefined || owner === user) return
  throw new StartError(
    `The database ${path} belongs to user ${owner}, and this is user ${user}: run this as the service's user.`,
  )
}

function takeUnlessRunning(dataDir: string): { release(): void } | null {
  try {
    return takeDataDir(dataDir)
  } catch (cause) {
    if (cause instanceof DataDirInUse) return null
    throw cause
  }
}

function openSecond(path: string): Db {
  try {
    const client = new Database(path, { timeout: 5000, fileMustExist: true })
    setPragmas(client)
    if (!isNewest(client)) {
      client.close()
      throw new StartError(
        `The service that runs on ${path} is of another version: run this with that version.`,
      )
    }
    return Object.assign(drizzle(client), {
      storage: watchStorage(client),
      changes: openChangeLog(client),
    })
  } catch (cause) {
    throw sayUnusable(cause, path)
  }
}
