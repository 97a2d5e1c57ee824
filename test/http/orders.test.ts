import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await openRig()
  await rig.openStore(1001, 2)
  await rig.openStore(1002, 2)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

function rowCount(): number {
  const row = rig.db.$client.prepare<[], { n: number }>('SELECT count(*) AS n FROM orders').get()
  return row?.n ?? -1
}

async function raw(path: string, init: RequestInit & { key?: string }): Promise<Response> {
  const { key = rig.mint({ scope: 'assign' }), headers, ...rest } = init
  return rig.app.request(path, {
    method: 'POST',
    ...rest,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      ...(headers as Record<string, string> | undefined),
    },
  })
}

describe('a bad body is refused with 400, says where, and writes no row', () => {
  let before: number
  beforeEach(() => {
    before = rowCount()
  })

  it.each<[body: string, pointer: string]>([
    ['{}', '/store_id'],
    ['{"store_id":"1001"}', '/store_id'],
    ['{"store_id":1001.5}', '/store_id'],
    ['{"store_id":-1}', '/store_id'],
    ['{"store_id":1e400}', '/store_id'],
    ['{"store_id":9007199254740993}', '/store_id'],
    ['{"store_id":1001,"amount":-1}', '/amount'],
    ['{"store_id":1001,"amount":"1"}', '/amount'],
    ['{"store_id":1001,"channel":"pigeon"}', '/channel'],
    ['{"store_id":1001,"guide_id":""}', '/guide_id'],
    ['{"store_id":1001,"guide_id":".."}', '/guide_id'],
    ['{"store_id":1001,"guide_id":"a\\r\\nb"}', '/guide_id'],
    ['{"store_id":1001,"member_id":"\\ud800"}', '/member_id'],
    ['{"store_id":1001,"member_id":"a\\u0000b"}', '/member_id'],
    [`{"store_id":1001,"member_id":"${'x'.repeat(129)}"}`, '/member_id'],
    ['{"store_id":1001,"created_at":"yesterday"}', '/created_at'],
    ['{"store_id":1001,"created_at":"2026-11-23T10:00:00"}', '/created_at'],
    ['{"store_id":1001,"created_at":"2026-02-30T10:00:00Z"}', '/created_at'],
    ['{"store_id":1001,"created_at":"0000-01-01T00:00:00+14:00"}', '/created_at'],
    ['{"store_id":1001,"created_at":"9999-12-31T23:59:59-14:00"}', '/created_at'],
    ['{"store_id":1001,"sub_mchid":"1900000109"}', '/sub_mchid'],
    ['{"store_id":1001,"guide":"G1"}', '/guide'],
    ['{"store_id":1001,"__proto__":{"admin":true}}', ''],
    ['{"store_id":1001,"constructor":1}', '/constructor'],
    ['[]', ''],
    ['null', ''],
    ['"1001"', ''],
  ])('%s', async (body, pointer) => {
    const answer = await raw('/orders/BAD1/assign', { body })
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    const problem = JSON.parse(await answer.text())
    expect(problem).toMatchObject({ code: 'invalid_request', status: 400 })
    expect(problem.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer)
    expect(rowCount()).toBe(before)
  })

  it.each(['', '{', '{"store_id":1001', 'store_id=1001', '\u0000', '{"store_id":NaN}'])(
    'what is not JSON: %j',
    async body => {
      const answer = await raw('/orders/BAD1/assign', { body })
      expect(answer.status).toBe(400)
      expect(rowCount()).toBe(before)
    },
  )

  it.each([
    'A%20B',
    'A%2FB',
    '%00',
    'A'.repeat(33),
    '订单',
    'A%0d%0aB',
    '%zz',
    'A;B',
    'A.B',
    '%2e%2e%2fkeys',
  ])('the order number %s', async no => {
    const answer = await raw(`/orders/${no}/assign`, { body: '{"store_id":1001}' })
    expect([400, 404]).toContain(answer.status)
    expect(rowCount()).toBe(before)
  })

  it('over 64 KiB, with and without a Content-Length: 413', async () => {
    const body = JSON.stringify({ store_id: 1001, member_id: 'x'.repeat(70_000) })
    expect((await raw('/orders/BIG/assign', { body })).status).toBe(413)
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(body))
        controller.close()
      },
    })
    const init = { body: stream, duplex: 'half' as const }
    expect((await raw('/orders/BIG/assign', init)).status).toBe(413)
    expect(rowCount()).toBe(before)
  })

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonp',
    'multipart/form-data',
    'application/json;',
    'application/json ;charset=utf-8',
    'application/json; charset',
    'application/json; charset=gbk',
    '',
  ])('of the media type %j: 415', async type => {
    const answer = await raw('/orders/MEDIA/assign', {
      body: '{"store_id":1001}',
      headers: { 'content-type': type },
    })
    expect(answer.status).toBe(415)
    expect(rowCount()).toBe(before)
  })
})

