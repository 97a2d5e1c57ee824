import { createPrivateKey, type KeyObject, type webcrypto, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { createCertificate } from './certificate.ts'
import type { Keys } from './keys.ts'
import { createRsaKey, privatePem } from './rsa-key.ts'
import { parseStored, readIfThere, writeAtomically } from './state-file.ts'

const FIVE_YEARS_MS = 5 * 365 * 86_400_000

const storedCertificate = z.object({
  pem: z.string(),
  privateKeyPem: z.string(),
  retiresAtMs: z.number().nullable(),
})

export interface PlatformCertificate {
  serialNo: string
  pem: string
  effectiveAtMs: number
  expiresAtMs: number
  retiresAtMs: number | null
  privateKeyPem: string
  key: PlatformKey
}

export interface PlatformKey {
  serial: string
  signing: KeyObject
  decrypting: webcrypto.CryptoKey
}

export type KeyMode = 'public_key' | 'certificate'

export interface KeyRing {
  /** During a rotation this is the new certificate's. */
  signer(mode: KeyMode): PlatformKey
  /** Both kinds are known in both modes, so that a merchant can switch without an outage. */
  find(serial: string): PlatformKey | undefined
  /** Newest first. */
  certificates(): PlatformCertificate[]
  rotate(overlapMs: number): Promise<PlatformCertificate[]>
}

export async function openKeyRing(
  stateDir: string,
  keys: Keys,
  clock: () => number,
): Promise<KeyRing> {
  const path = join(stateDir, 'certificates.json')
  const publicKey = platformKey(keys.platformKeyId, keys.platformPrivateKey)
  const stored = await readIfThere(path)
  let certificates =
    stored === null ? [await newCertificate(clock())] : parseStored(path, stored, readCertificates)
  if (stored === null) await save()

  function inForce(): PlatformCertificate[] {
    const nowMs = clock()
    return certificates.filter(
      ({ expiresAtMs, retiresAtMs }) => nowMs < Math.min(expiresAtMs, retiresAtMs ?? expiresAtMs),
    )
  }

  function save(): Promise<void> {
    const rows = certificates.map(({ pem, privateKeyPem, retiresAtMs }) => ({
      pem,
      privateKeyPem,
      retiresAtMs,
    }))
    return writeAtomically(path, JSON.stringify(rows), 0o600)
  }

  return {
    signer(mode) {
      const [newest] = certificates
      return mode === 'certificate' && newest ? newest.key : publicKey
    },

    find(serial) {
      if (serial === publicKey.serial) return publicKey
      return inForce().find(certificate => certificate.serialNo === serial)?.key
    },

    certificates: inForce,

    async rotate(overlapMs) {
      const fresh = await newCertificate(clock())
      const retiresAtMs = clock() + overlapMs
      const older = inForce().map(certificate => ({
        ...certificate,
        retiresAtMs: certificate.retiresAtMs ?? retiresAtMs,
      }))
      certificates = [fresh, ...older]
      await save()
      return inForce()
    },
  }
}

function readCertificates(text: string): PlatformCertificate[] {
  return z.array(storedCertificate).min(1).parse(JSON.parse(text)).map(certificateOf)
}

async function newCertificate(nowMs: number): Promise<PlatformCertificate> {
  const key = await createRsaKey()
  const { pem } = await createCertificate(key, nowMs, nowMs + FIVE_YEARS_MS)
  return certificateOf({ pem, privateKeyPem: privatePem(key.privateKey), retiresAtMs: null })
}

function certificateOf(stored: z.infer<typeof storedCertificate>): PlatformCertificate {
  const parsed = new X509Certificate(stored.pem)
  return {
    ...stored,
    serialNo: parsed.serialNumber,
    effectiveAtMs: Date.parse(parsed.validFrom),
    expiresAtMs: Date.parse(parsed.validTo),
    key: platformKey(parsed.serialNumber, createPrivateKey(stored.privateKeyPem)),
  }
}

function platformKey(serial: string, signing: KeyObject): PlatformKey {
  const decrypting = signing.toCryptoKey({ name: 'RSA-OAEP', hash: 'SHA-1' }, false, ['decrypt'])
  return { serial, signing, decrypting }
}
