import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createManager } from '../support/manage.ts'
import { openRig, type Rig } from '../support/rig.ts'
import { accepted, createSeam, pageOf, sighted } from './upstream-seam.ts'

const seam = createSeam()
let rig: Rig
let ask: ReturnType<typeof createManager>
let storeId = 5000

beforeAll(async () => {
  rig = await openRig({ guideCalls: seam.between })
  const asManager = createManager(rig)
  ask = (method, path, asked) => asManager(method, path, { scope: 'admin', ...asked })
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})
beforeEach(async () => {
  seam.reset()
  storeId += 10
  await rig.openStore(storeId, 12)
  await sync()
})

// Each test has its own stores, and no sync reads those of the tests before.
afterEach(() => {
  for (const table of ['guides', 'stores']) rig.db.$client.prepare(`DELETE FROM ${table}`).run()
})

type Found = { store_id: number; guide_id: string; finding: string; fields?: string[] }
type Report = { findings: Found[]; failed: { store_id: number; why: string }[] }

async function sync(): Promise<Report> {
  const { status, json } = await ask('POST', '/guides/sync')
  expect(status).toBe(200)
  return json
}

const idsOf = (of = storeId) => rig.mirror.guidesOf(of)

let made = 0
function aGuide() {
  made += 1
  return {
    store_id: storeId,
    corpid: 'ww1234567890abcdef',
    userid: `emp-${made}`,
    name: `王小美${made}`,
    mobile: `138${String(made).padStart(8, '0')}`,
    qr_code: `https://example.com/qr/${made}`,
    avatar: `https://example.com/avatar/${made}.png`,
  }
}

/** Does that once, after the page of the store's list at that offset was answered and before we see it. */
function afterPage(offset: number, act: () => Promise<unknown>): void {
  let isDone = false
  seam.queryGuides = async query => {
    const page = await seam.real.queryGuides(query)
    if (!isDone && query.by === null && query.storeId === storeId && query.offset === offset) {
      isDone = true
      await act()
    }
    return page
  }
}

describe('what happens while the pages of a store are read', () => {
  it('a guide registered meanwhile is neither missing nor lost', async () => {
    let guideId = ''
    afterPage(10, async () => {
      guideId = (await ask('POST', '/guides', { body: aGuide() })).json.guide_id
    })
    expect((await sync()).findings).toEqual([])
    expect(rig.guides.find(guideId)).toMatchObject({ state: 'registered', missedSyncs: 0 })
  })

  it('a name changed here meanwhile does not go back to the old one', async () => {
    const [guideId = ''] = idsOf()
    afterPage(0, () => ask('PATCH', `/guides/${guideId}`, { body: { name: '新名字' } }))
    expect((await sync()).findings).toEqual([])
    expect(rig.guides.find(guideId)?.profile?.name).toBe('新名字')
    expect((await sync()).findings).toEqual([])
  })

  it('a person who asks to be forgotten meanwhile is forgotten', async () => {
    const [guideId = ''] = idsOf()
    await rig.control('PATCH', `/guides/${guideId}`, { name: '改名' })
    afterPage(0, () => ask('DELETE', `/guides/${guideId}/profile`))
    await sync()
    await sync()
    expect(rig.guides.find(guideId)).toMatchObject({ profile: null, state: 'registered' })
  })

  it('a guide who leaves meanwhile takes nobody with them: a list that shrank is read again', async () => {
    const { guides } = await rig.control('GET', '/guides')
    const [first] = guides.filter((guide: { store_id: number }) => guide.store_id === storeId)
    afterPage(0, () => rig.control('DELETE', `/guides/${first.guide_id}`))
    expect((await sync()).findings).toEqual([
      { store_id: storeId, guide_id: first.guide_id, finding: 'missing' },
    ])
  })

  it.each([
    ['up', 1],
    ['down', -1],
  ])('a guide who moved %s the list of stores is changed, and missing nowhere', async (_, step) => {
    const other = storeId + step
    await rig.openStore(other, 0)
    const [guideId = ''] = idsOf()
    seam.queryGuides = async query => {
      const page = await seam.real.queryGuides({ ...query, limit: 10 })
      if (page.kind !== 'accepted' || query.by !== null) return page
      if (query.storeId === other) return pageOf([sighted(guideId, other)])
      if (query.storeId !== storeId) return page
      const all = await Promise.all(
        [0, 10].map(offset => seam.real.queryGuides({ ...query, offset })),
      )
      const left = all
        .flatMap(one => (one.kind === 'accepted' ? one.value.guides : []))
        .filter(one => one.guideId !== guideId)
      return accepted({ guides: left.slice(query.offset, query.offset + 10), totalCount: 11 })
    }
    const { findings } = await sync()
    expect(findings).toMatchObject([
      {
        store_id: other,
        guide_id: guideId,
        finding: 'changed',
        fields: expect.arrayContaining(['store_id']),
      },
    ])
    expect(rig.guides.find(guideId)).toMatchObject({ storeId: other, missedSyncs: 0 })
  })
})

