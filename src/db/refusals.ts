import { StartError, type StorageFault, sayCause, storageFaultOf } from '../errors.ts'

/** Exit code of a process whose disk failed or is full (EX_IOERR): it may be started again. */
export const diskExitCode = 74

export function damaged(path: string, why: string): StartError {
  return new StartError(sayFault('damaged', path, why))
}

/** What the operator is told of a database that cannot be used. */
export function sayUnusable(cause: unknown, path: string): StartError {
  if (cause instanceof StartError) return cause
  const why = sayCause(cause)
  const fault = storageFaultOf(cause)
  if (fault === 'damaged') return damaged(path, why)
  if (fault !== null) return new StartError(sayFault(fault, path, why), diskExitCode)
  const todo = 'it must be a file that this user may read and write, on a disk with free space'
  return new StartError(`The database ${path} cannot be opened: ${why}; ${todo}.`)
}

export function sayFault(fault: StorageFault, path: string, why: string): string {
  switch (fault) {
    case 'full':
      return `The disk of the database ${path} is full: free some space.`
    case 'broken':
      return `The disk of the database ${path} failed (${why}): look after the disk, then start again; what was acknowledged is read anew.`
    case 'damaged':
      return `The database ${path} is damaged (${why}): keep a copy of it and of ${path}-wal, then restore a backup, or save what can be read with sqlite3's .recover.`
  }
}
