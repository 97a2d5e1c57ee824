import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { guideChangesSchema, nameSchema, newGuideSchema } from '../../src/guides/fields.ts'
import { findFaults, sentenceFor } from '../../src/http/sentences.ts'
import {
  MOBILE_BYTES,
  NAME_BYTES,
  readJson,
  storeId,
  text,
  URL_BYTES,
} from '../../src/simulator/parameters.ts'
import type { GatewayRequest } from '../../src/simulator/request.ts'

// What the simulator asks of a registration, name and mobile as it sees them once they are decrypted.
const registration = z.object({
  corpid: text(64),
  store_id: storeId,
  userid: text(64),
  name: text(NAME_BYTES),
  mobile: text(MOBILE_BYTES),
  qr_code: text(URL_BYTES),
  avatar: text(URL_BYTES),
  group_qrcode: text(URL_BYTES).optional(),
})

const isTakenUpstream = (fields: object) =>
  readJson({ body: Buffer.from(JSON.stringify(fields)) } as GatewayRequest, registration).ok

const aGuide = (fields: object = {}) => ({
  store_id: 1001,
  corpid: 'ww1234567890abcdef',
  userid: 'emp-1',
  name: '王小美',
  mobile: '13800138000',
  qr_code: 'https://example.com/qr',
  avatar: 'https://example.com/a.png',
  ...fields,
})

function sentenceOf(fields: object, language: 'en' | 'zh' = 'en'): string | null {
  const read = newGuideSchema.safeParse(aGuide(fields), {
    error: issue => sentenceFor(issue, language),
  })
  return read.success ? null : (findFaults(read.error.issues, language).faults[0]?.message ?? '')
}

// Of 1, 2, 3 and 4 bytes, with what tends to be in the way: blanks, marks, halves.
const letters = fc.constantFrom(
  ...'aZ0-_.@+ ·éñ王小卡རྩېਔ𠮷😀',
  '\u200d',
  '\ufe0f',
  '\ufeff',
  '\n',
  '\0',
  '\u0085',
  '\u2028',
  '\u3000',
  '\ud83d',
  '\udc00',
)
const near = (max: number) =>
  fc.oneof(
    fc.string({ unit: letters, maxLength: max + 4 }),
    fc.string({ unit: 'binary', maxLength: 30 }),
    // As many bytes as are allowed, and one on either side.
    fc
      .tuple(fc.constantFrom('a', 'é', '王', '1'), fc.integer({ min: -1, max: 1 }))
      .map(([letter, more]) => {
        const count = Math.floor((max + more) / Buffer.byteLength(letter))
        return letter.repeat(count) + 'x'.repeat(max + more - count * Buffer.byteLength(letter))
      }),
  )
const aMobile = fc.string({ unit: fc.constantFrom(...'0123456789+- １'), maxLength: 36 })
const aLink = fc.oneof(
  near(URL_BYTES - 20).map(rest => `https://x.test/${rest}`),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  near(40),
)

