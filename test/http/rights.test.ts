import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Scope } from '../../src/access/keys.ts'
import { judge, rights } from '../../src/access/rights.ts'
import { createApp } from '../../src/app.ts'
import { type Operation, readApi, routesOf } from '../support/api.ts'
import { contentsOf } from '../support/manage.ts'
import { openRig, type Rig } from '../support/rig.ts'

/** For probes and for whoever has no key yet. */
const open = ['GET /docs', 'GET /livez', 'GET /metrics', 'GET /openapi.json', 'GET /readyz']

type Shop = {
  storeId: number
  merchant: string
  guides: string[]
  orderNo: string
  memberId: string
}

/** What a key of one store is told that asks for another's: as the contract promises it, not as the table has it. */
const promised: [operations: RegExp, foreign: number | 'own only' | 'admin'][] = [
  [/^POST \/orders\/\{out_trade_no\}\/assign$/, 403],
  [/^(GET|POST) \/orders\//, 404],
  [/^GET \/stores$/, 'own only'],
  [/^PUT \/stores\/\{store_id\}$/, 'admin'],
  [/ \/stores\/\{store_id\}\//, 403],
  [/^GET \/guides$/, 403],
  [/^GET \/guides\/\{guide_id\}$/, 404],
  [/^GET \/guides\/\{guide_id\}\/missed$/, 404],
  [/^POST \/members\/owners\/import$/, 400],
  [/^(GET|PUT|DELETE) \/members\//, 404],
  [/ \/(guides|settings|keys|audit)(\/|$)/, 'admin'],
]

/** Whom the contract lets do it: the till, the managers, the administrators. */
function scopesOf({ name }: Operation): Scope[] {
  if (/\/(assign|paid|closed)$/.test(name)) return ['assign']
  if (/ \/orders\//.test(name)) return ['assign', 'manage', 'admin']
  return foreignOf(name) === 'admin' ? ['admin'] : ['manage', 'admin']
}

function foreignOf(name: string) {
  const found = promised.find(([operations]) => operations.test(name))
  if (!found) throw new Error(`${name}: what is a foreign key told? Say it in the contract first.`)
  return found[1]
}

describe.each(['direct', 'partner'] as const)('in %s mode', mode => {
  let rig: Rig
  let operations: Operation[]
  let own: Shop
  let foreign: Shop
  let victim: string

  beforeAll(async () => {
    rig = await openRig({ mode })
    own = await openShop(1001, '1900000001')
    foreign = await openShop(2002, '1900000002')
    await rig.registry.sync.run()
    operations = (await readApi(rig.app)).operations
    const { id } = rig.keys.create(
      { scope: 'assign', stores: null, name: 'victim', expiresAtMs: null },
      Date.now(),
    )
    victim = id
  })
  afterAll(async () => {
    await rig.close()
    expect(rig.failures).toEqual([])
  })

  async function openShop(storeId: number, subMchid: string): Promise<Shop> {
    const merchant = mode === 'partner' ? subMchid : rig.merchant
    const guides = await rig.openStore(storeId, 2, merchant)
    const shop = { storeId, merchant, guides, orderNo: `NO${storeId}`, memberId: `m-${storeId}` }
    await rig.assign(shop.orderNo, { store_id: storeId, ...subMchidOf(shop) })
    rig.mirror.setOwner({
      merchant,
      memberId: shop.memberId,
      guideId: guides[0] ?? '',
      sinceMs: 0,
      expiresAtMs: null,
    })
    return shop
  }

  const subMchidOf = ({ merchant }: Shop) => (mode === 'partner' ? { sub_mchid: merchant } : {})

  /** A request about a shop that nothing but the key can be wrong with. */
  function aim(operation: Operation, shop: Shop) {
    const { name, method, parameters, body } = operation
    const [guideId = ''] = shop.guides
    const values: Record<string, string | undefined> = {
      store_id: String(shop.storeId),
      out_trade_no: shop.orderNo,
      guide_id: guideId,
      member_id: shop.memberId,
      version: '0',
      other: '0',
      id: victim,
      date: '2026-11-23',
      ...subMchidOf(shop),
    }
    const fill = (parameter: string): string => {
      const value = values[parameter]
      if (value === undefined) throw new Error(`${name}: what is a ${parameter}?`)
      return encodeURIComponent(value)
    }
    const path = operation.path.replace(/\{(\w+)\}/g, (_, parameter) => fill(parameter))
    const isMissed = name.endsWith('/missed')
    const query = parameters
      .filter(({ in: where, name: known }) => where === 'query' && known in values)
      .filter(({ name: known }) => !(isMissed && known === 'store_id'))
      .map(({ name: known }) => `${known}=${fill(known)}`)
      .join('&')
    const now = new Date().toISOString()
    const bodies: [RegExp, unknown][] = [
      [/\/assign$/, { store_id: shop.storeId, ...subMchidOf(shop) }],
      [/\/reassign$/, { guide_id: shop.guides[1], why: 'test' }],
      [/\/paid$/, { paid_at: now }],
      [/\/closed$/, { closed_at: now }],
      [/\/pause$/, { minutes: 5, why: 'test' }],
      [/\/owner$/, { guide_id: guideId }],
      [/\/plan$/, { steps: [{ use: 'none' }] }],
      [/\/simulate$/, { orders: [{}] }],
    ]
    const isTable = body?.media === 'text/csv'
    const table = `member_id,guide_id\nx-${shop.storeId},${guideId}\n`
    const text = JSON.stringify(bodies.find(([of]) => of.test(name))?.[1] ?? {})
    return {
      method,
      target: query === '' ? path : `${path}?${query}`,
      media: body?.media,
      text: body ? (isTable ? table : text) : undefined,
    }
  }

  async function ask(
    request: ReturnType<typeof aim>,
    authorization: string | undefined,
    method = request.method,
  ) {
    const hasBody = request.text !== undefined && method !== 'GET' && method !== 'HEAD'
    const answer = await rig.app.request(request.target, {
      method,
      headers: {
        'if-match': '"1"',
        ...(authorization ? { authorization } : {}),
        ...(hasBody && request.media ? { 'content-type': request.media } : {}),
      },
      ...(hasBody && request.text !== undefined ? { body: request.text } : {}),
    })
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  }

  const bearer = (scope: Scope, stores: number[] | null) => `Bearer ${rig.mint({ scope, stores })}`

  /** Nothing of the foreign store but what was sent, and nothing of the program. */
  function expectNoLeak(text: string, request: ReturnType<typeof aim>): void {
    const sent = `${request.target} ${request.text ?? ''}`
    const secrets = [
      `store ${foreign.storeId}`,
      'guide 1 of',
      'guide 2 of',
      ...foreign.guides,
      ...(mode === 'partner' ? [foreign.merchant] : []),
    ]
    for (const secret of secrets.filter(one => !sent.includes(one))) {
      expect(text, request.target).not.toContain(secret)
    }
    expect(text).not.toMatch(/\.ts\b|node:|node_modules|\bat \w+ \(|Error:|SQLITE|stack/)
  }

  it('has a right for each route, and needs a key for all but the probes and the description', () => {
    const told = operations.map(({ name }) => name)
    expect(routesOf(rig.app)).toEqual([...told, ...open].sort())
    expect([...rights.keys()].sort()).toEqual([...told, ...open].sort())
    for (const [name, { scopes }] of rights) {
      expect(scopes === 'anyone', name).toBe(open.includes(name))
    }
  })

  it('refuses whoever has no key, a wrong one, one that is over, or one of another scope', async () => {
    const before = JSON.stringify(contentsOf(rig))
    const over = rig.keys.create(
      { scope: 'admin', stores: null, name: null, expiresAtMs: Date.now() - 1 },
      Date.now(),
    )
    const noKeys = [undefined, 'Bearer x', `Bearer ${over.key}`, 'Basic YTpi', `Token ${over.key}`]
    let refused = 0
    for (const operation of operations) {
      const request = aim(operation, own)
      for (const authorization of noKeys) {
        const { status, text, headers } = await ask(request, authorization)
        expect([operation.name, status]).toEqual([operation.name, 401])
        expect(headers.get('www-authenticate')).toBe('Bearer')
        expectNoLeak(text, request)
        refused += 1
      }
      for (const scope of ['assign', 'manage', 'admin'] as const) {
        if (scopesOf(operation).includes(scope)) continue
        for (const stores of scope === 'admin' ? [null] : [null, [own.storeId]]) {
          const { status, text } = await ask(request, bearer(scope, stores))
          expect([operation.name, scope, status]).toEqual([operation.name, scope, 403])
          expectNoLeak(text, request)
          refused += 1
        }
      }
    }
    expect(refused).toBeGreaterThan(operations.length * 6)
    expect(JSON.stringify(contentsOf(rig))).toBe(before)
  })

  it('refuses whatever a key asks of a foreign store, as promised, and changes nothing', async () => {
    const before = JSON.stringify(contentsOf(rig))
    let refused = 0
    for (const operation of operations) {
      const says = foreignOf(operation.name)
      if (says === 'admin') continue
      const request = aim(operation, foreign)
      for (const scope of scopesOf(operation).filter(one => one !== 'admin')) {
        const key = bearer(scope, [own.storeId])
        const methods = operation.method === 'GET' ? ['GET', 'HEAD'] : [operation.method]
        for (const method of methods) {
          const { status, text } = await ask(request, key, method)
          const wanted = says === 'own only' ? 200 : says
          expect([operation.name, scope, method, status]).toEqual([
            operation.name,
            scope,
            method,
            wanted,
          ])
          expectNoLeak(text, request)
          if (says === 'own only' && method === 'GET') {
            expect(text).toContain(`store ${own.storeId}`)
          }
          refused += 1
        }
      }
    }
    expect(refused).toBeGreaterThan(40)
    expect(JSON.stringify(contentsOf(rig))).toBe(before)
  })

  it('tells of a foreign order, guide or owner what it tells of none', async () => {
    const nothing: Shop = {
      ...foreign,
      orderNo: 'NOTHING1',
      memberId: 'm-none',
      guides: ['NOBODY', 'NOBODY'],
    }
    const mask = (text: string, { orderNo, memberId, guides: [guideId = ''] }: Shop) =>
      text.replaceAll(orderNo, 'NO').replaceAll(memberId, 'MEMBER').replaceAll(guideId, 'GUIDE')
    let compared = 0
    for (const operation of operations) {
      if (foreignOf(operation.name) !== 404) continue
      for (const scope of scopesOf(operation).filter(one => one !== 'admin')) {
        const key = bearer(scope, [own.storeId])
        const seen = await ask(aim(operation, foreign), key)
        const unseen = await ask(aim(operation, nothing), key)
        expect(mask(seen.text, foreign), operation.name).toBe(mask(unseen.text, nothing))
        compared += 1
      }
    }
    expect(compared).toBeGreaterThan(10)
  })

  it('has no other methods than the description, whatever the key', async () => {
    const admin = bearer('admin', null)
    const methodsOf = Map.groupBy(operations, ({ path }) => path)
    for (const [path, known] of methodsOf) {
      const [operation] = known
      if (!operation) continue
      const others = operations.filter(one => patternOf(one.path).test(path.replace(/[{}]/g, '')))
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY']) {
        if (others.some(one => one.method === method)) continue
        const request = { ...aim(operation, own), media: 'application/json', text: '{}' }
        if (/import$|sync$/.test(path) && method !== 'GET') continue
        const { status } = await ask(request, admin, method)
        expect([method, path, status]).toEqual([method, path, 405])
      }
    }
  })

  it('lets in the keys that may', async () => {
    let allowed = 0
    // Last, for an order that is paid or closed takes no more.
    for (const operation of operations) {
      for (const scope of scopesOf(operation)) {
        for (const stores of scope === 'admin' ? [null] : [null, [own.storeId]]) {
          const { status, text } = await ask(aim(operation, own), bearer(scope, stores))
          const mayBeGone = /\{id\}|^DELETE \/members\//.test(operation.name)
          const refusals = mayBeGone ? [401, 403] : [401, 403, 404]
          expect(refusals, `${operation.name} ${scope} ${text}`).not.toContain(status)
          allowed += 1
        }
      }
    }
    expect(allowed).toBeGreaterThan(operations.length)
  })

  it('refuses a route that has no right, whatever the key', async () => {
    const app = createApp(rig.deps)
    app.get('/forgotten/{store_id}', context => context.text('secret'))
    app.get('/__proto__', context => context.text('secret'))
    for (const target of ['/forgotten/{store_id}', '/__proto__']) {
      for (const scope of ['assign', 'manage', 'admin'] as const) {
        const answer = await app.request(target, {
          headers: { authorization: bearer(scope, null) },
        })
        expect([target, answer.status]).toEqual([target, 403])
        expect(await answer.text()).not.toContain('secret')
      }
      expect((await app.request(target)).status).toBe(401)
    }
  })
})

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`)
}

describe('judge', () => {
  const key = (scope: Scope, stores: number[] | null) => ({
    id: 'k',
    scope,
    stores,
    name: null,
    createdAtMs: 0,
    expiresAtMs: null,
    signed: false,
  })

  it.each([
    ['GET /nowhere', key('admin', null), undefined, 'wrong_scope'],
    ['constructor', key('admin', null), undefined, 'wrong_scope'],
    ['GET /livez', null, undefined, 'allowed'],
    ['GET /keys', null, undefined, 'no_key'],
    ['GET /keys', key('manage', null), undefined, 'wrong_scope'],
    ['GET /stores/{store_id}/lint', key('manage', [1]), 1, 'allowed'],
    ['GET /stores/{store_id}/lint', key('manage', [1]), 2, 'foreign_store'],
    ['GET /stores/{store_id}/lint', key('manage', []), 1, 'foreign_store'],
    ['GET /stores/{store_id}/lint', key('manage', null), 2, 'allowed'],
    ['GET /stores/{store_id}/lint', key('admin', [1]), 2, 'allowed'],
    ['GET /stores/{store_id}/lint', key('assign', [1]), 1, 'wrong_scope'],
    ['POST /orders/{out_trade_no}/assign', key('admin', null), 1, 'wrong_scope'],
  ] as const)('says of %s', (operation, bearer, storeId, verdict) => {
    expect(judge(operation, bearer ? { ...bearer } : null, storeId).kind).toBe(verdict)
  })
})
