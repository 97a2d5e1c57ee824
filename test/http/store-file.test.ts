import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contentsOf, createManager } from '../support/manage.ts'
import { openRig, type Rig, randomNo, readJson } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let storeId = 6000
let guides: string[]

const none = { use: 'none' }

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})
beforeEach(async () => {
  storeId += 1
  guides = await rig.openStore(storeId, 2)
})

const exported = async (id = storeId) => (await ask('GET', `/stores/${id}/export`)).json
const send = (body: unknown, query = '', asked: Parameters<typeof ask>[2] = {}) =>
  ask('POST', `/stores/${storeId}/import${query}`, { body, ...asked })

describe('a store as one file', () => {
  it('holds the store, its three documents and its pauses', async () => {
    await ask('PUT', `/stores/${storeId}/guides/${guides[0]}/pause`, {
      body: { minutes: 5, why: '茶' },
    })
    const file = await exported()
    expect(file).toMatchObject({
      format: 'smartguide-store/1',
      store: { store_id: storeId, name: `store ${storeId}`, timezone: 'Asia/Shanghai' },
      pauses: [{ guide_id: guides[0], why: '茶' }],
    })
    for (const kind of ['staff', 'roster', 'plan']) {
      expect(file[kind]).toEqual((await ask('GET', `/stores/${storeId}/${kind}`)).json)
    }
    expect(Date.parse(file.exported_at)).toBeLessThanOrEqual(Date.now())
  })

  it('changes nothing when it comes back', async () => {
    const file = await exported()
    const before = contentsOf(rig)
    const answer = await send(file)
    expect(answer).toMatchObject({ status: 200, json: { changed: [], dry_run: false } })
    expect(answer.json.versions).toEqual({ staff: 0, roster: 0, plan: 0 })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('publishes what differs, and the next order follows it', async () => {
    const file = { ...(await exported()), plan: { steps: [none] } }
    const before = contentsOf(rig)
    const dry = await send(file, '?dry_run=true')
    expect(dry.json).toMatchObject({ dry_run: true, changed: ['plan'], versions: { plan: 0 } })
    expect(contentsOf(rig)).toEqual(before)
    const answer = await send(file)
    expect(answer.json).toMatchObject({
      changed: ['plan'],
      versions: { staff: 0, roster: 0, plan: 1 },
    })
    const order = await readJson(await rig.assign(randomNo(), { store_id: storeId }))
    expect(order.guide_id).toBeNull()
    expect((await send(file)).json).toMatchObject({ changed: [], versions: { plan: 1 } })
  })

  it('is published over a version that waits, though it is that version, and says what waits', async () => {
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString()
    const query = `?effective_at=${encodeURIComponent(tomorrow)}`
    const body = { steps: [none] }
    await ask('PUT', `/stores/${storeId}/plan${query}`, { ifMatch: '"0"', body })
    const { json } = await send(await exported())
    expect(json).toMatchObject({ changed: ['plan'], versions: { plan: 2 } })
    const overtaken = { code: 'OVERTAKEN', pointer: '/plan', until: tomorrow }
    expect(json.warnings).toContainEqual(expect.objectContaining(overtaken))
    const order = await readJson(await rig.assign(randomNo(), { store_id: storeId }))
    expect(order.guide_id).toBeNull()
    expect((await send(await exported())).json.changed).toEqual([])
  })

  it('is carried to another store, which warns of the guides of the first', async () => {
    await ask('PUT', `/stores/${storeId}/plan`, { ifMatch: '"0"', body: { steps: [none] } })
    const file = await exported()
    storeId += 1
    await rig.openStore(storeId, 1)
    const answer = await send(file, '', { language: 'zh' })
    expect(answer.json.changed).toEqual(['staff', 'plan'])
    expect(answer.json.warnings.map(({ code }: { code: string }) => code)).toContain(
      'FOREIGN_GUIDE',
    )
    expect(answer.json.warnings[0].message).toMatch(/\p{Script=Han}/u)
    const { store, exported_at, ...copy } = await exported()
    expect(file).toMatchObject(copy)
    expect(store.store_id).toBe(storeId)
  })

  it.each<[what: string, change: object, pointer: string]>([
    ['another format', { format: 'smartguide-store/2' }, '/format'],
    ['no plan', { plan: undefined }, '/plan'],
    ['no staff', { staff: undefined }, '/staff'],
    ['a plan without an end', { plan: { steps: [{ use: 'rotate' }] } }, '/plan/steps'],
    ['a wrong roster', { roster: { weekly: {} } }, '/roster/weekly'],
    ['another field', { rooster: {} }, '/rooster'],
  ])('is refused with %s, and nothing of it is written', async (_, change, pointer) => {
    const good = { ...(await exported()), staff: { timezone: 'UTC', guides: [] } }
    const before = contentsOf(rig)
    const answer = await send({ ...good, ...change })
    expect(answer).toMatchObject({ status: 400, json: { errors: [{ pointer }] } })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('is written whole or not at all when the disk fails in the middle', async () => {
    const file = {
      ...(await exported()),
      staff: { timezone: 'UTC', guides: [] },
      plan: { steps: [none] },
    }
    const before = contentsOf(rig)
    const client = rig.db.$client
    client.exec(
      "CREATE TRIGGER fail BEFORE INSERT ON documents WHEN new.kind = 'plan' BEGIN SELECT raise(ABORT, 'planted'); END",
    )
    const answer = await send(file)
    client.exec('DROP TRIGGER fail')
    expect(answer.status).toBe(500)
    expect(rig.failures.splice(0)).toHaveLength(1)
    expect(contentsOf(rig)).toEqual(before)
    const order = await readJson(await rig.assign(randomNo(), { store_id: storeId }))
    expect(order.guide_id).not.toBeNull()
  })

  it('is for managers of the store', async () => {
    const file = await exported()
    const before = contentsOf(rig)
    for (const [method, path, asked] of [
      ['GET', 'export', {}],
      ['POST', 'import', { body: file }],
    ] as const) {
      const own = `/stores/${storeId}/${path}`
      const unknown = `/stores/77/${path}`
      expect((await ask(method, own, { ...asked, scope: 'assign' })).status).toBe(403)
      expect((await ask(method, own, { ...asked, stores: [1] })).status).toBe(403)
      expect((await ask(method, unknown, { ...asked, stores: [1] })).status).toBe(403)
      expect((await ask(method, unknown, asked)).json.code).toBe('store_not_found')
    }
    expect((await send(file, '?dryrun=true')).status).toBe(400)
    expect(contentsOf(rig)).toEqual(before)
  })
})
