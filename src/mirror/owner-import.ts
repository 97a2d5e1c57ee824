import { setImmediate as nextTick } from 'node:timers/promises'
import type { Db } from '../db/open.ts'
import type { MemberOwner } from './mirror.ts'

const rowsASlice = 500

/**
 * Sets all of the owners or none. They are gathered in the order of the table over several turns of the event loop,
 * where nothing outlives the process; what counts is one statement, which holds the loop for a seventh of the time.
 */
export function createOwnerImport({ $client: client }: Db) {
  let begun = 0

  return async (rows: readonly MemberOwner[]): Promise<void> => {
    begun += 1
    const gathered = `temp.owner_import_${begun}`
    client.exec(`
      CREATE TABLE ${gathered} (
        merchant TEXT, member_id TEXT, guide_id TEXT, since_ms INTEGER, expires_at_ms INTEGER,
        PRIMARY KEY (merchant, member_id)
      ) WITHOUT ROWID`)
    try {
      const gather = client.prepare<MemberOwner>(`
        INSERT OR REPLACE INTO ${gathered}
        VALUES (@merchant, @memberId, @guideId, @sinceMs, @expiresAtMs)`)
      const gatherSlice = client.transaction((slice: readonly MemberOwner[]) => {
        for (const row of slice) gather.run(row)
      })
      for (let at = 0; at < rows.length; at += rowsASlice) {
        gatherSlice(rows.slice(at, at + rowsASlice))
        await nextTick()
      }
      client.exec(`
        INSERT INTO owners (merchant, member_id, guide_id, since_ms, expires_at_ms)
        SELECT merchant, member_id, guide_id, since_ms, expires_at_ms FROM ${gathered} WHERE true
        ON CONFLICT (merchant, member_id) DO UPDATE SET
          guide_id = excluded.guide_id,
          since_ms = excluded.since_ms,
          expires_at_ms = excluded.expires_at_ms`)
    } finally {
      client.exec(`DROP TABLE ${gathered}`)
    }
  }
}
