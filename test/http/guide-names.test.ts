import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Asked, createManager } from '../support/manage.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let own: string[]
let foreign: string[]
let stranger: string

const store = 7001
const other = 7002
const mobile = '13800000001'
const asOwn: Asked = { stores: [store] }
const everyDay = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

function christen(guideId: string, storeId: number, name: string): void {
  rig.guides.keep(
    {
      guideId,
      storeId,
      userid: `user-${guideId}`,
      workId: null,
      profile: { name, mobile, qrCode: 'https://example.com/qr' },
    },
    Date.now(),
  )
}

/** 张三 and 李四 are of the store, 王五 is borrowed, 赵六 is of the other store, and 钱七 of another merchant. */
beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
  own = await rig.openStore(store, 2)
  foreign = await rig.openStore(other, 2)
  ;[stranger = ''] = await rig.openStore(7003, 1, '1900000222')
  const names = ['张三', '李四', '王五', '赵六', '钱七']
  for (const [index, id] of [...own, ...foreign, stranger].entries()) {
    const home = index < 2 ? store : index < 4 ? other : 7003
    christen(id, home, names[index] ?? '')
  }
  const guides = [...own, foreign[0] ?? '', stranger].map(id => ({ id }))
  const { etag } = await ask('GET', `/stores/${store}/staff`)
  const body = { timezone: 'Asia/Shanghai', guides }
  await ask('PUT', `/stores/${store}/staff`, { ifMatch: etag ?? '', body })
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

type Wire = { guide_id: string; name?: string }
const namesIn = (guides: Wire[]) => new Map(guides.map(({ guide_id, name }) => [guide_id, name]))

describe('a store manager', () => {
  it('learns who is who in their store, borrowed guides too, and no mobile, userid or link', async () => {
    const { status, json, text, headers } = await ask('GET', `/guides?store_id=${store}`, asOwn)
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store'])
    const names = json.guides.map(({ name }: Wire) => name).sort()
    expect(names).toEqual(['张三', '李四', '王五'].sort())
    for (const hidden of [mobile, 'user-', 'example.com', '赵六', '钱七']) {
      expect(text).not.toContain(hidden)
    }
    expect(json.guides[0]).toMatchObject({ mobile: null, userid: null, work_id: null })
  })

  it('pages through them in order, and finds by name but by no mobile', async () => {
    const seen: string[] = []
    let cursor = ''
    do {
      const page = await ask('GET', `/guides?store_id=${store}&limit=1&cursor=${cursor}`, asOwn)
      seen.push(...page.json.guides.map(({ guide_id }: Wire) => guide_id))
      cursor = page.json.cursor ?? ''
    } while (cursor !== '')
    expect(seen).toEqual([...own, foreign[0]].sort())
    const find = async (q: string) => {
      const path = `/guides?store_id=${store}&q=${encodeURIComponent(q)}`
      return (await ask('GET', path, asOwn)).json.guides.map(({ name }: Wire) => name)
    }
    expect(await find('张')).toEqual(['张三'])
    expect(await find('王五')).toEqual(['王五'])
    expect(await find(mobile)).toEqual([])
    expect(await find(`user-${own[0]}`)).toEqual([])
  })

  it('is told of no other store, and names one', async () => {
    expect((await ask('GET', '/guides', asOwn)).json.errors).toMatchObject([
      { pointer: '/store_id' },
    ])
    expect((await ask('GET', `/guides?store_id=${other}`, asOwn)).status).toBe(403)
    expect((await ask('GET', `/guides?store_id=${store}`, { scope: 'assign' })).status).toBe(403)
    const [borrowed, unknown] = foreign
    const one = async (id: string | undefined) => ask('GET', `/guides/${id}`, asOwn)
    expect((await one(own[0])).json).toMatchObject({ name: '张三', mobile: null })
    expect((await one(borrowed)).json).toMatchObject({ name: '王五', userid: null })
    for (const id of [unknown, stranger, 'NOBODY']) {
      expect((await one(id)).json.code).toBe('guide_not_found')
    }
    const change = { body: { name: '王美' }, ...asOwn }
    expect((await ask('PATCH', `/guides/${own[0]}`, change)).status).toBe(403)
  })
})

describe('an administrator', () => {
  it('is told all of it as before', async () => {
    const { json } = await ask('GET', `/guides?store_id=${store}`, { scope: 'admin' })
    expect(json.guides).toHaveLength(2)
    expect(json.guides[0]).toMatchObject({ mobile, qr_code: 'https://example.com/qr' })
  })
})

