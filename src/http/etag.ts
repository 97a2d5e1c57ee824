import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import type { DocumentKind, Version } from '../mirror/mirror.ts'

type Read = Pick<Version<unknown>, 'version' | 'body'>

/** A default staff is whoever is registered by now, so that its number alone does not say what was read. */
export function etagOf(kind: DocumentKind, { version, body }: Read): string {
  if (kind !== 'staff' || version !== 0) return `"${version}"`
  const digest = createHash('sha256').update(JSON.stringify(body)).digest('hex')
  return `"0-${digest.slice(0, 8)}"`
}

/** An order changes hands with each generation; what else becomes of it changes no hand. */
export function generationTag({ generation }: { generation: number }): string {
  return `"${generation}"`
}

/** The generations that a sender says to have read; weak tags name none (RFC 9110, 13.1.1). */
export function readGenerations(ifMatch: string): number[] {
  const tags = ifMatch.split(',').map(tag => /^"([1-9]\d{0,5})"$/.exec(tag.trim())?.[1])
  return tags.flatMap(tag => (tag === undefined ? [] : [Number(tag)]))
}

/**
 * Refuses to overwrite what the sender has not read (RFC 9110, 13.1.1). `*` names no version, so it says nothing about
 * what was read.
 *
 * @throws AppError precondition_required
 */
export function needIfMatch(ifMatch: string | undefined): asserts ifMatch is string {
  if (ifMatch !== undefined && ifMatch.trim() !== '*') return
  throw new AppError('precondition_required', {
    en: 'Read the newest version first and send its ETag in If-Match.',
    zh: '请先读取最新版本，再把它的 ETag 放在 If-Match 里。',
  })
}

/** @throws AppError precondition_failed */
export function matchVersion(ifMatch: string | undefined, kind: DocumentKind, newest: Read): void {
  if (ifMatch === undefined) return
  const tags = ifMatch.split(',').map(tag => tag.trim())
  if (!tags.includes(etagOf(kind, newest))) throw stale(newest.version)
}

export function stale(version: number): AppError {
  return new AppError('precondition_failed', {
    en: `The newest version is ${version} by now: read it, and decide again.`,
    zh: `最新版本已是 ${version}：请重新读取后再决定。`,
  })
}
