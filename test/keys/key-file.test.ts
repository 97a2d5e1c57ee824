import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openKeys, sealedKeys } from '../../src/access/keys.ts'
import { openDatabase } from '../../src/db/open.ts'
import { openVault } from '../../src/mirror/open-vault.ts'
import { scratchDir } from '../support/rig.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const signs = {
  scope: 'assign',
  stores: null,
  name: null,
  expiresAtMs: null,
  signed: true,
} as const

let dir: string
let cwd: string
let count = 0
beforeAll(() => {
  dir = scratchDir()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeEach(() => {
  cwd = join(dir, String(++count))
  mkdirSync(join(cwd, 'data', 'demo'), { recursive: true })
})

/** As the service leaves it, with so many keys that sign sealed by its own file. */
function serve(dataDir: string, keyFile = join(dataDir, 'pii.key'), sealed = 1): void {
  mkdirSync(dataDir, { recursive: true })
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  const keys = openKeys(db, openVault(db, keyFile, sealedKeys(db)))
  for (let n = 0; n < sealed; n++) keys.create(signs, Date.now())
  db.$client.close()
}

/** How many keys that sign the next start of the service could open; it throws where that would end with 78. */
function startAgain(dataDir: string, keyFile = join(dataDir, 'pii.key')): number {
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  try {
    openVault(db, keyFile, sealedKeys(db))
    return sealedKeys(db).length
  } finally {
    db.$client.close()
  }
}

function create(env: Record<string, string> = {}) {
  const main = join(root, 'src/keys/main.ts')
  const asked = ['create', '--scope', 'assign', '--signed']
  return spawnSync(process.execPath, [main, ...asked], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    encoding: 'utf8',
  })
}

describe('npm run keys -- create --signed seals with the key file of the service', () => {
  it('in a bare shell beside the database of a shop', () => {
    const dataDir = join(cwd, 'data')
    serve(dataDir)
    expect(create()).toMatchObject({ status: 0, stdout: expect.stringMatching(/^spa_/) })
    expect(startAgain(dataDir)).toBe(2)
    expect(readdirSync(join(cwd, 'data', 'demo'))).toEqual([])
  })

  it('but takes neither where there are two databases, and either when it is named', () => {
    serve(join(cwd, 'data'))
    serve(join(cwd, 'data', 'demo'))
    expect(create()).toMatchObject({
      status: 78,
      stdout: '',
      stderr: expect.stringContaining('set DATA_DIR'),
    })
    expect(create({ DATA_DIR: 'data' }).status).toBe(0)
    expect(startAgain(join(cwd, 'data'))).toBe(2)
    expect(startAgain(join(cwd, 'data', 'demo'))).toBe(1)
  })

  it('that PII_KEY_FILE names', () => {
    const keyFile = join(cwd, 'apart.key')
    serve(join(cwd, 'data'), keyFile)
    expect(create({ PII_KEY_FILE: keyFile }).status).toBe(0)
    expect(startAgain(join(cwd, 'data'), keyFile)).toBe(2)
    expect(readdirSync(join(cwd, 'data'))).not.toContain('pii.key')
  })

  it.each([
    [0, /^PII_KEY_FILE \S+pii\.key is missing, .*PII_KEY_FILE as for npm start.*\n$/],
    [1, /^PII_KEY_FILE \S+pii\.key is not the file .* sealed with.*PII_KEY_FILE as for .*\n$/],
  ])(
    'and makes none when the service alone knows its PII_KEY_FILE, %d keys that sign',
    (sealed, why) => {
      const [DATA_DIR, keyFile] = [join(cwd, 'state'), join(cwd, 'apart.key')]
      serve(DATA_DIR, keyFile, sealed)
      expect(create({ DATA_DIR })).toMatchObject({
        status: 78,
        stdout: '',
        stderr: expect.stringMatching(why),
      })
      expect(existsSync(join(DATA_DIR, 'pii.key'))).toBe(false)
      expect(startAgain(DATA_DIR, keyFile)).toBe(sealed)
    },
  )

  it('and refuses a file of other keys', () => {
    const [DATA_DIR, keyFile] = [join(cwd, 'state'), join(cwd, 'apart.key')]
    serve(DATA_DIR, keyFile)
    const line = `other ${randomBytes(32).toString('hex')}\n`
    writeFileSync(join(DATA_DIR, 'pii.key'), line, { mode: 0o600 })
    expect(create({ DATA_DIR })).toMatchObject({
      status: 78,
      stdout: '',
      stderr: expect.stringMatching(/^PII_KEY_FILE \S+pii\.key is not the file .* sealed with/),
    })
    expect(startAgain(DATA_DIR, keyFile)).toBe(1)
  })

  it('which it makes with the database alone, before the first start, and says so', () => {
    const DATA_DIR = join(cwd, 'new')
    const made = create({ DATA_DIR })
    expect(made.status).toBe(0)
    expect(made.stderr).toContain(`PII_KEY_FILE ${join(DATA_DIR, 'pii.key')} was made`)
    expect(startAgain(DATA_DIR)).toBe(1)
  })

  it('and says that a service of before the newest line has to start again, until it did', () => {
    const DATA_DIR = join(cwd, 'state')
    const keyFile = join(DATA_DIR, 'pii.key')
    serve(DATA_DIR)
    appendFileSync(keyFile, `newer ${randomBytes(32).toString('hex')}\n`)
    for (const _ of ['first', 'second']) {
      expect(create({ DATA_DIR }).stderr).toMatch(/newer.*restart/s)
    }
    const db = openDatabase(join(DATA_DIR, 'smartguide.db'))
    openKeys(db, openVault(db, keyFile, sealedKeys(db))).reseal()
    db.$client.close()
    expect(create({ DATA_DIR }).stderr).not.toContain('restart')
  })
})
