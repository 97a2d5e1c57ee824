import {
  createCipheriv,
  createPrivateKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCertificate } from '../../src/simulator/certificate.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { platformCertificate, readCertificates } from '../../src/wechatpay/certificates.ts'
import type { Client } from '../../src/wechatpay/client.ts'
import { createMerchantKeys } from '../../src/wechatpay/merchant-keys.ts'
import { createPlatformKeys, type PlatformCertificate } from '../../src/wechatpay/platform-keys.ts'
import { keep } from './keep.ts'
import { aClient, brief, platform, signedHeaders, startUpstream } from './upstream.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const nowMs = Date.UTC(2026, 10, 23, 12)
const apiv3Key = createSecretKey(Buffer.from('k'.repeat(32)))
const otherKey = createSecretKey(Buffer.from('x'.repeat(32)))

type Issued = PlatformCertificate & { privateKey: KeyObject }

async function issue(fromMs = nowMs - dayMs, untilMs = nowMs + 30 * dayMs): Promise<Issued> {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { pem, serialNo } = await createCertificate(pair, fromMs, untilMs)
  const certificate = platformCertificate(serialNo, pem)
  if (certificate === null) throw new Error('not a certificate')
  return { ...certificate, privateKey: pair.privateKey }
}

// By the documents alone: nothing of the client is used.
function row(certificate: { serial: string; pem: string }, change: object = {}, key = apiv3Key) {
  const nonce = 'abcdef012345'
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from('certificate'))
  const bytes = [cipher.update(certificate.pem), cipher.final(), cipher.getAuthTag()]
  return {
    serial_no: certificate.serial,
    effective_time: '2026-11-22T20:00:00+08:00',
    expire_time: '2026-12-23T20:00:00+08:00',
    encrypt_certificate: {
      algorithm: 'AEAD_AES_256_GCM',
      nonce,
      associated_data: 'certificate',
      ciphertext: Buffer.concat(bytes).toString('base64'),
      ...change,
    },
  }
}

const list = (...rows: object[]) => JSON.stringify({ data: rows })

let one: Issued
let two: Issued
beforeAll(async () => {
  one = await issue(nowMs - 20 * dayMs)
  two = await issue()
})

describe('a list of certificates', () => {
  it('is opened with the APIv3 key, each with its own serial number, key and times', () => {
    const read = readCertificates(Buffer.from(list(row(two), row(one))), apiv3Key)
    const bare = ({ privateKey: _, ...certificate }: Issued) => certificate
    expect(read).toMatchObject({ kind: 'read', certificates: [bare(two), bare(one)] })
    expect(two).toMatchObject({ effectiveAtMs: nowMs - dayMs, expiresAtMs: nowMs + 30 * dayMs })
  })

  it.each<[string, () => string, string]>([
    ['the key of another merchant', () => list(row(one, {}, otherKey)), 'sealed'],
    ['other associated data', () => list(row(one, { associated_data: 'else' })), 'sealed'],
    ['another nonce', () => list(row(one, { nonce: 'abcdef012346' })), 'sealed'],
    ['a changed byte', () => list(row(one, { ciphertext: flipped(row(one)) })), 'sealed'],
    ['a shortened tag', () => list(row(one, { ciphertext: 'AAAA' })), 'sealed'],
    [
      'a serial number that is not its own',
      () => list(row({ ...one, serial: two.serial })),
      'malformed',
    ],
    [
      'one that does not open beside one that does',
      () => list(row(two), row(one, {}, otherKey)),
      'malformed',
    ],
    ['no certificate in it', () => list(row({ serial: 'A1', pem: 'hello' })), 'malformed'],
    ['another algorithm alone', () => list(row(one, { algorithm: 'AEAD_SM4_GCM' })), 'malformed'],
    ['no rows', () => list(), 'malformed'],
    ['too many rows', () => list(...Array.from({ length: 33 }, () => row(one))), 'malformed'],
    ['no JSON', () => '<html>', 'malformed'],
    ['nothing', () => '', 'malformed'],
  ])('with %s is not read', (_, body, expected) => {
    expect(readCertificates(Buffer.from(body()), apiv3Key).kind).toBe(expected)
  })

  it('with another algorithm beside ours is read all the same', () => {
    const body = list(row(two), row(one, { algorithm: 'AEAD_SM4_GCM' }))
    expect(readCertificates(Buffer.from(body), apiv3Key)).toMatchObject({
      kind: 'read',
      certificates: [{ serial: two.serial }],
    })
  })
})

function flipped({ encrypt_certificate }: ReturnType<typeof row>): string {
  const bytes = Buffer.from(encrypt_certificate.ciphertext, 'base64')
  bytes[10] = (bytes[10] ?? 0) ^ 1
  return bytes.toString('base64')
}

