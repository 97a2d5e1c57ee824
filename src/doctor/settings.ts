import type { KeyObject } from 'node:crypto'
import { statSync } from 'node:fs'
import {
  type AccountParts,
  accountReaders,
  type Environment,
  missingSettings,
  readApiv3Key,
  settingReaders,
} from '../config.ts'
import { apiSecurity, type Check, fail, ok, saidBy, warn } from './check.ts'

/** What could be read, whatever else could not. */
export type Readable = { [K in keyof AccountParts]: AccountParts[K] | null } & {
  apiv3Key: ReturnType<typeof readApiv3Key>
}

type Setting = {
  check: string
  name: string
  todo: string
  part: keyof AccountParts
}

const where = {
  serialNo: `Copy the 证书序列号 from ${apiSecurity} → 商户API证书 → 管理证书, 40 hexadecimal digits without colons.`,
  privateKey: `Use apiclient_key.pem, made with the certificate at ${apiSecurity} → 商户API证书; chmod 600, owned by the service’s user.`,
  publicKey: `Copy the 公钥ID and download pub_key.pem at ${apiSecurity} → 微信支付公钥.`,
}

const settings: readonly Setting[] = [
  {
    check: 'mode',
    name: 'WECHATPAY_MODE',
    todo: 'direct for a merchant (or leave it out), partner for a 服务商.',
    part: 'mode',
  },
  {
    check: 'mchid',
    name: 'WECHATPAY_MCHID',
    todo: 'Copy the 商户号 from 商户平台 → 账户中心 → 商户信息.',
    part: 'mchid',
  },
  { check: 'serial number', name: 'WECHATPAY_SERIAL_NO', todo: where.serialNo, part: 'serialNo' },
  {
    check: 'private key',
    name: 'WECHATPAY_PRIVATE_KEY_FILE',
    todo: where.privateKey,
    part: 'privateKey',
  },
  {
    check: 'public key id',
    name: 'WECHATPAY_PUBLIC_KEY_ID',
    todo: where.publicKey,
    part: 'publicKeyId',
  },
  {
    check: 'public key',
    name: 'WECHATPAY_PUBLIC_KEY_FILE',
    todo: where.publicKey,
    part: 'publicKey',
  },
  {
    check: 'hosts',
    name: 'WECHATPAY_BASE_URLS',
    todo: 'https://api.mch.weixin.qq.com,https://api2.mch.weixin.qq.com (or leave it out): scheme and host alone, the primary first.',
    part: 'baseUrls',
  },
]

/** In place of the serial number, which stands in it. */
const certificate: Setting = {
  check: 'certificate',
  name: 'WECHATPAY_CERTIFICATE_FILE',
  todo: `Use apiclient_cert.pem from ${apiSecurity} → 商户API证书, readable to the service’s user.`,
  part: 'serialNo',
}

const toldWithout: readonly Setting['part'][] = ['mode', 'baseUrls']

/** Reads every setting by itself: all mistakes are told, and what is sound goes on to be tried. */
export function checkSettings(env: Environment): { readable: Readable; checks: Check[] } {
  const missing = missingSettings(env)
  const choices = missing.filter(name => !settings.some(known => known.name === name))
  const checks = choices.map(what => fail('settings', `${what} must be set`, where.publicKey))
  const readable: Readable = {
    mode: null,
    mchid: null,
    serialNo: null,
    privateKey: null,
    publicKeyId: null,
    publicKey: null,
    baseUrls: null,
    apiv3Key: null,
  }
  function tryReading<K extends keyof Readable>(
    key: K,
    { check, name, todo }: Omit<Setting, 'part'>,
    read: (env: Environment) => Readable[K],
  ): void {
    const confused = name === certificate.name ? null : confusion(key, env[name] ?? '')
    try {
      const value = read(env)
      readable[key] = value
      if (value === null) return
      checks.push(confused ?? ok(check, describe(key, value, env[name] ?? '', name)))
    } catch (cause) {
      checks.push(confused ?? fail(check, saidBy(cause), todo))
    }
  }

  for (const usual of settings) {
    const setting = usual.part === 'serialNo' && env[certificate.name] ? certificate : usual
    const { check, name, todo, part } = setting
    if (missing.includes(name)) checks.push(fail(check, `${name} is not set`, todo))
    // What is neither set nor missing is not needed in this key mode, has a default, or is told by another setting.
    else if (env[name] || toldWithout.includes(part)) {
      tryReading(part, setting, accountReaders[part])
    }
  }
  const apiv3 = {
    check: 'APIv3 key',
    name: 'WECHATPAY_APIV3_KEY_FILE',
    todo: `The file holds the 32 characters set at ${apiSecurity} → APIv3密钥 and nothing else; chmod 600.`,
  }
  tryReading('apiv3Key', apiv3, readApiv3Key)
  checks.push(...checkOthers(env))
  return { readable, checks }
}

/** PORT and the others that are no merchant's: quiet about those that are sound. */
export function checkOthers(env: Environment): Check[] {
  return Object.values(settingReaders).flatMap(read => {
    try {
      read(env)
      return []
    } catch (cause) {
      return [fail('settings', saidBy(cause), 'Mend it, or leave it out for its default.')]
    }
  })
}

// The three kinds of number that are taken for one another.
function confusion(key: keyof Readable, value: string): Check | null {
  if (key === 'serialNo') {
    if (/^PUB_KEY_ID/i.test(value)) {
      return fail(
        'serial number',
        'WECHATPAY_SERIAL_NO holds the id of a 微信支付公钥 (PUB_KEY_ID_…), not the serial number of the merchant certificate',
        `That id belongs into WECHATPAY_PUBLIC_KEY_ID. ${where.serialNo}`,
      )
    }
    if (/^[0-9A-F]{8,64}$/i.test(value) && value.length !== 40) {
      return warn(
        'serial number',
        `it has ${value.length} digits, and those of WeChat Pay’s certificates have 40`,
        where.serialNo,
      )
    }
  }
  if (key === 'publicKeyId' && /^[0-9A-F]{30,64}$/i.test(value)) {
    return fail(
      'public key id',
      'WECHATPAY_PUBLIC_KEY_ID holds the serial number of a certificate, not the id of the 微信支付公钥',
      `It begins with PUB_KEY_ID_. ${where.publicKey}`,
    )
  }
  return null
}

function describe<K extends keyof Readable>(
  key: K,
  value: Readable[K],
  setting: string,
  name: string,
): string {
  if (name === certificate.name) return `serial number ${value}, ${setting}`
  if (key === 'apiv3Key') return `32 bytes, ${setting}`
  if (isKey(value)) {
    const bits = value.asymmetricKeyDetails?.modulusLength
    const mode = (statSync(setting).mode & 0o777).toString(8)
    return `RSA, ${bits} bits, mode ${mode}, ${setting}`
  }
  return String(value).replaceAll(',', ', ')
}

function isKey(value: unknown): value is KeyObject {
  return typeof value === 'object' && value !== null && 'asymmetricKeyType' in value
}
