import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'

/** The key id of a column of sealed texts. It is compared with `=`: LIKE knows no case, and takes `_` for anything. */
export function sealedBy(column: SQLWrapper): SQL<string> {
  return sql<string>`substr(${column}, 1, instr(${column}, '.') - 1)`
}
