import { z } from 'zod'
import { say } from '../rules/names.ts'

/** What WeChat Pay takes for a name and a mobile, in bytes of UTF-8 before they are encrypted. */
const maxNameBytes = 64
const maxMobileBytes = 32
const maxLinkLength = 1024
const maxIdLength = 64

const bytes = (text: string) => new TextEncoder().encode(text).length

/** What no name may have, with the words that say so: WeChat Pay takes characters of 1 to 3 bytes of UTF-8. */
const forbidden = [
  [/\p{Cs}/u, 'must not have half a character', '含有损坏的字符'],
  [
    /[\u{10000}-\u{10ffff}]/u,
    'must have no emoji and no characters of 4 bytes',
    '不能包含表情符号或4字节的生僻字',
  ],
  [
    /[\p{Cc}\p{Zl}\p{Zp}]/u,
    'must have no line breaks or control characters',
    '不能包含换行或控制字符',
  ],
  [
    /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]|[\ufe00-\ufe0f]/u,
    'must have no invisible characters, such as zero-width joiners',
    '不能包含不可见字符，例如零宽连接符',
  ],
] as const

const within = (max: number) =>
  say(`must have at most ${max} bytes of UTF-8`, `UTF-8 编码后最多 ${max} 字节`)

export const nameSchema = forbidden
  .reduce(
    (schema, [pattern, en, zh]) => schema.refine(text => !pattern.test(text), say(en, zh)),
    z.string().trim().min(1),
  )
  .refine(text => bytes(text) <= maxNameBytes, within(maxNameBytes))

export const mobileSchema = z
  .string()
  .trim()
  .refine(
    text => /^\+?\d[\d -]{3,}$/.test(text) && bytes(text) <= maxMobileBytes,
    say('must be a telephone number of at most 32 characters', '应为不超过32个字符的电话号码'),
  )

export const linkSchema = z
  .string()
  .max(maxLinkLength)
  .refine(
    text => /^https?:\/\/[\x21-\x7e]+$/.test(text) && URL.canParse(text),
    say('must be a URL that begins with https://', '应为以 https:// 开头的网址'),
  )

export const corpidSchema = z
  .string()
  .refine(
    text => /^\w{1,64}$/.test(text),
    say(
      'must be a corpid of WeCom, such as ww1234567890abcdef',
      '应为企业微信的企业ID，例如 ww1234567890abcdef',
    ),
  )

export const useridSchema = z
  .string()
  .max(maxIdLength)
  .refine(
    text => /^[\w.@-]+$/.test(text),
    say("must be the employee's userid of WeCom", '应为企业微信的员工账号 userid'),
  )

const storeIdSchema = z.int().positive()

/** What registers a guide of WeCom. */
export const newGuideSchema = z
  .strictObject({
    store_id: storeIdSchema,
    corpid: corpidSchema,
    userid: useridSchema,
    name: nameSchema,
    mobile: mobileSchema,
    qr_code: linkSchema,
    avatar: linkSchema,
    group_qrcode: linkSchema.optional(),
  })
  .meta({ id: 'NewGuide' })

export type NewGuideFields = z.infer<typeof newGuideSchema>

/** What may be changed of a guide; absent stays as it is. */
export const guideChangesSchema = z
  .strictObject({
    name: nameSchema.optional(),
    mobile: mobileSchema.optional(),
    avatar: linkSchema.optional(),
    qr_code: linkSchema.optional(),
    group_qrcode: linkSchema.optional(),
  })
  .meta({ id: 'GuideChanges' })

export type GuideChangeFields = z.infer<typeof guideChangesSchema>
