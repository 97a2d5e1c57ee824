import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Collector, readCollector } from './collector.ts'
import { StartError } from './errors.ts'
import type { MerchantAccount } from './wechatpay/account.ts'
import { parseBaseUrl } from './wechatpay/base-url.ts'
import {
  parseApiv3Key,
  parseMerchantCertificate,
  parsePrivateKey,
  parsePublicKey,
  readPublicFile,
  readSecretFile,
} from './wechatpay/keys.ts'
import type { MerchantKey } from './wechatpay/merchant-keys.ts'
import type { PlatformKey } from './wechatpay/platform-keys.ts'

export type { MerchantAccount } from './wechatpay/account.ts'

export type Config = {
  host: string
  port: number
  dataDir: string
  logLevel: LogLevel
  adminKeyFile: string
  waitMs: number
  windowMs: number
  /** Keys that names and mobiles are sealed with at rest. */
  piiKeyFile: string
  upstreamRatePerSecond: number
  /** Null: no traces are told to anybody. */
  collector: Collector | null
  /** How old a settled order becomes before it is removed; null: none is. */
  retentionMs: number | null
  /** Null: nothing of WECHATPAY_* is set, so this is the demo. */
  account: MerchantAccount | null
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
type LogLevel = (typeof logLevels)[number]

export const merchantSettings: readonly string[] = [
  'WECHATPAY_MCHID',
  'WECHATPAY_PRIVATE_KEY_FILE',
  'WECHATPAY_SERIAL_NO',
  'WECHATPAY_CERTIFICATE_FILE',
  'WECHATPAY_PUBLIC_KEY_ID',
  'WECHATPAY_PUBLIC_KEY_FILE',
  'WECHATPAY_APIV3_KEY_FILE',
  'WECHATPAY_MODE',
  'WECHATPAY_BASE_URLS',
]
const realHosts = 'https://api.mch.weixin.qq.com,https://api2.mch.weixin.qq.com'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the environment, and the key files that it names; nothing else of the service does.
 *
 * @throws StartError with one sentence on the first mistake
 */
export function loadConfig(env: Environment): Config {
  const account = loadAccount(env)
  const dataDir = readDataDir(env)
  return {
    host: env['HOST'] || '127.0.0.1',
    port: settingReaders.port(env),
    dataDir,
    logLevel: settingReaders.logLevel(env),
    adminKeyFile: readAdminKeyFile(env, dataDir),
    waitMs: settingReaders.waitMs(env),
    windowMs: settingReaders.windowMs(env),
    piiKeyFile: readPiiKeyFile(env, dataDir),
    upstreamRatePerSecond: settingReaders.upstreamRatePerSecond(env),
    collector: settingReaders.collector(env),
    retentionMs: settingReaders.retentionMs(env),
    account,
  }
}

export function readDataDir(env: Environment): string {
  return env['DATA_DIR'] || (accountSettings(env).length > 0 ? 'data' : join('data', 'demo'))
}

/** For whoever works beside the service: in a bare shell the demo's could be taken for that of the shop. */
export function findDataDir(env: Environment): string {
  const dataDir = readDataDir(env)
  if (env['DATA_DIR'] || !existsSync(join('data', 'smartguide.db'))) return dataDir
  if (dataDir === 'data' || !existsSync(join(dataDir, 'smartguide.db'))) return 'data'
  throw new StartError(
    `There is a database in data and one of the demo in ${dataDir}, and nothing here says which is meant: set DATA_DIR.`,
  )
}

export function readPiiKeyFile(env: Environment, dataDir: string): string {
  return env['PII_KEY_FILE'] || join(dataDir, 'pii.key')
}

export function readAdminKeyFile(env: Environment, dataDir: string): string {
  return env['ADMIN_KEY_FILE'] || join(dataDir, 'admin.key')
}

type Readers<T> = { readonly [K in keyof T]: (env: Environment) => T[K] }

/** How each setting is read, by itself: the service stops at the first mistake, the doctor hears them all. */
export const settingReaders: Readers<
  Pick<
    Config,
    | 'port'
    | 'logLevel'
    | 'waitMs'
    | 'windowMs'
    | 'upstreamRatePerSecond'
    | 'retentionMs'
    | 'collector'
  >
> = {
  port: env => wholeNumber(env, 'PORT', { fallback: 8080, min: 0, max: 65_535 }),
  logLevel: env =>
    oneOf(env, 'LOG_LEVEL', logLevels, accountSettings(env).length > 0 ? 'info' : 'warn'),
  waitMs: env => wholeNumber(env, 'ASSIGN_WAIT_MS', { fallback: 800, min: 0, max: 30_000 }),
  windowMs: env =>
    wholeNumber(env, 'ASSIGN_WINDOW_SECONDS', { fallback: 600, min: 1, max: 86_400 }) * 1000,
  upstreamRatePerSecond: env =>
    wholeNumber(env, 'UPSTREAM_RATE_PER_SECOND', { fallback: 1000, min: 1, max: 10_000 }),
  // Caps, carts and late closings reach back some days.
  retentionMs: env =>
    env['RETENTION_DAYS']
      ? wholeNumber(env, 'RETENTION_DAYS', { fallback: 7, min: 7, max: 36_500 }) * 86_400_000
      : null,
  collector: readCollector,
}

/** An account in the parts that a setting each tells. */
export type AccountParts = {
  mode: 'direct' | 'partner'
  mchid: string
  serialNo: string
  privateKey: KeyObject
  publicKeyId: string
  publicKey: KeyObject
  baseUrls: readonly string[]
}

export const accountReaders: Readers<AccountParts> = {
  mode: env => oneOf(env, 'WECHATPAY_MODE', ['direct', 'partner'] as const, 'direct'),
  mchid: env => matching(env, 'WECHATPAY_MCHID', /^\d{1,32}$/, 'digits only'),
  serialNo: env => serialNo(env, null),
  privateKey: env =>
    fromFile(env, 'WECHATPAY_PRIVATE_KEY_FILE', path => parsePrivateKey(readSecretFile(path))),
  publicKeyId: env =>
    matching(env, 'WECHATPAY_PUBLIC_KEY_ID', /^PUB_KEY_ID_\w{1,64}$/, 'PUB_KEY_ID_ and digits'),
  publicKey: env =>
    fromFile(env, 'WECHATPAY_PUBLIC_KEY_FILE', path => parsePublicKey(readPublicFile(path))),
  baseUrls: env => baseUrls(env['WECHATPAY_BASE_URLS'] || realHosts),
}

export function readApiv3Key(env: Environment): KeyObject | null {
  const name = 'WECHATPAY_APIV3_KEY_FILE'
  return env[name] ? fromFile(env, name, path => parseApiv3Key(readSecretFile(path))) : null
}

/** The names of WECHATPAY_* that are set; none is the demo. */
export function accountSettings(env: Environment): string[] {
  return Object.keys(env).filter(name => name.startsWith('WECHATPAY_') && env[name] !== '')
}

export function unknownSettings(env: Environment): string[] {
  return accountSettings(env).filter(name => !merchantSettings.includes(name))
}

export function missingSettings(env: Environment): string[] {
  return missingOf(new Set(accountSettings(env)))
}

function loadAccount(env: Environment): MerchantAccount | null {
  const [first] = accountSettings(env)
  if (first === undefined) return null
  const [unknown] = unknownSettings(env)
  if (unknown) throw new StartError(`${unknown} is not a setting of this service.`)
  const missing = missingSettings(env)
  if (missing.length > 0) {
    throw new StartError(
      `${missing.join(', ')} must be set too, because ${first} is; the demo starts only with no WECHATPAY_* setting at all.`,
    )
  }
  return {
    mode: accountReaders.mode(env),
    mchid: accountReaders.mchid(env),
    merchantKey: merchantKey(env),
    publicKey: publicKey(env),
    apiv3Key: readApiv3Key(env),
    baseUrls: accountReaders.baseUrls(env),
  }
}

function missingOf(set: ReadonlySet<string>): string[] {
  const missing = ['WECHATPAY_MCHID', 'WECHATPAY_PRIVATE_KEY_FILE'].filter(name => !set.has(name))
  if (!set.has('WECHATPAY_SERIAL_NO') && !set.has('WECHATPAY_CERTIFICATE_FILE')) {
    missing.push('WECHATPAY_SERIAL_NO')
  }
  const publicKey = ['WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE']
  const lacking = publicKey.filter(name => !set.has(name))
  if (lacking.length === 1) missing.push(...lacking)
  if (lacking.length === 2 && !set.has('WECHATPAY_APIV3_KEY_FILE')) {
    missing.push(
      'WECHATPAY_PUBLIC_KEY_ID and WECHATPAY_PUBLIC_KEY_FILE (公钥), or WECHATPAY_APIV3_KEY_FILE (platform certificates)',
    )
  }
  return missing
}

function merchantKey(env: Environment): MerchantKey {
  const privateKey = accountReaders.privateKey(env)
  return { serialNo: serialNo(env, privateKey), privateKey }
}

/** As set, or that of the certificate, which must be of `privateKey` if that is given. */
function serialNo(env: Environment, privateKey: KeyObject | null): string {
  const name = 'WECHATPAY_SERIAL_NO'
  const certificate = 'WECHATPAY_CERTIFICATE_FILE'
  if (!env[certificate]) {
    return matching(env, name, /^[0-9A-F]{8,64}$/i, 'a hexadecimal number').toUpperCase()
  }
  if (env[name]) {
    throw new StartError(
      `${name} and ${certificate} are both set: the certificate has the serial number in it.`,
    )
  }
  return fromFile(env, certificate, path =>
    parseMerchantCertificate(readPublicFile(path), privateKey),
  )
}

function publicKey(env: Environment): PlatformKey | null {
  if (!env['WECHATPAY_PUBLIC_KEY_ID']) return null
  return { serial: accountReaders.publicKeyId(env), key: accountReaders.publicKey(env) }
}

function fromFile<T>(env: Environment, name: string, read: (path: string) => T): T {
  try {
    return read(env[name] ?? '')
  } catch (cause) {
    throw new StartError(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

function baseUrls(list: string): string[] {
  try {
    return list.split(',').map(url => parseBaseUrl(url.trim()))
  } catch (cause) {
    throw new StartError(
      `WECHATPAY_BASE_URLS: ${cause instanceof Error ? cause.message : String(cause)}`,
    )
  }
}

function matching(env: Environment, name: string, pattern: RegExp, what: string): string {
  const value = env[name] ?? ''
  if (pattern.test(value)) return value
  throw new StartError(`${name} must be ${what}.`)
}

function oneOf<T extends string>(
  env: Environment,
  name: string,
  allowed: readonly T[],
  fallback: T,
): T {
  const value = env[name] || fallback
  const known = allowed.find(candidate => candidate === value)
  if (known !== undefined) return known
  throw new StartError(`${name} must be one of ${allowed.join(', ')}, and is ${value}.`)
}

function wholeNumber(
  env: Environment,
  name: string,
  { fallback, min, max }: { fallback: number; min: number; max: number },
): number {
  const text = env[name] || String(fallback)
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new StartError(`${name} must be a whole number from ${min} to ${max}, and is ${text}.`)
}
