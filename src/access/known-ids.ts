import type { Db } from '../db/open.ts'

/**
 * The ids of all keys, in memory: read again when the file was changed by another process, or here by whoever says so.
 * To ask whether it was reads no page.
 */
export function createKnownIds(db: Db) {
  const version = db.$client.prepare<[], number>('PRAGMA data_version').pluck()
  const all = db.$client.prepare<[], string>('SELECT id FROM keys').pluck()
  let known: { ids: ReadonlySet<string>; version: number | undefined } | null = null

  return {
    has(id: string): boolean {
      const now = version.get()
      if (known?.version !== now) known = { ids: new Set(all.all()), version: now }
      return known?.ids.has(id) ?? false
    },
    changed(): void {
      known = null
    },
  }
}
