import { createDecipheriv, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import { parseJson } from './answer.ts'
import { parseCertificate } from './keys.ts'
import { bareSerial, type PlatformCertificate } from './platform-keys.ts'

/** What the answer to `GET /v3/certificates` holds. `sealed`: nothing of it opens with this APIv3 key. */
export type CertificateList =
  | { kind: 'read'; certificates: readonly PlatformCertificate[] }
  | { kind: 'sealed' }
  | { kind: 'malformed'; why: string }

const maxCertificates = 32
const tagBytes = 16

const sealed = z.object({
  algorithm: z.string(),
  nonce: z.string().min(12).max(16),
  associated_data: z.string().max(64).default(''),
  ciphertext: z.base64().max(16_384),
})
const listSchema = z.object({
  data: z
    .array(
      z.object({ serial_no: z.string().regex(/^[0-9A-Fa-f]{1,64}$/), encrypt_certificate: sealed }),
    )
    .min(1)
    .max(maxCertificates),
})

/**
 * Opens the certificates of an answer. Pure: whether the answer is to be believed is asked elsewhere.
 *
 * A certificate's times are its own, and its serial number must be the one that it is listed under.
 */
export function readCertificates(body: Buffer, apiv3Key: KeyObject): CertificateList {
  const parsed = listSchema.safeParse(parseJson(body))
  if (!parsed.success) return { kind: 'malformed', why: 'the list cannot be read' }
  // Others may stand beside it (国密); a list without any of ours is of no use.
  const rows = parsed.data.data.filter(
    ({ encrypt_certificate }) => encrypt_certificate.algorithm === 'AEAD_AES_256_GCM',
  )
  if (rows.length === 0) return { kind: 'malformed', why: 'it lists no AEAD_AES_256_GCM' }
  const opened = rows.map(row => ({
    serial: row.serial_no,
    pem: open(row.encrypt_certificate, apiv3Key),
  }))
  if (opened.every(({ pem }) => pem === null)) return { kind: 'sealed' }
  const certificates: PlatformCertificate[] = []
  for (const { serial, pem } of opened) {
    const certificate = pem === null ? null : platformCertificate(serial, pem)
    if (certificate === null) return { kind: 'malformed', why: `${serial} is not what it says` }
    certificates.push(certificate)
  }
  return { kind: 'read', certificates }
}

/** The serial numbers that a list names, opened or not; null when it is no such list. */
export function listedSerials(body: Buffer): string[] | null {
  const parsed = listSchema.safeParse(parseJson(body))
  return parsed.success ? parsed.data.data.map(({ serial_no }) => serial_no) : null
}

/** Null when it is no certificate with an RSA key, or another's than `serial` says. */
export function platformCertificate(serial: string, pem: string): PlatformCertificate | null {
  const certificate = parseCertificate(pem)
  if (certificate === null) return null
  const { serialNo, effectiveAtMs, expiresAtMs, publicKey } = certificate
  if (bareSerial(serialNo) !== bareSerial(serial)) return null
  return { serial, pem, key: publicKey, effectiveAtMs, expiresAtMs }
}

function open({ nonce, associated_data, ciphertext }: z.infer<typeof sealed>, key: KeyObject) {
  const bytes = Buffer.from(ciphertext, 'base64')
  if (bytes.length <= tagBytes) return null
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
      .setAAD(Buffer.from(associated_data))
      .setAuthTag(bytes.subarray(-tagBytes))
    return Buffer.concat([
      decipher.update(bytes.subarray(0, -tagBytes)),
      decipher.final(),
    ]).toString()
  } catch {
    return null
  }
}
