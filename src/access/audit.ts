import { and, desc, eq, gte, lt, type SQL } from 'drizzle-orm'
import { createBreather } from '../clock.ts'
import { type AuditRow, actingAs, chainHash } from '../db/change-log.ts'
import type { Db } from '../db/open.ts'
import { audit, auditHead } from '../db/schema.ts'

export type { Actor, AuditRow } from '../db/change-log.ts'
export const changeKinds = audit.kind.enumValues

/** Which records; what is absent is not asked for. */
export type AuditQuery = {
  kind?: AuditRow['kind'] | undefined
  subject?: string | undefined
  storeId?: number | undefined
  keyId?: string | undefined
  fromMs?: number | undefined
  toMs?: number | undefined
  /** Older than this one. */
  beforeSeq?: number | undefined
  limit: number
}

/** How many records there were at one time, and the hash of the last. */
export type Anchor = { count: number; hash: string }

/** `firstBad` is the number of the first record that is not what was written; null when all are. */
export type Verified = { checked: number; firstBad: number | null; head: Anchor | null }

export type Audit = ReturnType<typeof openAudit>

const rowsASlice = 200
/** What a rowid may be: a record before the first is found too. */
const lowest = -(2n ** 63n)

/** Who changed what: to be read, and to be checked. It is written with each change, by the change log. */
export function openAudit(db: Db) {
  const slice = db.$client.prepare<[from: number | bigint], AuditRow>(`
    SELECT seq, at_ms AS atMs, key_id AS keyId, key_name AS keyName, request_id AS requestId,
      kind, subject, store_id AS storeId, before, after, hash
    FROM audit WHERE seq >= ? ORDER BY seq LIMIT ${rowsASlice}`)
  const readHead = db.select({ count: auditHead.count, hash: auditHead.hash }).from(auditHead)
  // At one instant: a record may be written in between.
  const look = db.$client.transaction((from: number | bigint) => ({
    rows: slice.all(from),
    head: readHead.get() ?? null,
  }))

  return {
    actingAs,
    pseudonym: db.changes.pseudonym,

    /** Newest first. */
    list({ kind, subject, storeId, keyId, fromMs, toMs, beforeSeq, limit }: AuditQuery) {
      const only = <T>(value: T | undefined, wanted: (value: T) => SQL) =>
        value === undefined ? [] : [wanted(value)]
      return db
        .select()
        .from(audit)
        .where(
          and(
            ...only(kind, value => eq(audit.kind, value)),
            ...only(subject, value => eq(audit.subject, value)),
            ...only(storeId, value => eq(audit.storeId, value)),
            ...only(keyId, value => eq(audit.keyId, value)),
            ...only(fromMs, value => gte(audit.atMs, value)),
            ...only(toMs, value => lt(audit.atMs, value)),
            ...only(beforeSeq, value => lt(audit.seq, value)),
          ),
        )
        .orderBy(desc(audit.seq))
        .limit(limit)
        .all()
    },

    /**
     * Goes through the whole chain, a part at a time, to the record that is the last one then. Whoever could write all
     * of the file could write another chain: `known` is what an earlier answer told, and was kept elsewhere.
     */
    async verify(known: Anchor | null = null): Promise<Verified> {
      const breathe = createBreather()
      let last: Anchor = { count: 0, hash: '' }
      for (;;) {
        const { rows, head } = look(last.count === 0 ? lowest : last.count + 1)
        for (const row of rows) {
          const next = { count: last.count + 1, hash: chainHash(last.hash, row) }
          const isKnown = known?.count !== next.count || known.hash === next.hash
          const isRight = row.seq === next.count && row.hash === next.hash && isKnown
          if (!isRight) return { checked: last.count, firstBad: next.count, head }
          last = next
        }
        if (rows.length < rowsASlice) {
          const isCut = known !== null && known.count > last.count
          const firstBad = isCut ? last.count + 1 : badEnd(last, head)
          return { checked: firstBad === null ? last.count : firstBad - 1, firstBad, head }
        }
        await breathe()
      }
    },
  }
}

/** The first record too few or too many, or the last one when it is another. */
function badEnd(last: Anchor, head: Anchor | null): number | null {
  if (head === null) return last.count + 1
  if (head.count !== last.count) return Math.min(head.count, last.count) + 1
  return head.hash === last.hash ? null : last.count
}
