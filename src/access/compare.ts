import { hash, timingSafeEqual } from 'node:crypto'

/** Whether two digests are one, in a time that says nothing of where they differ. */
export function isSame(given: Buffer, kept: Buffer): boolean {
  return timingSafeEqual(given, kept)
}

export function digestOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}
