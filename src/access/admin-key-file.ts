import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { StartError } from '../errors.ts'
import { type Keys, newKeyText, parseKey } from './keys.ts'

const name = 'ADMIN_KEY_FILE'

/**
 * Makes the key in the file the first admin key; a missing file is written with a new one.
 *
 * @throws StartError when the file holds something else, or others may read it
 */
export function installAdminKey(keys: Keys, path: string, nowMs: number): void {
  if (!existsSync(path)) writeKeyFile(path)
  const text = readKeyFile(path)
  keys.install(text, { scope: 'admin', stores: null, name, expiresAtMs: null }, nowMs)
}

function writeKeyFile(path: string): void {
  try {
    writeFileSync(path, `${newKeyText()}\n`, { mode: 0o600, flag: 'wx' })
  } catch (cause) {
    throw new StartError(`${name} ${path} cannot be written: ${sayWhy(cause)}.`)
  }
}

function readKeyFile(path: string): string {
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new StartError(`${name} ${path} can be read by others: run chmod 600 on it.`)
    }
    const text = readFileSync(path, 'utf8').trim()
    if (parseKey(text)) return text
  } catch (cause) {
    if (cause instanceof StartError) throw cause
    throw new StartError(`${name} ${path} cannot be read: ${sayWhy(cause)}.`)
  }
  throw new StartError(`${name} ${path} does not hold a key: remove it, and a new one is made.`)
}

function sayWhy(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
