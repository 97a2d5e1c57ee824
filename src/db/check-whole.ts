import { statSync } from 'node:fs'
import Database from 'better-sqlite3'
import { sayCause, startExitCode, storageFaultOf } from '../errors.ts'

/** A larger file would hold up the start: it is checked beside the service. */
const checkedAtOnceBytes = 64 * 1024 * 1024

export function isCheckedAtOnce(client: Database.Database): boolean {
  return statSync(client.name).size <= checkedAtOnceBytes
}

/** What is wrong with the database, as SQLite says it; null when every page, row and index entry is where it belongs. */
export function checkWhole(client: Database.Database): string | null {
  try {
    const found = client.pragma('integrity_check(1)', { simple: true })
    return found === 'ok' ? null : String(found).replaceAll('\n', ' ')
  } catch (cause) {
    if (storageFaultOf(cause) !== 'damaged') throw cause
    return sayCause(cause)
  }
}

// As a process of its own, beside a service that runs. Its exit code tells, for whatever is preloaded into it may print too.
if (import.meta.main) {
  const client = new Database(process.argv[2] ?? '', { readonly: true, fileMustExist: true })
  const why = checkWhole(client)
  if (why !== null) {
    process.stdout.write(why)
    process.exitCode = startExitCode
  }
}
