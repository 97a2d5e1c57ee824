import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type Database from 'better-sqlite3'
import { type StorageFault, sayCause, startExitCode, storageFaultOf } from '../errors.ts'
import { isCheckedAtOnce } from './check-whole.ts'
import { createCheckpoints } from './checkpoints.ts'

/** How the disk under a database fares. */
export type Storage = {
  /** To be told of whatever a statement threw; what is no fault of the disk is let pass. */
  met(cause: unknown): void
  /** So many jobs are on the disk. */
  wrote(jobs: number): void
  /** The last write found no space, and none has been there since. */
  isFull(): boolean
  /** Of the write-ahead log. */
  logBytes(): number
  /** When the last backup was made, in milliseconds since 1970; null: none that is known. */
  backedUpAtMs(): number | null
  /** Checks a file that was too large for the start, in a process of its own; the returned function ends that. */
  checkBeside(): () => void
}

export type StorageWatch = {
  /** Is not to return where anybody could be answered: nothing may be written or acknowledged any more. */
  failed(fault: Exclude<StorageFault, 'full'>, why: string): void
  filled(): void
  freed(): void
  /** The file was too large for the start, and no process may be started to check it. */
  unchecked(): void
}

/** What is touched beside the database after each backup of it. */
export const backedUpEnd = '.backed-up'

const probeEveryMs = 1000
const checkScript = fileURLToPath(new URL('check-whole.ts', import.meta.url))
const ignoring: StorageWatch = { failed() {}, filled() {}, freed() {}, unchecked() {} }

export function watchStorage(client: Database.Database, watch: StorageWatch = ignoring): Storage {
  const checkpoints = createCheckpoints(client, met)
  let probing: NodeJS.Timeout | null = null

  function met(cause: unknown): void {
    const fault = storageFaultOf(cause)
    if (fault === 'full') fill()
    else if (fault) watch.failed(fault, sayCause(cause))
  }

  function fill(): void {
    if (probing) return
    watch.filled()
    probing = setInterval(probe, probeEveryMs)
    probing.unref()
  }

  // While it is said to be full, nobody may come with something to write.
  function probe(): void {
    if (!client.open) stopProbing()
    if (!client.open || client.inTransaction) return
    try {
      writeNothing()
      stopProbing()
      watch.freed()
    } catch (cause) {
      met(cause)
    }
  }

  /** A page goes to the disk all the same. */
  function writeNothing(): void {
    client.transaction(() => client.pragma('user_version = 0')).immediate()
  }

  function stopProbing(): void {
    if (probing) clearInterval(probing)
    probing = null
  }

  return {
    met,
    wrote: checkpoints.wrote,
    isFull: () => probing !== null,
    logBytes: () => statSync(`${client.name}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    backedUpAtMs: () =>
      statSync(`${client.name}${backedUpEnd}`, { throwIfNoEntry: false })?.mtimeMs ?? null,
    checkBeside() {
      if (isCheckedAtOnce(client)) return () => {}
      if (process.permission?.has('child') === false) {
        watch.unchecked()
        return () => {}
      }
      const child = execFile(process.execPath, [checkScript, client.name], (failure, found) => {
        if (failure?.code === startExitCode) watch.failed('damaged', found)
      })
      return () => void child.kill()
    },
  }
}
