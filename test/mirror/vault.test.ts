import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Db, openDatabase } from '../../src/db/open.ts'
import { StartError } from '../../src/errors.ts'
import { openGuideImports } from '../../src/mirror/guide-imports.ts'
import { openGuides } from '../../src/mirror/guides.ts'
import { openMirror } from '../../src/mirror/mirror.ts'
import { openVault } from '../../src/mirror/open-vault.ts'
import { createVault } from '../../src/mirror/vault.ts'
import { readVaultKeys } from '../../src/mirror/vault-key-file.ts'
import { aDirectory, merchant } from '../support/ledger.ts'
import { writeSecret } from '../support/service-process.ts'

const secret = Buffer.alloc(32, 7)
const vault = createVault([{ id: 'k1', secret }])
const anyText = fc.string({ unit: 'binary', maxLength: 200 })

let dir: ReturnType<typeof aDirectory>
let keyFile: string
const open: Db[] = []

beforeEach(() => {
  dir = aDirectory()
  keyFile = join(dir.path, 'pii.key')
})
afterEach(() => {
  for (const db of open.splice(0)) if (db.$client.open) db.$client.close()
  dir.remove()
})

const aLine = (id: string) => `${id} ${randomBytes(32).toString('hex')}`
const writeKeys = (...lines: string[]) => writeSecret(keyFile, lines.join('\n'))

/** The mirror's guides as a service that starts now would have them. */
function start() {
  const db = openDatabase(join(dir.path, 'smartguide.db'))
  open.push(db)
  const mirror = openMirror(db)
  mirror.putStore({ storeId: 1, merchant, name: 'store', timezone: 'Asia/Shanghai' })
  const opened = openVault(db, keyFile)
  const keyIds = () =>
    db.$client
      .prepare(
        "SELECT DISTINCT substr(profile, 1, instr(profile, '.') - 1) FROM guides WHERE profile IS NOT NULL ORDER BY 1",
      )
      .pluck()
      .all()
  return {
    db,
    vault: opened,
    guides: openGuides(db, opened, () => {}),
    imports: openGuideImports(db, opened),
    keyIds,
    stop: () => db.$client.close(),
  }
}

const mobileOf = (nth: number) => `138${String(nth).padStart(8, '0')}`

function keep({ guides }: Pick<ReturnType<typeof start>, 'guides'>, from: number, count: number) {
  for (let nth = from; nth < from + count; nth++) {
    const guideId = `G${String(nth).padStart(6, '0')}`
    const profile = { name: `王${nth}`, mobile: mobileOf(nth), avatar: `https://x.test/${nth}` }
    guides.keep({ guideId, storeId: 1, userid: `u${nth}`, workId: null, profile }, 1)
  }
}

function refusal(act: () => unknown): StartError {
  try {
    act()
  } catch (cause) {
    if (cause instanceof StartError) return cause
    throw cause
  }
  throw new Error('it was not refused')
}

