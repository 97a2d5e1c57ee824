import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { asc, eq, sql } from 'drizzle-orm'
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

const keyPattern = /^spa_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{8})$/
const dummyDigest = '0'.repeat(64)

/** API keys, `spa_<id>_<secret>_<check>`: 256 random bits, kept as their SHA-256, told once. */
export function openKeys(db: Db) {
  const byId = db
    .select()
    .from(keys)
    .where(eq(keys.id, sql.placeholder('id')))
    .prepare()

  function store(text: string, key: NewKey, nowMs: number): Key {
    const parts = parseKey(text)
    if (!parts) throw new Error('not a key')
    const row = { ...key, id: parts.id, createdAtMs: nowMs }
    db.insert(keys)
      .values({
        ...row,
        digest: digestOf(parts.secret),
        stores: key.stores ? JSON.stringify(key.stores) : null,
      })
      .run()
    return row
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
          db.delete(keys).where(eq(keys.name, key.name)).run()
          // It may have been made by hand, as any other key, before it became this one.
          db.delete(keys)
            .where(eq(keys.id, parseKey(text)?.id ?? ''))
            .run()
          store(text, key, nowMs)
        },
        { behavior: 'immediate' },
      )
    },

    list: (): Key[] => db.select().from(keys).orderBy(asc(keys.createdAtMs)).all().map(asKey),

    /** False when there is no such key. */
    remove: (id: string): boolean => db.delete(keys).where(eq(keys.id, id)).run().changes === 1,

    removeNamed(name: string): void {
      db.delete(keys).where(eq(keys.name, name)).run()
    },

    /** The key behind an Authorization header, or null: malformed, unknown, wrong and expired are not told apart. */
    authenticate(authorization: string | undefined, nowMs: number): Key | null {
      const parts = /^bearer /i.test(authorization ?? '')
        ? parseKey(authorization?.slice(7) ?? '')
        : null
      if (!parts) return null
      const row = byId.get({ id: parts.id })
      const isRight = equalDigests(digestOf(parts.secret), row?.digest ?? dummyDigest)
      if (!row || !isRight) return null
      return row.expiresAtMs !== null && row.expiresAtMs <= nowMs ? null : asKey(row)
    },
  }
}

/** Whether a key may act in a store; a null store means: on no store in particular. */
export function mayEnter(key: Key, storeId: number | null): boolean {
  if (key.stores === null || key.scope === 'admin') return true
  return storeId !== null && key.stores.includes(storeId)
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

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function equalDigests(one: string, other: string): boolean {
  return timingSafeEqual(Buffer.from(one, 'hex'), Buffer.from(other, 'hex'))
}

function asKey({ digest: _, stores, ...row }: typeof keys.$inferSelect): Key {
  return { ...row, stores: stores === null ? null : JSON.parse(stores) }
}
