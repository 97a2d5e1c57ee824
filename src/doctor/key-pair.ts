import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { apiSecurity, type Check, fail, isFailing, ok, warn } from './check.ts'

const dayMs = 86_400_000
const maxBytes = 64 * 1024

type Pair = {
  privateKey: KeyObject | null
  serialNo: string | null
  mchid: string | null
  publicKey: KeyObject | null
}

/**
 * Whether private key, serial number and certificate belong together, as far as files can say.
 *
 * Whether a certificate that is configured can be read, the settings say. Without one, the `apiclient_cert.pem` beside the private key is read: the platform packs
 * the two together.
 */
export function checkPair(
  pair: Pair,
  paths: { certificate: string; privateKey: string },
  nowMs: number,
): Check[] {
  const beside = join(dirname(paths.privateKey), 'apiclient_cert.pem')
  const path = paths.certificate || (paths.privateKey ? beside : '')
  const certificate = path === '' ? null : readCertificate(path)
  const together = certificate === null ? [] : [checkCertificate(certificate, path, pair, nowMs)]
  const downloaded = together.some(isFailing) ? [] : checkDownloaded(pair, paths.privateKey)
  return [...checkOwnKeys(pair), ...downloaded, ...together]
}

function checkOwnKeys({ privateKey, publicKey }: Pair): Check[] {
  if (privateKey === null || publicKey === null) return []
  if (!createPublicKey(privateKey).equals(publicKey)) return []
  return [
    fail(
      'public key',
      'WECHATPAY_PUBLIC_KEY_FILE is the public half of the merchant’s own private key, not WeChat Pay’s key',
      `Download pub_key.pem at ${apiSecurity} → 微信支付公钥.`,
    ),
  ]
}

/** WeChat Pay's certificate downloader names its files after the platform certificates' serial numbers. */
function checkDownloaded({ serialNo }: Pair, privateKeyPath: string): Check[] {
  if (serialNo === null || !privateKeyPath) return []
  const name = `wechatpay_${serialNo}.pem`
  if (!existsSync(join(dirname(privateKeyPath), name))) return []
  return [
    fail(
      'serial number',
      `WECHATPAY_SERIAL_NO ${serialNo} is that of WeChat Pay’s platform certificate (${name} lies beside the private key), not of the merchant’s`,
      `Copy the 证书序列号 from ${apiSecurity} → 商户API证书 → 管理证书.`,
    ),
  ]
}

function checkCertificate(
  certificate: X509Certificate,
  path: string,
  { privateKey, serialNo, mchid }: Pair,
  nowMs: number,
): Check {
  const check = 'key pair'
  const serial = certificate.serialNumber
  const ofMerchant = /^CN=(\d{6,32})$/m.exec(certificate.subject)?.[1]
  const endMs = Date.parse(certificate.validTo)
  const end = new Date(endMs).toISOString().slice(0, 10)
  if (/^CN=Tenpay\.com sign/m.test(certificate.subject)) {
    return fail(
      check,
      `${path} is a certificate of WeChat Pay’s platform (serial number ${serial}), not the merchant’s`,
      `Use apiclient_cert.pem and its serial number from ${apiSecurity} → 商户API证书.`,
    )
  }
  if (ofMerchant !== undefined && mchid !== null && ofMerchant !== mchid) {
    return fail(
      check,
      `${path} is a certificate of merchant ${ofMerchant}, and WECHATPAY_MCHID is ${mchid}`,
      'Take the 商户号 and the certificate of one and the same merchant.',
    )
  }
  if (privateKey !== null && !certificate.checkPrivateKey(privateKey)) {
    return fail(
      check,
      `the private key is not that of the certificate ${path} (serial number ${serial})`,
      'Take apiclient_key.pem and apiclient_cert.pem out of the same download; a key that is lost cannot be had again, only a new certificate.',
    )
  }
  if (serialNo !== null && serialNo !== serial.toUpperCase()) {
    return fail(
      check,
      `the certificate ${path} has the serial number ${serial}, and WECHATPAY_SERIAL_NO is ${serialNo}`,
      `Set WECHATPAY_SERIAL_NO=${serial}.`,
    )
  }
  const renew = `Make a new one at ${apiSecurity} → 商户API证书, then change key file and serial number together.`
  if (endMs <= nowMs) return fail(check, `the certificate ${path} ended on ${end}`, renew)
  if (endMs - nowMs < 30 * dayMs) return warn(check, `the certificate ends on ${end}`, renew)
  const absent = privateKey === null ? 'private key' : serialNo === null ? 'serial number' : null
  if (absent !== null)
    return warn(check, `not checked, because the ${absent} could not be read`, 'Mend that first.')
  return ok(check, `certificate, private key and serial number belong together; until ${end}`)
}

function readCertificate(path: string): X509Certificate | null {
  try {
    const { size } = statSync(path)
    if (!statSync(path).isFile() || size > maxBytes) return null
    return new X509Certificate(readFileSync(path))
  } catch {
    return null
  }
}