it.each(['0', 'a_b-c|d*e!f@g', 'A'.repeat(32), '-', '*'])(
  'takes the order number %s as it is',
  async no => {
    const answer = await rig.assign(no, { store_id: 1001 })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({ out_trade_no: no, status: 'assigned' })
    expect((await rig.sent(no))[0]).toMatchObject({ outTradeNo: no })
    expect(await rig.order(no)).toMatchObject({ out_trade_no: no })
  },
)

describe('a key', () => {
  const good = { body: '{"store_id":1001}' }

  it.each([
    ['none', {}],
    ['no scheme', { authorization: 'spa_x' }],
    ['another scheme', { authorization: 'Basic YTpi' }],
    ['nonsense', { authorization: 'Bearer nonsense' }],
    [
      'a well-formed stranger',
      { authorization: `Bearer spa_${'0'.repeat(16)}_${'0'.repeat(64)}_00000000` },
    ],
  ])('%s: 401', async (_, headers: Record<string, string>) => {
    const answer = await rig.app.request('/orders/K1/assign', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      ...good,
    })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  })

  it('with one digit of its secret changed, or expired, or revoked: 401', async () => {
    const key = rig.mint({ scope: 'assign' })
    const changed = key.replace(
      /_(.)(.{63})_/,
      (_, digit, rest) => `_${digit === '0' ? '1' : '0'}${rest}_`,
    )
    expect((await raw('/orders/K2/assign', { ...good, key: changed })).status).toBe(401)
    const expired = rig.mint({ scope: 'assign', expiresAtMs: Date.now() - 1 })
    expect((await raw('/orders/K2/assign', { ...good, key: expired })).status).toBe(401)
    expect(rig.keys.remove(key.split('_')[1] ?? '')).toBe(true)
    expect((await raw('/orders/K2/assign', { ...good, key })).status).toBe(401)
  })

  it.each(['manage', 'admin'] as const)(
    'of scope %s may read orders and not post them',
    async scope => {
      await rig.assign('K3', { store_id: 1001 })
      expect((await rig.request('GET', '/orders/K3', { scope })).status).toBe(200)
      const posted = await rig.request('POST', '/orders/K4/assign', {
        scope,
        body: { store_id: 1001 },
      })
      expect(posted.status).toBe(403)
    },
  )

  it('for other stores: 403 on assign, and an order of theirs is as if it were not there', async () => {
    const key = rig.mint({ scope: 'assign', stores: [1002] })
    expect((await raw('/orders/K5/assign', { ...good, key })).status).toBe(403)
    await rig.assign('K6', { store_id: 1001 })
    const seen = await raw('/orders/K6', { method: 'GET', key })
    const unseen = await raw('/orders/K7', { method: 'GET', key })
    expect([seen.status, unseen.status]).toEqual([404, 404])
    expect((await seen.text()).replaceAll('K6', 'K7')).toBe(await unseen.text())
    const body = JSON.stringify({ closed_at: new Date().toISOString() })
    expect((await raw('/orders/K6/closed', { body, key })).status).toBe(404)
    expect(await rig.order('K6')).toMatchObject({ closed_at: null })
    expect((await raw('/orders/K8/assign', { body: '{"store_id":1002}', key })).status).toBe(200)
  })

  it('is taken with the scheme in any case, and an admin key is for every store or not made', async () => {
    const answer = await rig.app.request('/orders/NOBODY', {
      headers: { authorization: `bearer ${rig.mint({ scope: 'assign' })}` },
    })
    expect(answer.status).toBe(404)
    for (const body of [
      { scope: 'admin', stores: [1002] },
      { scope: 'assign', name: 'ADMIN_KEY_FILE' },
    ]) {
      expect((await rig.request('POST', '/keys', { scope: 'admin', body })).status).toBe(400)
    }
  })

  it('is needed before anything is read of the body', async () => {
    const answer = await rig.app.request('/orders/K9/assign', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{',
    })
    expect(answer.status).toBe(401)
  })

  it('may be made, listed without its secret and revoked by an admin, and by nobody else', async () => {
    for (const scope of ['assign', 'manage'] as const) {
      expect((await rig.request('POST', '/keys', { scope, body: { scope: 'admin' } })).status).toBe(
        403,
      )
      expect((await rig.request('GET', '/keys', { scope })).status).toBe(403)
    }
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    const body = { scope: 'assign', stores: [1001], name: 'till 7', expires_at }
    const made = await rig.request('POST', '/keys', { scope: 'admin', body })
    expect(made.status).toBe(201)
    const { id, key } = JSON.parse(await made.text())
    expect((await raw('/orders/K10/assign', { ...good, key })).status).toBe(200)
    const listed = await (await rig.request('GET', '/keys', { scope: 'admin' })).text()
    expect(listed).toContain(id)
    expect(listed).not.toContain(key.split('_')[2])
    expect((await rig.request('DELETE', `/keys/${id}`, { scope: 'admin' })).status).toBe(204)
    expect((await rig.request('DELETE', `/keys/${id}`, { scope: 'admin' })).status).toBe(404)
    expect((await raw('/orders/K10/assign', { ...good, key })).status).toBe(401)
  })
})

