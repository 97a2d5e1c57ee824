/** What the mini-program copies of a guide of personal WeChat: name, telephone, ID, in lines, with labels or without. */
export type Copied = { guideId: string | null; mobile: string | null; name: string | null }

const label =
  /^\s*(?:服务人员)?(?:姓名|名字|名称|name|手机号码?|电话|mobile|phone|ID|编号|guide_?id)\s*[:：]\s*/i

/** Pure; what it does not find is null. */
export function readCopied(text: string): Copied {
  const parts = text
    .split(/[\n\r,，;；、\t]+|\s{2,}/)
    .flatMap(part => (label.test(part) ? [part] : part.split(/\s+(?=\S*[:：])/)))
    .map(part => part.replace(label, '').trim())
    .filter(part => part !== '')
  const words = parts.flatMap(part => part.split(/\s+/))
  const mobile = words.find(word => /^(?:\+?86-?)?1\d{10}$/.test(word)) ?? null
  const guideId = words.find(word => /^[0-9A-Za-z_-]{16,64}$/.test(word) && word !== mobile) ?? null
  const name = parts.find(
    part => !words.some(word => part === word && (word === mobile || word === guideId)),
  )
  return { guideId, mobile: mobile?.replace(/^\+?86-?/, '') ?? null, name: name ?? null }
}
