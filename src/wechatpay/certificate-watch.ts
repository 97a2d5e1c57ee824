import type { KeyObject } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Client, Downloaded } from './client.ts'
import type { PlatformCertificate, PlatformKeys } from './platform-keys.ts'

// WeChat Pay asks for less than 12 h between two downloads.
const everyMs = 10 * 3_600_000
const firstRetryMs = 30_000
const longestRetryMs = 3_600_000
const hurriedMs = 60_000
const longestNapMs = 60_000
const downloadMs = 5_000

export type CertificateWatch = {
  /** Downloads now, unless a download is under way already; then it is that one's answer. */
  refresh(timeoutMs?: number): Promise<Downloaded>
  /** Downloads if it is time. */
  turn(): Promise<void>
  /** Downloads with the other key at once, whatever became of the one before. */
  replaceKey(apiv3Key: KeyObject): void
  start(): void
  stop(): Promise<void>
}

/**
 * Keeps the platform certificates up to date: every 10 hours; after a failure sooner, 30 s and doubling up to an hour;
 * and within a minute when an answer names one that we do not have.
 *
 * `keep` writes down what is in force, so that a restart while WeChat Pay is away can verify.
 */
export function watchCertificates(deps: {
  client: Client
  platformKeys: PlatformKeys
  apiv3Key: KeyObject
  clock: Clock
  keep(certificates: readonly PlatformCertificate[]): void
  /** What each download came to. */
  downloaded(result: Downloaded): void
  /** It could not be written down; it is in force all the same. */
  failed(cause: unknown): void
}): CertificateWatch {
  const { client, platformKeys, clock, keep, downloaded, failed } = deps
  let { apiv3Key } = deps
  let triedAtMs = Number.NEGATIVE_INFINITY
  let dueAtMs = Number.NEGATIVE_INFINITY
  let failures = 0
  let underWay: Promise<Downloaded> | null = null
  let timer: NodeJS.Timeout | null = null
  let running = false

  platformKeys.missed = serial => {
    // 公钥 are not in the list.
    if (serial.startsWith('PUB_KEY_ID_')) return null
    dueAtMs = Math.min(dueAtMs, triedAtMs + hurriedMs)
    nap()
    if (underWay === null && (!running || clock.monotonicMs() < dueAtMs)) return null
    return refresh().catch(failed)
  }

  function nap(): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (!running) return
    const leftMs = Math.min(Math.max(0, dueAtMs - clock.monotonicMs()), longestNapMs)
    timer = setTimeout(() => turn().catch(failed), leftMs)
    timer.unref()
  }

  async function turn(): Promise<void> {
    try {
      if (clock.monotonicMs() >= dueAtMs) await refresh()
    } finally {
      nap()
    }
  }

  function refresh(timeoutMs = downloadMs): Promise<Downloaded> {
    underWay ??= download(timeoutMs).finally(() => {
      underWay = null
    })
    return underWay
  }

  async function download(timeoutMs: number): Promise<Downloaded> {
    triedAtMs = clock.monotonicMs()
    dueAtMs = triedAtMs + everyMs
    const host = failures % client.hosts.length
    const result = await client.downloadCertificates({ host, timeoutMs, apiv3Key })
    if (result.kind === 'accepted') {
      failures = 0
      take(result.value)
    } else if (!hasNoCertificates(result)) {
      dueAtMs = triedAtMs + Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(failures, 10))
      failures += 1
    }
    downloaded(result)
    return result
  }

  function take(list: readonly PlatformCertificate[]): void {
    platformKeys.adopt(list, clock.nowMs())
    try {
      keep(platformKeys.certificates())
    } catch (cause) {
      failed(cause)
    }
  }

  return {
    refresh,
    turn,
    replaceKey(next) {
      if (next.equals(apiv3Key)) return
      apiv3Key = next
      dueAtMs = Number.NEGATIVE_INFINITY
      nap()
    },
    start() {
      running = true
      nap()
    },
    async stop() {
      running = false
      if (timer !== null) clearTimeout(timer)
      timer = null
      await underWay
    },
  }
}

/** The answer to a merchant who has a 公钥 and no platform certificates. */
export function hasNoCertificates(result: Downloaded): boolean {
  return result.kind === 'rejected' && result.code === 'RESOURCE_NOT_EXISTS'
}
