import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { contentsOf, createManager } from '../support/manage.ts'
import { openRig, type Rig, randomNo, readJson } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let guides: string[]
let storeId = 2000

const kinds = ['staff', 'roster', 'plan'] as const
type Kind = (typeof kinds)[number]
const none = { use: 'none' }
const rotate = { use: 'rotate' }
const dayMs = 86_400_000

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
  await rig.openStore(1999, 1)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})
beforeEach(async () => {
  rig.skew.ms = 0
  storeId += 1
  guides = await rig.openStore(storeId, 2)
})

const pathOf = (kind: Kind) => `/stores/${storeId}/${kind}`
const tagOf = async (kind: Kind) => (await ask('GET', pathOf(kind))).etag ?? ''

function aDocument(kind: Kind): object {
  if (kind === 'staff') return { timezone: 'Asia/Shanghai', guides: [{ id: guides[1] }] }
  if (kind === 'plan') return { steps: [rotate, none] }
  const shift = { shift: '早班', days: ['mon'], from: '09:00', to: '15:00', guides }
  return { weekly: [shift] }
}

async function decided(): Promise<string | null> {
  const { guide_id } = await readJson(await rig.assign(randomNo(), { store_id: storeId }))
  return guide_id
}

const staffOf = (id: string | undefined) => ({ timezone: 'Asia/Shanghai', guides: [{ id }] })
const inMs = (ms: number) => new Date(Date.now() + rig.skew.ms + ms).toISOString()