describe('whatever our rules take', () => {
  it('WeChat Pay takes, by the rules of the simulator', () => {
    let taken = 0
    const fields = fc.record(
      {
        name: near(NAME_BYTES),
        mobile: aMobile,
        qr_code: aLink,
        avatar: aLink,
        group_qrcode: aLink,
        userid: near(64),
        corpid: near(64),
        store_id: fc.oneof(fc.integer(), fc.double(), fc.maxSafeNat()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fields, some => {
        // One wrong field would hide the others.
        for (const [name, value] of Object.entries(some)) {
          const read = newGuideSchema.safeParse(aGuide({ [name]: value }))
          if (!read.success) continue
          taken += 1
          expect(isTakenUpstream(read.data)).toBe(true)
        }
      }),
      { numRuns: 3000 },
    )
    expect(taken).toBeGreaterThan(1000)
  })

  it('is the same for a change as for a registration', () => {
    fc.assert(
      fc.property(near(NAME_BYTES), aMobile, aLink, (name, mobile, avatar) => {
        for (const field of [{ name }, { mobile }, { avatar }]) {
          const registered = newGuideSchema.safeParse(aGuide(field))
          expect(guideChangesSchema.safeParse(field).success).toBe(registered.success)
        }
      }),
    )
  })

  it.each([
    ['name', 'a'.repeat(64)],
    ['name', `${'王'.repeat(21)}a`],
    ['mobile', `+${'1'.repeat(31)}`],
    ['userid', 'u'.repeat(64)],
    ['corpid', 'w'.repeat(64)],
    ['qr_code', `https://x.test/${'q'.repeat(1009)}`],
    ['group_qrcode', `https://x.test/${'q'.repeat(1009)}`],
  ])('reaches to the limit of %s, and no further', (field, longest) => {
    expect(sentenceOf({ [field]: longest })).toBeNull()
    expect(isTakenUpstream(aGuide({ [field]: longest }))).toBe(true)
    expect(sentenceOf({ [field]: `${longest}1` })).toMatch(new RegExp(`^${field}: must `))
    expect(isTakenUpstream(aGuide({ [field]: `${longest}1` }))).toBe(false)
  })
})

describe('what people are called, and where they are reached', () => {
  it.each([
    '王小美',
    '欧阳 娜娜',
    '阿迪力·买买提',
    'Mary Ann',
    "Conan O'Brien",
    'José Muñoz',
    '小美（导购）',
    'ئابدۇللا ئابدۇرېھىم',
    'བསྟན་འཛིན་རྒྱ་མཚོ',
    'ᠪᠠᠲᠤ',
    '龘靐齉',
    '㐂䶮',
    '王A1',
    '007',
  ])('is taken: %s', name => {
    expect(sentenceOf({ name })).toBeNull()
    expect(isTakenUpstream(aGuide({ name }))).toBe(true)
  })

  it.each([
    '13800138000',
    '+86 13800138000',
    '+86-138-0013-8000',
    '86 138 0013 8000',
    '0755-12345678',
    '021 6123 4567',
    '400-820-8820',
    '95017',
    '+852 9123 4567',
    '+1-202-555-0123',
  ])('is taken: %s', mobile => {
    expect(sentenceOf({ mobile })).toBeNull()
    expect(isTakenUpstream(aGuide({ mobile }))).toBe(true)
  })

  it.each(['li.lei', 'LiLei@corp', 'li_lei-01', '10086', 'WangXiaoMei'])('is taken: %s', userid => {
    expect(sentenceOf({ userid })).toBeNull()
  })

  it('loses the blanks around it and nothing else', () => {
    expect(nameSchema.parse(' \u3000王 小美\t')).toBe('王 小美')
  })
})

describe('what cannot be', () => {
  it.each([
    ['an emoji', '小美😊', /emoji/, /表情符号/],
    ['a character of 4 bytes', '𠮷野', /4 bytes/, /生僻字/],
    ['half an emoji', '小美\ud83d', /half a character/, /损坏/],
    ['the other half', '\ude0a小美', /half a character/, /损坏/],
    ['a line break', '小\n美', /line breaks/, /换行/],
    ['a line separator', '小\u2028美', /line breaks/, /换行/],
    ['a control character', '小\u0007美', /control characters/, /控制字符/],
    ['a null', '小\0美', /control characters/, /控制字符/],
    ['a zero-width joiner', '小\u200d美', /zero-width/, /零宽/],
    ['a zero-width space', '小\u200b美', /invisible/, /不可见/],
    ['a mark of direction', '小\u202e美', /invisible/, /不可见/],
    ['the mark of an emoji', '小\u2764\ufe0f', /invisible/, /不可见/],
    ['a byte order mark', '小\ufeff美', /invisible/, /不可见/],
    ['too many bytes', '美'.repeat(22), /64 bytes/, /64 字节/],
    ['nothing', ' ', /at least 1/, /./],
  ])('in a name is named: %s', (_, name, en, zh) => {
    expect(sentenceOf({ name })).toMatch(en)
    expect(sentenceOf({ name }, 'zh')).toMatch(zh)
    expect(sentenceOf({ name })).not.toContain('小')
  })

  it.each([
    '',
    '138',
    'tel 13800138000',
    '１３８００１３８０００',
    '138\u200b00138000',
    '138\n00138000',
    '++8613800138000',
    '1'.repeat(33),
    '13800138000😀',
  ])('is no mobile: %j', mobile => {
    expect(sentenceOf({ mobile })).toMatch(/^mobile: must be a telephone number/)
  })

  it.each([
    'example.com/qr',
    'ftp://example.com/qr',
    'https://',
    'https://例子.测试/二维码',
    'https://example.com/a b',
    'https://example.com/\n',
    'javascript:alert(1)',
    'https://exam\ud83dple.com',
  ])('is no link: %j', qr_code => {
    expect(sentenceOf({ qr_code })).toMatch(/^qr_code: must be a URL/)
  })

  it.each(['', '李雷', 'li lei', 'li/lei', 'li\u200dlei', 'li\n'])('is no userid: %j', userid => {
    expect(sentenceOf({ userid })).toMatch(/^userid: must be/)
  })
})
