/** What the mini-program copies of a guide of personal WeChat: name, telephone, ID, in lines, with labels or without. */
export type Copied = { guideId: string | null; mobile: string | null; name: string | null }

type Kind = 'name' | 'mobile' | 'guideId' | 'other'
type Part = { kind: Kind | null; text: string }

const words: Record<Kind, { zh: string; en: string }> = {
  name: { zh: '姓名|名字|名称|昵称', en: 'name' },
  mobile: { zh: '手机号码?|手机|联系电话|联系方式|电话号码?|电话', en: 'mobile|phone|tel' },
  guideId: { zh: '编号', en: 'guide[_ ]?id|id' },
  other: { zh: '(?:所属)?(?:门店|店铺|商户)(?:名称|编号|id)?|状态', en: 'store(?:[_ ]?id)?' },
}
const kinds = ['other', 'name', 'mobile', 'guideId'] as const
const role = '(?:服务人员|员工|导购)'

// A Chinese word is a label wherever it stands. A Latin one may be part of a name, or of an ID: it needs a role before
// it, or a colon or a tab behind, or what only a number or an ID can be.
const label = new RegExp(
  kinds
    .map(kind => {
      const { zh, en } = words[kind]
      const behind = kind === 'name' ? '' : String.raw`|\s+(?=\+?\d|[\w-]{16})`
      return String.raw`(?<${kind}>${role}?(?:${zh})\s*[:：=]?|${role}(?:${en})\s*[:：=]?|(?<![\w-])(?:${en})(?:\s*[:：=]|\t${behind}))`
    })
    .join('|'),
  'gi',
)

const separator = /[\n\r\t,，;；、|。]+| {2,}/
const invisible = /[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g
// A number in China, with what people write before it and between its digits; or one that says its country.
const someMobile =
  /(?<![\w-])(?:(?:(?:\+|00)?86[ -]?)?1[3-9]\d(?:[ -]?\d){8}|\+\d{1,3}[ -]?\d[\d -]{4,20}\d)(?![\w-])/
const someId = /(?<![\w-])(?=[A-Za-z_-]*\d)[\w-]{16,64}(?![\w-])/
const labelledId = /^[\x21-\x7e]{1,64}/
const someNumber = /\+?\d[\d -]{3,}\d/

/** Pure; what it does not find is null. */
export function readCopied(text: string): Copied {
  const parts = partsOf(text.replace(invisible, '').replace(/[^\S\n\r\t]/g, ' '))
  const copied: Copied = { guideId: null, mobile: null, name: null }
  const isLabelled = (kind: Kind) => parts.some(part => part.kind === kind)

  for (const part of parts) {
    if (part.kind === 'guideId') copied.guideId ??= take(part, labelledId)
    if (part.kind === 'mobile') copied.mobile ??= take(part, someMobile) ?? take(part, someNumber)
  }
  for (const part of parts) {
    if (part.kind === 'other') continue
    // A name may look like a number, where the number has a label of its own.
    if (!isLabelled('mobile')) copied.mobile ??= take(part, someMobile)
    if (!isLabelled('guideId')) copied.guideId ??= take(part, someId)
  }
  const names = isLabelled('name') ? parts.filter(({ kind }) => kind === 'name') : parts
  const name = names.find(({ kind, text: left }) => kind !== 'other' && left.trim() !== '')
  copied.name = name?.text.trim() ?? null
  copied.mobile &&= plain(copied.mobile)
  return copied
}

/** What stands between labels and separators; a label goes with what follows it, in the next line too. */
function partsOf(text: string): Part[] {
  const parts: Part[] = []
  let kind: Kind | null = null
  let from = 0
  const put = (to: number) => {
    const pieces = text.slice(from, to).split(separator)
    for (const piece of pieces.filter(each => each.trim() !== '')) {
      parts.push({ kind, text: piece.trim() })
      kind = null
    }
  }
  for (const found of text.matchAll(label)) {
    put(found.index)
    kind = kinds.find(each => found.groups?.[each] !== undefined) ?? null
    from = found.index + found[0].length
  }
  put(text.length)
  return parts
}

/** Takes the first of these out of the part. */
function take(part: Part, pattern: RegExp): string | null {
  const found = pattern.exec(part.text)
  if (!found) return null
  const [before, after] = [
    part.text.slice(0, found.index),
    part.text.slice(found.index + found[0].length),
  ]
  part.text = `${before.trim()} ${after.trim()}`.trim()
  return found[0].trim()
}

function plain(mobile: string): string {
  const digits = mobile.replace(/[ -]/g, '')
  const inChina = /^(?:\+?86|0086)?(1[3-9]\d{9})$/.exec(digits)
  return inChina?.[1] ?? mobile
}