describe.each(kinds)('the %s of a store', kind => {
  it('exists with an ETag from the moment the store does, and comes back as it was sent', async () => {
    const first = await ask('GET', pathOf(kind))
    expect(first.status).toBe(200)
    expect(first.etag).toMatch(kind === 'staff' ? /^"0-[0-9a-f]{8}"$/ : /^"0"$/)
    expect(first.headers.get('x-effective-at')).toBeNull()
    const put = await ask('PUT', pathOf(kind), { ifMatch: first.etag ?? '', body: first.json })
    expect(put).toMatchObject({ status: 200, etag: '"1"' })
    expect(put.json).toMatchObject({ kind, version: 1, document: first.json, warnings: [] })
    const second = await ask('GET', pathOf(kind))
    expect([second.etag, second.json]).toEqual(['"1"', first.json])
  })

  it('fills in what was not said, in the answer and for the next reader alike', async () => {
    const ifMatch = await tagOf(kind)
    const put = await ask('PUT', pathOf(kind), { ifMatch, body: aDocument(kind) })
    expect(put.status).toBe(200)
    expect((await ask('GET', pathOf(kind))).json).toEqual(put.json.document)
    expect(put.json.document).toMatchObject(aDocument(kind))
  })

  it.each([
    ['no If-Match', undefined, 428, 'precondition_required'],
    ['If-Match: *', '*', 428, 'precondition_required'],
    ['an older version', '"0"', 412, 'precondition_failed'],
    ['a version that is not there yet', '"2"', 412, 'precondition_failed'],
    ['a weak tag', 'W/"1"', 412, 'precondition_failed'],
    ['no quotes', '1', 412, 'precondition_failed'],
    ['nonsense', 'yesterday', 412, 'precondition_failed'],
    ['nothing', '', 412, 'precondition_failed'],
  ])('is not overwritten with %s', async (_, ifMatch, status, code) => {
    await ask('PUT', pathOf(kind), { ifMatch: await tagOf(kind), body: aDocument(kind) })
    const before = contentsOf(rig)
    const asked = ifMatch === undefined ? {} : { ifMatch }
    const put = await ask('PUT', pathOf(kind), { ...asked, body: aDocument(kind) })
    expect(put).toMatchObject({ status, json: { code }, etag: null })
    const restored = await ask('POST', `${pathOf(kind)}/versions/0/restore`, asked)
    expect(restored).toMatchObject({ status, json: { code } })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('is published by exactly one of eight managers who read the same version', async () => {
    const ifMatch = await tagOf(kind)
    const put = () => ask('PUT', pathOf(kind), { ifMatch, body: aDocument(kind) })
    const answers = await Promise.all(Array.from({ length: 8 }, put))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(412)])
    expect((await ask('GET', pathOf(kind))).etag).toBe('"1"')
  })

  it('is only looked at by a dry run, stale or not', async () => {
    const before = contentsOf(rig)
    const dry = `${pathOf(kind)}?dry_run=true`
    const answer = await ask('PUT', dry, { body: aDocument(kind), ifMatch: await tagOf(kind) })
    expect(answer).toMatchObject({ status: 200, etag: null, json: { kind, version: null } })
    expect((await ask('PUT', dry, { body: aDocument(kind) })).status).toBe(200)
    expect((await ask('PUT', dry, { body: aDocument(kind), ifMatch: '"7"' })).status).toBe(412)
    expect((await ask('PUT', dry, { body: {} })).status).toBe(400)
    const restore = `${pathOf(kind)}/versions/0/restore?dry_run=true`
    expect((await ask('POST', restore)).json).toMatchObject({ version: null })
    expect(contentsOf(rig)).toEqual(before)
  })

  it('keeps every version, with its author and times, and restores one as a new one equal to it', async () => {
    const { etag, json: original } = await ask('GET', pathOf(kind))
    await ask('PUT', pathOf(kind), { ifMatch: etag ?? '', body: original })
    const changed = await ask('PUT', pathOf(kind), { ifMatch: '"1"', body: aDocument(kind) })
    const restored = await ask('POST', `${pathOf(kind)}/versions/1/restore`, { ifMatch: '"2"' })
    expect(restored).toMatchObject({ status: 200, etag: '"3"' })
    expect(restored.json).toMatchObject({ kind, version: 3, document: original })
    expect((await ask('GET', pathOf(kind))).json).toEqual(original)

    const { versions } = (await ask('GET', `${pathOf(kind)}/versions`)).json
    expect(versions.map(({ version }: { version: number }) => version)).toEqual([3, 2, 1, 0])
    expect(versions.at(-1)).toEqual({
      version: 0,
      author: null,
      written_at: null,
      effective_at: null,
    })
    const second = (await ask('GET', `${pathOf(kind)}/versions/2`)).json
    expect(second).toEqual({ kind, ...versions[1], document: changed.json.document })
    expect(second.author).toMatch(/^[0-9a-f]{16}$/)
    expect(Date.parse(second.written_at)).toBeLessThanOrEqual(Date.now())
    expect(second.effective_at).toBe(second.written_at)

    const changes = (from: number, to: number) =>
      ask('GET', `${pathOf(kind)}/versions/${from}/diff/${to}`)
    expect((await changes(1, 3)).json).toEqual({ kind, from: 1, to: 3, changes: [] })
    expect((await changes(1, 2)).json.changes.length).toBeGreaterThan(0)
  })

  it.each([
    ['GET', 'versions/9', 404],
    ['GET', 'versions/-1', 400],
    ['GET', 'versions/one', 400],
    ['GET', 'versions/1e3', 400],
    ['GET', 'versions/99999999999', 400],
    ['GET', 'versions/0/diff/9', 404],
    ['GET', 'versions/9/diff/0', 404],
    ['POST', 'versions/9/restore', 404],
  ])('has no %s %s', async (method, path, status) => {
    const answer = await ask(method, `${pathOf(kind)}/${path}`, { ifMatch: '"0"' })
    expect(answer.status).toBe(status)
    if (status === 404) expect(answer.json.code).toBe('version_not_found')
  })

  it('is for managers of the store and for admins', async () => {
    const paths: [string, string][] = [
      ['GET', pathOf(kind)],
      ['PUT', pathOf(kind)],
      ['GET', `${pathOf(kind)}/versions`],
      ['GET', `${pathOf(kind)}/versions/0`],
      ['GET', `${pathOf(kind)}/versions/0/diff/0`],
      ['POST', `${pathOf(kind)}/versions/0/restore`],
    ]
    const before = contentsOf(rig)
    for (const [method, path] of paths) {
      const body = method === 'PUT' ? { body: aDocument(kind) } : {}
      const asked = { ...body, ifMatch: '"0"' }
      expect((await ask(method, path, { ...asked, scope: 'assign' })).status).toBe(403)
      expect((await ask(method, path, { ...asked, stores: [1999] })).status).toBe(403)
      const unknown = path.replace(String(storeId), '77')
      const foreign = await ask(method, unknown, { ...asked, stores: [1999] })
      expect(foreign.status).toBe(403)
      expect((await ask(method, unknown, asked)).json.code).toBe('store_not_found')
      const noKey = await ask(method, path, { ...asked, headers: { authorization: '' } })
      expect(noKey.status).toBe(401)
    }
    expect(contentsOf(rig)).toEqual(before)
    expect((await ask('GET', pathOf(kind), { scope: 'admin' })).status).toBe(200)
    expect((await ask('GET', pathOf(kind), { stores: [1999, storeId] })).status).toBe(200)
  })

  it.each([
    ['null', 'null'],
    ['a list', '[]'],
    ['an empty object', '{}'],
    ['text', '"plan"'],
  ])('is not %s', async (_, body) => {
    const headers = { 'content-type': 'application/json', 'if-match': '"0"' }
    const before = contentsOf(rig)
    const answer = await rig.app.request(pathOf(kind), {
      method: 'PUT',
      body,
      headers: { ...headers, authorization: `Bearer ${rig.mint({ scope: 'manage' })}` },
    })
    expect(answer.status).toBe(400)
    expect(contentsOf(rig)).toEqual(before)
  })

  it.each(['__proto__', 'constructor', 'toString'])('has no field %s', async name => {
    const text = JSON.stringify(aDocument(kind)).replace(/}$/, `,"${name}":{"weight":9}}`)
    const answer = await rig.app.request(pathOf(kind), {
      method: 'PUT',
      body: text,
      headers: {
        'content-type': 'application/json',
        'if-match': '"0"',
        authorization: `Bearer ${rig.mint({ scope: 'manage' })}`,
      },
    })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      errors: [{ pointer: `/${name}`, message: `${name}: is not a field here` }],
    })
    expect((await ask('GET', `${pathOf(kind)}/versions`)).json.versions).toHaveLength(1)
  })

  it.each([
    'dryrun=true',
    'dry_run=yes',
    'dry_run=',
    'dry_run=true&dry_run=false',
    'effective_at=tomorrow',
    'effective_at=2026-12-01T09:00:00',
  ])('is not published with ?%s, which may have meant another thing', async query => {
    const body = aDocument(kind)
    const answer = await ask('PUT', `${pathOf(kind)}?${query}`, { ifMatch: '"0"', body })
    expect(answer.status).toBe(400)
    expect((await ask('GET', `${pathOf(kind)}/versions`)).json.versions).toHaveLength(1)
  })
})

