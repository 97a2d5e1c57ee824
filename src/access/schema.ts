import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** API keys. `digest` is the SHA-256 of the secret, in hex; the secret itself is kept of keys that sign, and sealed. */
export const keys = sqliteTable('keys', {
  id: text().primaryKey(),
  digest: text().notNull(),
  scope: text({ enum: ['assign', 'manage', 'admin'] }).notNull(),
  /** A JSON list of store_ids, or null for every store. */
  stores: text(),
  name: text(),
  createdAtMs: integer('created_at_ms').notNull(),
  expiresAtMs: integer('expires_at_ms'),
  /** The text of a key that signs, sealed by the vault; null for one that is sent as it is. */
  sealed: text(),
  /** Behind what the service knows, by a minute at most. */
  lastUsedAtMs: integer('last_used_at_ms'),
})
