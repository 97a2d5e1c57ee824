import assert from 'node:assert'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createHmac, hash } from 'node:crypto'
import type Database from 'better-sqlite3'
import type { audit } from './schema.ts'

export type AuditRow = typeof audit.$inferSelect
export type ChangeKind = AuditRow['kind']

/** What is changed, and in which store; null: in none in particular. */
export type Changed = { kind: ChangeKind; subject: string; storeId: number | null }

/**
 * How it stands. What is `told` is kept for ever and so holds nothing of a person; of what is `hidden` the record says
 * only that it is known, and that it changed.
 */
export type Standing = {
  told: Record<string, unknown>
  hidden?: Record<string, string | null | undefined>
} | null

/** Whose request it is; the service itself has none. */
export type Actor = Pick<AuditRow, 'keyId' | 'keyName' | 'requestId'>

export type ChangeLog = ReturnType<typeof openChangeLog>
type Head = { count: number; hash: string }

const theService: Actor = { keyId: null, keyName: null, requestId: null }
const asking = new AsyncLocalStorage<() => Actor>()

/** All that the work changes, and what it begins in the background, is put down to the actor. */
export function actingAs<T>(actor: () => Actor, work: () => T): T {
  return asking.run(actor, work)
}

/** Each change with its record, chained to the one before: both are written, or neither. */
export function openChangeLog(client: Database.Database) {
  const head = client.prepare<[], Head>('SELECT count, hash FROM audit_head')
  const salt = client.prepare<[], string>('SELECT salt FROM audit_head').pluck()
  const moveHead = client.prepare<Head>('UPDATE audit_head SET count = @count, hash = @hash')
  const insert = client.prepare<AuditRow>(`
    INSERT INTO audit
    VALUES (@seq, @atMs, @keyId, @keyName, @requestId, @kind, @subject, @storeId, @before, @after, @hash)`)
  let saltKnown: string | null = null

  function append(row: Omit<AuditRow, 'seq' | 'hash'>): void {
    const last = head.get()
    assert(last, 'the audit has its head')
    const next = { ...row, seq: last.count + 1 }
    const chained = chainHash(last.hash, next)
    insert.run({ ...next, hash: chained })
    moveHead.run({ count: next.seq, hash: chained })
  }

  const inOne = client.transaction(
    (changed: Changed, look: () => Standing, work: () => unknown): unknown => {
      const before = look()
      const result = work()
      const [was, is] = tell(before, look())
      if (was !== is) {
        const actor = asking.getStore()?.() ?? theService
        append({ atMs: Date.now(), ...actor, ...changed, before: was, after: is })
      }
      return result
    },
  )

  return {
    /** Does the work, which must not be async, and records how things stood before and after; nothing where nothing changed. */
    record<T>(changed: Changed, look: () => Standing, work: () => T): T {
      return inOne.immediate(changed, look, work) as T
    },

    /** What stands in the records for a member: ids may be numbers of cards or telephones. */
    pseudonym(merchant: string, memberId: string): string {
      saltKnown ??= salt.get() ?? ''
      return createHmac('sha256', saltKnown)
        .update(`${merchant}/${memberId}`)
        .digest('hex')
        .slice(0, 32)
    },
  }
}

/** The hash of a record that comes after the one whose hash is `last`; before the first, ''. */
export function chainHash(last: string, row: Omit<AuditRow, 'hash'>): string {
  const { seq, atMs, keyId, keyName, requestId, kind, subject, storeId, before, after } = row
  const facts = [
    seq,
    atMs,
    keyId,
    keyName,
    requestId,
    kind,
    subject,
    storeId,
    before,
    after,
  ] satisfies AuditRow[keyof AuditRow][]
  return hash('sha256', `${last}\n${JSON.stringify(facts)}`, 'hex')
}

function tell(before: Standing, after: Standing): [before: string | null, after: string | null] {
  const was = before?.hidden ?? {}
  const is = after?.hidden ?? {}
  const changed =
    before && after ? Object.keys(is).filter(name => isOther(was[name], is[name])) : []
  return [
    before && JSON.stringify({ ...before.told, ...known(was) }),
    after &&
      JSON.stringify({
        ...after.told,
        ...known(is),
        ...(changed.length > 0 ? { changed: changed.sort() } : {}),
      }),
  ]
}

function isOther(a: string | null | undefined, b: string | null | undefined): boolean {
  return (a ?? null) !== (b ?? null)
}

function known(hidden: Record<string, string | null | undefined>): { known?: string[] } {
  const names = Object.keys(hidden).filter(name => hidden[name] != null)
  return names.length > 0 ? { known: names.sort() } : {}
}