describe('a report', () => {
  it('has the names that the mirror knows beside the guide_ids, and is kept by no cache', async () => {
    await rig.assign('NAMES-1', { store_id: store })
    const from = new Date(Date.now() - 3_600_000).toISOString()
    const to = new Date(Date.now() + 60_000).toISOString()
    const date = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10)
    const draft = { plan: { steps: [{ use: 'rotate' }, { use: 'none' }] } }
    for (const [method, path, body] of [
      ['GET', `/stores/${store}/on-duty`],
      ['GET', `/stores/${store}/fairness`],
      ['GET', '/orders/NAMES-1/explain'],
      ['POST', `/stores/${store}/replay`, { from, to, draft }],
    ] as const) {
      const { json, headers } = await ask(method, path, { ...asOwn, body })
      expect(headers.get('cache-control'), path).toBe('no-store')
      const names = namesIn(json.guides)
      expect([names.get(own[0] ?? ''), names.get(foreign[0] ?? '')]).toEqual(['张三', '王五'])
      expect(names.get(stranger)).toBeUndefined()
    }
    const orders = [{ out_trade_no: 'S' }]
    const simulated = await ask('POST', `/stores/${store}/simulate`, { ...asOwn, body: { orders } })
    const [{ explanation, name }] = simulated.json.orders
    expect(['张三', '李四', '王五']).toContain(name)
    expect(explanation.sentence.zh).toContain(name)
    const explained = await ask('GET', '/orders/NAMES-1/explain', asOwn)
    expect(explained.json.sentence.zh).toMatch(/轮到 (张三|李四|王五)：.*比下一位|相同/)
    expect(explained.json.sentence.en).not.toContain(explained.json.guide_id)
    const missed = await ask('GET', `/guides/${own[0]}/missed?date=${date}`, asOwn)
    expect([missed.json.name, missed.headers.get('cache-control')]).toEqual(['张三', 'no-store'])
  })

  it('tells a till no names', async () => {
    const { text, headers } = await ask('GET', '/orders/NAMES-1/explain', { scope: 'assign' })
    expect(text).not.toMatch(/张三|李四|王五/)
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it('tells of a draft no names of other stores', async () => {
    const staff = { timezone: 'Asia/Shanghai', guides: [...own, ...foreign].map(id => ({ id })) }
    const body = { orders: [{}], draft: { staff } }
    const { text } = await ask('POST', `/stores/${store}/simulate`, { ...asOwn, body })
    expect(text).toContain('王五')
    expect(text).not.toContain('赵六')
    const rehearsed = await ask('PUT', `/stores/${store}/staff?dry_run=true`, {
      ...asOwn,
      body: staff,
    })
    expect(rehearsed.text).toContain('王五')
    expect(rehearsed.text).not.toContain('赵六')
  })

  it('calls two of one name by their guide_ids too', async () => {
    const [one = '', two = ''] = await rig.openStore(7010, 2)
    christen(one, 7010, '小美')
    christen(two, 7010, '小美')
    await rig.assign('ALIKE', { store_id: 7010 })
    const { sentence } = (await ask('GET', '/orders/ALIKE/explain')).json
    for (const id of [one, two]) expect(sentence.zh).toContain(`小美 (${id})`)
  })

  it('has no name of a guide who was erased', async () => {
    const [one = ''] = await rig.openStore(7011, 1)
    christen(one, 7011, '小丽')
    const duty = async () => (await ask('GET', '/stores/7011/on-duty')).json.guides
    expect(await duty()).toMatchObject([{ guide_id: one, name: '小丽' }])
    rig.guides.erase(one, Date.now())
    expect(await duty()).toEqual([expect.not.objectContaining({ name: expect.anything() })])
  })
})

describe('lint', () => {
  it('warns of a guide who is registered in the store and stands on no staff, by name', async () => {
    const [first = ''] = await rig.openStore(7020, 1)
    const staff = { timezone: 'Asia/Shanghai', guides: [{ id: first }] }
    const { etag } = await ask('GET', '/stores/7020/staff')
    await ask('PUT', '/stores/7020/staff', { ifMatch: etag ?? '', body: staff })
    const lint = () => ask('GET', '/stores/7020/lint', { language: 'zh' })
    expect((await lint()).json.warnings).toEqual([])
    rig.mirror.putGuide({ id: 'NEWCOMER', storeId: 7020, state: 'registered' })
    christen('NEWCOMER', 7020, '新来')
    const { json, headers } = await lint()
    expect(headers.get('cache-control')).toBe('no-store')
    expect(json.warnings).toEqual([
      {
        code: 'MISSING_FROM_STAFF',
        pointer: '/staff/guides',
        message: '服务人员 新来 已在本店注册，但不在员工名单里，不会分到订单：请加入员工名单。',
        guide_id: 'NEWCOMER',
        name: '新来',
      },
    ])
  })

  it('names the weekday of a hole', async () => {
    const { json } = await ask('PUT', `/stores/${other}/roster?dry_run=true`, {
      language: 'zh',
      body: {
        weekly: [{ shift: '白班', days: everyDay, from: '09:00', to: '22:00', guides: ['*'] }],
      },
    })
    const hole = json.warnings.find(({ code }: { code: string }) => code === 'COVERAGE_HOLE')
    expect(hole.message).toMatch(/周[一二三四五六日] \d{4}-\d\d-\d\d \d\d:\d\d 至 周/)
  })
})

describe('the orders that a borrowed guide missed', () => {
  it('are found in the one store of the manager whose staff they are on', async () => {
    const [borrowed, unknown] = foreign
    const missed = (id: string | undefined, stores = [store]) =>
      ask('GET', `/guides/${id}/missed?date=2026-11-23`, { stores })
    expect((await missed(borrowed)).json).toMatchObject({ store_id: store, name: '王五' })
    expect((await missed(borrowed, [store, other])).json.store_id).toBe(other)
    const refused = await missed(unknown)
    expect(refused.json).toMatchObject({
      code: 'guide_not_found',
      detail: 'No such guide is registered in your stores or on their staff.',
    })
    const [here] = await rig.openStore(7030, 1)
    const { etag } = await ask('GET', '/stores/7030/staff')
    await ask('PUT', '/stores/7030/staff', {
      ifMatch: etag ?? '',
      body: { timezone: 'Asia/Shanghai', guides: [{ id: here }, { id: borrowed }] },
    })
    const either = await missed(borrowed, [store, 7030])
    expect(either.json.errors).toMatchObject([{ pointer: '/store_id' }])
  })
})
