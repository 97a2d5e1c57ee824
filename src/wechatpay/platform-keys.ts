import type { KeyObject } from 'node:crypto'

/** A public key of WeChat Pay: `PUB_KEY_ID_…` (公钥), or a platform certificate's serial number. */
export type PlatformKey = { serial: string; key: KeyObject }

export type PlatformCertificate = PlatformKey & {
  pem: string
  effectiveAtMs: number
  expiresAtMs: number
}

// An answer's timestamp is believed for 5 minutes to either side: a key that came or went just now signed it in good faith.
const skewMs = 300_000
const withdrawalMs = 2 * skewMs
// Two downloads and their failures: no host lags behind for longer.
const lagMs = 24 * 3_600_000

export type PlatformKeys = ReturnType<typeof createPlatformKeys>

/**
 * The keys that WeChat Pay may sign with, both kinds at once, so that a merchant can switch without an outage: the 公钥,
 * if it is configured, and every platform certificate in force.
 *
 * What is encrypted, and what `Wechatpay-Serial` names, is the 公钥 where there is one: once a merchant has it, WeChat Pay
 * answers with the kind of key that was named.
 */
export function createPlatformKeys(
  publicKey: PlatformKey | null,
  kept: readonly PlatformCertificate[] = [],
) {
  let current = publicKey
  let former: (PlatformKey & { untilMs: number }) | null = null
  let certificates: readonly PlatformCertificate[] = [...kept].sort(newestFirst)

  return {
    /** Null until a 公钥 is configured or a certificate has been downloaded. */
    current(nowMs: number): PlatformKey | null {
      return current ?? certificates.find(each => isInForce(each, nowMs)) ?? null
    },

    find(serial: string, nowMs: number): KeyObject | undefined {
      if (serial === current?.serial) return current.key
      if (serial === former?.serial && nowMs < former.untilMs) return former.key
      return certificates.find(each => isOf(each, serial) && isInForce(each, nowMs))?.key
    },

    /** Newest first; those not yet and no longer in force too. */
    certificates: () => certificates,

    /**
     * Takes over a list that was verified. What it no longer has stays for the answers that are in the air, 10 minutes;
     * what is newer than all of it stays for a day, for it may be the list of a host that lags behind. Of what was
     * withdrawn only the newest comes back: an old list may be shown again.
     */
    adopt(list: readonly PlatformCertificate[], nowMs: number): void {
      const listedMs = newestOf(list)
      const knownMs = newestOf(certificates)
      const listed = list
        .filter((each, index) => list.findIndex(({ serial }) => isOf(each, serial)) === index)
        .map(each => {
          const known = certificates.find(({ serial }) => isOf(each, serial))
          return known && each.effectiveAtMs < knownMs ? until(each, known.expiresAtMs) : each
        })
      const unlisted = certificates
        .filter(each => !list.some(({ serial }) => isOf(each, serial)))
        .map(each => until(each, nowMs + (each.effectiveAtMs > listedMs ? lagMs : withdrawalMs)))
      certificates = [...listed, ...unlisted]
        .filter(({ expiresAtMs }) => nowMs < expiresAtMs)
        .sort(newestFirst)
    },

    /** The 公钥 of before verifies for 10 minutes more. */
    replacePublicKey(next: PlatformKey | null, nowMs: number): void {
      if (current !== null && current.serial !== next?.serial) {
        former = { ...current, untilMs: nowMs + withdrawalMs }
      }
      current = next
    },

    /** Called with a serial number that an answer named and nobody knows; answers with the download that may bring it. */
    missed: null as ((serial: string) => Promise<unknown> | null) | null,
  }
}

export function isInForce(
  { effectiveAtMs, expiresAtMs }: PlatformCertificate,
  nowMs: number,
): boolean {
  return effectiveAtMs <= nowMs + skewMs && nowMs < expiresAtMs
}

function newestFirst(one: PlatformCertificate, other: PlatformCertificate): number {
  return other.effectiveAtMs - one.effectiveAtMs
}

function newestOf(certificates: readonly PlatformCertificate[]): number {
  return Math.max(...certificates.map(({ effectiveAtMs }) => effectiveAtMs))
}

function until(certificate: PlatformCertificate, endMs: number): PlatformCertificate {
  return { ...certificate, expiresAtMs: Math.min(certificate.expiresAtMs, endMs) }
}

/** Whether the certificate is the one of that serial number, however a list or a header prints it. */
export function isOf(certificate: PlatformKey, serial: string): boolean {
  return certificate.serial === serial || bareSerial(certificate.serial) === bareSerial(serial)
}

/** A serial number may be printed in lower case, or with the zeros that make its bytes whole. */
export function bareSerial(serial: string): string {
  return serial.toUpperCase().replace(/^0+/, '')
}
