import { AppError } from '../errors.ts'

export const etagOf = (version: number): string => `"${version}"`

/**
 * Refuses to overwrite what the sender has not read (RFC 9110, 13.1.1). `*` names no version, so it says nothing about
 * what was read.
 *
 * @throws AppError precondition_required
 */
export function needIfMatch(ifMatch: string | undefined): void {
  if (ifMatch !== undefined && ifMatch.trim() !== '*') return
  throw new AppError(
    'precondition_required',
    'Read the newest version first and send its ETag in If-Match.',
  )
}

/** @throws AppError precondition_failed */
export function matchVersion(ifMatch: string | undefined, version: number): void {
  if (ifMatch === undefined) return
  const tags = ifMatch.split(',').map(tag => tag.trim())
  if (!tags.includes(etagOf(version))) throw stale(version)
}

export function stale(version: number): AppError {
  return new AppError(
    'precondition_failed',
    `The newest version is ${version} by now: read it, and decide again.`,
  )
}