describe('what the vault sealed', () => {
  it('opens to the same text, whatever it was', () => {
    fc.assert(
      fc.property(anyText, anyText, (text, place) => {
        expect(vault.open(vault.seal(text, place), place)).toBe(text)
      }),
    )
  })

  it('never looks the same twice, and says nothing of the text but its length', () => {
    fc.assert(
      fc.property(anyText, text => {
        const [one, other] = [vault.seal(text, 'p'), vault.seal(text, 'p')]
        expect(one).not.toBe(other)
        expect(one.slice(0, 19)).not.toBe(other.slice(0, 19))
        const bytes = Buffer.from(one.slice(3), 'base64url')
        expect(bytes.length).toBe(12 + Buffer.byteLength(text) + 16)
        if (Buffer.byteLength(text) > 3) expect(bytes.includes(text)).toBe(false)
      }),
    )
  })

  it('is null once any bit is another, it is cut, or something is put in', () => {
    fc.assert(
      fc.property(anyText, fc.nat(), fc.nat(), (text, at, more) => {
        const sealed = vault.seal(text, 'p')
        const bytes = Buffer.from(sealed.slice(3), 'base64url')
        const bit = at % (bytes.length * 8)
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(vault.open(`k1.${bytes.toString('base64url')}`, 'p')).toBeNull()
        const cut = more % sealed.length
        expect(vault.open(sealed.slice(0, cut), 'p')).toBeNull()
        expect(vault.open(`${sealed.slice(0, cut)}!${sealed.slice(cut)}`, 'p')).toBeNull()
        expect(vault.open(`${sealed}A`, 'p')).toBeNull()
      }),
    )
  })

  it('is null once any of its characters is another, the last one with its idle bits too', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    for (const text of ['', '王', '王小', '王小美']) {
      const sealed = vault.seal(text, 'p')
      for (let at = 0; at < sealed.length; at++) {
        for (const letter of [...alphabet, '=', '+', '/', '.', ' ']) {
          if (letter === sealed[at]) continue
          const changed = `${sealed.slice(0, at)}${letter}${sealed.slice(at + 1)}`
          expect(vault.open(changed, 'p')).toBeNull()
        }
      }
    }
  })

  it('is null in another place, by another key, and for a key of the same name', () => {
    fc.assert(
      fc.property(anyText, anyText, anyText, (text, place, other) => {
        fc.pre(place !== other)
        const sealed = vault.seal(text, place)
        expect(vault.open(sealed, other)).toBeNull()
        const otherSecret = Buffer.alloc(32, 8)
        expect(createVault([{ id: 'k1', secret: otherSecret }]).open(sealed, place)).toBeNull()
        expect(createVault([{ id: 'k2', secret }]).open(sealed, place)).toBeNull()
      }),
    )
  })

  it('is null and no throw when it is junk', () => {
    fc.assert(
      fc.property(anyText, anyText, (junk, place) => {
        expect(vault.open(junk, place)).toBeNull()
        expect(vault.open(`k1.${junk}`, place)).toBeNull()
      }),
    )
  })

  it('has an index that is the same for the same text alone, and another under another key', () => {
    const other = createVault([{ id: 'k1', secret: Buffer.alloc(32, 8) }])
    fc.assert(
      fc.property(anyText, anyText, (one, two) => {
        expect(vault.indexes(one)).toEqual(vault.indexes(one))
        if (one !== two) expect(vault.indexes(one)).not.toEqual(vault.indexes(two))
        expect(vault.indexes(one)).not.toEqual(other.indexes(one))
      }),
    )
  })
})

describe('the key file', () => {
  const read = () => readVaultKeys(keyFile, { mayMake: true })

  it('is made when there is none, for its owner alone, and is kept', () => {
    const made = read()
    expect(made).toHaveLength(1)
    expect(statSync(keyFile).mode & 0o777).toBe(0o600)
    expect(read()).toEqual(made)
  })

  it('has another name and secret each time that it is made', () => {
    const [one] = read()
    keyFile = join(dir.path, 'other.key')
    const [other] = read()
    expect(other?.id).not.toBe(one?.id)
    expect(other?.secret).not.toEqual(one?.secret)
  })

  it('may be written on Windows, with blank lines, and without an end of the last line', () => {
    const [one, two] = [aLine('old'), aLine('new')]
    writeKeys('', `${one}\r`, '  ', `\t${two.toUpperCase().replace('NEW', 'new')}  `)
    expect(read().map(({ id, secret: bytes }) => `${id} ${bytes.toString('hex')}`)).toEqual([
      one,
      two,
    ])
  })

  it.each([0o640, 0o604, 0o660, 0o777])('is refused when others may open it (%o)', mode => {
    writeSecret(keyFile, aLine('k1'), mode)
    expect(refusal(read).message).toMatch(/^PII_KEY_FILE .* can be read by others: run chmod 600/)
  })

  it.each([
    ['nothing', '', 'holds no key'],
    ['blank lines', '\n \r\n\n', 'holds no key'],
    ['half a key', 'k1 00ff', 'line 1,'],
    ['no name', 'f'.repeat(64), 'line 1,'],
    ['a name that cannot be', `k.1 ${'f'.repeat(64)}`, 'line 1,'],
    ['a name too long', `${'k'.repeat(17)} ${'f'.repeat(64)}`, 'line 1,'],
    ['65 digits', `k1 ${'f'.repeat(65)}`, 'line 1,'],
    ['a letter beyond f', `k1 ${'g'.repeat(64)}`, 'line 1,'],
    ['a wrong line after blank ones', `\n\nk1 ${'f'.repeat(64)}\nsecret`, 'line 4,'],
    ['two keys of one name', `${aLine('k1')}\n${aLine('k1')}`, 'two keys of one name'],
  ])('is refused when it holds %s, in a sentence without a word of it', (_, text, says) => {
    writeSecret(keyFile, text)
    const { message, exitCode } = refusal(read)
    expect([message.includes(says), exitCode]).toEqual([true, 78])
    expect(message).not.toMatch(/[0-9a-f]{16}|secret|g{8}/)
    expect(readFileSync(keyFile, 'utf8')).toBe(text)
  })

  it('is refused when it is a directory, or cannot be made', () => {
    mkdirSync(keyFile, { mode: 0o700 })
    expect(refusal(read).message).toContain('cannot be read')
    keyFile = join(dir.path, 'nowhere', 'pii.key')
    expect(refusal(read).message).toContain('cannot be written')
  })
})

