import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { migratedBy, selectApplied } from '../db/migrations.ts'
import { type Check, fail, ok, saidBy, warn } from './check.ts'

const mebibyte = 1024 * 1024
const failBelowBytes = 100 * mebibyte
const warnBelowBytes = 1024 * mebibyte

export type Installation = { mode: string; mchid: string }
export type KnownStore = { storeId: number; merchant: string }
type Account = { mode: string | null; mchid: string | null }
type Looked = { checks: Check[]; store: KnownStore | null }

/** The data directory and its database, looked at and left as they are. `store` is any store that is known there. */
export function checkDataDir(dataDir: string, account: Account): Looked {
  try {
    return lookAt(dataDir, account)
  } catch (cause) {
    const found = `${dataDir} cannot be looked at: ${saidBy(cause)}`
    const todo = 'Run doctor as the service’s user, with the DATA_DIR of the service.'
    return { checks: [fail('data directory', found, todo)], store: null }
  }
}

function lookAt(dataDir: string, account: Account): Looked {
  const check = 'data directory'
  const found = statSync(dataDir, { throwIfNoEntry: false })
  if (!found) return { checks: [checkParent(dataDir)], store: null }
  if (!found.isDirectory()) {
    const todo = 'Set DATA_DIR to a directory of its own.'
    return { checks: [fail(check, `${dataDir} is not a directory`, todo)], store: null }
  }
  const { checks, store } = checkDatabase(join(dataDir, 'smartguide.db'), account)
  return { checks: [checkDirectory(dataDir, found.mode), checkDisk(dataDir), ...checks], store }
}

function checkParent(dataDir: string): Check {
  let parent = resolve(dataDir)
  while (!existsSync(parent)) parent = dirname(parent)
  if (mayWrite(parent)) {
    return ok('data directory', `${dataDir} is not there yet; the first start makes it`)
  }
  return fail(
    'data directory',
    `${dataDir} is not there, and this user may not make it in ${parent}`,
    `Make it for the service’s user: install -d -m 700 -o USER ${dataDir}`,
  )
}

function checkDirectory(dataDir: string, mode: number): Check {
  const octal = (mode & 0o777).toString(8)
  if (!mayWrite(dataDir)) {
    return fail(
      'data directory',
      `this user may not write in ${dataDir} (mode ${octal})`,
      `Run doctor as the service’s user; if it is, give it the directory: chown -R USER ${dataDir}`,
    )
  }
  if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
    const todo = `chmod 700 ${dataDir}`
    return warn('data directory', `${dataDir} is open to other users (mode ${octal})`, todo)
  }
  return ok('data directory', `${dataDir}, writable, mode ${octal}`)
}

function mayWrite(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function checkDisk(dataDir: string): Check {
  const { bavail, bsize } = statfsSync(dataDir)
  const freeBytes = bavail * bsize
  const found = `${Math.floor(freeBytes / mebibyte)} MiB free`
  const todo = 'Free space on that disk: when it is full, orders are answered 503 storage_full.'
  if (freeBytes < failBelowBytes) return fail('disk', found, todo)
  return freeBytes < warnBelowBytes ? warn('disk', found, todo) : ok('disk', found)
}

type Books = { applied: string[]; installation: Installation | null; store: KnownStore | null }

function checkDatabase(path: string, account: Account): Looked {
  const check = 'database'
  if (!existsSync(path)) return { checks: [], store: null }
  if (existsSync(`${path}-wal`) && !existsSync(`${path}-shm`)) {
    const found = `${path} was copied with its log (-wal) while it was open; it is not read, for that would write beside it`
    const todo = 'Start the service, which takes the log over, then run doctor again.'
    return { checks: [warn(check, found, todo)], store: null }
  }
  let books: Books
  try {
    books = readBooks(path)
  } catch (cause) {
    const todo = 'Run doctor as the service’s user; if the file is damaged, restore a backup.'
    return { checks: [fail(check, `${path} cannot be read: ${saidBy(cause)}`, todo)], store: null }
  }
  const { applied, installation, store } = books
  const by = migratedBy(applied)
  if (by !== 'us') {
    const whose = by === 'newer' ? 'a newer version' : 'another version'
    const found = `${path} was migrated by ${whose} of this service`
    const todo = 'Start that version again, or restore a backup made by this one.'
    return { checks: [fail(check, found, todo)], store }
  }
  const isOther =
    installation !== null &&
    ((account.mchid !== null && installation.mchid !== account.mchid) ||
      (account.mode !== null && installation.mode !== account.mode))
  if (isOther) {
    const found = `${path} belongs to ${installation.mode} merchant ${installation.mchid}, and the configuration names ${account.mode ?? 'another'} merchant ${account.mchid ?? '?'}`
    const todo = `Set DATA_DIR to another directory, or mend WECHATPAY_MCHID (商户平台 → 账户中心 → 商户信息).`
    return { checks: [fail(check, found, todo)], store: null }
  }
  const whose = installation
    ? `belongs to ${installation.mode} merchant ${installation.mchid}`
    : 'nobody’s yet'
  return { checks: [ok(check, `${whose}, ${applied.length} migrations`)], store }
}

/**
 * Reads what stands in the file, and writes nothing.
 *
 * A reader of a WAL database that nobody has open would make its -wal and -shm anew and leave them, for the reader's
 * user alone: a file without both is complete by itself and is opened as immutable. Beside a service that runs they exist, and a reader holds up nobody.
 */
function readBooks(path: string): Books {
  const url = pathToFileURL(resolve(path))
  if (!existsSync(`${path}-wal`)) url.searchParams.set('immutable', '1')
  const db = new DatabaseSync(url, { readOnly: true, timeout: 1000 })
  try {
    const all = (sql: string) => (isThere(sql) ? db.prepare(sql).all() : [])
    // An older file lacks later tables.
    const isThere = (sql: string) =>
      db
        .prepare('SELECT 1 FROM sqlite_master WHERE name = ?')
        .get(/FROM (\w+)/.exec(sql)?.[1] ?? '')
    const [installed] = all('SELECT mode, mchid FROM installation')
    const [store] = all('SELECT store_id, merchant FROM stores ORDER BY store_id LIMIT 1')
    return {
      applied: all(selectApplied).map(row => String(row['hash'])),
      installation: installed
        ? { mode: String(installed['mode']), mchid: String(installed['mchid']) }
        : null,
      store: store
        ? { storeId: Number(store['store_id']), merchant: String(store['merchant']) }
        : null,
    }
  } finally {
    db.close()
  }
}