describe('the edge', () => {
  it('answers 404 for a store that nobody knows, and writes no row', async () => {
    const before = rowCount()
    const answer = await rig.assign('E1', { store_id: 999 })
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ code: 'store_not_found' })
    expect(rowCount()).toBe(before)
  })

  it('returns the X-Request-Id that it was given, when it is fit to be logged, on faults too', async () => {
    const given = await rig.assign('E2', { store_id: 1001 }, { 'x-request-id': 'till-7:42' })
    expect(given.headers.get('x-request-id')).toBe('till-7:42')
    const hostile = await rig.assign('E3', { store_id: 1001 }, { 'x-request-id': 'a b"c' })
    expect(hostile.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    const fault = await rig.assign('E4', {}, { 'x-request-id': 'fault-1' })
    expect(fault.headers.get('x-request-id')).toBe('fault-1')
  })

  it.each([
    ['GET', '/nowhere', 404, null],
    ['POST', '/', 404, null],
    ['PUT', '/orders/A/assign', 405, 'POST'],
    ['DELETE', '/orders/A', 405, 'GET'],
    ['POST', '/livez', 405, 'GET'],
    ['PATCH', '/keys', 405, 'GET, POST'],
  ])('answers %s %s with a problem: %i, Allow: %s', async (method, path, status, allow) => {
    const answer = await rig.request(method, path, method === 'GET' ? {} : { body: {} })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('allow')).toBe(allow)
  })

  it('hides what a defect says, and reports it', async () => {
    const { ledger } = rig
    const broken = Object.assign(ledger, { find: ledger.find })
    const { find } = ledger
    broken.find = () => Promise.reject(new Error('SECRET detail'))
    const answer = await rig.request('GET', '/orders/E5')
    broken.find = find
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('SECRET')
    expect(rig.failures.splice(0)).toMatchObject([{ message: 'SECRET detail' }])
  })

  it('says not ready while it stops, and asks the client to let go of the connection', async () => {
    rig.state.ready = false
    const answer = await rig.app.request('/readyz')
    expect([answer.status, answer.headers.get('connection')]).toEqual([503, 'close'])
    expect((await rig.app.request('/livez')).status).toBe(200)
    rig.state.ready = true
    expect((await rig.app.request('/readyz')).status).toBe(200)
  })
})

describe('GET /openapi.json', () => {
  it('names every route that the router has, and no other', async () => {
    const document = JSON.parse(await (await rig.app.request('/openapi.json')).text())
    const told = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
    )
    const routed = rig.app.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
    expect([...new Set(routed)].sort()).toEqual(told.sort())
    expect(told).toContain('POST /orders/{out_trade_no}/assign')
  })

  it('says for every operation which key it needs and what its faults look like', async () => {
    const { paths } = JSON.parse(await (await rig.app.request('/openapi.json')).text())
    const open = ['/livez', '/readyz', '/metrics', '/openapi.json', '/docs']
    for (const [path, methods] of Object.entries<
      Record<string, { security: unknown; responses: object }>
    >(paths)) {
      for (const { security, responses } of Object.values(methods)) {
        const isOpen = open.includes(path)
        expect(security).toEqual(isOpen ? [] : [{ bearer: [] }, { signature: [] }])
        expect(Object.keys(responses).includes('401')).toBe(!isOpen)
        expect(Object.keys(responses).includes('429')).toBe(!isOpen)
      }
    }
  })
})
