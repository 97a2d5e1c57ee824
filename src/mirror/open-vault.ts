import { existsSync } from 'node:fs'
import { isNotNull, sql } from 'drizzle-orm'
import type { Db } from '../db/open.ts'
import { StartError } from '../errors.ts'
import { placeOfRow } from './guide-imports.ts'
import { guideImportRows, guides } from './schema.ts'
import { sealedBy } from './sealed-by.ts'
import { createVault, type Vault } from './vault.ts'
import { readVaultKeys, vaultKeyFile } from './vault-key-file.ts'

/** Something that was sealed, with the id of the key that sealed it. */
export type Sample = { keyId: string; sealed: string; place: string }

/** So many rows that cannot be opened are a wrong key; fewer may be damaged rows. */
const samplesOfKey = 5

/**
 * The vault of a data directory, once it is sure to open what is sealed there, by the mirror or by `others`; a key file
 * is made only where nothing is.
 *
 * @throws StartError when the file does not hold every key that something is sealed with
 */
export function openVault(db: Db, path: string, others: readonly Sample[] = []): Vault {
  const samples = samplesOf(db, others)
  const vault = createVault(readVaultKeys(path, { mayMake: samples.length === 0 }))
  const lacking = lackingKey(vault, samples)
  if (lacking === null) return vault
  throw new StartError(
    `${vaultKeyFile} ${path} does not hold the key ${lacking} that names, mobiles or signing keys in this data directory were sealed with: bring that line back.`,
  )
}

/**
 * The same for a command beside the service, whose settings a shell may not have: the file is the service's to make, and
 * here it is made with a new database alone (`mayMake`). `hasOlder`: something is still sealed with an older line of it.
 *
 * @throws StartError when the file is missing, or is not the one that the service seals with
 */
export function openVaultBeside(
  db: Db,
  path: string,
  others: readonly Sample[],
  { mayMake }: { mayMake: boolean },
): { vault: Vault; isMade: boolean; hasOlder: boolean } {
  const samples = samplesOf(db, others)
  const isMade = !existsSync(path)
  if (isMade && samples.length > 0) throw anotherFile(path)
  if (isMade && !mayMake) {
    throw new StartError(
      `${vaultKeyFile} ${path} is missing, and is made with a new database alone: set ${vaultKeyFile} as for npm start, or start the service once, which makes it.`,
    )
  }
  const vault = createVault(readVaultKeys(path, { mayMake }))
  if (lackingKey(vault, samples) !== null) throw anotherFile(path)
  const hasOlder = samples.some(
    ({ keyId, sealed, place }) => keyId !== vault.keyId && vault.open(sealed, place) !== null,
  )
  return { vault, isMade, hasOlder }
}

const anotherFile = (path: string) =>
  new StartError(
    `${vaultKeyFile} ${path} is not the file that this database was sealed with: set ${vaultKeyFile} as for npm start.`,
  )

function samplesOf(db: Db, others: readonly Sample[]): Sample[] {
  return [...guideSamples(db), ...importSamples(db), ...others]
}

/** The id of a key that sealed something which the vault opens nothing of. */
function lackingKey(vault: Vault, samples: readonly Sample[]): string | null {
  for (const keyId of new Set(samples.map(sample => sample.keyId))) {
    const ofKey = samples.filter(sample => sample.keyId === keyId)
    if (!ofKey.some(({ sealed, place }) => vault.open(sealed, place) !== null)) return keyId
  }
  return null
}

function guideSamples(db: Db): Sample[] {
  const keyId = sealedBy(guides.profile)
  return keyIds(
    db.selectDistinct({ keyId }).from(guides).where(isNotNull(guides.profile)).all(),
  ).flatMap(id =>
    db
      .select({ sealed: guides.profile, place: guides.guideId })
      .from(guides)
      .where(sql`${keyId} = ${id}`)
      .limit(samplesOfKey)
      .all()
      .map(({ sealed, place }) => ({ keyId: id, sealed: sealed ?? '', place })),
  )
}

function importSamples(db: Db): Sample[] {
  const keyId = sealedBy(guideImportRows.sealed)
  const waiting = sql`status = 'waiting' AND ${isNotNull(guideImportRows.sealed)}`
  return keyIds(db.selectDistinct({ keyId }).from(guideImportRows).where(waiting).all()).flatMap(
    id =>
      db
        .select()
        .from(guideImportRows)
        .where(sql`${waiting} AND ${keyId} = ${id}`)
        .limit(samplesOfKey)
        .all()
        .map(({ importId, row, sealed }) => ({
          keyId: id,
          sealed: sealed ?? '',
          place: placeOfRow(importId, row),
        })),
  )
}

function keyIds(rows: readonly { keyId: string }[]): string[] {
  return rows.map(({ keyId }) => keyId)
}
