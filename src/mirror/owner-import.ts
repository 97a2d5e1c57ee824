import { createHash } from 'node:crypto'
import { setImmediate as nextTick } from 'node:timers/promises'
import type { Standing } from '../db/change-log.ts'
import type { Db } from '../db/open.ts'
import type { MemberOwner } from './mirror.ts'

const rowsASlice = 500

/**
 * Sets all of the owners or none. They are gathered in the order of the table over several turns of the event loop,
 * where nothing outlives the process; what counts is one statement, which holds the loop for a seventh of the time.
 *
 * It is one change, recorded as how many owners the members had and have, and the SHA-256 of the rows.
 */
export function createOwnerImport({ $client: client, changes }: Db) {
  let begun = 0
  const find = client.prepare<[merchant: string, memberId: string], MemberOwner>(`
    SELECT merchant, member_id AS memberId, guide_id AS guideId, since_ms AS sinceMs, expires_at_ms AS expiresAtMs
    FROM owners WHERE merchant = ? AND member_id = ?`)

  return async (rows: readonly MemberOwner[]): Promise<void> => {
    const [first] = rows
    if (!first) return
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
      const [had, have] = [createDigest(), createDigest()]
      const gatherSlice = client.transaction((slice: readonly MemberOwner[]) => {
        for (const row of slice) {
          const before = find.get(row.merchant, row.memberId)
          if (before) had.add(before)
          have.add(row)
          gather.run(row)
        }
      })
      for (let at = 0; at < rows.length; at += rowsASlice) {
        gatherSlice(rows.slice(at, at + rowsASlice))
        await nextTick()
      }
      let standing = had.standing()
      const set = client.prepare(`
        INSERT INTO owners (merchant, member_id, guide_id, since_ms, expires_at_ms)
        SELECT merchant, member_id, guide_id, since_ms, expires_at_ms FROM ${gathered} WHERE true
        ON CONFLICT (merchant, member_id) DO UPDATE SET
          guide_id = excluded.guide_id,
          since_ms = excluded.since_ms,
          expires_at_ms = excluded.expires_at_ms`)
      changes.record(
        { kind: 'owners', subject: first.merchant, storeId: null },
        () => standing,
        () => {
          set.run()
          standing = have.standing()
        },
      )
    } finally {
      client.exec(`DROP TABLE ${gathered}`)
    }
  }
}

function createDigest() {
  const digest = createHash('sha256')
  let owners = 0
  return {
    add({ merchant, memberId, guideId, sinceMs, expiresAtMs }: MemberOwner): void {
      owners += 1
      digest.update(`${JSON.stringify([merchant, memberId, guideId, sinceMs, expiresAtMs])}\n`)
    },
    standing: (): Standing => ({ told: { owners, sha256: digest.digest('hex') } }),
  }
}