describe('a list that cannot be believed', () => {
  const twelve = () => Array.from({ length: 12 }, (_, n) => sighted(`X${storeId}-${n}`, storeId))
  it.each([
    [
      'a count that is too high',
      (offset: number) => pageOf(twelve().slice(offset, offset + 10), 13),
    ],
    ['a count that is too low', () => pageOf(twelve().slice(0, 10), 5)],
    ['the same page again and again', () => pageOf(twelve().slice(0, 10), 30)],
    [
      'an end before the end',
      (offset: number) => pageOf(offset === 0 ? twelve().slice(0, 10) : [], 12),
    ],
    ['more guides than a store can have', () => pageOf(twelve().slice(0, 10), 2 ** 40)],
    ['the guides of another store', () => pageOf([sighted('Y1', storeId + 7)])],
    ['an id that leads elsewhere', () => pageOf([sighted('..', storeId)])],
    ['an id that no header can carry', () => pageOf([sighted('服务\u0007', storeId)])],
  ])('(%s) takes nobody out and nobody in, however often, and is reported', async (_, answer) => {
    const before = idsOf()
    let asked = 0
    seam.queryGuides = query => {
      if (query.storeId !== storeId) return seam.real.queryGuides(query)
      asked += 1
      return Promise.resolve(answer(query.offset))
    }
    for (let round = 0; round < 2; round++) {
      const { findings, failed } = await sync()
      expect(findings).toEqual([])
      expect(failed).toEqual([{ store_id: storeId, why: expect.stringContaining('not read') }])
    }
    expect(asked).toBeLessThan(20)
    expect(idsOf()).toEqual(before)
    expect(rig.guides.find(before[0] ?? '')?.missedSyncs).toBe(0)
  })

  it('(a store that WeChat Pay does not know) keeps its guides, and says so', async () => {
    const unknown = storeId + 3
    const merchant = rig.merchant
    rig.mirror.putStore({ storeId: unknown, merchant, name: 'closed', timezone: 'Asia/Shanghai' })
    rig.mirror.putGuide({ id: `U${unknown}`, storeId: unknown, state: 'registered' })
    for (let round = 0; round < 2; round++) {
      const { failed, findings } = await sync()
      expect(failed).toEqual([{ store_id: unknown, why: expect.stringContaining('门店id不存在') }])
      expect(findings).toEqual([])
    }
    expect(rig.guides.find(`U${unknown}`)).toMatchObject({ state: 'registered', missedSyncs: 0 })
  })
})

it('a forgotten person stays forgotten when a sync brings the guide back into service', async () => {
  const [guideId = ''] = idsOf()
  await ask('DELETE', `/guides/${guideId}/profile`)
  rig.mirror.quarantine(guideId)
  expect((await sync()).findings).toMatchObject([{ guide_id: guideId, finding: 'restored' }])
  expect(rig.guides.find(guideId)).toMatchObject({ state: 'registered', profile: null })
})

describe('changes of one guide at the same time', () => {
  it('are both in the mirror, also what WeChat Pay never tells', async () => {
    const [guideId = ''] = idsOf()
    const answers = await Promise.all(
      [{ name: '同时' }, { mobile: '13700000099' }, { avatar: 'https://example.com/new.png' }].map(
        body => ask('PATCH', `/guides/${guideId}`, { body }),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect((await ask('GET', `/guides/${guideId}`)).json).toMatchObject({
      name: '同时',
      mobile: '13700000099',
      avatar: 'https://example.com/new.png',
    })
  })

  it('do not bring back what a sync or an erasure wrote while WeChat Pay was asked', async () => {
    const [synced = '', erased = ''] = idsOf()
    seam.updateGuide = async request => {
      const outcome = await seam.real.updateGuide(request)
      if (request.guideId === erased) await ask('DELETE', `/guides/${erased}/profile`)
      else {
        await rig.control('PATCH', `/guides/${synced}`, { mobile: '13700000055' })
        await sync()
      }
      return outcome
    }
    for (const guideId of [synced, erased]) {
      const body = { avatar: 'https://example.com/new.png' }
      expect((await ask('PATCH', `/guides/${guideId}`, { body })).status).toBe(200)
    }
    expect(rig.guides.find(synced)?.profile).toMatchObject({
      mobile: '13700000055',
      avatar: 'https://example.com/new.png',
    })
    expect(rig.guides.find(erased)).toMatchObject({ profile: null, erasedAtMs: expect.any(Number) })
  })
})

describe('a sync on a full disk', () => {
  it('says so, leaves nothing half, and the next one is whole', async () => {
    const { $client } = rig.db
    const bulk = Array.from({ length: 2000 }, (_, n) => sighted(`F${storeId}-${n}`, storeId))
    const known = idsOf().length
    seam.queryGuides = query =>
      query.storeId === storeId
        ? Promise.resolve(pageOf(bulk.slice(query.offset, query.offset + 10), bulk.length))
        : seam.real.queryGuides(query)
    $client.pragma(
      `max_page_count = ${Number($client.pragma('page_count', { simple: true })) + 20}`,
    )
    const full = await ask('POST', '/guides/sync')
    expect([full.status, full.json.code]).toEqual([503, 'storage_full'])
    expect(rig.failures.splice(0)).toMatchObject([{ code: 'SQLITE_FULL' }])
    $client.pragma('max_page_count = 1000000')
    const before = idsOf().length - known
    expect(before).toBeLessThan(bulk.length)
    const { findings } = await sync()
    expect(findings.filter(({ finding }) => finding === 'new')).toHaveLength(
      Math.min(bulk.length - before, 1000),
    )
    expect(idsOf()).toHaveLength(bulk.length + known)
  })
})

it('a guide is gone after two misses in a row, and not after two between which somebody saw them', () => {
  const [guideId = ''] = idsOf()
  const stateOf = () => rig.guides.find(guideId)?.state
  expect(rig.guides.miss(guideId)).toBe(false)
  rig.guides.seen([guideId], 1)
  expect(rig.guides.miss(guideId)).toBe(false)
  expect(stateOf()).toBe('registered')
  expect(rig.guides.miss(guideId)).toBe(true)
  expect(stateOf()).toBe('gone')
})
