import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { createCertificate, randomSerial } from './certificate.ts'
import type { Keys } from './keys.ts'
import { createRsaKey, privatePem } from './rsa-key.ts'
import { readIfThere, writeAtomically } from './state-file.ts'

const FIVE_YEARS_MS = 5 * 365 * 86_400_000

export interface MerchantKeys {
  /** Null when the serial number is not, or is no longer, one of the merchant's. */
  find(serialNo: string): KeyObject | null
  /** A new key, serial number and certificate, in the state directory too; the old pass for `overlapMs` more. */
  renew(overlapMs: number): Promise<void>
}

/**
 * What the merchant platform keeps of 商户API证书. What is accepted beside the newest is forgotten with the process.
 */
export async function openMerchantKeys(
  stateDir: string,
  keys: Keys,
  clock: () => number,
): Promise<MerchantKeys> {
  let retiring: { serialNo: string; publicKey: KeyObject; untilMs: number }[] = []
  await writeCertificateUnlessThere(stateDir, keys, clock())

  return {
    find(serialNo) {
      if (serialNo === keys.merchantSerialNo) return keys.merchantPublicKey
      const old = retiring.find(each => each.serialNo === serialNo && clock() < each.untilMs)
      return old?.publicKey ?? null
    },

    async renew(overlapMs) {
      const { publicKey, privateKey } = await createRsaKey()
      const serialNo = randomSerial().toString('hex').toUpperCase()
      const pem = privatePem(privateKey)
      const old = {
        serialNo: keys.merchantSerialNo,
        publicKey: keys.merchantPublicKey,
        untilMs: clock() + overlapMs,
      }
      retiring = [old, ...retiring.filter(({ untilMs }) => clock() < untilMs)]
      keys.merchantSerialNo = serialNo
      keys.merchantPrivateKeyPem = pem
      keys.merchantPublicKey = publicKey
      await writeAtomically(join(stateDir, 'merchant.key'), pem, 0o600)
      await writeAtomically(join(stateDir, 'merchant.serial'), serialNo, 0o644)
      await writeCertificateUnlessThere(stateDir, keys, clock())
    },
  }
}

async function writeCertificateUnlessThere(
  stateDir: string,
  { merchantSerialNo, merchantPrivateKeyPem, merchantPublicKey }: Keys,
  nowMs: number,
): Promise<void> {
  const path = join(stateDir, 'merchant.cert')
  if (isOf(await readIfThere(path), merchantSerialNo, merchantPublicKey)) return
  const { pem } = await createCertificate(
    { publicKey: merchantPublicKey, privateKey: createPrivateKey(merchantPrivateKeyPem) },
    nowMs,
    nowMs + FIVE_YEARS_MS,
    { serial: Buffer.from(merchantSerialNo, 'hex'), commonName: 'Merchant (simulated)' },
  )
  await writeAtomically(path, pem, 0o644)
}

function isOf(pem: string | null, serialNo: string, publicKey: KeyObject): boolean {
  try {
    const certificate = new X509Certificate(pem ?? '')
    return certificate.serialNumber === serialNo && certificate.publicKey.equals(publicKey)
  } catch {
    return false
  }
}
