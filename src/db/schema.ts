import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/**
 * Who changed what, one row a change, for ever: triggers refuse to alter or to remove one. `hash` is over the hash of the
 * row before and all that stands in this one.
 */
export const audit = sqliteTable(
  'audit',
  {
    seq: integer().primaryKey(),
    atMs: integer('at_ms').notNull(),
    /** Null: the service itself. */
    keyId: text('key_id'),
    keyName: text('key_name'),
    requestId: text('request_id'),
    kind: text({
      enum: [
        'staff',
        'roster',
        'plan',
        'store',
        'guide',
        'pause',
        'owner',
        'owners',
        'settings',
        'key',
      ],
    }).notNull(),
    subject: text().notNull(),
    storeId: integer('store_id'),
    /** JSON, or null where there was nothing. */
    before: text(),
    after: text(),
    hash: text().notNull(),
  },
  table => [
    index('audit_store').on(table.storeId, table.seq),
    index('audit_subject').on(table.kind, table.subject, table.seq),
  ],
)

/** One row: how many records there are, and the hash of the last. */
export const auditHead = sqliteTable('audit_head', {
  id: integer().primaryKey(),
  count: integer().notNull(),
  hash: text().notNull(),
  /** Members stand in the records as what this makes of their ids. */
  salt: text().notNull(),
})
