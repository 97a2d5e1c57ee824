import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { asc, eq, isNotNull, sql } from 'drizzle-orm'
import type { Standing } from '../db/change-log.ts'
import type { Db } from '../db/open.ts'
import { digestOf, isSame } from './compare.ts'
import { createKnownIds } from './known-ids.ts'
import { keys } from './schema.ts'
import { createThrottle, type Peer } from './throttle.ts'

export const scopes = ['assign', 'manage', 'admin'] as const
export type Scope = (typeof scopes)[number]

/** A key as its bearer's rights: `stores` null means every store. */
export type Key = {
  id: string
  scope: Scope
  stores: readonly number[] | null
  name: string | null
  createdAtMs: number
  expiresAtMs: number | null
  /** It is never sent: its requests are signed with it. */
  signed: boolean
}

export type NewKey = Pick<Key, 'scope' | 'stores' | 'name' | 'expiresAtMs'> & { signed?: boolean }

/** What keeps the texts of keys that sign from whoever has the database alone. */
export type Sealing = {
  readonly keyId: string
  seal(text: string, place: string): string
  open(sealed: string, place: string): string | null
}

export type Keys = ReturnType<typeof openKeys>

/** Keys of these names are the service's own, made anew at its start. */
export const reservedNames = ['ADMIN_KEY_FILE', 'demo']

/** Why there is to be no such key; null when it may be made. */
export function refuseKey(
  { scope, stores, name, expiresAtMs }: NewKey,
  nowMs: number,
): { field: 'stores' | 'name' | 'expires_at'; en: string; zh: string } | null {
  if (scope === 'admin' && stores !== null) {
    return { field: 'stores', en: 'is not for an admin key', zh: '不适用于 admin 密钥' }
  }
  if (name !== null && reservedNames.includes(name)) {
    return { field: 'name', en: 'is reserved', zh: '是保留名称' }
  }
  if (expiresAtMs !== null && expiresAtMs <= nowMs) {
    return { field: 'expires_at', en: 'is over already', zh: '已经过去' }
  }
  return null
}

const keyPattern = /^spa_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{8})$/
const dummyDigest = Buffer.alloc(32)
/** Another process may take a key away: it is good here for so long at most. */
const warmMs = 500
const maxWarm = 1000

type Warm = { key: Key; digest: Buffer; text: string | null; untilMs: number }

const placeOf = (id: string): string => `key ${id}`

/** The texts of keys that sign, as they lie in the database. */
export function sealedKeys(db: Db): { keyId: string; sealed: string; place: string }[] {
  return db
    .select({ id: keys.id, sealed: keys.sealed })
    .from(keys)
    .where(isNotNull(keys.sealed))
    .all()
    .map(({ id, sealed }) => ({ ...sealingOf(sealed ?? ''), place: placeOf(id) }))
}

/** The sealing's key id stands before what it sealed. */
function sealingOf(sealed: string): { keyId: string; sealed: string } {
  return { keyId: sealed.slice(0, Math.max(0, sealed.indexOf('.'))), sealed }
}

/**
 * API keys, `spa_<id>_<secret>_<check>`: 256 random bits, kept as their SHA-256, told once. Without a `sealing` there is
 * none that signs.
 */
