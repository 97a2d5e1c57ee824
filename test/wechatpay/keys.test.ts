import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  KeyError,
  parsePrivateKey,
  parsePublicKey,
  readPublicFile,
  readSecretFile,
} from '../../src/wechatpay/keys.ts'
import { aCertificate } from './published.ts'
import { merchant } from './upstream.ts'

const spki = { type: 'spki', format: 'pem' } as const
const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
const privatePem = String(merchant.privateKey.export(pkcs8))
const publicPem = String(merchant.publicKey.export(spki))
const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const passphrase = { cipher: 'aes-256-cbc', passphrase: 'secret' }
const broken = '-----BEGIN PRIVATE KEY-----\nU2VjcmV0\n-----END PRIVATE KEY-----\n'

function complaint(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof KeyError && error.name === 'KeyError') return error.message
    throw error
  }
  return 'no complaint'
}

describe('the merchant private key', () => {
  it('is read as PKCS #8 and as PKCS #1', () => {
    const pkcs1 = String(merchant.privateKey.export({ type: 'pkcs1', format: 'pem' }))
    expect(parsePrivateKey(privatePem).equals(merchant.privateKey)).toBe(true)
    expect(parsePrivateKey(pkcs1).equals(merchant.privateKey)).toBe(true)
  })

  it.each([
    ['nothing', '', 'K is not a private key in PEM form.'],
    ['a broken key', broken, 'K is not a private key in PEM form.'],
    ['a public key', publicPem, 'K is a public key, not a private key.'],
    [
      'a certificate',
      aCertificate,
      'K is a certificate, not a private key; use apiclient_key.pem.',
    ],
    [
      'a key with a passphrase',
      String(merchant.privateKey.export({ ...pkcs8, ...passphrase })),
      'K is encrypted with a passphrase; store it unencrypted, mode 600.',
    ],
    [
      'an old key with a passphrase',
      String(merchant.privateKey.export({ type: 'pkcs1', format: 'pem', ...passphrase })),
      'K is encrypted with a passphrase; store it unencrypted, mode 600.',
    ],
    [
      'an elliptic curve key',
      String(curve.privateKey.export(pkcs8)),
      'K is of type ec; WeChat Pay uses RSA keys.',
    ],
    [
      'a short key',
      String(short.privateKey.export(pkcs8)),
      'K has 1024 bits; WeChat Pay uses at least 2048.',
    ],
  ])('is refused in one sentence when it is %s', (_, pem, sentence) => {
    expect(complaint(() => parsePrivateKey(pem, 'K'))).toBe(sentence)
  })
})

describe('the WeChat Pay public key', () => {
  it('is read as SPKI', () => {
    expect(parsePublicKey(publicPem).equals(merchant.publicKey)).toBe(true)
  })

  it.each([
    ['nothing', '', 'K is not a public key in PEM form.'],
    [
      'a private key',
      privatePem,
      'K is a private key; use the public key downloaded from WeChat Pay.',
    ],
    [
      'a certificate',
      aCertificate,
      'K is a certificate, not a public key; use the 微信支付公钥 (pub_key.pem).',
    ],
    [
      'an elliptic curve key',
      String(curve.publicKey.export(spki)),
      'K is of type ec; WeChat Pay uses RSA keys.',
    ],
    [
      'a short key',
      String(short.publicKey.export(spki)),
      'K has 1024 bits; WeChat Pay uses at least 2048.',
    ],
  ])('is refused in one sentence when it is %s', (_, pem, sentence) => {
    expect(complaint(() => parsePublicKey(pem, 'K'))).toBe(sentence)
  })
})

describe('a key file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  const file = join(folder, 'apiclient_key.pem')
  writeFileSync(file, privatePem, { mode: 0o600 })
  afterAll(() => rmSync(folder, { recursive: true }))

  it.each([0o600, 0o400])('that its owner alone may read is read (mode %d)', mode => {
    chmodSync(file, mode)
    expect(readSecretFile(file)).toBe(privatePem)
  })

  it.runIf(process.getuid?.() === 0)(
    'that systemd hands on is read, and no other of that mode',
    () => {
      chmodSync(file, 0o440)
      expect(readSecretFile(file)).toBe(privatePem)
      for (const [uid, gid] of [
        [0, 1],
        [1, 0],
      ] as const) {
        chownSync(file, uid, gid)
        expect(complaint(() => readSecretFile(file))).toContain('is open to other users (mode 440)')
      }
      chownSync(file, 0, 0)
    },
  )

  it.each([0o640, 0o604, 0o644, 0o620, 0o660, 0o666])(
    'that others can reach is refused as a secret, not as a public key (mode %d)',
    mode => {
      chmodSync(file, mode)
      const octal = mode.toString(8)
      expect(complaint(() => readSecretFile(file))).toBe(
        `${file} is open to other users (mode ${octal}); make it private with chmod 600.`,
      )
      expect(readPublicFile(file)).toBe(privatePem)
    },
  )

  it('that is missing, a directory or huge is refused in one sentence', () => {
    const absent = join(folder, 'absent.pem')
    const huge = join(folder, 'huge.pem')
    writeFileSync(huge, 'x'.repeat(70_000), { mode: 0o600 })
    expect(complaint(() => readSecretFile(absent))).toBe(`${absent} does not exist.`)
    expect(complaint(() => readPublicFile(folder))).toBe(
      `${folder} is a directory, not a key file.`,
    )
    expect(complaint(() => readSecretFile(huge))).toBe(`${huge} is too large to be a key.`)
  })

  it.each(['/dev/zero', join(folder, 'pipe')])(
    'that is no ordinary file is refused, and waited for by nobody (%s)',
    path => {
      if (!path.startsWith('/dev')) execFileSync('mkfifo', ['-m', '600', path])
      expect(complaint(() => readPublicFile(path))).toBe(`${path} is no ordinary file.`)
    },
  )

  it.each([
    ['a private key', privatePem],
    ['a private key on one line', privatePem.replaceAll('\n', '\\n')],
    ['a private key bare', privatePem.replace(/-----.*-----|\n/g, '')],
    ['an APIv3 key', 'Zk3hW8pQ2mN5xR7tV9bC4dF6gJ1sL0aY'],
  ])('is not quoted where %s stands in place of its path', (_, secret) => {
    const sentence = 'It holds a key, and must name the file of one.'
    expect(complaint(() => readSecretFile(secret))).toBe(sentence)
  })

  it.runIf(process.getuid?.() !== 0)('that we may not read is refused in one sentence', () => {
    chmodSync(file, 0)
    const sentence = `${file} cannot be read: permission denied.`
    expect(complaint(() => readSecretFile(file))).toBe(sentence)
  })
})
