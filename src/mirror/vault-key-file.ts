import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { StartError } from '../errors.ts'
import type { VaultKey } from './vault.ts'

export const vaultKeyFile = 'PII_KEY_FILE'
const name = vaultKeyFile

/**
 * The keys of the vault, one a line, oldest first: a name, a space, 64 hexadecimal digits. A missing file is written with
 * a new key if it `mayMake` one. To replace a key, add a line; what the older one sealed is sealed anew at the next start.
 *
 * @throws StartError when the file holds something else, others may read it, or it was lost
 */
export function readVaultKeys(path: string, { mayMake }: { mayMake: boolean }): VaultKey[] {
  if (!existsSync(path)) {
    if (!mayMake) {
      throw new StartError(
        `${name} ${path} is missing, and names, mobiles or signing keys in this data directory were sealed with it: bring that file back.`,
      )
    }
    writeKeyFile(path)
  }
  const keys = readLines(path).flatMap((line, index) => readKey(line, `${path}, line ${index + 1}`))
  if (keys.length === 0) throw new StartError(`${name} ${path} holds no key.`)
  if (new Set(keys.map(({ id }) => id)).size < keys.length) {
    throw new StartError(`${name} ${path} has two keys of one name.`)
  }
  return keys
}

/** Nothing of a blank line; of a wrong one no word is said again, for it may be half a key. */
function readKey(line: string, where: string): VaultKey[] {
  const text = line.trim()
  if (text === '') return []
  const [, id, hex] = /^(\w{1,16})[ \t]+([0-9a-f]{64})$/i.exec(text) ?? []
  if (id !== undefined && hex !== undefined) return [{ id, secret: Buffer.from(hex, 'hex') }]
  throw new StartError(`${name} ${where}, must be a name, a space and 64 hexadecimal digits.`)
}

function writeKeyFile(path: string): void {
  try {
    // A name of its own: a file that was lost and made anew must not pass for the old one.
    const line = `k${randomBytes(4).toString('hex')} ${randomBytes(32).toString('hex')}\n`
    // What is sealed outlives a power cut, so the key must too.
    const { O_WRONLY, O_CREAT, O_EXCL, O_SYNC } = constants
    const file = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_SYNC, 0o600)
    writeSync(file, line)
    closeSync(file)
    if (!process.permission) syncDirectory(dirname(path))
  } catch (cause) {
    throw new StartError(`${name} ${path} cannot be written: ${sayWhy(cause)}.`)
  }
}

/**
 * With the entry in it. Under its permission model Node syncs nothing; Linux's file systems keep the entry of a new file
 * with the file.
 */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  fsyncSync(directory)
  closeSync(directory)
}

function readLines(path: string): string[] {
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new StartError(`${name} ${path} can be read by others: run chmod 600 on it.`)
    }
    return readFileSync(path, 'utf8').split('\n')
  } catch (cause) {
    if (cause instanceof StartError) throw cause
    throw new StartError(`${name} ${path} cannot be read: ${sayWhy(cause)}.`)
  }
}

function sayWhy(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
