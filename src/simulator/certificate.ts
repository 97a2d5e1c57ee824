import { type KeyObject, randomBytes } from 'node:crypto'
import {
  bitString,
  explicit,
  integer,
  nothing,
  objectId,
  sequence,
  setOf,
  time,
  utf8String,
} from './der.ts'
import type { RsaKey } from './rsa-key.ts'
import { signMessage } from './signature.ts'

const COMMON_NAME = '2.5.4.3'
const ORGANIZATION = '2.5.4.10'
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11'

export interface Certificate {
  serialNo: string
  pem: string
}

/** A self-signed X.509 certificate; the serial number is 40 hex digits, as WeChat Pay's are. */
export async function createCertificate(
  key: RsaKey,
  effectiveAtMs: number,
  expiresAtMs: number,
  { serial = randomSerial(), commonName = 'Tenpay.com sign (simulated)' } = {},
): Promise<Certificate> {
  const algorithm = sequence(objectId(SHA256_WITH_RSA), nothing())
  const name = sequence(
    attribute(ORGANIZATION, 'smartguide-assign simulator'),
    attribute(COMMON_NAME, commonName),
  )
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    name,
    sequence(time(effectiveAtMs), time(expiresAtMs)),
    name,
    subjectPublicKey(key.publicKey),
  )
  const signature = await signMessage(body, key.privateKey)
  const der = sequence(body, algorithm, bitString(signature))
  return { serialNo: serial.toString('hex').toUpperCase(), pem: pemOf(der) }
}

/** 20 octets; the first keeps the number positive (DER) and free of a leading zero (40 digits printed). */
export function randomSerial(): Buffer {
  const serial = randomBytes(20)
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f)
  return serial
}

function attribute(type: string, value: string): Buffer {
  return setOf(sequence(objectId(type), utf8String(value)))
}

function subjectPublicKey(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
