import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKeys } from '../../src/access/keys.ts'
import { rights } from '../../src/access/rights.ts'
import { openDatabase } from '../../src/db/open.ts'
import { type Operation, readApi } from '../support/api.ts'
import { contentsOf } from '../support/manage.ts'
import { openRig, type Rig, scratchDir } from '../support/rig.ts'
import { prepareData, settingsFor, startProcess } from '../support/service-process.ts'

const count = Number(process.env['BAD_REQUESTS'] ?? 2000)
const program = /\.ts\b|node:|node_modules|\bat \w+ \(|SQLITE|stack/

const texts = [
  '',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '\udfff\ud800',
  '\r\nX-Injected: 1',
  '../../etc/passwd',
  '%2e%2e%2f',
  '%00',
  '__proto__',
  'constructor',
  'toString',
  "' OR 1=1 --",
  '<script>',
  '\u202e',
  '\ufeff',
  'NaN',
  '1e400',
  '-1',
  '0x10',
  '９９',
  'é'.repeat(300),
  'x'.repeat(5000),
  '2026-02-30T00:00:00Z',
  '9999-12-31T23:59:59-23:59',
]
const values: unknown[] = [
  ...texts,
  null,
  true,
  -1,
  0.5,
  1e308,
  -0,
  Number.MAX_SAFE_INTEGER + 2,
  [],
  {},
  [[]],
  [null],
  { toString: 1 },
  { length: -1 },
  Array(50).fill({}),
]
const segments = [
  '%00',
  '%0d%0aX-Injected:%201',
  '..%2f..%2fetc',
  '%2e%2e%2f',
  '%ff',
  '%c0%af',
  '%ed%a0%80',
  '%',
  '%zz',
  '__proto__',
  'constructor',
  '-1',
  '1e3',
  '0x1',
  '٣',
  '1;a=b',
  'a%20b',
  '%F0%9F%98%80',
  '999999999999999999999',
  'x'.repeat(3000),
  '%252e',
  '1%2fplan',
]

/** Bodies of which no route takes any, around fields as the schema names them. */
const rotten = (fields: Record<string, unknown>): fc.Arbitrary<Buffer> => {
  const text = JSON.stringify(fields)
  const inner = text.slice(1, -1)
  const and = inner === '' ? '' : `,${inner}`
  return fc.constantFrom(
    ...[
      `{"__proto__":{"admin":true}${and}}`,
      `{"constructor":{"prototype":{"admin":true}}${and}}`,
      `{"xyzzy":1${and}}`,
      `{"a":1,"a":1${and}}`,
      text.slice(0, -1),
      `${text}}`,
      `[${text}]`,
      'null',
      '"x"',
      '1e999',
      '['.repeat(10_000),
      '{"a":'.repeat(10_000),
      '\u0000',
    ].map(one => Buffer.from(one)),
    Buffer.concat([Buffer.from(`{"x":"`), Buffer.from([0xff, 0xfe]), Buffer.from(`"${and}}`)]),
    Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
  )
}

let rig: Rig
let operations: Operation[]
let fieldsOf: Map<string, string[]>
const bearers = new Map<string, string>()

beforeAll(async () => {
  rig = await openRig()
  await rig.openStore(1001, 2)
  await rig.assign('SOUND', { store_id: 1001 })
  const api = await readApi(rig.app)
  operations = api.operations
  fieldsOf = new Map(
    operations.map(({ name, body }) => {
      const ref =
        String(body?.schema['$ref'] ?? '')
          .split('/')
          .at(-1) ?? ''
      const { properties } = api.schemas[ref] ?? body?.schema ?? {}
      return [name, Object.keys(Object(properties))]
    }),
  )
  for (const scope of ['assign', 'manage', 'admin'] as const) {
    bearers.set(scope, `Bearer ${rig.mint({ scope })}`)
  }
})
afterAll(() => rig.close())

const sound: Record<string, string> = {
  store_id: '1001',
  out_trade_no: 'SOUND',
  guide_id: 'G',
  member_id: 'm',
  version: '0',
  other: '0',
  id: 'none',
}

type Bad = { operation: Operation; target: string; body: Buffer | null; media: string; odd: string }

/** A request that nobody may take: where there is a body it is rotten, else a part of the path is. */
function aBadRequest(): fc.Arbitrary<Bad> {
  return fc.constantFrom(...operations).chain(operation => {
    const { method, path, parameters, body } = operation
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
    const isRead = method === 'GET'
    const hasRottenBody = body !== null && !operation.name.endsWith('/verify')
    const isTable = body?.media === 'text/csv'
    return fc
      .record({
        rotten: fc.constantFrom(...names, ''),
        segment: fc.constantFrom(...segments),
        mayRot: fc.boolean(),
        query: fc.option(
          fc.tuple(
            fc.constantFrom(
              ...parameters.filter(one => one.in === 'query').map(one => one.name),
              'x',
            ),
            fc.constantFrom(...segments),
          ),
        ),
        fields: fc.dictionary(
          fc.constantFrom(...(fieldsOf.get(operation.name) ?? []), 'y'),
          fc.constantFrom(...values),
          { noNullPrototype: true },
        ),
        odd: fc.constantFrom('', ...texts.filter(text => /^[\x20-\x7e]*$/.test(text))),
      })
      .chain(parts => {
        const first = names.at(-1) ?? ''
        const spoilt = hasRottenBody ? (parts.mayRot ? parts.rotten : '') : parts.rotten || first
        const filled = path.replace(/\{(\w+)\}/g, (_, name) =>
          name === spoilt ? parts.segment : (sound[name] ?? 'none'),
        )
        const target = parts.query ? `${filled}?${parts.query[0]}=${parts.query[1]}` : filled
        const table = fc.constantFrom(Buffer.from([0xff, 0xfe, 0x00]), Buffer.from('a,b\n1,2\n'))
        const text = isRead || !body ? fc.constant(null) : isTable ? table : rotten(parts.fields)
        const media = body?.media ?? 'application/json'
        return text.map(bytes => ({ operation, target, body: bytes, media, odd: parts.odd }))
      })
  })
}

/** What does something without a body or a name, which nothing can be wrong with. */
const harmless = /^(POST \/guides\/sync|GET .*)$/

/** All of them, but when they were used. */
const keysOf = ({ keys }: Rig) => keys.list().map(({ lastUsedMs: _, ...key }) => key)

describe('a bad request', () => {
  it(
    'is refused, whatever it is: no 5xx, no row, no trace of the program',
    async () => {
      const before = JSON.stringify(contentsOf(rig))
      const prototype = Object.getOwnPropertyNames(Object.prototype).sort()
      const keysBefore = keysOf(rig)
      const statuses = new Map<number, number>()
      await fc.assert(
        fc.asyncProperty(aBadRequest(), async ({ operation, target, body, media, odd }) => {
          if (operation.name === 'POST /guides/sync') return
          const scopes = rights.get(operation.name)?.scopes ?? []
          const answer = await rig.app.request(target, {
            method: operation.method,
            headers: {
              authorization: bearers.get(String(scopes[0])) ?? '',
              'if-match': odd,
              prefer: odd,
              'x-request-id': odd,
              'accept-language': odd,
              ...(body ? { 'content-type': media } : {}),
            },
            ...(body ? { body: new Uint8Array(body) } : {}),
          })
          const text = await answer.text()
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
          expect(answer.status, `${operation.name} ${target} ${text}`).toBeLessThan(500)
          if (!harmless.test(operation.name) && !operation.name.endsWith('/verify')) {
            expect(answer.status, `${operation.method} ${target} ${body} ${text}`).not.toBe(200)
            expect(answer.status).not.toBe(201)
            expect(answer.status).not.toBe(202)
          }
          if (answer.status >= 400) expect(text).not.toMatch(program)
          expect(answer.headers.get('x-injected')).toBe(null)
          expect(answer.headers.get('access-control-allow-origin')).toBe(null)
        }),
        { numRuns: count },
      )
      expect(Object.getOwnPropertyNames(Object.prototype).sort()).toEqual(prototype)
      expect(({} as { admin?: boolean }).admin).toBe(undefined)
      expect(JSON.stringify(contentsOf(rig))).toBe(before)
      expect(keysOf(rig)).toEqual(keysBefore)
      expect(rig.failures).toEqual([])
      expect(statuses.get(400) ?? 0).toBeGreaterThan(count / 3)
    },
    Math.max(60_000, count * 20),
  )
})

const tricks = [
  '//stores/2002/plan',
  '/stores//2002/plan',
  '/stores/2002%2fplan',
  '/stores/2002/plan/',
  '/stores/1001/../2002/plan',
  '/stores/1001/%2e%2e/2002/plan',
  '/stores/1001%2f..%2f2002/plan',
  '/stores/%32002/plan',
  '/stores/%2532002/plan',
  '/stores/2002;x/plan',
  '/stores/1001;/../2002/plan',
  '/./stores/2002/plan',
  '/stores/2002/%2e/plan',
  '/%73tores/2002/plan',
  '/stores/2002/%70lan',
  '/stores\\2002\\plan',
  '/stores/2002/plan%00',
  '/stores/2002/plan#',
  '/stores/2002/plan?',
  '/STORES/2002/plan',
  '/stores/02002/plan',
  '/stores/2002/plan%20',
  '/stores/1001,2002/plan',
  'http://127.0.0.1/stores/2002/plan',
  'http://elsewhere/stores/2002/plan',
  '/stores/２００２/plan',
  '/stores/2002/plan/versions/0/../../../2002/plan',
  '*',
  'stores/2002/plan',
]

describe('over a real socket', () => {
  it('no trick of a path, a header or a frame leads anywhere, and the service lives on', async () => {
    const dir = scratchDir()
    const env = settingsFor(
      { stateDir: join(rig.dataDir, 'sim'), url: rig.simulator.url },
      join(dir, 'data'),
    )
    const merchant = env['WECHATPAY_MCHID'] ?? ''
    const till = prepareData(join(dir, 'data'), mirror => {
      for (const [storeId, name] of [
        [1001, 'mine'],
        [2002, 'theirs'],
      ] as const) {
        mirror.putStore({ storeId, merchant, name, timezone: 'Asia/Shanghai' })
      }
    })
    const db = openDatabase(join(dir, 'data', 'smartguide.db'))
    const { key } = openKeys(db).create(
      { scope: 'manage', stores: [1001], name: null, expiresAtMs: null },
      Date.now(),
    )
    db.$client.close()
    const service = await startProcess(env)
    const { port } = new URL(service.url)
    const tell = (text: string) => exchange(Number(port), text)
    const get = (target: string, bearer: string | null, method = 'GET') =>
      tell(
        `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${
          bearer ? `Authorization: Bearer ${bearer}\r\n` : ''
        }\r\n`,
      )
    try {
      expect(await get('/stores/1001/plan', key)).toMatch(/^HTTP\/1.1 200 /)
      expect(await get('/stores/2002/plan', key)).toMatch(/^HTTP\/1.1 403 /)
      for (const trick of tricks) {
        for (const method of ['GET', 'HEAD']) {
          const refused = /^HTTP\/1.1 40[0345] /
          expect(await get(trick, key, method), `${method} ${trick}`).toMatch(refused)
          expect(await get(trick, null, method), trick).toMatch(/^HTTP\/1.1 40[0145] /)
        }
      }
      const post = (head: string, body: string) =>
        `POST /orders/W1/assign HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer ${till}\r\n${head}\r\n\r\n${body}`
      const order = '{"store_id":7}'
      for (const [what, text, status] of [
        ['a long target', `GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
        ['large headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(9000)}\r\n\r\n`, 431],
        ['no HTTP', 'hello\r\n\r\n', 400],
        ['no host', 'GET /livez HTTP/1.1\r\n\r\n', 400],
        ['a control character', 'GET /livez HTTP/1.1\r\nHost: a\r\nX: a\u0000b\r\n\r\n', 400],
        ['a folded header', 'GET /livez HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n', 400],
        ['a negative length', post('Content-Length: -1', order), 400],
        ['two lengths', post('Content-Length: 3\r\nContent-Length: 14', order), 400],
        [
          'a length and chunks',
          post('Content-Length: 14\r\nTransfer-Encoding: chunked', order),
          400,
        ],
        ['a chunk that is none', post('Transfer-Encoding: chunked', 'zz\r\nx\r\n'), 400],
        ['an unknown coding', post('Transfer-Encoding: gzip', order), 400],
      ] as const) {
        const told = await tell(text)
        expect(told, what).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
        expect(told, what).not.toMatch(program)
      }
      expect(await get('/livez', null)).toMatch(/^HTTP\/1.1 200 /)
      expect(await service.end('SIGTERM')).toBe(0)
      const after = openDatabase(join(dir, 'data', 'smartguide.db'))
      const rows = after.$client.prepare('SELECT count(*) FROM orders').pluck().get()
      after.$client.close()
      expect(rows).toBe(0)
    } finally {
      await service.end('SIGKILL')
      rmSync(dir, { recursive: true, force: true })
    }
  }, 60_000)
})

function exchange(port: number, text: string): Promise<string> {
  return new Promise(done => {
    const socket = connect(port, '127.0.0.1')
    let told = ''
    socket.setTimeout(5000, () => socket.destroy())
    socket.setEncoding('utf8').on('data', part => {
      told += part
    })
    socket.on('error', () => {})
    socket.on('close', () => done(told))
    socket.write(text)
  })
}
