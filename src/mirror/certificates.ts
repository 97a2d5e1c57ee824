import { desc } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { certificates } from './schema.ts'

/** A platform certificate of WeChat Pay that was in force when it was last asked for. */
export type KeptCertificate = typeof certificates.$inferSelect

/** The platform certificates, kept for a restart while WeChat Pay cannot be asked. */
export function openCertificates(db: Db) {
  return {
    /** Newest first. */
    kept(): KeptCertificate[] {
      return db.select().from(certificates).orderBy(desc(certificates.effectiveAtMs)).all()
    },

    /** Those and no others. */
    keep(list: readonly KeptCertificate[]): void {
      const rows = list.map(({ serial, pem, effectiveAtMs, expiresAtMs }) => ({
        serial,
        pem,
        effectiveAtMs,
        expiresAtMs,
      }))
      db.transaction(
        tx => {
          tx.delete(certificates).run()
          if (rows.length > 0) tx.insert(certificates).values(rows).run()
        },
        { behavior: 'immediate' },
      )
    },
  }
}
