import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contentsOf, createManager } from '../support/manage.ts'
import { openRig, type Rig, randomNo, readJson } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let storeId = 4000
let first: string
let second: string

const minuteMs = 60_000

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})
beforeEach(async () => {
  rig.skew.ms = 0
  storeId += 1
  const guides = await rig.openStore(storeId, 2)
  first = guides[0] ?? ''
  second = guides[1] ?? ''
})

const staffTag = async () => (await ask('GET', `/stores/${storeId}/staff`)).etag ?? ''
const pauseOf = (guideId: string) =>
  `/stores/${storeId}/guides/${encodeURIComponent(guideId)}/pause`
const pause = (guideId: string, body: unknown = { minutes: 30, why: '午饭' }) =>
  ask('PUT', pauseOf(guideId), { body })

async function duty(query = ''): Promise<Record<string, unknown>> {
  const { guides } = (await ask('GET', `/stores/${storeId}/on-duty${query}`)).json
  return Object.fromEntries(
    guides.map((one: { guide_id: string; reason: string | null }) => [one.guide_id, one.reason]),
  )
}

async function decided(): Promise<string | null> {
  const { guide_id } = await readJson(await rig.assign(randomNo(), { store_id: storeId }))
  return guide_id
}

describe('a pause', () => {
  it('keeps the guide out of the next decision, and ends by itself', async () => {
    const answer = await pause(first)
    expect(answer).toMatchObject({ status: 200, json: { guide_id: first, why: '午饭' } })
    expect(Date.parse(answer.json.until)).toBeGreaterThan(Date.now() + 29 * minuteMs)
    expect([await decided(), await decided()]).toEqual([second, second])
    rig.skew.ms = 31 * minuteMs
    expect(await decided()).toBe(first)
    expect(await duty()).toEqual({ [first]: null, [second]: null })
  })

  it('is ended by hand, twice without harm, and a second one takes the place of the first', async () => {
    await pause(first, { minutes: 1440, why: 'a' })
    await pause(first, { minutes: 1, why: 'b' })
    rig.skew.ms = 2 * minuteMs
    expect(await duty()).toMatchObject({ [first]: null })
    await pause(first)
    expect((await ask('DELETE', pauseOf(first))).status).toBe(204)
    expect((await ask('DELETE', pauseOf(first))).status).toBe(204)
    expect(await duty()).toMatchObject({ [first]: null })
  })

  it('needs somebody on the staff', async () => {
    const before = contentsOf(rig)
    for (const guideId of ['NOBODY', rig.mirror.guidesOf(storeId - 1)[0] ?? 'NOBODY']) {
      expect(await pause(guideId)).toMatchObject({ status: 404, json: { code: 'guide_not_found' } })
      expect((await ask('DELETE', pauseOf(guideId))).json.code).toBe('guide_not_found')
    }
    expect((await pause('a b')).status).toBe(400)
    expect((await pause('__proto__')).status).toBe(404)
    expect(contentsOf(rig)).toEqual(before)
  })

  it.each<[unknown, string]>([
    [{ why: 'a' }, '/minutes'],
    [{ minutes: 0, why: 'a' }, '/minutes'],
    [{ minutes: 1441, why: 'a' }, '/minutes'],
    [{ minutes: 1.5, why: 'a' }, '/minutes'],
    [{ minutes: '30', why: 'a' }, '/minutes'],
    [{ minutes: 30 }, '/why'],
    [{ minutes: 30, why: '' }, '/why'],
    [{ minutes: 30, why: 'a\u0000' }, '/why'],
    [{ minutes: 30, why: 'x'.repeat(201) }, '/why'],
    [{ minutes: 30, why: 'a', until: 'x' }, '/until'],
    [[], ''],
  ])('is not %j', async (body, pointer) => {
    const before = contentsOf(rig)
    expect(await pause(first, body)).toMatchObject({
      status: 400,
      json: { errors: [{ pointer }] },
    })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('is for managers of the store', async () => {
    const before = contentsOf(rig)
    const body = { minutes: 5, why: 'a' }
    for (const [method, asked] of [
      ['PUT', { body }],
      ['DELETE', {}],
    ] as const) {
      const path = pauseOf(first)
      expect((await ask(method, path, { ...asked, scope: 'assign' })).status).toBe(403)
      expect((await ask(method, path, { ...asked, stores: [1] })).status).toBe(403)
      const unknown = `/stores/77/guides/${first}/pause`
      expect((await ask(method, unknown, { ...asked, stores: [1] })).status).toBe(403)
      expect((await ask(method, unknown, asked)).json.code).toBe('store_not_found')
    }
    expect(contentsOf(rig)).toEqual(before)
  })

  it('speaks the language of who asks', async () => {
    const answer = await ask('PUT', pauseOf(first), {
      body: { minutes: 0, why: '' },
      language: 'zh',
    })
    expect(answer.json.errors).toEqual([
      { pointer: '/minutes', message: 'minutes：不能小于 1' },
      { pointer: '/why', message: 'why：至少 1 个字符' },
    ])
  })
})

describe('GET on-duty', () => {
  it('says of each guide of the staff why they are not there', async () => {
    const day = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10)
    const staff = {
      timezone: 'Asia/Shanghai',
      guides: [{ id: first }, { id: second, caps: { per_day: 1 } }, { id: 'UNKNOWN' }],
    }
    await ask('PUT', `/stores/${storeId}/staff`, { ifMatch: await staffTag(), body: staff })
    expect(await duty()).toEqual({ [first]: null, [second]: null, UNKNOWN: 'UNREGISTERED' })

    await pause(first)
    expect(await decided()).toBe(second)
    expect(await duty()).toMatchObject({ [first]: 'PAUSED', [second]: 'CAP_DAY' })
    const answer = await ask('GET', `/stores/${storeId}/on-duty`)
    expect(answer.json.guides[0]).toMatchObject({
      guide_id: first,
      on_duty: false,
      reason: 'PAUSED',
      pause: { why: '午饭' },
    })
    expect(answer.json.guides[1]).toMatchObject({ on_duty: false, pause: null })

    const [open] = (await ask('GET', `/stores/${storeId}/roster`)).json.weekly
    const roster = { weekly: [open], away: [{ guide: first, from: day, to: day }] }
    await ask('PUT', `/stores/${storeId}/roster`, { ifMatch: '"0"', body: roster })
    expect(await duty()).toMatchObject({ [first]: 'AWAY' })
  })

  it('looks at another instant with the documents of then', async () => {
    await pause(first, { minutes: 10, why: 'a' })
    const at = (ms: number) => `?at=${new Date(Date.now() + ms).toISOString()}`
    expect(await duty(at(5 * minuteMs))).toEqual({ [first]: 'PAUSED', [second]: null })
    expect(await duty(at(15 * minuteMs))).toEqual({ [first]: null, [second]: null })
    expect(await duty(at(-5 * minuteMs))).toEqual({ [first]: null, [second]: null })
    const from = encodeURIComponent(new Date(Date.now() + 60 * minuteMs).toISOString())
    const body = { timezone: 'Asia/Shanghai', guides: [{ id: second }] }
    const ifMatch = await staffTag()
    await ask('PUT', `/stores/${storeId}/staff?effective_at=${from}`, { ifMatch, body })
    expect(Object.keys(await duty(at(59 * minuteMs)))).toEqual([first, second].sort())
    expect(Object.keys(await duty(at(61 * minuteMs)))).toEqual([second])
  })

  it('takes an offset whose + nobody escaped', async () => {
    const wall = (ms: number) =>
      new Date(Date.now() + ms + 480 * minuteMs).toISOString().slice(0, -1)
    await pause(first, { minutes: 10, why: 'a' })
    expect(await duty(`?at=${wall(5 * minuteMs)}+08:00`)).toMatchObject({ [first]: 'PAUSED' })
    expect(await duty(`?at=${wall(15 * minuteMs)}+08:00`)).toMatchObject({ [first]: null })
  })

  it.each([
    '?at=now',
    '?at=2026-11-23',
    '?at=2026-11-23T10:00:00',
    '?at=2026-11-23+10:00',
    '?at=2026-11-23T10:00:00++08:00',
    '?at=2026-11-23T10:00:00+0800',
    '?when=now',
  ])('refuses %s', async query => {
    expect((await ask('GET', `/stores/${storeId}/on-duty${query}`)).status).toBe(400)
  })

  it('is for managers of the store', async () => {
    const path = `/stores/${storeId}/on-duty`
    expect((await ask('GET', path, { scope: 'assign' })).status).toBe(403)
    expect((await ask('GET', path, { stores: [1] })).status).toBe(403)
    expect((await ask('GET', '/stores/77/on-duty')).status).toBe(404)
  })
})