describe('the platform keys', () => {
  const publicKey = { serial: 'PUB_KEY_ID_1', key: platform.publicKey }

  it('encrypt with the 公钥 where there is one, else with the newest certificate in force', async () => {
    const soon = await issue(nowMs + dayMs)
    expect(createPlatformKeys(null).current(nowMs)).toBeNull()
    expect(createPlatformKeys(publicKey, [one, two]).current(nowMs)).toBe(publicKey)
    expect(createPlatformKeys(null, [one, soon, two]).current(nowMs)).toBe(two)
    expect(createPlatformKeys(null, [one, two, soon]).current(nowMs + dayMs)).toBe(soon)
    expect(createPlatformKeys(null, [one, two]).current(nowMs + 31 * dayMs)).toBeNull()
  })

  it('know both kinds, and none that is not in force', () => {
    const keys = createPlatformKeys(publicKey, [one, two])
    expect(keys.find('PUB_KEY_ID_1', nowMs)).toBe(platform.publicKey)
    expect(keys.find(one.serial, nowMs)).toBe(one.key)
    expect(keys.find(one.serial, one.expiresAtMs - 1)).toBe(one.key)
    expect(keys.find(one.serial, one.expiresAtMs)).toBeUndefined()
    // A clock that is up to five minutes slow.
    expect(keys.find(two.serial, two.effectiveAtMs - 300_000)).toBe(two.key)
    expect(keys.find(two.serial, two.effectiveAtMs - 300_001)).toBeUndefined()
    expect(keys.find('PUB_KEY_ID_2', nowMs)).toBeUndefined()
  })

  it('verify what is in the air with a certificate that was withdrawn, for ten minutes', () => {
    const keys = createPlatformKeys(null, [one])
    keys.adopt([two, one], nowMs)
    keys.adopt([two], nowMs + dayMs)
    expect(keys.find(one.serial, nowMs + dayMs + 599_999)).toBe(one.key)
    expect(keys.find(one.serial, nowMs + dayMs + 600_000)).toBeUndefined()
    keys.adopt([two], nowMs + dayMs + 300_000)
    expect(keys.find(one.serial, nowMs + dayMs + 600_000)).toBeUndefined()
    keys.adopt([two], nowMs + 2 * dayMs)
    expect(keys.certificates()).toEqual([two])
  })

  it('keep the newest though a host that lags behind does not list it', () => {
    const keys = createPlatformKeys(null, [two, one])
    keys.adopt([one], nowMs)
    expect(keys.find(two.serial, nowMs + dayMs - 1)).toBe(two.key)
    expect(keys.current(nowMs)?.serial).toBe(two.serial)
    keys.adopt([two, one], nowMs + dayMs - 1)
    expect(keys.certificates()).toEqual([two, one])
  })

  it('let the newest go when no list has had it for a day: it was withdrawn', () => {
    const keys = createPlatformKeys(null, [two, one])
    for (let hour = 0; hour < 24; hour += 10) keys.adopt([one], nowMs + hour * hourMs)
    expect(keys.find(two.serial, nowMs + dayMs)).toBeUndefined()
    expect(keys.current(nowMs + dayMs)?.serial).toBe(one.serial)
    keys.adopt([one], nowMs + dayMs)
    expect(keys.certificates()).toEqual([one])
  })

  it('do not take back what was withdrawn because an old list is shown again', () => {
    const keys = createPlatformKeys(null, [one])
    keys.adopt([two], nowMs)
    keys.adopt([one], nowMs + 60_000)
    keys.adopt([two, one], nowMs + 120_000)
    expect(keys.find(one.serial, nowMs + 599_999)).toBe(one.key)
    expect(keys.find(one.serial, nowMs + 600_000)).toBeUndefined()
    expect(keys.find(two.serial, nowMs + 2 * dayMs)).toBe(two.key)
  })

  it('are found however a list or an answer prints a serial number, and each is there once', () => {
    const printed = (serial: string) => ({ ...one, serial })
    const keys = createPlatformKeys(null)
    const lower = printed(one.serial.toLowerCase())
    keys.adopt([lower, printed(`00${one.serial}`), one], nowMs)
    expect(keys.certificates()).toEqual([lower])
    expect(keys.find(one.serial, nowMs)).toBe(one.key)
    expect(keys.find(`00${one.serial}`, nowMs)).toBe(one.key)
    keys.adopt([one], nowMs + dayMs)
    expect(keys.certificates()).toEqual([one])
  })

  it('verify with the 公钥 of before for ten minutes', () => {
    const keys = createPlatformKeys(publicKey)
    keys.replacePublicKey({ serial: 'PUB_KEY_ID_2', key: one.key }, nowMs)
    expect(keys.current(nowMs)?.serial).toBe('PUB_KEY_ID_2')
    expect(keys.find('PUB_KEY_ID_1', nowMs + 599_999)).toBe(platform.publicKey)
    expect(keys.find('PUB_KEY_ID_1', nowMs + 600_000)).toBeUndefined()
  })
})

