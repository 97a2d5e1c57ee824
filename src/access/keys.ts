import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { asc, eq, sql } from 'drizzle-orm'
import type { Standing } from '../db/change-log.ts'
import type { Db } from '../db/open.ts'
import { keys } from './schema.ts'

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
}

export type NewKey = Pick<Key, 'scope' | 'stores' | 'name' | 'expiresAtMs'>

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

type Warm = { key: Key; digest: Buffer; untilMs: number }

/** API keys, `spa_<id>_<secret>_<check>`: 256 random bits, kept as their SHA-256, told once. */
export function openKeys(db: Db) {
  const byId = db
    .select()
    .from(keys)
    .where(eq(keys.id, sql.placeholder('id')))
    .prepare()
  const warm = new Map<string, Warm>()
  const usedAtMs = new Map<string, number>()

  function find(id: string, nowMs: number): Warm | undefined {
    const known = warm.get(id)
    if (known && nowMs < known.untilMs && nowMs >= known.untilMs - warmMs) return known
    const row = byId.get({ id })
    if (!row) return undefined
    if (warm.size >= maxWarm) warm.clear()
    const digest = Buffer.from(row.digest, 'hex')
    const found = { key: asKey(row), digest, untilMs: nowMs + warmMs }
    warm.set(id, found)
    return found
  }

  function store(text: string, key: NewKey, nowMs: number): Key {
    const parts = parseKey(text)
    if (!parts) throw new Error('not a key')
    const row = { ...key, id: parts.id, createdAtMs: nowMs }
    record(parts.id, () => {
      // It may have been made by hand, as any other key, before it became this one.
      db.delete(keys).where(eq(keys.id, parts.id)).run()
      db.insert(keys)
        .values({
          ...row,
          digest: digestOf(parts.secret).toString('hex'),
          stores: key.stores ? JSON.stringify(key.stores) : null,
        })
        .run()
    })
    return row
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

    list: (): Key[] => db.select().from(keys).orderBy(asc(keys.createdAtMs)).all().map(asKey),

    /** When a key was last let in by this process; null when it was not. */
    lastUsedMs: (id: string): number | null => usedAtMs.get(id) ?? null,

    remove,

    removeNamed: (name: string): void =>
      db.transaction(() => removeNamed(name), { behavior: 'immediate' }),

    /** The key behind an Authorization header, or null: malformed, unknown, wrong and expired are not told apart. */
    authenticate(authorization: string | undefined, nowMs: number): Key | null {
      const parts = /^bearer /i.test(authorization ?? '')
        ? parseKey(authorization?.slice(7) ?? '')
        : null
      if (!parts) return null
      const found = find(parts.id, nowMs)
      const isRight = timingSafeEqual(digestOf(parts.secret), found?.digest ?? dummyDigest)
      if (!found || !isRight) return null
      const { key } = found
      if (key.expiresAtMs !== null && key.expiresAtMs <= nowMs) return null
      usedAtMs.set(key.id, nowMs)
      return key
    },
  }
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

function digestOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

function standingOf(row: typeof keys.$inferSelect | undefined): Standing {
  if (!row) return null
  const { scope, name, digest } = row
  const expiresAt = row.expiresAtMs === null ? null : new Date(row.expiresAtMs).toISOString()
  const stores = row.stores === null ? null : JSON.parse(row.stores)
  return { told: { scope, stores, name, expires_at: expiresAt }, hidden: { secret: digest } }
}

function asKey({ digest: _, stores, ...row }: typeof keys.$inferSelect): Key {
  return { ...row, stores: stores === null ? null : JSON.parse(stores) }
}
