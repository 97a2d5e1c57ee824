import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** A merchant that collects the money: ourselves in direct mode, a sub-merchant in partner mode. */
export const merchants = sqliteTable('merchants', {
  merchant: text().primaryKey(),
  edition: text({ enum: ['standard', 'commercial'] }).notNull(),
  platformAutoAssign: integer('platform_auto_assign', { mode: 'boolean' }).notNull(),
  assignWindowSeconds: integer('assign_window_seconds'),
})

export const stores = sqliteTable(
  'stores',
  {
    storeId: integer('store_id').primaryKey(),
    merchant: text().notNull(),
    name: text().notNull(),
    timezone: text().notNull(),
  },
  table => [index('stores_merchant').on(table.merchant)],
)

export const guides = sqliteTable(
  'guides',
  {
    guideId: text('guide_id').primaryKey(),
    storeId: integer('store_id')
      .notNull()
      .references(() => stores.storeId),
    state: text({ enum: ['registered', 'quarantined', 'gone'] }).notNull(),
    /** Of WeCom: the employee's id there. */
    userid: text(),
    /** Of personal WeChat. */
    workId: text('work_id'),
    /** Name, mobile and the links of the card, sealed by the vault; null when nothing is known. */
    profile: text(),
    /** The mobile as the vault's blind index has it, for looking up. */
    mobileIndex: text('mobile_index'),
    /** In how many syncs in a row the guide was missing. */
    missedSyncs: integer('missed_syncs').notNull().default(0),
    seenAtMs: integer('seen_at_ms'),
    /** The person asked to be forgotten: no sync brings name and mobile back. */
    erasedAtMs: integer('erased_at_ms'),
  },
  table => [
    index('guides_store').on(table.storeId, table.userid),
    index('guides_mobile').on(table.mobileIndex).where(sql`mobile_index IS NOT NULL`),
  ],
)

/** A file of guides to be registered. */
export const guideImports = sqliteTable('guide_imports', {
  id: text().primaryKey(),
  author: text().notNull(),
  createdAtMs: integer('created_at_ms').notNull(),
  endedAtMs: integer('ended_at_ms'),
})

/** A row of such a file, `row` as in the file; what it holds is sealed, and gone once the row has its result. */
export const guideImportRows = sqliteTable(
  'guide_import_rows',
  {
    importId: text('import_id')
      .notNull()
      .references(() => guideImports.id),
    row: integer().notNull(),
    sealed: text(),
    status: text({ enum: ['waiting', 'registered', 'known', 'refused'] }).notNull(),
    guideId: text('guide_id'),
    /** `[{column, message}]`. */
    errors: text(),
  },
  table => [
    primaryKey({ columns: [table.importId, table.row] }),
    index('guide_import_rows_waiting').on(table.importId, table.row).where(sql`status = 'waiting'`),
  ],
)

/** What each sync found; the newest are kept. */
export const syncs = sqliteTable('syncs', {
  id: integer().primaryKey(),
  endedAtMs: integer('ended_at_ms').notNull(),
  report: text().notNull(),
})

/** Whose customer a member is. */
export const owners = sqliteTable(
  'owners',
  {
    merchant: text().notNull(),
    memberId: text('member_id').notNull(),
    guideId: text('guide_id').notNull(),
    sinceMs: integer('since_ms').notNull().default(0),
    expiresAtMs: integer('expires_at_ms'),
  },
  table => [primaryKey({ columns: [table.merchant, table.memberId] })],
)

/** Each version of a store's staff, roster and plan. Version 0, the defaults, has no row. */
export const documents = sqliteTable(
  'documents',
  {
    storeId: integer('store_id')
      .notNull()
      .references(() => stores.storeId),
    kind: text({ enum: ['staff', 'roster', 'plan'] }).notNull(),
    version: integer().notNull(),
    body: text().notNull(),
    author: text().notNull(),
    writtenAtMs: integer('written_at_ms').notNull(),
    /** From then on it is in force, until a version that takes effect later. */
    effectiveAtMs: integer('effective_at_ms').notNull().default(0),
  },
  table => [primaryKey({ columns: [table.storeId, table.kind, table.version] })],
)

/** A guide takes a break; it ends by itself. */
export const pauses = sqliteTable(
  'pauses',
  {
    storeId: integer('store_id')
      .notNull()
      .references(() => stores.storeId),
    guideId: text('guide_id').notNull(),
    untilMs: integer('until_ms').notNull(),
    why: text().notNull(),
    author: text().notNull(),
  },
  table => [primaryKey({ columns: [table.storeId, table.guideId] })],
)

/** One row: whose books these are. A file made for another merchant must not be opened. */
export const installation = sqliteTable('installation', {
  id: integer().primaryKey().default(sql`1`),
  mode: text({ enum: ['direct', 'partner'] }).notNull(),
  mchid: text().notNull(),
})

/** The platform certificates that WeChat Pay signs with, as they were last downloaded. */
export const certificates = sqliteTable('certificates', {
  serial: text().primaryKey(),
  pem: text().notNull(),
  effectiveAtMs: integer('effective_at_ms').notNull(),
  expiresAtMs: integer('expires_at_ms').notNull(),
})