describe('a download', () => {
  const clock = { nowMs: () => nowMs, monotonicMs: () => 0 }
  const request = { host: 0, timeoutMs: 2_000, apiv3Key }

  async function download(body: string, signer: Issued, known: Issued[] = [], key = apiv3Key) {
    const headers = signedHeaders({ body, nowMs, key: signer.privateKey, serial: signer.serial })
    const upstream = keep(
      await startUpstream((_, response) => response.writeHead(200, headers).end(body)),
    )
    const client = keep(
      aClient(upstream.url, { platformKeys: createPlatformKeys(null, known), clock }),
    )
    const result = await client.downloadCertificates({ ...request, apiv3Key: key })
    return result.kind === 'sealed' ? 'sealed' : brief(result)
  }

  it('is believed when a known certificate signed it, or the newest that it carries itself', async () => {
    expect(await download(list(row(one)), one)).toBe('accepted')
    expect(await download(list(row(two), row(one)), one, [one])).toBe('accepted')
    expect(await download(list(row(two), row(one)), two, [one])).toBe('accepted')
    expect(await download(list(row(two)), two, [one])).toBe('accepted')
  })

  it('is not believed otherwise', async () => {
    const forged = { ...two, privateKey: one.privateKey }
    const expired = await issue(nowMs - 9 * dayMs, nowMs - dayMs)
    const future = await issue(nowMs + dayMs)
    expect(await download(list(row(two)), forged)).toBe('unknown unverified')
    expect(await download(list(row(two)), one)).toBe('unknown unverified')
    expect(await download(list(row(expired)), expired)).toBe('unknown unverified')
    expect(await download(list(row(future)), future)).toBe('unknown unverified')
    expect(await download('<html>', one)).toBe('unknown unverified')
    expect(await download('<html>', one, [one])).toBe('unknown server_error')
  })

  it('signed with a withdrawn key is not believed, though the list of its time opens', async () => {
    expect(await download(list(row(one)), one, [two])).toBe('unknown unverified')
  })

  it('is believed though the list prints the serial number otherwise than the header', async () => {
    const lower = { ...one, serial: one.serial.toLowerCase() }
    expect(await download(list(row(lower)), one)).toBe('accepted')
  })

  it('that the APIv3 key does not open says so', async () => {
    expect(await download(list(row(one)), one, [], otherKey)).toBe('sealed')
  })

  describe('from the simulator', () => {
    let simulator: Simulator
    let stateDir: string
    beforeAll(async () => {
      stateDir = await mkdtemp(join(tmpdir(), 'wechatpay-'))
      simulator = await startSimulator({ stateDir })
      await put('/policies', { key_mode: 'certificate' })
    })
    afterAll(async () => {
      await simulator.stop()
      await rm(stateDir, { recursive: true })
    })

    const put = (path: string, body: object) =>
      fetch(`${simulator.url}/_sim${path}`, { method: 'PUT', body: JSON.stringify(body) })

    async function fresh(client: Client, timeoutMs = 400) {
      const key = createSecretKey(Buffer.from(simulator.keys.apiv3Key))
      const result = await client.downloadCertificates({ host: 0, timeoutMs, apiv3Key: key })
      return result.kind === 'sealed' ? 'sealed' : brief(result)
    }

    it.each([
      ['refuse', 'unknown network'],
      ['reset_before', 'unknown network'],
      ['reset_after', 'unknown network'],
      ['hang', 'unknown timeout'],
      ['slow_body', 'unknown timeout'],
      ['status_429', 'unknown throttled'],
      ['status_500', 'unknown server_error'],
      ['status_502', 'unknown server_error'],
      ['unsigned', 'unknown unverified'],
      ['wrong_signature', 'unknown unverified'],
      ['signtest', 'unknown unverified'],
      ['clock_skew', 'unknown unverified'],
      ['garbage_body', 'unknown unverified'],
      ['sign_error', 'rejected account'],
      ['no_auth', 'rejected account'],
      ['mch_punished', 'rejected account'],
      ['param_error_guide', 'rejected request'],
      ['param_error_order', 'rejected request'],
    ])('%s is read as %s, and the repeat is accepted', async (fault, expected) => {
      const { keys, url } = simulator
      const client = keep(
        aClient(url, {
          mchid: keys.mchid,
          merchantKeys: createMerchantKeys({
            serialNo: keys.merchantSerialNo,
            privateKey: createPrivateKey(keys.merchantPrivateKeyPem),
          }),
          platformKeys: createPlatformKeys(null),
        }),
      )
      await put('/faults', { script: [{ on: 'certificates', do: fault }] })
      expect(await fresh(client)).toBe(expected)
      expect(await fresh(client, 2_000)).toBe('accepted')
    })
  })
})
