import type Database from 'better-sqlite3'
import { createDistribution, type Spread } from '../distribution.ts'
import { storageFaultOf, storageFull } from '../errors.ts'

type Job = {
  run: () => unknown
  resolve: (value: unknown) => void
  reject: (cause: unknown) => void
}

export type GroupCommit = {
  /** Runs the job inside the next transaction; resolves once that is on the disk. The job must be synchronous. */
  run<T>(job: () => T): Promise<T>
  commits(): CommitCounts
}

/** Of the transactions that are on the disk: how many jobs shared one, and how long its COMMIT took. */
export type CommitCounts = { jobs: Spread; seconds: Spread }

const jobBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256]
const secondBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]

/**
 * Jobs that arrive in one turn of the event loop share one transaction and so one sync of the disk.
 *
 * A job that throws takes nobody with it: the transaction is rolled back and its jobs run again one by one, so a job
 * must be able to run twice. What the disk refused, it refused to all of them, and is tried by nobody again.
 */
export function createGroupCommit(
  client: Database.Database,
  hooks: {
    beforeCommit(): void
    afterCommit(jobs: number): void
    afterRollback(): void
    /** Told of whatever was thrown, before anything is rolled back. */
    failed(cause: unknown): void
  },
  maxJobs = 256,
): GroupCommit {
  const begin = client.prepare('BEGIN IMMEDIATE')
  const commit = client.prepare('COMMIT')
  const rollback = client.prepare('ROLLBACK')
  const jobs = createDistribution(jobBounds)
  const seconds = createDistribution(secondBounds)
  let waiting: Job[] = []
  let scheduled = false

  function schedule(): void {
    if (scheduled) return
    scheduled = true
    setImmediate(flush)
  }

  function flush(): void {
    scheduled = false
    const batch = waiting.slice(0, maxJobs)
    waiting = waiting.slice(maxJobs)
    if (waiting.length > 0) schedule()
    if (!openTransaction(batch)) return
    if (commitTogether(batch)) return
    for (const job of batch) if (openTransaction([job])) commitTogether([job])
  }

  // A file that is locked is no job's fault: to ask again for each would wait the busy timeout for each.
  function openTransaction(batch: readonly Job[]): boolean {
    try {
      begin.run()
      return true
    } catch (cause) {
      hooks.failed(cause)
      rejectAll(batch, cause)
      return false
    }
  }

  function commitTogether(batch: readonly Job[]): boolean {
    let results: unknown[]
    try {
      results = transact(() => batch.map(job => job.run()))
    } catch (cause) {
      if (batch.length > 1 && storageFaultOf(cause) === null) return false
      rejectAll(batch, cause)
      return true
    }
    jobs.add(batch.length)
    for (const [index, job] of batch.entries()) job.resolve(results[index])
    hooks.afterCommit(batch.length)
    return true
  }

  function rejectAll(batch: readonly Job[], cause: unknown): void {
    const why = storageFaultOf(cause) === 'full' ? storageFull() : cause
    for (const job of batch) job.reject(why)
  }

  function transact<T>(work: () => T): T {
    try {
      const result = work()
      hooks.beforeCommit()
      const startMs = performance.now()
      commit.run()
      seconds.add((performance.now() - startMs) / 1000)
      return result
    } catch (cause) {
      hooks.failed(cause)
      hooks.afterRollback()
      if (client.inTransaction) rollback.run()
      throw cause
    }
  }

  return {
    run: <T>(job: () => T) =>
      new Promise<T>((resolve, reject) => {
        waiting.push({ run: job, resolve: value => resolve(value as T), reject })
        schedule()
      }),
    commits: () => ({ jobs: jobs.read(), seconds: seconds.read() }),
  }
}