describe('a change of the key', () => {
  const [old, fresh] = [aLine('old'), aLine('fresh')]

  it('costs nobody: looked up before, during and after, and the old line can go once all is sealed anew', () => {
    writeKeys(old)
    const before = start()
    keep(before, 0, 450)
    expect(before.guides.byMobile(mobileOf(449))).toHaveLength(1)
    before.stop()

    writeKeys(old, fresh)
    const during = start()
    expect(during.guides.byMobile(mobileOf(0))).toMatchObject([{ profile: { name: '王0' } }])
    expect(during.guides.reseal()).toBe(false)
    expect(during.keyIds()).toEqual(['fresh', 'old'])
    keep(during, 450, 1)
    for (const nth of [0, 199, 200, 449, 450]) {
      expect(during.guides.byMobile(mobileOf(nth))).toHaveLength(1)
    }
    // Killed here: what is sealed anew stays so, and the next start goes on.
    during.stop()
    writeKeys(fresh)
    expect(refusal(start).message).toContain('the key old')

    writeKeys(old, fresh)
    const after = start()
    expect(after.guides.reseal()).toBe(false)
    expect(after.guides.reseal()).toBe(true)
    expect(after.guides.reseal()).toBe(true)
    expect(after.keyIds()).toEqual(['fresh'])
    after.stop()

    writeKeys(fresh)
    const alone = start()
    for (let nth = 0; nth <= 450; nth++) {
      expect(alone.guides.byMobile(mobileOf(nth))).toMatchObject([
        { profile: { name: `王${nth}`, avatar: `https://x.test/${nth}` } },
      ])
    }
  })

  it.each([
    ['k_1', 'kx1'],
    ['key', 'KEY'],
    ['a', 'a_'],
    ['a_', 'a'],
  ])('tells %s from %s', (newId, oldId) => {
    const [first, second] = [aLine(oldId), aLine(newId)]
    writeKeys(first)
    const before = start()
    keep(before, 0, 3)
    before.stop()
    writeKeys(first, second)
    const during = start()
    expect(during.guides.reseal()).toBe(true)
    expect(during.keyIds()).toEqual([newId])
    during.stop()
    writeKeys(second)
    expect(start().guides.byMobile(mobileOf(1))).toHaveLength(1)
  })

  it('takes the rows of imports along that wait for WeChat Pay', async () => {
    writeKeys(old)
    const before = start()
    const rows = Array.from({ length: 250 }, (_, row) => ({
      row,
      content: `王小美 ${row}`,
      errors: [],
    }))
    await before.imports.create({ id: 'i', author: 'a', createdAtMs: 1 }, rows)
    before.imports.settle('i', 0, { status: 'registered', guideId: 'G' })
    before.stop()

    writeKeys(fresh)
    expect(refusal(start).message).toContain('does not hold the key old')
    writeKeys(old, fresh)
    const during = start()
    expect([during.imports.reseal(), during.imports.reseal()]).toEqual([false, true])
    during.stop()

    writeKeys(fresh)
    const alone = start()
    expect(alone.imports.waiting('i', -1, 1000)).toEqual(
      rows.slice(1).map(({ row, content }) => ({ row, content })),
    )
  })

  it('leaves a damaged row to the next sync: the old line can go all the same', () => {
    writeKeys(old)
    const before = start()
    keep(before, 0, 3)
    before.db.$client
      .prepare(
        "UPDATE guides SET profile = 'old.' || substr(profile, 9) WHERE guide_id = 'G000000'",
      )
      .run()
    before.stop()
    writeKeys(old, fresh)
    const during = start()
    expect(during.guides.find('G000000')?.profile).toBeNull()
    expect(during.guides.reseal()).toBe(true)
    during.stop()
    writeKeys(fresh)
    const alone = start()
    expect(alone.guides.find('G000001')?.profile?.name).toBe('王1')
    keep(alone, 0, 1)
    expect(alone.guides.find('G000000')?.profile?.name).toBe('王0')
  })
})