describe('a staff that nobody wrote', () => {
  it('is not overwritten by a manager who read it before another guide was registered', async () => {
    const { etag, json } = await ask('GET', pathOf('staff'))
    rig.mirror.putGuide({ id: `LATER-${storeId}`, storeId, state: 'registered' })
    const body = { ...json, guides: json.guides.slice(0, 1) }
    const newer = await ask('GET', pathOf('staff'))
    expect(newer.json.guides.length).toBeGreaterThan(json.guides.length)
    for (const ifMatch of [etag ?? '', '"0"', '"0-00000000"']) {
      const put = await ask('PUT', pathOf('staff'), { ifMatch, body })
      expect(put).toMatchObject({ status: 412, json: { code: 'precondition_failed' } })
      const path = `${pathOf('staff')}/versions/0/restore`
      expect((await ask('POST', path, { ifMatch })).status).toBe(412)
    }
    expect((await ask('GET', pathOf('staff'))).etag).toBe(newer.etag)
    const put = await ask('PUT', pathOf('staff'), { ifMatch: newer.etag ?? '', body })
    expect(put).toMatchObject({ status: 200, etag: '"1"' })
  })

  it('leaves roster and plan, whose defaults never change, their tags', async () => {
    rig.mirror.putGuide({ id: `LATER-${storeId}`, storeId, state: 'registered' })
    expect([await tagOf('roster'), await tagOf('plan')]).toEqual(['"0"', '"0"'])
  })
})

