import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  X509Certificate,
} from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs'

/** A key or key file that cannot be used; the message is one sentence for whoever configured it. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
}

const maxFileBytes = 64 * 1024
const maxPathLength = 1024

/** The text of a file that its owner alone may read: a private key, an APIv3 key. Throws KeyError. */
export function readSecretFile(path: string): string {
  return readSmallFile(path, stats => {
    const { mode } = stats
    // Windows keeps no such bits: there every file says 0o666.
    if (process.platform !== 'win32' && (mode & 0o077) !== 0 && !isHandedByRoot(stats)) {
      const octal = (mode & 0o777).toString(8)
      throw new KeyError(
        `${path} is open to other users (mode ${octal}); make it private with chmod 600.`,
      )
    }
  })
}

/** A credential of systemd is root's and read-only; its reader stands in an ACL, which shows as a right of the group. */
function isHandedByRoot({ mode, uid, gid }: Stats): boolean {
  return uid === 0 && gid === 0 && (mode & 0o777) === 0o440
}

/** The text of a public key's file. Throws KeyError. */
export function readPublicFile(path: string): string {
  return readSmallFile(path, () => {})
}

// Checked on the open file, so that what was checked is what is read.
function readSmallFile(path: string, check: (stats: Stats) => void): string {
  let file: number | null = null
  try {
    // Opening a pipe would wait for its writer, and all orders with it.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(file)
    const { size } = stats
    if (!stats.isFile() && !stats.isDirectory()) {
      throw new KeyError(`${path} is no ordinary file.`)
    }
    check(stats)
    if (size > maxFileBytes) throw new KeyError(`${path} is too large to be a key.`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof KeyError) throw error
    if (isKeyItself(path)) throw new KeyError('It holds a key, and must name the file of one.')
    throw new KeyError(`${path} ${whyUnreadable(error)}.`)
  } finally {
    if (file !== null) closeSync(file)
  }
}

// What stands in place of a path is told to the log and to whoever reads the doctor's lines.
function isKeyItself(path: string): boolean {
  return /-----BEGIN |^[^/\\.\s]{32}$/.test(path.trim()) || path.length > maxPathLength
}

function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EACCES') return 'cannot be read: permission denied'
  if (code === 'EISDIR') return 'is a directory, not a key file'
  return `cannot be read (${String(code)})`
}

/**
 * The merchant's private key from PEM text (`apiclient_key.pem`), parsed once for all calls.
 *
 * `name` begins the sentence of a KeyError: where the text came from, never the text itself.
 */
export function parsePrivateKey(pem: string, name = 'The merchant private key'): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(pem)) {
    throw new KeyError(`${name} is encrypted with a passphrase; store it unencrypted, mode 600.`)
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    if (isCertificate(pem)) {
      throw new KeyError(`${name} is a certificate, not a private key; use apiclient_key.pem.`)
    }
    if (isPublicKey(pem)) throw new KeyError(`${name} is a public key, not a private key.`)
  }
  return requireRsa(
    parseWith(createPrivateKey, pem, `${name} is not a private key in PEM form.`),
    name,
  )
}

/** A WeChat Pay public key from PEM text (公钥, `pub_key.pem`). Throws KeyError, as above. */
export function parsePublicKey(pem: string, name = 'The WeChat Pay public key'): KeyObject {
  // Node would take the public half of a private key, or a certificate's, without a word:
  // the merchant's own would then stand where WeChat Pay's belongs.
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new KeyError(`${name} is a private key; use the public key downloaded from WeChat Pay.`)
  }
  if (isCertificate(pem)) {
    throw new KeyError(
      `${name} is a certificate, not a public key; use the 微信支付公钥 (pub_key.pem).`,
    )
  }
  return requireRsa(
    parseWith(createPublicKey, pem, `${name} is not a public key in PEM form.`),
    name,
  )
}

export type Certificate = {
  serialNo: string
  publicKey: KeyObject
  effectiveAtMs: number
  expiresAtMs: number
}

/** An X.509 certificate of an RSA key; null when the text is none. */
export function parseCertificate(pem: string): Certificate | null {
  try {
    const { serialNumber, publicKey, validFrom, validTo } = new X509Certificate(pem)
    return {
      serialNo: serialNumber,
      publicKey: requireRsa(publicKey, 'The certificate'),
      effectiveAtMs: Date.parse(validFrom),
      expiresAtMs: Date.parse(validTo),
    }
  } catch {
    return null
  }
}

/**
 * The serial number of the merchant's certificate (`apiclient_cert.pem`), which must be that of `privateKey` unless
 * that is null.
 * Throws KeyError, as above.
 */
export function parseMerchantCertificate(
  pem: string,
  privateKey: KeyObject | null,
  name = 'The merchant certificate',
): string {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new KeyError(`${name} is a private key; use apiclient_cert.pem.`)
  }
  const certificate = parseCertificate(pem)
  if (certificate === null) {
    throw new KeyError(`${name} is not a certificate in PEM form; use apiclient_cert.pem.`)
  }
  if (privateKey !== null && !certificate.publicKey.equals(createPublicKey(privateKey))) {
    throw new KeyError(
      `${name} (serial number ${certificate.serialNo}) does not belong to the private key; take both from the same 商户API证书.`,
    )
  }
  return certificate.serialNo
}

/** The APIv3 key: 32 bytes of text, set on the merchant platform. Throws KeyError. */
export function parseApiv3Key(text: string, name = 'The APIv3 key'): KeyObject {
  const bytes = Buffer.from(text.trim())
  if (bytes.length !== 32) throw new KeyError(`${name} has ${bytes.length} bytes and must have 32.`)
  return createSecretKey(bytes)
}

function parseWith(parse: (pem: string) => KeyObject, pem: string, sentence: string): KeyObject {
  try {
    return parse(pem)
  } catch {
    // OpenSSL's own words may quote the input, and name no file.
    throw new KeyError(sentence)
  }
}

function requireRsa(key: KeyObject, name: string): KeyObject {
  if (key.asymmetricKeyType !== 'rsa') {
    throw new KeyError(`${name} is of type ${key.asymmetricKeyType}; WeChat Pay uses RSA keys.`)
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (bits < 2048) throw new KeyError(`${name} has ${bits} bits; WeChat Pay uses at least 2048.`)
  return key
}

function isCertificate(pem: string): boolean {
  return /-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/.test(pem)
}

function isPublicKey(pem: string): boolean {
  return /-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem)
}
