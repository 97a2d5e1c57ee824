import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { errorTable } from '../../src/errors.ts'
import { type Asked, createManager } from '../support/manage.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
  await rig.openStore(1, 1)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

const chinese = /[\u4e00-\u9fff]/
const plan = { steps: [{ use: 'none' }] }

type Case = [what: string, code: string, method: string, path: string, asked?: Asked]

/** One for each kind of fault that a manager or an administrator can bring about. */
const faults: Case[] = [
  ['a query that is no instant', 'invalid_request', 'GET', '/stores/1/on-duty?at=noon'],
  ['an unknown query', 'invalid_request', 'GET', '/stores/1/on-duty?when=now'],
  ['a missing query', 'invalid_request', 'GET', '/guides/G/missed'],
  [
    'a word not on the list',
    'invalid_request',
    'PUT',
    '/stores/1/plan?dry_run=yes',
    { body: plan },
  ],
  ['a store_id in letters', 'invalid_request', 'GET', '/stores/abc/plan'],
  ['a version in letters', 'invalid_request', 'GET', '/stores/1/plan/versions/x'],
  ['too many days', 'invalid_request', 'GET', '/stores/1/lint?days=99'],
  ['a number of an order', 'invalid_request', 'GET', '/orders/%20/explain'],
  [
    'a period that ends before it begins',
    'invalid_request',
    'GET',
    '/stores/1/fairness?from=2026-02-02T00:00:00Z&to=2026-02-01T00:00:00Z',
  ],
  [
    'an instant that is over',
    'invalid_request',
    'PUT',
    '/stores/1/plan?effective_at=2020-01-01T00:00:00Z',
    { body: plan, ifMatch: '"0"' },
  ],
  ['no key', 'unauthorized', 'GET', '/stores', { headers: { authorization: '' } }],
  ['a key of another scope', 'forbidden', 'GET', '/stores', { scope: 'assign' }],
  ['a foreign store', 'forbidden', 'GET', '/stores/1/plan', { stores: [2] }],
  ['an unknown store', 'store_not_found', 'GET', '/stores/2/plan'],
  ['an unknown guide', 'guide_not_found', 'GET', '/guides/NOBODY', { scope: 'admin' }],
  ['an unknown version', 'version_not_found', 'GET', '/stores/1/plan/versions/7'],
  ['an unknown order', 'order_not_found', 'GET', '/orders/NONE/explain'],
  ['an unknown key', 'key_not_found', 'DELETE', '/keys/none', { scope: 'admin' }],
  ['an unknown import', 'import_not_found', 'GET', '/guides/imports/none', { scope: 'admin' }],
  ['an unknown path', 'not_found', 'GET', '/nowhere'],
  ['an unknown method', 'method_not_allowed', 'DELETE', '/stores'],
  [
    'a stale version',
    'precondition_failed',
    'PUT',
    '/stores/1/plan',
    { body: plan, ifMatch: '"8"' },
  ],
  ['no version', 'precondition_required', 'PUT', '/stores/1/plan', { body: plan }],
  [
    'another media type',
    'unsupported_media_type',
    'PUT',
    '/stores/1/plan',
    { body: plan, headers: { 'content-type': 'text/plain' } },
  ],
  [
    'a large body',
    'body_too_large',
    'PUT',
    '/stores/1/guides/G/pause',
    { body: { why: 'x'.repeat(70_000) } },
  ],
  [
    'a wrong key',
    'invalid_request',
    'POST',
    '/keys',
    { scope: 'admin', body: { scope: 'boss', stores: [], nickname: 'x' } },
  ],
]

describe('a problem', () => {
  it.each(faults)('of %s (%s) speaks the language that was asked for', async (...one) => {
    const [, code, method, path, asked = {}] = one
    const [en, zh] = [
      await ask(method, path, asked),
      await ask(method, path, { ...asked, language: 'zh-CN' }),
    ]
    expect([en.json.code, zh.json.code]).toEqual([code, code])
    expect(en.headers.get('content-language')).toBe('en')
    expect(zh.headers.get('content-language')).toBe('zh')
    expect(en.text).not.toMatch(chinese)
    expect(zh.json.title).toMatch(chinese)
    expect(zh.json.detail).toMatch(chinese)
    for (const { message } of zh.json.errors ?? []) expect(message).toMatch(chinese)
    const places = (problem: typeof en) =>
      (problem.json.errors ?? []).map(({ pointer }: { pointer: string }) => pointer)
    expect(places(zh)).toEqual(places(en))
    for (const { text } of [en, zh]) expect(text).not.toMatch(/Invalid|expected|received/)
  })

  it('of a path or a query says what is wrong there', async () => {
    const missing = await ask('GET', '/guides/G/missed', { language: 'zh' })
    expect(missing.json).toMatchObject({
      title: '请求有误',
      detail: '查询参数有 1 处错误。date：缺少此项。',
      errors: [{ pointer: '/date', message: 'date：缺少此项' }],
    })
    const wrong = await ask('GET', '/stores/1/on-duty?at=noon')
    expect(wrong.json.detail).toBe('The query has a mistake: at: must be RFC 3339 with an offset.')
  })

  it('has a title in both languages, whatever the code', () => {
    for (const { title, zh } of Object.values(errorTable)) {
      expect(title).not.toMatch(chinese)
      expect(zh).toMatch(chinese)
    }
  })
})

describe('GET /openapi.json', () => {
  it('says what each field means that a manager may take for something else', async () => {
    const document = JSON.parse(await (await rig.app.request('/openapi.json')).text())
    const said = new Map<string, string[]>()
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      for (const [key, within] of Object.entries(value)) {
        if (key === 'properties') note(within)
        walk(within)
      }
    }
    const note = (fields: Record<string, { description?: string }>) => {
      for (const [name, { description = '' }] of Object.entries(fields)) {
        said.set(name, [...(said.get(name) ?? []), description])
      }
    }
    const { Staff, Roster, Plan, Fairness } = document.components.schemas
    walk({ Staff, Roster, Plan, Fairness })
    for (const [name, words] of [
      ['from', 'whole local days'],
      ['to', 'inclusive'],
      ['to', '00:00 is midnight'],
      ['left', 'no more'],
      ['cover', 'not put on the shift'],
      ['mode', 'replace'],
      ['weight', 'twice as many'],
      ['rotates', 'no turns'],
      ['if', 'on_roster_today'],
      ['counts', 'clamped'],
      ['day_starts_at', 'business day'],
      ['fair_by', 'amounts'],
      ['book', 'share their turns'],
      ['count', 'Turns'],
      ['share', 'due'],
      ['deviation', 'above 0'],
      ['balances', 'above 0'],
    ] as const) {
      expect(
        said.get(name)?.some(text => text.includes(words)),
        `${name}: ${words}`,
      ).toBe(true)
    }
    expect(JSON.stringify(Plan)).toContain('whom the cashier named')
  })
})
