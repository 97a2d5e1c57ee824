import type { z } from 'zod'
import type { Language } from './language.ts'
import { looksLikeField, pointerOf } from './problem.ts'

type Issue = z.core.$ZodIssue
type Fault = { pointer: string; message: string }

const maxFaults = 20
const maxCounted = 1000
const maxLength = 200

/** A sentence for each place that is wrong, which says where in the reader's own words; never with the values that were sent. */
export function findFaults(
  issues: readonly Issue[],
  language: Language,
  isOfPeople = false,
): { faults: Fault[]; count: number; isMore: boolean } {
  const byPointer = new Map<string, Issue>()
  for (const issue of flatten(issues, [], isOfPeople)) {
    if (byPointer.size > maxCounted) break
    const pointer = pointerOf(issue.path)
    if (!byPointer.has(pointer)) byPointer.set(pointer, issue)
  }
  const colon = language === 'zh' ? '：' : ': '
  const faults = [...byPointer].slice(0, maxFaults).map(([pointer, issue]) => {
    const where = placeOf(issue.path, language)
    const what = localized(issue, language)
    const message = where === '' ? what : `${where}${colon}${what}`
    return { pointer, message: message.slice(0, maxLength) }
  })
  return {
    faults,
    count: Math.min(byPointer.size, maxCounted),
    isMore: byPointer.size > maxCounted,
  }
}

/** Of a union the way that the sender most likely meant, the general one, which stands last; of unknown fields each. */
function* flatten(
  issues: readonly Issue[],
  above: readonly PropertyKey[],
  isOfPeople: boolean,
): Generator<Issue> {
  for (const issue of issues) {
    const path = [...above, ...issue.path]
    const last = issue.code === 'invalid_union' ? issue.errors.at(-1) : undefined
    if (last) yield* flatten(last, path, isOfPeople)
    else if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const isNamed = isOfPeople ? looksLikeField(key) : key.length <= 64
        yield { ...issue, path: isNamed ? [...path, key] : path }
      }
    } else yield { ...issue, path }
  }
}

export function localized(issue: Issue, language: Language): string {
  if (language === 'en') return issue.message
  if (issue.code === 'custom') {
    const zh: unknown = issue.params?.['zh']
    if (typeof zh === 'string') return zh
  }
  if (issue.code === 'invalid_format' && issue.format === 'datetime') {
    return '应为带时区的时间，例如 2026-11-23T10:00:00+08:00'
  }
  return issue.message
}

const entries = new Map<PropertyKey, Record<Language, (nth: number) => string>>([
  ['steps', { en: nth => `step ${nth}`, zh: nth => `第 ${nth} 步` }],
  ['guides', { en: nth => `guide ${nth}`, zh: nth => `第 ${nth} 位服务人员` }],
  ['weekly', { en: nth => `weekly shift ${nth}`, zh: nth => `第 ${nth} 个每周班次` }],
  ['dates', { en: nth => `date override ${nth}`, zh: nth => `第 ${nth} 个特殊时期` }],
  ['shifts', { en: nth => `shift ${nth}`, zh: nth => `第 ${nth} 个班次` }],
  ['away', { en: nth => `absence ${nth}`, zh: nth => `第 ${nth} 条请假` }],
])

/** `step 3, id` or 第 3 步的 id. */
function placeOf(path: readonly PropertyKey[], language: Language): string {
  const parts: string[] = []
  for (const [index, part] of path.entries()) {
    const name = path[index - 1]
    if (typeof part !== 'number' || name === undefined) {
      parts.push(String(part))
      continue
    }
    const nth = part + 1
    const say = entries.get(name)?.[language]
    parts.pop()
    parts.push(
      say?.(nth) ?? (language === 'zh' ? `${String(name)} 第 ${nth} 项` : `${String(name)} ${nth}`),
    )
  }
  if (language === 'en') return parts.join(', ')
  return parts
    .join('的 ')
    .replaceAll('的 第', '的第')
    .replace(/(\w)的/g, '$1 的')
}

const types: Record<string, Record<Language, string>> = {
  string: { en: 'text', zh: '文字' },
  number: { en: 'a number', zh: '数字' },
  int: { en: 'a whole number', zh: '整数' },
  boolean: { en: 'true or false', zh: 'true 或 false' },
  array: { en: 'a list', zh: '列表' },
  tuple: { en: 'a list', zh: '列表' },
  object: { en: 'an object', zh: '对象 {…}' },
}

/** What zod's own locales say for programmers, said for whoever keeps a store's documents. */
export function sentenceFor(issue: z.core.$ZodRawIssue, language: Language): string {
  const say = (en: string, zh: string) => (language === 'zh' ? zh : en)
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return say('is missing', '缺少此项')
      const type = types[issue.expected]?.[language] ?? issue.expected
      return say(`must be ${type}`, `应为${type}`)
    }
    case 'invalid_value': {
      const values = issue.values.map(String).join(say(', ', '、'))
      if (issue.values.length === 1) return say(`must be ${values}`, `应为 ${values}`)
      return say(`must be one of ${values}`, `应为以下之一：${values}`)
    }
    case 'unrecognized_keys':
      return say('is not a field here', '此处没有这个字段')
    case 'invalid_union':
      return unionSentence(issue, say)
    case 'too_small':
      return boundSentence(issue.origin, String(issue.minimum), 'least', say)
    case 'too_big':
      return boundSentence(issue.origin, String(issue.maximum), 'most', say)
    default:
      return say('is not valid', '无效')
  }
}

type Say = (en: string, zh: string) => string

function unionSentence(issue: z.core.$ZodRawIssue, say: Say): string {
  const { options } = issue
  if (!Array.isArray(options)) return say('is not valid', '无效')
  return say(`must be one of ${options.join(', ')}`, `应为以下之一：${options.join('、')}`)
}

function boundSentence(origin: string, bound: string, side: 'least' | 'most', say: Say): string {
  const zh = side === 'least' ? '至少' : '最多'
  const [entries, characters] = bound === '1' ? ['entry', 'character'] : ['entries', 'characters']
  if (origin === 'array') {
    return say(`must have at ${side} ${bound} ${entries}`, `${zh} ${bound} 项`)
  }
  if (origin === 'string') {
    return say(`must have at ${side} ${bound} ${characters}`, `${zh} ${bound} 个字符`)
  }
  return say(
    `must be at ${side} ${bound}`,
    side === 'least' ? `不能小于 ${bound}` : `不能大于 ${bound}`,
  )
}
