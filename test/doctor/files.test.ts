import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Check } from '../../src/doctor/check.ts'
import { checkDataDir } from '../../src/doctor/data-dir.ts'
import { checkPair } from '../../src/doctor/key-pair.ts'
import { checkSettings } from '../../src/doctor/settings.ts'
import { scratchDir } from '../support/rig.ts'
import { prepareData, writeSecret } from '../support/service-process.ts'
import { aCertificate, faults, keyPair, pemOf, the } from './consult.ts'

const mchid = '1900000109'
const serialNo = '5157F09EFDC096DE15EBE81A47057A7232F1B8E1'
const dayMs = 86_400_000
const keys = keyPair()
const other = keyPair()
let dir: string
let scratch = 0

beforeAll(() => {
  dir = scratchDir()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function aDir(): string {
  const made = join(dir, String(++scratch))
  mkdirSync(made, { mode: 0o700 })
  return made
}

describe('private key, certificate and serial number', () => {
  let home: string
  let path: string
  beforeEach(() => {
    home = aDir()
    path = join(home, 'apiclient_key.pem')
    writeSecret(path, pemOf(keys.privateKey))
  })

  const pair = { privateKey: keys.privateKey, serialNo, mchid, publicKey: null }
  const look = (of: Partial<typeof pair>, certificate = ''): Check[] =>
    checkPair({ ...pair, ...of }, { certificate, privateKey: path }, Date.now())
  const put = (name: string, pem: string) => writeSecret(join(home, name), pem)

  it('belong together by the certificate that lies beside the key', () => {
    put('apiclient_cert.pem', aCertificate({ keys, commonName: mchid, serial: serialNo }))
    expect(look({})).toMatchObject([{ check: 'key pair', status: 'ok' }])
  })

  it.each([
    ['another key', { privateKey: other.privateKey }, {}, /the private key is not that of the/],
    [
      'another serial number',
      { serialNo: '6'.repeat(40) },
      {},
      /has the serial number 5157F0.*SERIAL_NO is 6{40}/,
    ],
    [
      'another merchant',
      {},
      { commonName: '1900000110' },
      /is a certificate of merchant 1900000110/,
    ],
    [
      'the platform’s certificate',
      {},
      { commonName: 'Tenpay.com sign' },
      /of WeChat Pay’s platform/,
    ],
    ['a certificate that is over', {}, { endMs: Date.now() - 1000 }, /ended on/],
  ])('do not with %s', (_, of, made, says) => {
    const pem = aCertificate({ keys, commonName: mchid, serial: serialNo, ...made })
    const [found] = look(of, put('given.pem', pem))
    expect(found).toMatchObject({ status: 'fail', found: expect.stringMatching(says) })
  })

  it('warn 30 days before the certificate ends', () => {
    const at = (days: number) => {
      const endMs = Date.now() + days * dayMs
      return put('c.pem', aCertificate({ keys, commonName: mchid, serial: serialNo, endMs }))
    }
    expect(look({}, at(31))).toMatchObject([{ status: 'ok' }])
    expect(look({}, at(29))).toMatchObject([{ status: 'warn' }])
  })

  it.each([
    ['none', () => join(home, 'none.pem'), /does not exist/],
    ['the private key', () => path, /is a private key/],
    ['no PEM', () => put('text.pem', 'hello'), /not a certificate in PEM form/],
  ])(
    'cannot be told by a file that is no certificate, which the settings say: %s',
    (_, of, says) => {
      const env = { WECHATPAY_CERTIFICATE_FILE: of(), WECHATPAY_PRIVATE_KEY_FILE: path }
      const { readable, checks } = checkSettings(env)
      expect(the(checks, 'certificate')).toMatchObject({
        status: 'fail',
        found: expect.stringMatching(says),
      })
      expect(checks.filter(({ check }) => check === 'serial number')).toEqual([])
      expect(readable.serialNo).toBeNull()
      expect(look({}, of())).toEqual([])
      expect(look({})).toEqual([])
    },
  )

  it('cannot be told without the one or the other', () => {
    const pem = put('given.pem', aCertificate({ keys, commonName: mchid, serial: serialNo }))
    expect(
      checkPair({ ...pair, privateKey: null }, { certificate: pem, privateKey: path }, 0),
    ).toEqual([
      expect.objectContaining({
        check: 'key pair',
        status: 'warn',
        found: expect.stringMatching(/not checked, because the private key/),
      }),
    ])
  })

  it('show a platform certificate’s serial number by the file that the downloader left', () => {
    put(`wechatpay_${serialNo}.pem`, '')
    expect(look({})).toMatchObject([
      {
        check: 'serial number',
        status: 'fail',
        found: expect.stringMatching(/platform certificate/),
      },
    ])
  })

  it('show the merchant’s own public key where WeChat Pay’s belongs', () => {
    const found = checkPair(
      { ...pair, publicKey: keys.publicKey },
      { certificate: '', privateKey: path },
      0,
    )
    expect(found).toMatchObject([{ check: 'public key', status: 'fail' }])
  })
})

describe('key files', () => {
  const env = (path: string) => ({ WECHATPAY_PRIVATE_KEY_FILE: path })
  const look = (path: string) => the(checkSettings(env(path)).checks, 'private key')

  it.each([
    ['none', () => join(dir, 'none'), /does not exist/],
    ['a directory', () => dir, /is a directory|open to other users|cannot be read/],
    [
      'one that others may read',
      () => writeSecret(join(dir, 'o'), pemOf(keys.privateKey), 0o640),
      /mode 640/,
    ],
    [
      '1024 bits',
      () => writeSecret(join(dir, 's'), pemOf(keyPair(1024).privateKey)),
      /has 1024 bits/,
    ],
    ['no PEM', () => writeSecret(join(dir, 'n'), 'hello'), /not a private key in PEM form/],
    [
      'the certificate',
      () => writeSecret(join(dir, 'c'), aCertificate({ keys, commonName: mchid })),
      /is a certificate/,
    ],
  ])('%s: refused, with what to do', (_, path, says) => {
    const found = look(path())
    expect(found).toMatchObject({ status: 'fail', found: expect.stringMatching(says) })
    expect(found.todo).toContain('API安全')
  })

  it('a sound one is told by its size and mode', () => {
    const path = writeSecret(join(dir, 'good'), pemOf(keys.privateKey))
    expect(look(path)).toMatchObject({ status: 'ok', found: `RSA, 2048 bits, mode 600, ${path}` })
  })
})

describe('the data directory', () => {
  const account = { mode: 'direct', mchid }
  const look = (path: string, of: { mode: string | null; mchid: string | null } = account) =>
    checkDataDir(path, of)

  function filled(mode: 'direct' | 'partner' = 'direct'): string {
    const path = aDir()
    prepareData(path, mirror => mirror.claim({ mode, mchid }))
    return path
  }

  it('may be made by the first start', () => {
    expect(faults(look(join(dir, 'not', 'yet')).checks)).toEqual([])
  })

  it('is sound with its merchant’s database, and with none', () => {
    expect(faults(look(filled()).checks)).toEqual([])
    expect(faults(look(aDir()).checks)).toEqual([])
  })

  it('belongs to another merchant, or to another mode', () => {
    for (const of of [
      { mode: 'direct', mchid: '1900000110' },
      { mode: 'partner', mchid },
    ]) {
      expect(the(look(filled(), of).checks, 'database')).toMatchObject({
        status: 'fail',
        found: expect.stringMatching(/belongs to direct merchant 1900000109/),
      })
    }
  })

  it.each([
    ["INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('x', 9e15)", /a newer version/],
    ["UPDATE __drizzle_migrations SET hash = 'x' WHERE rowid = 1", /another version/],
  ])('holds the database of another program: %s', (sql, says) => {
    const path = filled()
    const db = new Database(join(path, 'smartguide.db'))
    db.exec(sql)
    db.close()
    expect(the(look(path).checks, 'database')).toMatchObject({
      status: 'fail',
      found: expect.stringMatching(says),
    })
  })

  it('reads what is in the log of a database that was not closed', () => {
    const path = filled()
    const db = new Database(join(path, 'smartguide.db'))
    db.exec(`UPDATE installation SET mchid = '1900000110'`)
    expect(the(look(path).checks, 'database').found).toContain(
      'belongs to direct merchant 1900000110',
    )
    db.close()
  })

  it('is left as it was though the log of its database came without an index', () => {
    const [path, copy] = [filled(), aDir()]
    const db = new Database(join(path, 'smartguide.db'))
    db.exec(`UPDATE installation SET mchid = '1900000110'`)
    const names = ['smartguide.db', 'smartguide.db-wal']
    for (const name of names) copyFileSync(join(path, name), join(copy, name))
    db.close()
    expect(the(look(copy).checks, 'database').status).toBe('warn')
    expect(readdirSync(copy)).toEqual(names)
  })

  it('holds something that is no database', () => {
    const path = aDir()
    writeFileSync(join(path, 'smartguide.db'), 'hello '.repeat(1000))
    expect(the(look(path).checks, 'database')).toMatchObject({
      status: 'fail',
      found: expect.stringMatching(/cannot be read/),
    })
  })

  it('cannot be looked at, which is said and ends nothing', () => {
    expect(look(join(dir, 'a'.repeat(300))).checks).toMatchObject([
      {
        check: 'data directory',
        status: 'fail',
        found: expect.stringMatching(/cannot be looked at/),
      },
    ])
  })

  it('is open to others, or is a file', () => {
    const path = aDir()
    chmodSync(path, 0o755)
    expect(faults(look(path).checks)).toEqual(['warn data directory'])
    const file = join(path, 'file')
    writeFileSync(file, '')
    expect(faults(look(file).checks)).toEqual(['fail data directory'])
  })
})
