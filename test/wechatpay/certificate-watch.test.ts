import { createSecretKey } from 'node:crypto'
import { expect, it, vi } from 'vitest'
import { watchCertificates } from '../../src/wechatpay/certificate-watch.ts'
import type { Downloaded } from '../../src/wechatpay/client.ts'
import { unanswered } from '../../src/wechatpay/outcome.ts'
import { createPlatformKeys, type PlatformCertificate } from '../../src/wechatpay/platform-keys.ts'
import { aClient, platform } from './upstream.ts'

const hourMs = 3_600_000
const certificate: PlatformCertificate = {
  serial: 'A1',
  key: platform.publicKey,
  pem: 'pem',
  effectiveAtMs: 0,
  expiresAtMs: 1e15,
}
const accepted: Downloaded = { kind: 'accepted', value: [certificate], requestId: null }
const lost: Downloaded = unanswered('timeout', 'no answer in time')
const hasNone: Downloaded = {
  kind: 'rejected',
  blames: 'request',
  status: 404,
  code: 'RESOURCE_NOT_EXISTS',
  message: '',
  requestId: null,
}

function aWatch(answers: Downloaded[] = []) {
  const time = { ms: 0 }
  const asked: { atMs: number; host: number }[] = []
  const kept: (readonly PlatformCertificate[])[] = []
  const failures: unknown[] = []
  const platformKeys = createPlatformKeys(null)
  const client = aClient(['http://127.0.0.1:1', 'http://127.0.0.1:2'])
  const disk = { full: false }
  const telling = { fails: false }
  const watch = watchCertificates({
    client: {
      ...client,
      async downloadCertificates({ host }) {
        asked.push({ atMs: time.ms, host })
        return answers.shift() ?? accepted
      },
    },
    platformKeys,
    apiv3Key: createSecretKey(Buffer.from('k'.repeat(32))),
    clock: { nowMs: () => time.ms, monotonicMs: () => time.ms },
    keep(certificates) {
      if (disk.full) throw new Error('disk full')
      kept.push(certificates)
    },
    downloaded() {
      if (telling.fails) throw new Error('nobody listens')
    },
    failed: cause => failures.push(cause),
  })
  return { watch, time, asked, kept, disk, telling, failures, platformKeys, turnsUntil }

  /** One turn a second, as the timer would at the most. */
  async function turnsUntil(endMs: number): Promise<void> {
    for (; time.ms < endMs; time.ms += 1000) await watch.turn()
  }
}

it('asks at once, and then every ten hours', async () => {
  const { asked, turnsUntil } = aWatch()
  await turnsUntil(31 * hourMs)
  expect(asked.map(({ atMs }) => atMs / hourMs)).toEqual([0, 10, 20, 30])
})

it('asks sooner after a failure, later with each, another host each time', async () => {
  const { asked, turnsUntil } = aWatch(Array.from({ length: 9 }, () => lost))
  await turnsUntil(5 * hourMs)
  const gaps = asked.slice(1).map(({ atMs }, n) => (atMs - (asked[n]?.atMs ?? 0)) / 1000)
  expect(gaps).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600])
  expect(asked.slice(0, 4).map(({ host }) => host)).toEqual([0, 1, 0, 1])
})

it('does not hurry for a merchant who has none', async () => {
  const { asked, turnsUntil } = aWatch([hasNone, hasNone])
  await turnsUntil(11 * hourMs)
  expect(asked).toHaveLength(2)
})

it('asks at once for a certificate that an answer names and nobody knows, once a minute at the most', async () => {
  const { asked, time, watch, platformKeys } = aWatch()
  await watch.turn()
  time.ms = hourMs
  for (; time.ms < hourMs + 180_000; time.ms += 1000) {
    platformKeys.missed?.('7132D72A03E93CDDF8C03BBD1F37EEDF')
    await watch.turn()
  }
  expect(asked.map(({ atMs }) => atMs - hourMs)).toEqual([-hourMs, 0, 60_000, 120_000])
})

it('does not ask for a 公钥: no list has it', async () => {
  const { asked, time, watch, platformKeys } = aWatch()
  await watch.turn()
  time.ms = hourMs
  platformKeys.missed?.('PUB_KEY_ID_0')
  await watch.turn()
  expect(asked).toHaveLength(1)
})

it('joins a download that is under way', async () => {
  const { asked, watch } = aWatch()
  await Promise.all([watch.refresh(), watch.refresh(), watch.turn()])
  expect(asked).toHaveLength(1)
})

it('puts a certificate in force though the disk is full', async () => {
  const { watch, disk, failures, platformKeys, kept } = aWatch()
  disk.full = true
  await watch.refresh()
  expect(platformKeys.find('A1', 0)).toBe(platform.publicKey)
  expect(failures).toHaveLength(1)
  disk.full = false
  await watch.refresh()
  expect(kept).toEqual([[certificate]])
})

it('asks with another APIv3 key at once, however long the one before had to wait', async () => {
  const { watch, asked, time } = aWatch([{ kind: 'sealed' }, { kind: 'sealed' }])
  await watch.turn()
  time.ms = 31_000
  await watch.turn()
  time.ms = 32_000
  watch.replaceKey(createSecretKey(Buffer.from('k'.repeat(32))))
  await watch.turn()
  expect(asked).toHaveLength(2)
  watch.replaceKey(createSecretKey(Buffer.from('x'.repeat(32))))
  await watch.turn()
  expect(asked).toHaveLength(3)
})

it('goes on though what a download came to could not be told', async () => {
  vi.useFakeTimers()
  try {
    const { watch, asked, time, failures, telling } = aWatch()
    telling.fails = true
    watch.start()
    for (; time.ms < 11 * hourMs; time.ms += 60_000) await vi.advanceTimersByTimeAsync(60_000)
    expect(failures).toHaveLength(2)
    expect(asked).toHaveLength(2)
    await watch.stop()
  } finally {
    vi.useRealTimers()
  }
})