describe('a decision', () => {
  it('follows what was published, from the next order on', async () => {
    for (const id of guides) {
      const put = await ask('PUT', pathOf('staff'), {
        ifMatch: await tagOf('staff'),
        body: staffOf(id),
      })
      expect(put.status).toBe(200)
      expect(await decided()).toBe(id)
    }
    await ask('PUT', pathOf('plan'), { ifMatch: '"0"', body: { steps: [none] } })
    expect(await decided()).toBeNull()
    await ask('POST', `${pathOf('plan')}/versions/0/restore`, { ifMatch: '"1"' })
    expect(await decided()).toBe(guides[1])
  })

  it('follows a plan of tomorrow from tomorrow on', async () => {
    const tomorrow = inMs(dayMs)
    const path = `${pathOf('plan')}?effective_at=${encodeURIComponent(tomorrow)}`
    const put = await ask('PUT', path, { ifMatch: '"0"', body: { steps: [none] } })
    expect(put.json).toMatchObject({ version: 1, effective_at: tomorrow })
    const newest = await ask('GET', pathOf('plan'))
    expect(newest.etag).toBe('"1"')
    expect(newest.headers.get('x-effective-at')).toBe(tomorrow)
    const at = (ms: number) => ask('GET', `${pathOf('plan')}?at=${encodeURIComponent(inMs(ms))}`)
    expect((await at(0)).etag).toBe('"0"')
    expect((await at(dayMs + 1000)).json.steps).toEqual([none])
    expect(await decided()).not.toBeNull()

    rig.skew.ms = dayMs + 1000
    expect(await decided()).toBeNull()
    expect((await ask('GET', pathOf('plan'))).headers.get('x-effective-at')).toBeNull()
  })

  it('takes a wall clock with an offset, and a minute that has just passed as now', async () => {
    const shanghai = inMs(-30_000 + 8 * 3_600_000).replace('Z', '+08:00')
    const path = `${pathOf('plan')}?effective_at=${shanghai}`
    const put = await ask('PUT', path, { ifMatch: '"0"', body: { steps: [none] } })
    expect(put.status).toBe(200)
    expect(Date.parse(put.json.effective_at)).toBeGreaterThan(Date.now() - 10_000)
    expect(await decided()).toBeNull()
  })

  it.each([
    ['two minutes ago', -120_000],
    ['401 days ahead', 401 * dayMs],
  ])('takes nothing that is in force %s', async (_, ms) => {
    const path = `${pathOf('plan')}?effective_at=${encodeURIComponent(inMs(ms))}`
    const put = await ask('PUT', path, { ifMatch: '"0"', body: { steps: [none] } })
    expect(put).toMatchObject({ status: 400, json: { errors: [{ pointer: '/effective_at' }] } })
    expect((await ask('GET', pathOf('plan'))).etag).toBe('"0"')
  })

  it('warns whoever publishes before a version that waits already', async () => {
    const tomorrow = inMs(dayMs)
    const path = `${pathOf('plan')}?effective_at=${encodeURIComponent(tomorrow)}`
    await ask('PUT', path, { ifMatch: '"0"', body: { steps: [none] } })
    const body = { steps: [rotate, none] }
    const put = await ask('PUT', pathOf('plan'), { ifMatch: '"1"', body, language: 'zh' })
    const overtaken = { code: 'OVERTAKEN', until: tomorrow }
    expect(put.json.warnings).toMatchObject([overtaken])
    expect(put.json.warnings[0].message).toContain('版本 1')
    const later = await ask('PUT', path, { ifMatch: '"2"', body })
    expect(later.json.warnings).toEqual([])
    rig.skew.ms = dayMs + 1000
    expect(await decided()).not.toBeNull()
  })
})

