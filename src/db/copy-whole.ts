import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'

/**
 * Copies the database as it is at one instant into `file`, whole or not at all, whoever else writes meanwhile, for this
 * user alone. Free pages stay behind, and with them what was erased. `making` is the copy's name until `check` found it
 * good.
 */
export function copyWhole(
  source: Database.Database,
  file: string,
  making: string,
  check: (making: string) => void = () => {},
): void {
  try {
    // Made first, so that nobody else may read it from the first byte on.
    closeSync(openSync(making, 'wx', 0o600))
    source.prepare('VACUUM INTO ?').run(making)
    check(making)
    sync(making)
    renameSync(making, file)
    sync(dirname(making))
  } finally {
    rmSync(making, { force: true })
  }
}

/** On the disk, and not on its way there; of a directory its names. */
export function sync(path: string): void {
  const file = openSync(path, 'r')
  fsyncSync(file)
  closeSync(file)
}
