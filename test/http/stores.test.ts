import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contentsOf, createManager } from '../support/manage.ts'
import { openRig, type Rig, randomNo, readJson } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>

const store = { name: '一号店', timezone: 'Asia/Shanghai' }

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
  for (const storeId of [3001, 3002, 3003]) await rig.openStore(storeId, 1)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

const admin = (method: string, path: string, body?: unknown) =>
  ask(method, path, { scope: 'admin', ...(body === undefined ? {} : { body }) })

describe('GET /stores', () => {
  it('shows a manager their own stores, and an admin all', async () => {
    const ids = async (asked: Parameters<typeof ask>[2]) => {
      const { stores } = (await ask('GET', '/stores', asked)).json
      return stores.map(({ store_id }: { store_id: number }) => store_id)
    }
    expect(await ids({ stores: [3002, 77] })).toEqual([3002])
    expect(await ids({})).toEqual([3001, 3002, 3003])
    expect(await ids({ scope: 'admin' })).toEqual([3001, 3002, 3003])
    expect((await ask('GET', '/stores', { stores: [3002] })).json.stores).toEqual([
      { store_id: 3002, name: 'store 3002', timezone: 'Asia/Shanghai' },
    ])
  })

  it('is not for tills', async () => {
    expect((await ask('GET', '/stores', { scope: 'assign' })).status).toBe(403)
    expect((await rig.app.request('/stores')).status).toBe(401)
  })
})

describe('PUT /stores/{id}', () => {
  it('makes a store that has its documents at once, and renames it the second time', async () => {
    const made = await admin('PUT', '/stores/3100', store)
    expect(made).toMatchObject({ status: 201, json: { store_id: 3100, ...store } })
    for (const kind of ['staff', 'roster', 'plan']) {
      expect((await ask('GET', `/stores/3100/${kind}`)).etag).toMatch(/^"0/)
    }
    const order = await readJson(await rig.assign(randomNo(), { store_id: 3100 }))
    expect(order).toMatchObject({ status: 'unassigned', guide_id: null })
    const renamed = { store_id: 3100, name: '二号店', timezone: 'Asia/Urumqi' }
    expect(await admin('PUT', '/stores/3100', renamed)).toMatchObject({
      status: 200,
      json: renamed,
    })
    expect((await ask('GET', '/stores', { stores: [3100] })).json.stores).toEqual([renamed])
    expect((await ask('GET', '/stores/3100/staff')).json.timezone).toBe('Asia/Urumqi')
  })

  it.each<[what: string, body: unknown, pointer: string]>([
    ['no name', { timezone: 'UTC' }, '/name'],
    ['an empty name', { ...store, name: '' }, '/name'],
    ['a name of 129 characters', { ...store, name: '店'.repeat(129) }, '/name'],
    ['a name with a line break', { ...store, name: 'a\nb' }, '/name'],
    ['no time zone', { name: 'a' }, '/timezone'],
    ['an offset', { ...store, timezone: '+08:00' }, '/timezone'],
    ['a made-up zone', { ...store, timezone: 'Asia/Bejing' }, '/timezone'],
    ['another store_id than the path', { ...store, store_id: 3201 }, '/store_id'],
    ['a sub_mchid in direct mode', { ...store, sub_mchid: '1900000110' }, '/sub_mchid'],
    ['a field of no meaning', { ...store, city: 'x' }, '/city'],
    ['a list', [], ''],
  ])('refuses %s', async (_, body, pointer) => {
    const before = contentsOf(rig)
    const answer = await admin('PUT', '/stores/3200', body)
    expect(answer).toMatchObject({ status: 400, json: { errors: [{ pointer }] } })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('is for admins alone, and never moves a store of another merchant', async () => {
    rig.mirror.putStore({ ...store, storeId: 3300, merchant: '1999999999' })
    const before = contentsOf(rig)
    for (const scope of ['assign', 'manage'] as const) {
      expect((await ask('PUT', '/stores/3001', { scope, body: store })).status).toBe(403)
    }
    expect(await admin('PUT', '/stores/3300', store)).toMatchObject({
      status: 409,
      json: { code: 'store_of_another_merchant' },
    })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('of a partner names the sub-merchant, and keeps it', async () => {
    const partner = await openRig({ mode: 'partner' })
    const asPartner = createManager(partner)
    const put = (body: object) =>
      asPartner('PUT', '/stores/3400', { scope: 'admin', body: { ...store, ...body } })
    expect(await put({})).toMatchObject({
      status: 400,
      json: { errors: [{ pointer: '/sub_mchid' }] },
    })
    expect((await put({ sub_mchid: '19x' })).status).toBe(400)
    expect(await put({ sub_mchid: '1900000111' })).toMatchObject({
      status: 201,
      json: { sub_mchid: '1900000111' },
    })
    expect((await put({ sub_mchid: '1900000112' })).status).toBe(409)
    expect((await asPartner('GET', '/stores')).json.stores).toMatchObject([
      { store_id: 3400, sub_mchid: '1900000111' },
    ])
    await partner.close()
    expect(partner.failures).toEqual([])
  })
})

describe('GET /stores/{id}/lint', () => {
  it('finds nothing in a new store, and a hole as far as it is asked to look', async () => {
    expect((await ask('GET', '/stores/3001/lint')).json).toMatchObject({ days: 14, warnings: [] })
    const roster = { weekly: [] }
    await ask('PUT', '/stores/3001/roster', { ifMatch: '"0"', body: roster })
    for (const days of [1, 60]) {
      const { from, warnings } = (await ask('GET', `/stores/3001/lint?days=${days}`)).json
      const [hole] = warnings
      expect(hole.code).toBe('COVERAGE_HOLE')
      expect(Date.parse(hole.until) - Date.parse(from)).toBe(days * 86_400_000)
    }
    const chinese = await ask('GET', '/stores/3001/lint', { language: 'zh' })
    expect(chinese.json.warnings[0].message).toMatch(/\p{Script=Han}/u)
  })

  it.each(['0', '61', '-1', '1.5', '1e1', '', 'many', '14&days=15'])(
    'does not look %s days ahead',
    async days => {
      expect((await ask('GET', `/stores/3001/lint?days=${days}`)).status).toBe(400)
    },
  )

  it('is for managers of the store', async () => {
    expect((await ask('GET', '/stores/3001/lint', { scope: 'assign' })).status).toBe(403)
    expect((await ask('GET', '/stores/3001/lint', { stores: [3002] })).status).toBe(403)
    expect((await ask('GET', '/stores/77/lint', { stores: [3002] })).status).toBe(403)
    expect((await ask('GET', '/stores/77/lint')).status).toBe(404)
  })
})