describe('a warning', () => {
  it('is told of a hole with its first instant, in the language asked for, and stops nobody', async () => {
    const body = { weekly: [{ ...shiftOf('09:00', '15:00'), guides: ['*'] }] }
    const put = (language: string, ifMatch: string) =>
      ask('PUT', pathOf('roster'), { ifMatch, body, language })
    const english = await put('en', '"0"')
    const chinese = await put('zh-CN,en;q=0.5', '"1"')
    expect([english.status, chinese.status]).toEqual([200, 200])
    const [first] = english.json.warnings
    expect(first).toMatchObject({ code: 'COVERAGE_HOLE', pointer: '/roster' })
    expect(Date.parse(first.until)).toBeGreaterThan(Date.parse(first.witness))
    expect(first.message).toMatch(/^[\x20-\x7e]+$/)
    expect(chinese.json.warnings[0].message).toMatch(/\p{Script=Han}/u)
    expect(chinese.headers.get('content-language')).toBe('zh')
    const atHole = await ask('GET', `/stores/${storeId}/on-duty?at=${first.witness}`)
    expect(atHole.json.guides.map((one: { on_duty: boolean }) => one.on_duty)).toEqual([
      false,
      false,
    ])
  })

  it('sees the draft beside the newest other two documents', async () => {
    await ask('PUT', pathOf('staff'), { ifMatch: await tagOf('staff'), body: staffOf(guides[0]) })
    const body = { steps: [{ use: 'guide', id: guides[1] }, rotate, none] }
    const put = await ask('PUT', `${pathOf('plan')}?dry_run=true`, { body })
    expect(put.json.warnings).toMatchObject([{ code: 'NOT_ON_STAFF', pointer: '/plan/steps/0/id' }])
  })

  it('of a plan of tomorrow looks from tomorrow on', async () => {
    const at = encodeURIComponent(inMs(dayMs))
    const body = { weekly: [] }
    const path = `${pathOf('roster')}?dry_run=true&effective_at=${at}`
    const [first] = (await ask('PUT', path, { body })).json.warnings
    expect(Date.parse(first.witness)).toBeGreaterThanOrEqual(Date.parse(inMs(dayMs)) - 10_000)
  })
})

function shiftOf(from: string, to: string) {
  return {
    shift: `${from}-${to}`,
    days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
    from,
    to,
  }
}