describe('a lost key', () => {
  const [one, two] = [aLine('one'), aLine('two')]
  const contents = () => readFileSync(join(dir.path, 'smartguide.db'))

  it('is said at the start, and no new file is made in its place', () => {
    const before = start()
    keep(before, 0, 1)
    before.stop()
    const line = readFileSync(keyFile, 'utf8')
    keyFile = join(dir.path, 'moved.key')
    const { message, exitCode } = refusal(start)
    expect(exitCode).toBe(78)
    expect(message).toMatch(/^PII_KEY_FILE .* is missing, .*: bring that file back\.$/)
    expect(existsSync(keyFile)).toBe(false)
    writeSecret(keyFile, line)
    expect(start().guides.find('G000000')?.profile?.name).toBe('王0')
  })

  it('is found when only some rows, the last ones, were sealed with it', () => {
    writeKeys(one)
    const first = start()
    keep(first, 0, 300)
    first.stop()
    writeKeys(one, two)
    const second = start()
    keep(second, 300, 1)
    second.stop()
    const file = contents()
    writeKeys(one)
    expect(refusal(start).message).toContain('does not hold the key two')
    writeKeys(two)
    expect(refusal(start).message).toContain('does not hold the key one')
    writeKeys(two, one)
    expect(start().guides.find('G000300')?.profile?.name).toBe('王300')
    expect(contents().equals(file)).toBe(true)
  })

  it('is found when another secret goes by its name', () => {
    writeKeys(one)
    const before = start()
    keep(before, 0, 20)
    before.stop()
    writeKeys(aLine('one'))
    expect(refusal(start).message).toContain('does not hold the key one')
  })

  it('asks for no key of who was forgotten', () => {
    writeKeys(one)
    const before = start()
    keep(before, 0, 1)
    before.guides.erase('G000000', 2)
    before.stop()
    writeKeys(two)
    expect(start().guides.find('G000000')?.profile).toBeNull()
  })
})

describe('a mobile', () => {
  it.each([
    ['13800138000', '13800138000'],
    ['+86 138-0013-8000', '13800138000'],
    ['13800138000', '+8613800138000'],
    ['008613800138000', '138 0013 8000'],
    ['0755-12345678', '075512345678'],
    ['+852 9123 4567', '+85291234567'],
  ])('that was registered as %s is found by %s', (mobile, asked) => {
    const { guides } = start()
    const profile = { name: '王', mobile }
    guides.keep({ guideId: 'G', storeId: 1, userid: 'u', workId: null, profile }, 1)
    expect(guides.byMobile(asked)).toMatchObject([{ profile: { mobile } }])
    expect(guides.byMobile(`${asked}1`)).toEqual([])
  })
})

describe('who was forgotten', () => {
  const links = { avatar: 'https://x.test/a' }

  it('stays so when a change that began before comes back, or changes no more than a link', () => {
    const running = start()
    keep(running, 0, 1)
    const before = running.guides.find('G000000')
    if (!before) throw new Error('the guide is not there')
    running.guides.erase('G000000', 2)
    running.guides.change(before, { name: '李雷' })
    const forgotten = running.guides.find('G000000')
    expect(forgotten).toMatchObject({ profile: null, erasedAtMs: 2 })
    if (!forgotten) throw new Error('the guide is not there')
    running.guides.change(forgotten, links)
    expect(running.guides.find('G000000')).toMatchObject({ profile: null, erasedAtMs: 2 })
    keep(running, 0, 1)
    expect(running.guides.find('G000000')).toMatchObject({ profile: null, erasedAtMs: 2 })
    expect(running.guides.byMobile(mobileOf(0))).toEqual([])
    running.guides.change(forgotten, { name: '李雷' })
    expect(running.guides.find('G000000')).toMatchObject({
      profile: { name: '李雷', mobile: null },
      erasedAtMs: null,
    })
  })
})