export function openKeys(db: Db, sealing: Sealing | null = null) {
  const byId = db
    .select()
    .from(keys)
    .where(eq(keys.id, sql.placeholder('id')))
    .prepare()
  const warm = new Map<string, Warm>()
  const knownIds = createKnownIds(db)
  const throttle = createThrottle()
  /** Since they were last written. */
  const usedAtMs = new Map<string, number>()

  /** Where too many wrong keys come from, the database is asked only for those that there are. */
  function find(id: string, nowMs: number, peer: Peer): Warm | undefined {
    const known = warm.get(id)
    if (known && nowMs < known.untilMs && nowMs >= known.untilMs - warmMs) return known
    if (throttle.isOver(peer, id, nowMs) && !knownIds.has(id)) return undefined
    const row = byId.get({ id })
    if (!row) return undefined
    if (warm.size >= maxWarm) warm.clear()
    const digest = Buffer.from(row.digest, 'hex')
    const text = row.sealed === null ? null : (sealing?.open(row.sealed, placeOf(id)) ?? null)
    const found = { key: asKey(row), digest, text, untilMs: nowMs + warmMs }
    warm.set(id, found)
    return found
  }

  /** The key whose text was sent, whether it may be sent or not. */
  function findSent(authorization: string | undefined, nowMs: number, peer: Peer): Key | null {
    const parts = parseBearer(authorization)
    if (!parts) return null
    const found = find(parts.id, nowMs, peer)
    const isRight = isSame(digestOf(parts.secret), found?.digest ?? dummyDigest)
    if (!found || !isRight) return null
    return isOver(found.key, nowMs) ? null : found.key
  }

  function store(text: string, { signed = false, ...key }: NewKey, nowMs: number): Key {
    const parts = parseKey(text)
    if (!parts) throw new Error('not a key')
    const row = { ...key, signed, id: parts.id, createdAtMs: nowMs }
    const sealed = signed ? seal(text, parts.id) : null
    record(parts.id, () => {
      // It may have been made by hand, as any other key, before it became this one.
      db.delete(keys).where(eq(keys.id, parts.id)).run()
      db.insert(keys)
        .values({
          ...row,
          digest: digestOf(parts.secret).toString('hex'),
          stores: key.stores ? JSON.stringify(key.stores) : null,
          sealed,
        })
        .run()
    })
    knownIds.changed()
    return row
  }

  function seal(text: string, id: string): string {
    if (!sealing) throw new Error('a key that signs needs a sealing')
    return sealing.seal(text, placeOf(id))
  }

  function record<T>(id: string, work: () => T): T {
    return db.changes.record(
      { kind: 'key', subject: id, storeId: null },
      () => standingOf(byId.get({ id })),
      work,
    )
  }

  /** False when there is no such key. */
  function remove(id: string): boolean {
    const { changes } = record(id, () => db.delete(keys).where(eq(keys.id, id)).run())
    warm.delete(id)
    usedAtMs.delete(id)
    knownIds.changed()
    return changes === 1
  }

  function removeNamed(name: string, but = ''): void {
    const named = db.select({ id: keys.id }).from(keys).where(eq(keys.name, name)).all()
    for (const { id } of named) if (id !== but) remove(id)
  }

  return {
    /** The new key's text is in the answer and nowhere else. */
    create(key: NewKey, nowMs: number): Key & { key: string } {
      const text = newKeyText()
      return { ...store(text, key, nowMs), key: text }
    },

    /** Makes the text the one key of that name. */
    install(text: string, key: NewKey & { name: string }, nowMs: number): void {
      db.transaction(
        () => {
          removeNamed(key.name, parseKey(text)?.id)
          store(text, key, nowMs)
        },
        { behavior: 'immediate' },
      )
      warm.clear()
    },

    /** Oldest first; `lastUsedMs` null: never. */
    list: (): (Key & { lastUsedMs: number | null })[] =>
      db
        .select()
        .from(keys)
        .orderBy(asc(keys.createdAtMs))
        .all()
        .map(row => ({ ...asKey(row), lastUsedMs: usedAtMs.get(row.id) ?? row.lastUsedAtMs })),

    remove,

    removeNamed: (name: string): void =>
      db.transaction(() => removeNamed(name), { behavior: 'immediate' }),

    /** The key behind an Authorization header, or null: malformed, unknown, wrong and expired are not told apart. */
    authenticate(authorization: string | undefined, nowMs: number, peer: Peer = {}): Key | null {
      const key = findSent(authorization, nowMs, peer)
      if (key === null || key.signed) return null
      usedAtMs.set(key.id, nowMs)
      return key
    },

    /** Whether it is right but for being sent, which a key that signs never is. */
    shouldSign: (authorization: string, nowMs: number, peer: Peer): boolean =>
      findSent(authorization, nowMs, peer)?.signed === true,

    /** A key that signs, with its text; null alike for all others. */
    signer(id: string, nowMs: number, peer: Peer): { key: Key; text: string } | null {
      const found = find(id, nowMs, peer)
      if (!found || found.text === null || isOver(found.key, nowMs)) return null
      return { key: found.key, text: found.text }
    },

    /** To be told of a signature that was right. */
    used(key: Key, nowMs: number): void {
      usedAtMs.set(key.id, nowMs)
    },

    /** Counts a wrong key: seconds until another one is heard from there; 0 while they still are. */
    countWrong: (keyId: string | null, nowMs: number, peer: Peer): number =>
      throttle.count(peer, keyId, nowMs),

    /** How many addresses and ids of wrong keys are remembered. */
    remembered: () => throttle.size(),

    /** Writes when keys were last used: seldom, for it is a write to the disk, and none of the audit's business. */
    keepUsed(): void {
      if (usedAtMs.size === 0) return
      db.transaction(
        () => {
          for (const [id, atMs] of usedAtMs) {
            db.update(keys).set({ lastUsedAtMs: atMs }).where(eq(keys.id, id)).run()
          }
        },
        { behavior: 'immediate' },
      )
      usedAtMs.clear()
    },

    /** Seals anew what an older key of the vault sealed; a damaged one stays as it is, and signs nothing. */
    reseal(): void {
      for (const { keyId, sealed, place } of sealedKeys(db)) {
        const text = keyId === sealing?.keyId ? null : (sealing?.open(sealed, place) ?? null)
        if (!sealing || text === null) continue
        const anew = sealing.seal(text, place)
        db.update(keys).set({ sealed: anew }).where(eq(keys.sealed, sealed)).run()
      }
    },
  }
}

function isOver({ expiresAtMs }: Key, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs
}

export function parseBearer(authorization = ''): { id: string; secret: string } | null {
  return /^bearer /i.test(authorization) ? parseKey(authorization.slice(7)) : null
}

export function newKeyText(): string {
  const body = `spa_${randomBytes(8).toString('hex')}_${randomBytes(32).toString('hex')}`
  return `${body}_${checkOf(body)}`
}

/** Null unless the text is a whole key: a mistyped one is known by its check without asking the database. */
export function parseKey(text: string): { id: string; secret: string } | null {
  const [, id, secret, check] = keyPattern.exec(text) ?? []
  if (id === undefined || secret === undefined) return null
  return checkOf(`spa_${id}_${secret}`) === check ? { id, secret } : null
}

function checkOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}

function standingOf(row: typeof keys.$inferSelect | undefined): Standing {
  if (!row) return null
  const { scope, name, digest, sealed } = row
  const expiresAt = row.expiresAtMs === null ? null : new Date(row.expiresAtMs).toISOString()
  const stores = row.stores === null ? null : JSON.parse(row.stores)
  const signed = sealed === null ? {} : { signed: true }
  return {
    told: { scope, stores, name, expires_at: expiresAt, ...signed },
    hidden: { secret: digest },
  }
}

function asKey(row: typeof keys.$inferSelect): Key {
  const { id, scope, stores, name, createdAtMs, expiresAtMs, sealed } = row
  return {
    id,
    scope,
    stores: stores === null ? null : JSON.parse(stores),
    name,
    createdAtMs,
    expiresAtMs,
    signed: sealed !== null,
  }
}