describe('a mistake in a document', () => {
  it.each<[what: string, kind: Kind, body: object, pointer: string, en: string, zh: string]>([
    [
      'a guide_id with a space',
      'plan',
      { steps: [rotate, rotate, { use: 'guide', id: 'SECRET A' }, none] },
      '/steps/2/id',
      'step 3, id: must be a guide_id: 1 to 64 visible ASCII characters',
      '第 3 步的 id：应为服务人员ID：1到64个可见的英文字符',
    ],
    [
      'a step of no known kind',
      'plan',
      { steps: [{ use: 'SECRET' }, none] },
      '/steps/0/use',
      'step 1, use: must be one of hint, owner, rotate, guide, none',
      '第 1 步的 use：应为以下之一：hint、owner、rotate、guide、none',
    ],
    [
      'a plan without an end',
      'plan',
      { steps: [rotate] },
      '/steps',
      'steps: `none` must stand once, as the last step',
      'steps：“none”必须出现一次，且是最后一步',
    ],
    [
      'a field that is misspelt',
      'plan',
      { steps: [{ use: 'rotate', amnog: {} }, none] },
      '/steps/0/amnog',
      'step 1, amnog: is not a field here',
      '第 1 步的 amnog：此处没有这个字段',
    ],
    [
      'bounds that cross',
      'plan',
      { steps: [{ use: 'rotate', when: { min_amount: 5, max_amount: 3 } }, none] },
      '/steps/0/when',
      'step 1, when: min_amount is above max_amount',
      '第 1 步的 when：min_amount 大于 max_amount',
    ],
    [
      'a time of day in a list',
      'plan',
      { steps: [{ use: 'rotate', when: { between: ['18:00', '24:00'] } }, none] },
      '/steps/0/when/between/1',
      'step 1, when, between 2: must be a time of day such as 09:00',
      '第 1 步的 when 的 between 第 2 项：应为时刻，例如 09:00',
    ],
    [
      'a shift without guides',
      'roster',
      { weekly: [{ shift: 'a', days: ['mon'], from: '09:00', to: '15:00' }] },
      '/weekly/0/guides',
      'weekly shift 1, guides: is missing',
      '第 1 个每周班次的 guides：缺少此项',
    ],
    [
      'everybody beside a name',
      'roster',
      { weekly: [{ ...shiftOf('09:00', '15:00'), guides: ['*', 'SECRET'] }] },
      '/weekly/0/guides/0',
      'weekly shift 1, guide 1: `*` must stand alone',
      '第 1 个每周班次的第 1 位服务人员：“*”表示全体，必须单独出现',
    ],
    [
      'a day that does not exist',
      'roster',
      { weekly: [], dates: [{ date: '2026-02-30', mode: 'closed' }] },
      '/dates/0/date',
      'date override 1, date: must be a day such as 2026-10-01',
      '第 1 个特殊时期的 date：应为日期，例如 2026-10-01',
    ],
    [
      'a cover who is the guide',
      'roster',
      { weekly: [], away: [{ guide: 'A', left: '2026-10-01', cover: 'A' }] },
      '/away/0/cover',
      'absence 1, cover: must be somebody else',
      '第 1 条请假的 cover：必须是另一位',
    ],
    [
      'a guide twice',
      'staff',
      { timezone: 'UTC', guides: [{ id: 'SECRET' }, { id: 'SECRET' }] },
      '/guides/1/id',
      'guide 2, id: stands twice',
      '第 2 位服务人员的 id：重复出现',
    ],
    [
      'a weight in words',
      'staff',
      { timezone: 'UTC', guides: [{ id: 'A', weight: 'SECRET' }] },
      '/guides/0/weight',
      'guide 1, weight: must be a number',
      '第 1 位服务人员的 weight：应为数字',
    ],
    [
      'a cap of nothing',
      'staff',
      { timezone: 'UTC', guides: [{ id: 'A', caps: { per_day: 0 } }] },
      '/guides/0/caps/per_day',
      'guide 1, caps, per_day: must be at least 1',
      '第 1 位服务人员的 caps 的 per_day：不能小于 1',
    ],
    [
      'an unknown time zone',
      'staff',
      { timezone: 'Asia/SECRET', guides: [] },
      '/timezone',
      'timezone: must be an IANA time zone',
      'timezone：应为 IANA 时区，例如 Asia/Shanghai',
    ],
    [
      'an empty name of a shift',
      'roster',
      { weekly: [{ ...shiftOf('09:00', '15:00'), shift: '', guides: [] }] },
      '/weekly/0/shift',
      'weekly shift 1, shift: must have at least 1 character',
      '第 1 个每周班次的 shift：至少 1 个字符',
    ],
  ])('%s, said in English and in Chinese, never with the value', async (...told) => {
    const [, kind, body, pointer, en, zh] = told
    const before = contentsOf(rig)
    for (const [language, message] of [
      ['en', en],
      ['zh-CN', zh],
      ['fr', en],
    ] as const) {
      const answer = await ask('PUT', pathOf(kind), { ifMatch: '"0"', body, language })
      expect(answer.json).toMatchObject({ status: 400, errors: [{ pointer, message }] })
      expect(answer.json.detail).toContain(message)
      expect(answer.headers.get('content-language')).toBe(language === 'zh-CN' ? 'zh' : 'en')
      expect(answer.text).not.toContain('SECRET')
    }
    expect(contentsOf(rig)).toEqual(before)
  })

  it('is counted, and told at most twenty times', async () => {
    const body = {
      timezone: 'UTC',
      guides: Array.from({ length: 50 }, (_, n) => ({ id: `G${n}`, weight: 0 })),
    }
    const answer = await ask('PUT', pathOf('staff'), { ifMatch: '"0"', body })
    expect(answer.json.errors).toHaveLength(20)
    expect(answer.json.detail).toContain('50 mistakes')
  })

  it('that makes no JSON is told in the language too', async () => {
    for (const [language, says] of [
      ['en', 'The body is not JSON.'],
      ['zh', '内容不是有效的 JSON。'],
    ] as const) {
      const answer = await rig.app.request(pathOf('plan'), {
        method: 'PUT',
        body: '{"steps":[',
        headers: {
          'content-type': 'application/json',
          'if-match': '"0"',
          'accept-language': language,
          authorization: `Bearer ${rig.mint({ scope: 'manage' })}`,
        },
      })
      expect(await answer.json()).toMatchObject({ code: 'invalid_request', detail: says })
    }
  })
})

