import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { StartError } from '../errors.ts'
import type { VaultKey } from './vault.ts'

const name = 'PII_KEY_FILE'

/**
 * The keys of the vault, one a line, oldest first: a name, a space, 64 hexadecimal digits. A missing file is written with
 * a new key. To replace a key, add a line; what the older one sealed is sealed anew at the next start.
 *
 * @throws StartError when the file holds something else, or others may read it
 */
export function readVaultKeys(path: string): VaultKey[] {
  if (!existsSync(path)) writeKeyFile(path)
  const keys = readLines(path).map((line, index): VaultKey => {
    const [, id, hex] = /^(\w{1,16}) ([0-9a-f]{64})$/i.exec(line) ?? []
    if (id === undefined || hex === undefined) {
      throw new StartError(
        `${name} ${path}, line ${index + 1}, must be a name, a space and 64 hexadecimal digits.`,
      )
    }
    return { id, secret: Buffer.from(hex, 'hex') }
  })
  if (keys.length === 0) throw new StartError(`${name} ${path} holds no key.`)
  if (new Set(keys.map(({ id }) => id)).size < keys.length) {
    throw new StartError(`${name} ${path} has two keys of one name.`)
  }
  return keys
}

function writeKeyFile(path: string): void {
  try {
    // A name of its own: a file that was lost and made anew must not pass for the old one.
    const line = `k${randomBytes(4).toString('hex')} ${randomBytes(32).toString('hex')}\n`
    writeFileSync(path, line, { mode: 0o600, flag: 'wx' })
  } catch (cause) {
    throw new StartError(`${name} ${path} cannot be written: ${sayWhy(cause)}.`)
  }
}

function readLines(path: string): string[] {
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new StartError(`${name} ${path} can be read by others: run chmod 600 on it.`)
    }
    const text = readFileSync(path, 'utf8')
    return text.split('\n').filter(line => line.trim() !== '')
  } catch (cause) {
    if (cause instanceof StartError) throw cause
    throw new StartError(`${name} ${path} cannot be read: ${sayWhy(cause)}.`)
  }
}

function sayWhy(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
