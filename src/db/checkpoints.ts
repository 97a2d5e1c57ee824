import type Database from 'better-sqlite3'

type Log = { log: number }

const everyPages = 1000
/** Each writes a few pages. */
const jobsBetweenLooks = 100

/** Moves the log into the database when it is long, after whoever wrote has their answer, and tells when that fails. */
export function createCheckpoints(client: Database.Database, failed: (cause: unknown) => void) {
  const look = client.prepare<[], Log>('PRAGMA wal_checkpoint(NOOP)')
  const move = client.prepare<[], Log>('PRAGMA wal_checkpoint(PASSIVE)')
  let jobsSince = 0
  let dueAtPages = everyPages

  function checkpoint(): void {
    if (!client.open || client.inTransaction) return
    try {
      const pages = look.get()?.log ?? 0
      if (pages < everyPages) dueAtPages = everyPages
      if (pages < dueAtPages) return
      // What a reader holds up, or a full disk, is not tried again with each commit.
      dueAtPages = pages + everyPages
      move.get()
    } catch (cause) {
      failed(cause)
    }
  }

  return {
    wrote(jobs: number): void {
      jobsSince += jobs
      if (jobsSince < jobsBetweenLooks) return
      jobsSince = 0
      setImmediate(checkpoint)
    },
  }
}
