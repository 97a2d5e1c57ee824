import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import type { ApiDocument } from '../../src/http/description/describe.ts'
import { toldOperations } from '../../src/http/description/describe.ts'
import { renderPage } from '../../src/http/description/page.ts'
import { createReader, operationsOf, readDocument } from '../support/description.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let document: ApiDocument
let page: string
let pageHeaders: Headers
beforeAll(async () => {
  rig = await openRig()
  document = await readDocument(rig.app)
  const answer = await rig.app.request('/docs')
  pageHeaders = answer.headers
  page = await answer.text()
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

it('that could not be made once is made when it is asked for again, and then no more', async () => {
  const app = createApp(rig.deps)
  const make = app.getOpenAPI31Document.bind(app)
  let tries = 0
  app.getOpenAPI31Document = about => {
    tries += 1
    if (tries <= 2) throw new Error('too many open files')
    return make(about)
  }
  const asked = ['/docs', '/openapi.json', '/docs', '/openapi.json', '/openapi.json', '/docs']
  const statuses: number[] = []
  for (const path of asked) statuses.push((await app.request(path)).status)
  expect(statuses).toEqual([500, 500, 200, 200, 200, 200])
  expect(tries).toBe(3)
  expect(rig.failures.splice(0)).toHaveLength(2)
})

const chinese = /[\u4e00-\u9fff]/

describe('GET /openapi.json', () => {
  it('has an example of each body and of each answer, and each is what its schema says', () => {
    const read = createReader(document)
    let checked = 0
    for (const { name, operation } of operationsOf(document)) {
      const contents = [
        ['body', operation.requestBody?.content ?? {}] as const,
        ...Object.entries(operation.responses).map(
          ([status, { content = {} }]) => [status, content] as const,
        ),
      ]
      for (const [of, content] of contents) {
        for (const [media, { schema, examples = {} }] of Object.entries(content)) {
          const each = Object.entries(examples)
          expect(each.length, `${name} ${of} ${media} has no example`).toBeGreaterThan(0)
          for (const [title, { value }] of each) {
            expect(value, `${name} ${of} ${title}`).toBeDefined()
            expect(read(schema, value), `${name} ${of} ${title}`).toEqual([])
            checked += 1
          }
        }
      }
    }
    expect(checked).toBeGreaterThan(300)
  })

  it('reads its schemas: an example that lacks a field, or has one too many, is found', () => {
    const read = createReader(document)
    const schema = { $ref: '#/components/schemas/Order' }
    const [order] = Object.values(
      document.paths['/orders/{out_trade_no}']?.['get']?.responses['200']?.content?.[
        'application/json'
      ]?.examples ?? {},
    )
    const { store_id, ...without } = Object(order?.value)
    expect(read(schema, { store_id, ...without })).toEqual([])
    expect(read(schema, without)).not.toEqual([])
    expect(read(schema, { store_id, ...without, more: 1 })).not.toEqual([])
    expect(read(schema, { store_id: '1001', ...without })).not.toEqual([])
  })

  it('tells of no status or operation that the routes do not have', () => {
    const operations = operationsOf(document)
    expect(Object.keys(toldOperations).sort()).toEqual(operations.map(({ name }) => name).sort())
    for (const { name, operation } of operations) {
      const promised = Object.keys(operation.responses).filter(status => /^(2|503)/.test(status))
      const told = Object.keys(toldOperations[name]?.answers ?? {})
      expect(promised, name).toEqual(expect.arrayContaining(told))
      expect(told, name).toEqual(
        expect.arrayContaining(promised.filter(status => status.startsWith('2'))),
      )
      expect(operation.summary, name).toMatch(/^[A-Z][^\u4e00-\u9fff]+[^.]$/)
      expect(operation['x-summary-zh'], name).toMatch(chinese)
    }
  })

  it('says what may be wrong with a body, wherever there is one', () => {
    for (const { name, operation } of operationsOf(document)) {
      if (!operation.requestBody) continue
      const codes = Object.values(operation.responses).flatMap(({ content = {} }) =>
        Object.keys(content['application/problem+json']?.examples ?? {}),
      )
      expect(codes, name).toEqual(expect.arrayContaining(['invalid_request', 'body_too_large']))
      // Verify takes none, too.
      if (!name.endsWith('/verify')) expect(codes, name).toContain('unsupported_media_type')
    }
  })
})

describe('GET /docs', () => {
  it('has every operation with its key, its fields, each answer, and a line to try it', () => {
    const operations = operationsOf(document)
    const articles = page.split('<article ').slice(1)
    expect(articles).toHaveLength(operations.length)
    for (const { name, method, path, operation } of operations) {
      const own = articles.find(one =>
        one.includes(`<span class="method">${method}</span> <code>${path}</code>`),
      )
      if (!own) throw new Error(`${name} is not on the page`)
      expect(own, name).toContain(operation.summary.replaceAll("'", '&#39;'))
      expect(own, name).toContain(operation['x-summary-zh'])
      for (const status of Object.keys(operation.responses)) {
        expect(own, name).toContain(`<td><code>${status}</code></td>`)
      }
      for (const scope of operation['x-scopes'] ?? []) expect(own, name).toContain(scope)
      for (const { name: parameter } of operation.parameters ?? []) {
        expect(own, name).toContain(`<code>${parameter}</code>`)
      }
      expect(own, name).toContain('curl -sS')
    }
    expect(page.includes('<code>orders[].member_id</code>')).toBe(true)
    expect(page.includes('at most 10000000000; Fen.')).toBe(true)
  })

  it('loads nothing and runs nothing: no address but its own, no script, and a policy that forbids both', () => {
    expect(pageHeaders.get('content-type')).toBe('text/html; charset=utf-8')
    const policy = pageHeaders.get('content-security-policy') ?? ''
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri/)
    expect(policy).not.toMatch(/unsafe|script|\*|https?:/)
    const tags = [...page.matchAll(/<([a-z0-9]+)([^>]*)>/g)]
    for (const [tag, name = '', attributes = ''] of tags) {
      expect(['script', 'img', 'iframe', 'object', 'embed', 'link', 'base', 'form']).not.toContain(
        name,
      )
      expect(attributes, tag).not.toMatch(/\b(on\w+|src|srcset|style|action)=/)
      const [, href] = /\bhref="([^"]*)"/.exec(attributes) ?? []
      if (href !== undefined) expect(href).toMatch(/^(#[\w-]+|\/openapi\.json)$/)
    }
    expect(page).not.toMatch(/@import|url\(/)
    const ids = new Set([...page.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id))
    for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(id)
  })

  it('shows whatever the document says as text', () => {
    const evil = `</pre></style><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;`
    const poison = (value: unknown): unknown => {
      if (typeof value === 'string') return `${value}${evil}`
      if (Array.isArray(value)) return value.map(poison)
      if (typeof value !== 'object' || value === null) return value
      // Names too, but for those that OpenAPI gives a meaning.
      return Object.fromEntries(
        Object.entries(value).map(([key, of]) => [
          key,
          ['$ref', 'type', 'x-scopes'].includes(key) ? of : poison(of),
        ]),
      )
    }
    const names = {
      paths: { [`/x${evil}`]: { [`get${evil}`]: document.paths['/stores']?.['get'] } },
      components: {
        schemas: {
          [`S${evil}`]: { type: 'object', properties: { [evil]: { type: evil, pattern: evil } } },
        },
      },
    }
    const hostile = { ...Object(poison(document)), ...names }
    const deep: ApiDocument = Object(poison(document))
    for (const shown of [renderPage(hostile), renderPage(deep)]) {
      expect(/.{40}(<script|<img|onerror=')/is.exec(shown)?.[0]).toBeUndefined()
      expect(shown.includes('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;')).toBe(true)
      expect(shown.includes('&amp;amp;')).toBe(true)
      const [, ...ends] = shown.split('</style>')
      expect(ends).toHaveLength(1)
    }
  })
})
