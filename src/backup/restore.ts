import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Clock } from '../clock.ts'
import { sync } from '../db/copy-whole.ts'
import { restoringEnd, takeDataDir } from '../db/open.ts'
import { damaged, sayUnusable } from '../db/refusals.ts'
import { StartError } from '../errors.ts'
import { checkBackup } from './backup.ts'

/** `kept` is where the database of before is now; null when there was none. */
export type Restored = { kept: string | null; orders: number; pending: number }

/**
 * Puts a backup in the place of the database of a service that does not run. Nothing is changed before the backup was
 * found whole. Cut off at any moment it leaves either database as it was, or a service that does not start before the
 * restore is made again.
 *
 * @throws StartError
 */
export function restore(dataDir: string, file: string, clock: Pick<Clock, 'nowMs'>): Restored {
  if (!existsSync(file)) throw new StartError(`There is no backup ${file}.`)
  if (statSync(file).size === 0) throw damaged(file, 'it is empty')
  const lock = takeDataDir(dataDir)
  const path = join(dataDir, 'smartguide.db')
  const copy = `${path}.copy`
  try {
    removeDatabase(copy)
    copyFileSync(file, copy, constants.COPYFILE_EXCL)
    chmodSync(copy, 0o600)
    checkBackup(copy)
    const counted = markInterrupted(copy)
    sync(copy)
    return { kept: exchange(path, copy, dataDir, clock.nowMs()), ...counted }
  } catch (cause) {
    throw sayUnusable(cause, file)
  } finally {
    removeDatabase(copy)
    lock.release()
  }
}

/**
 * Nobody knows what was sent after the backup was made: each pending order counts as one whose call may be under way, so
 * that the next start sends it again with the same guide, if its window is not over, and nobody gives it to another.
 */
function markInterrupted(copy: string): { orders: number; pending: number } {
  const client = new Database(copy)
  try {
    const pending = client
      .prepare(
        `UPDATE orders SET due_at_ms = 0, trace = json_set(trace, '$.interrupted', json('true'))
         WHERE due_at_ms IS NOT NULL`,
      )
      .run().changes
    const orders = client.prepare<[], number>('SELECT count(*) FROM orders').pluck().get() ?? 0
    return { orders, pending }
  } finally {
    client.close()
  }
}

function exchange(path: string, copy: string, dataDir: string, nowMs: number): string | null {
  const restoring = `${path}${restoringEnd}`
  // From here on the service does not start before this is done.
  renameSync(copy, restoring)
  sync(dataDir)
  const kept = existsSync(path) ? keep(path, nowMs) : null
  sync(dataDir)
  for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
  renameSync(restoring, path)
  sync(dataDir)
  return kept
}

/** With its log, which may hold the last of it. */
function keep(path: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-')
  const kept = `${path}.before-${stamp}`
  linkSync(path, kept)
  if (existsSync(`${path}-wal`)) linkSync(`${path}-wal`, `${kept}-wal`)
  return kept
}

function removeDatabase(path: string): void {
  for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${path}${end}`, { force: true })
}
