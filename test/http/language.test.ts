import { expect, it } from 'vitest'
import { preferredLanguage } from '../../src/http/language.ts'

it.each([
  [undefined, 'en'],
  ['', 'en'],
  ['*', 'en'],
  ['fr', 'en'],
  ['zh', 'zh'],
  ['zh-CN,zh;q=0.9,en;q=0.8', 'zh'],
  ['ZH-hans-CN', 'zh'],
  ['en, zh', 'en'],
  ['zh;q=0.3, en;q=0.7', 'en'],
  ['zh;q=0, fr', 'en'],
  ['en;q=0, zh;q=0.1', 'zh'],
  ['fr, zh;q=0.1', 'zh'],
  ['zhx', 'en'],
  ['zh;q=yes', 'en'],
  [`${'fr,'.repeat(1000)}zh`, 'en'],
])('Accept-Language %j is answered in %s', (header, language) => {
  expect(preferredLanguage(header)).toBe(language)
})
