import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** API keys. The secret itself is kept nowhere: `digest` is its SHA-256, in hex. */
export const keys = sqliteTable('keys', {
  id: text().primaryKey(),
  digest: text().notNull(),
  scope: text({ enum: ['assign', 'manage', 'admin'] }).notNull(),
  /** A JSON list of store_ids, or null for every store. */
  stores: text(),
  name: text(),
  createdAtMs: integer('created_at_ms').notNull(),
  expiresAtMs: integer('expires_at_ms'),
})