describe('a body', () => {
  const padded = (bytes: number) => ({
    weekly: [],
    away: Array.from({ length: Math.ceil(bytes / 240) }, () => ({
      guide: 'A'.repeat(64),
      from: '2026-10-01',
      to: '2026-10-02',
      why: 'x'.repeat(120),
    })),
  })

  it('of a roster may have 1 MiB and no more, of another route 64 KiB', async () => {
    const large = await ask('PUT', pathOf('roster'), { ifMatch: '"0"', body: padded(900_000) })
    expect(large.status).toBe(200)
    const larger = await ask('PUT', pathOf('roster'), { ifMatch: '"1"', body: padded(1_100_000) })
    expect(larger).toMatchObject({ status: 413, json: { code: 'body_too_large' } })
    const why = 'x'.repeat(70_000)
    const pause = `/stores/${storeId}/guides/${guides[0]}/pause`
    expect((await ask('PUT', pause, { body: { minutes: 5, why } })).status).toBe(413)
  })

  it.each(['text/csv', 'application/x-ndjson', 'text/plain', ''])(
    'of the media type %j is no document',
    async type => {
      const asked = { ifMatch: '"0"', body: aDocument('plan'), headers: { 'content-type': type } }
      expect((await ask('PUT', pathOf('plan'), asked)).status).toBe(415)
    },
  )
})

describe('GET …/diff', () => {
  it('points at each place that differs: added, removed, changed', async () => {
    const put = (ifMatch: string, steps: object[]) =>
      ask('PUT', pathOf('plan'), { ifMatch, body: { steps } })
    await put('"0"', [{ use: 'hint' }, rotate, none])
    await put('"1"', [{ use: 'hint', if: 'always' }, none])
    const { changes } = (await ask('GET', `${pathOf('plan')}/versions/1/diff/2`)).json
    expect(changes).toEqual([
      { pointer: '/steps/0/if', before: 'on_shift', after: 'always' },
      { pointer: '/steps/1/use', before: 'rotate', after: 'none' },
      { pointer: '/steps/1/by', before: 'fair' },
      { pointer: '/steps/1/among', before: { on_shift: true } },
      { pointer: '/steps/2', before: none },
    ])
    const back = (await ask('GET', `${pathOf('plan')}/versions/2/diff/1`)).json.changes
    expect(back).toContainEqual({ pointer: '/steps/2', after: none })
  })
})

it.each(['abc', '0', '-1', '1.5', '9'.repeat(16), '1e3', '%20'])(
  'there is no store %s',
  async id => {
    expect((await ask('GET', `/stores/${id}/plan`)).status).toBe(400)
  },
)
