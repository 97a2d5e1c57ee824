import { existsSync, lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { accountSettings, readDataDir } from './config.ts'
import { startExitCode } from './errors.ts'

/**
 * Becomes the service under Node's permission model: it reads its code and the files that it is configured with, writes
 * its data, and starts no process and no thread. SQLite is native code, which the model does not hold.
 */
function becomeLocked(env: NodeJS.ProcessEnv): void {
  const { execve } = process
  if (accountSettings(env).length === 0)
    refuse('nothing of WECHATPAY_* is set, and the demo starts a second process')
  if (!execve) refuse('this system cannot put one process in the place of another')
  process.umask(0o077)
  const dataDir = resolve(readDataDir(env))
  // A directory that is not there yet would be taken for a file.
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const main = join(root, 'src/main.ts')
  execve(process.execPath, [process.execPath, ...permissions(env, dataDir), main], env)
}

const root = fileURLToPath(new URL('..', import.meta.url))
/** These are made when they are missing. */
const made = ['ADMIN_KEY_FILE', 'PII_KEY_FILE']

function permissions(env: NodeJS.ProcessEnv, dataDir: string): string[] {
  const code = ['src', 'migrations', 'package.json', 'node_modules'].map(name => join(root, name))
  const keyFiles = Object.keys(env).filter(name =>
    /^(WECHATPAY_\w+|ADMIN_KEY|PII_KEY)_FILE$/.test(name),
  )
  const pathOf = (name: string) => env[name] || ''
  const isSet = (path: string) => path !== ''
  const reads = [...code, ...code.map(path => realpathSync(path)), dataDir]
  const keys = keyFiles.map(pathOf).filter(isSet).map(placeOf)
  const writes = [
    dataDir,
    ...made
      .map(pathOf)
      .filter(isSet)
      .map(path => resolve(path)),
  ]
  return [
    '--permission',
    '--allow-addons',
    // What it warns of is known: the addon is better-sqlite3.
    '--disable-warning=PERM0001',
    ...new Set([...reads, ...keys].map(path => `--allow-fs-read=${path}`)),
    ...new Set(writes.map(path => `--allow-fs-write=${path}`)),
  ]
}

/** Where a key file is a link, as a mounted secret is, the one behind it is another after each change. */
function placeOf(path: string): string {
  const isLink = existsSync(path) && lstatSync(path).isSymbolicLink()
  return resolve(isLink ? dirname(path) : path)
}

function refuse(why: string): never {
  process.stderr.write(`The service cannot be started locked: ${why}.\n`)
  process.exit(startExitCode)
}

becomeLocked(process.env)
