import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createManager } from '../support/manage.ts'
import { eventually, openRig, type Rig, readJson } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let storeId = 3000

beforeAll(async () => {
  rig = await openRig()
  const asManager = createManager(rig)
  ask = (method, path, asked) => asManager(method, path, { scope: 'admin', ...asked })
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})
beforeEach(async () => {
  storeId += 1
  await rig.openStore(storeId, 0)
  await rig.control('PUT', '/faults', {})
})

let made = 0
function aGuide(fields: object = {}) {
  made += 1
  return {
    store_id: storeId,
    corpid: 'ww1234567890abcdef',
    userid: `emp-${made}`,
    name: `王小美${made}`,
    mobile: `138${String(made).padStart(8, '0')}`,
    qr_code: `https://example.com/qr/${made}`,
    avatar: `https://example.com/avatar/${made}.png`,
    ...fields,
  }
}

type Wire = Record<string, unknown> & { guide_id: string }

async function register(fields: object = {}): Promise<Wire> {
  const { status, json } = await ask('POST', '/guides', { body: aGuide(fields) })
  expect(status).toBe(201)
  return json
}

async function upstream(): Promise<Wire[]> {
  const { guides } = await rig.control('GET', '/guides')
  return guides.filter((guide: { store_id: number }) => guide.store_id === storeId)
}

async function calls(method: string, path: RegExp): Promise<{ body: string }[]> {
  const { entries } = await rig.control('GET', '/log?since=0')
  return entries.filter(
    (entry: { method: string; path: string }) => entry.method === method && path.test(entry.path),
  )
}

describe('registering a guide', () => {
  it('has them at WeChat Pay and in the mirror, where the next order finds them', async () => {
    const body = aGuide()
    const { status, json } = await ask('POST', '/guides', { body })
    expect(status).toBe(201)
    const { corpid: _, ...rest } = body
    expect(json).toMatchObject({ ...rest, state: 'registered', kind: 'wecom' })
    expect(await upstream()).toMatchObject([{ ...body, guide_id: json.guide_id }])
    const order = await readJson(await rig.assign(`R-${made}`, { store_id: storeId }))
    expect(order).toMatchObject({ status: 'assigned', guide_id: json.guide_id })
  })

  it('twice is once: in a row, at the same time, and when the mirror has forgotten', async () => {
    const body = aGuide()
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => ask('POST', '/guides', { body })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 201])
    expect(new Set(answers.map(({ json }) => json.guide_id)).size).toBe(1)
    rig.db.$client.prepare('DELETE FROM guides WHERE store_id = ?').run(storeId)
    const again = await ask('POST', '/guides', { body })
    expect(again).toMatchObject({ status: 200, json: { guide_id: answers[0]?.json.guide_id } })
    expect(again.json).toMatchObject({ name: body.name, mobile: body.mobile })
    expect(await upstream()).toHaveLength(1)
  })

  it.each(['reset_after', 'status_500', 'unsigned', 'hang', 'signtest'])(
    'is done once though the answer is lost (%s)',
    async fault => {
      await rig.control('PUT', '/faults', { script: [{ on: 'register', do: fault }] })
      const guide = await register()
      expect(await upstream()).toMatchObject([{ guide_id: guide.guide_id }])
    },
    20_000,
  )

  it('says what WeChat Pay refused, and keeps nothing', async () => {
    await rig.control('PUT', '/faults', { script: [{ on: 'register', do: 'param_error_guide' }] })
    const body = aGuide()
    const { status, json, text } = await ask('POST', '/guides', { body })
    expect([status, json.code]).toEqual([422, 'refused_upstream'])
    expect(json.detail).toContain('PARAM_ERROR')
    for (const secret of [body.name, body.mobile]) expect(text).not.toContain(secret)
    expect((await ask('GET', `/guides?store_id=${storeId}`)).json.guides).toEqual([])
  })

  it.each([
    ['name', '小美😊', '表情'],
    ['name', '美'.repeat(22), '64'],
    ['name', '', ''],
    ['name', 'a\u0007b', '控制字符'],
    ['mobile', '1'.repeat(33), '32'],
    ['mobile', 'call me', '电话'],
    ['qr_code', 'ftp://example.com/x', 'https://'],
    ['avatar', `https://example.com/${'x'.repeat(1010)}`, ''],
    ['corpid', 'not a corp', '企业ID'],
    ['userid', '员工', 'userid'],
    ['store_id', '1001', ''],
  ])('refuses a wrong %s (%s) before any call, in words that help', async (field, value, word) => {
    const before = (await calls('POST', /guides$/)).length
    const { status, json } = await ask('POST', '/guides', {
      body: aGuide({ [field]: value }),
      language: 'zh',
    })
    expect([status, json.code]).toEqual([400, 'invalid_request'])
    expect(json.errors).toMatchObject([{ pointer: `/${field}` }])
    expect(json.errors[0].message).toContain(word)
    expect((await calls('POST', /guides$/)).length).toBe(before)
  })

  it('takes the longest name and mobile that WeChat Pay takes', async () => {
    const name = `${'美'.repeat(21)}a`
    const guide = await register({ name, mobile: '1'.repeat(32) })
    expect(guide).toMatchObject({ name, mobile: '1'.repeat(32) })
  })

  it('is for administrators alone, and for stores that are known', async () => {
    expect((await ask('POST', '/guides', { body: aGuide(), scope: 'manage' })).status).toBe(403)
    const unknown = await ask('POST', '/guides', { body: aGuide({ store_id: 999_999 }) })
    expect([unknown.status, unknown.json.code]).toEqual([404, 'store_not_found'])
  })
})

describe('changing a guide', () => {
  it('sends only what differs, and nothing when nothing does', async () => {
    const guide = await register()
    const path = `/guides/${guide.guide_id}`
    const before = (await calls('PATCH', /guides/)).length
    const same = await ask('PATCH', path, {
      body: { name: guide['name'], qr_code: guide['qr_code'] },
    })
    expect([same.status, (await calls('PATCH', /guides/)).length]).toEqual([200, before])
    const changed = await ask('PATCH', path, { body: { name: '李雷', mobile: guide['mobile'] } })
    expect(changed).toMatchObject({ status: 200, json: { name: '李雷', mobile: guide['mobile'] } })
    const sent = (await calls('PATCH', /guides/)).at(-1)
    expect(Object.keys(JSON.parse(sent?.body ?? '{}'))).toEqual(['name'])
    expect(await upstream()).toMatchObject([{ name: '李雷' }])
  })

  it('leaves the mirror as it was until WeChat Pay has accepted', async () => {
    const guide = await register()
    await rig.control('PUT', '/faults', { script: [{ on: 'update', do: 'param_error_guide' }] })
    const refused = await ask('PATCH', `/guides/${guide.guide_id}`, { body: { name: '韩梅梅' } })
    expect([refused.status, refused.json.code]).toEqual([422, 'refused_upstream'])
    expect((await ask('GET', `/guides/${guide.guide_id}`)).json['name']).toBe(guide['name'])
    await rig.control('PUT', '/faults', { script: [{ on: 'update', do: 'unsigned' }] })
    const accepted = await ask('PATCH', `/guides/${guide.guide_id}`, { body: { name: '韩梅梅' } })
    expect(accepted).toMatchObject({ status: 200, json: { name: '韩梅梅' } })
  })

  it('refuses QR codes for a guide of personal WeChat here, with the reason', async () => {
    const { guide_id } = await rig.control('POST', '/guides', {
      store_id: storeId,
      name: '个人',
      mobile: '13700000001',
    })
    await ask('POST', '/guides/sync')
    const before = (await calls('PATCH', /guides/)).length
    for (const field of ['qr_code', 'group_qrcode']) {
      const { status, json } = await ask('PATCH', `/guides/${guide_id}`, {
        body: { [field]: 'https://example.com/x' },
      })
      expect([status, json.code, json.errors[0].pointer]).toEqual([
        422,
        'personal_guide',
        `/${field}`,
      ])
    }
    expect((await calls('PATCH', /guides/)).length).toBe(before)
    const named = await ask('PATCH', `/guides/${guide_id}`, { body: { name: '新名字' } })
    expect(named).toMatchObject({ status: 200, json: { name: '新名字', kind: 'personal' } })
  })

  it('knows no store_id, userid or corpid, and no guide that is not there', async () => {
    const guide = await register()
    for (const field of ['store_id', 'userid', 'corpid']) {
      const { status } = await ask('PATCH', `/guides/${guide.guide_id}`, { body: { [field]: 'x' } })
      expect(status).toBe(400)
    }
    expect((await ask('PATCH', '/guides/nobody', { body: { name: 'x' } })).status).toBe(404)
  })
})

describe('looking guides up', () => {
  it('finds by part of a name, a whole mobile, userid or guide_id, and pages through all of them', async () => {
    const guides: Wire[] = []
    for (const name of ['张三丰', '张无忌', '赵敏']) guides.push(await register({ name }))
    const [first] = guides
    const find = async (query: string) =>
      (await ask('GET', `/guides?store_id=${storeId}&${query}`)).json.guides.map(
        (guide: Wire) => guide['name'],
      )
    expect((await find(`q=${encodeURIComponent('张')}`)).sort()).toEqual(['张三丰', '张无忌'])
    expect(await find(`q=${first?.['mobile']}`)).toEqual(['张三丰'])
    expect(await find(`q=${first?.['userid']}`)).toEqual(['张三丰'])
    expect(await find(`q=${first?.guide_id}`)).toEqual(['张三丰'])
    expect(await find('q=nobody')).toEqual([])
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await ask('GET', `/guides?store_id=${storeId}&limit=2&cursor=${cursor}`)
      seen.push(...page.json.guides.map(({ guide_id }: Wire) => guide_id))
      cursor = page.json.cursor
    }
    expect(seen).toEqual(guides.map(({ guide_id }) => guide_id).sort())
  })
})

describe('adopting a guide of personal WeChat', () => {
  const personal = (name: string, mobile: string) =>
    rig.control('POST', '/guides', { store_id: storeId, name, mobile })

  it('takes the text as it was copied, once WeChat Pay has confirmed it', async () => {
    const { guide_id } = await personal('陈晨', '13700000777')
    const text = `陈晨\n13700000777\n${guide_id}`
    const adopted = await ask('POST', '/guides/adopt', { body: { store_id: storeId, text } })
    expect(adopted).toMatchObject({
      status: 200,
      json: {
        guide_id,
        name: '陈晨',
        mobile: '13700000777',
        kind: 'personal',
        state: 'registered',
      },
    })
    const order = await readJson(await rig.assign(`A-${storeId}`, { store_id: storeId }))
    expect(order).toMatchObject({ status: 'assigned', guide_id })
  })

  it('adopts nobody whom WeChat Pay does not have in that store', async () => {
    const { guide_id } = await personal('陈晨', '13700000778')
    const wrong = `陈晨 13700000778 ${guide_id.slice(0, -1)}${guide_id.endsWith('x') ? 'y' : 'x'}`
    const { status, json } = await ask('POST', '/guides/adopt', {
      body: { store_id: storeId, text: wrong },
    })
    expect([status, json.code]).toEqual([404, 'guide_not_found'])
    const nothing = await ask('POST', '/guides/adopt', {
      body: { store_id: storeId, text: '陈晨' },
    })
    expect(nothing.status).toBe(400)
    expect((await ask('GET', `/guides?store_id=${storeId}`)).json.guides).toEqual([])
  })
})

describe('a sync', () => {
  it('finds who is new, changed and missing, and believes that somebody is gone at the second time', async () => {
    const kept = await register()
    const renamed = await register()
    const leaver = await register()
    await rig.control('POST', '/guides', { store_id: storeId, name: '新人', mobile: '13700000002' })
    await rig.control('PATCH', `/guides/${renamed.guide_id}`, { name: '改名' })
    await rig.control('DELETE', `/guides/${leaver.guide_id}`)
    const ofStore = (json: { findings: { store_id: number }[] }) =>
      json.findings.filter(({ store_id }) => store_id === storeId)

    const first = await ask('POST', '/guides/sync')
    expect(first.status).toBe(200)
    expect(ofStore(first.json)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ finding: 'new' }),
        expect.objectContaining({
          guide_id: renamed.guide_id,
          finding: 'changed',
          fields: ['name'],
        }),
        expect.objectContaining({ guide_id: leaver.guide_id, finding: 'missing' }),
      ]),
    )
    expect(ofStore(first.json)).toHaveLength(3)
    expect(rig.guides.find(leaver.guide_id)?.state).toBe('registered')
    const second = await ask('POST', '/guides/sync')
    expect(ofStore(second.json)).toEqual([
      { store_id: storeId, guide_id: leaver.guide_id, finding: 'gone' },
    ])
    expect(rig.guides.find(leaver.guide_id)?.state).toBe('gone')
    expect(ofStore((await ask('POST', '/guides/sync')).json)).toEqual([])
    expect((await readJson(await rig.app.request('/readyz')))['guides_age_seconds']).toBe(0)
    expect(await (await rig.app.request('/metrics')).text()).toMatch(
      /\nsmartguide_guides\{state="gone"\} 1\n[\s\S]*\nsmartguide_guides_age_seconds 0(\.\d+)?\n/,
    )
    const served = new Set<unknown>()
    for (let n = 0; n < 6; n++) {
      const order = await readJson(await rig.assign(`S-${storeId}-${n}`, { store_id: storeId }))
      served.add(order.guide_id)
    }
    expect(served.has(leaver.guide_id)).toBe(false)
    expect(served.has(kept.guide_id)).toBe(true)
    expect(served.size).toBe(3)
  })

  it('takes nobody out because a store could not be read, and says which', async () => {
    const guide = await register()
    await rig.control('PUT', '/faults', { rates: { no_auth: 1 } })
    const { json } = await ask('POST', '/guides/sync')
    await ask('POST', '/guides/sync')
    expect(json.failed.map(({ store_id }: { store_id: number }) => store_id)).toContain(storeId)
    expect(rig.guides.find(guide.guide_id)).toMatchObject({ state: 'registered', missedSyncs: 0 })
  })

  it('brings a quarantined guide back', async () => {
    const guide = await register()
    rig.mirror.quarantine(guide.guide_id)
    const { json } = await ask('POST', '/guides/sync')
    expect(json.findings).toContainEqual({
      store_id: storeId,
      guide_id: guide.guide_id,
      finding: 'restored',
    })
    expect(rig.guides.find(guide.guide_id)?.state).toBe('registered')
  })
})

describe('forgetting a person', () => {
  it('holds against the next sync, and leaves the guide in service', async () => {
    const guide = await register()
    expect((await ask('DELETE', `/guides/${guide.guide_id}/profile`)).status).toBe(204)
    await ask('POST', '/guides/sync')
    const { json } = await ask('GET', `/guides/${guide.guide_id}`)
    expect(json).toMatchObject({ name: null, mobile: null, state: 'registered' })
    expect(json).not.toHaveProperty('avatar')
    expect(json.erased_at).not.toBeNull()
    expect((await ask('GET', `/guides?q=${guide['mobile']}`)).json.guides).toEqual([])
  })
})

describe('an import', () => {
  const header = 'store_id,corpid,userid,name,mobile,qr_code,avatar'
  const csv = (...guides: ReturnType<typeof aGuide>[]) =>
    [header, ...guides.map(guide => Object.values(guide).join(','))].join('\n')

  async function send(body: string, query = '', type = 'text/csv', prefer = 'wait=10') {
    const answer = await rig.app.request(`/guides/import${query}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${rig.mint({ scope: 'admin' })}`,
        'content-type': type,
        prefer,
      },
      body,
    })
    const json: Record<string, unknown> = await readJson(answer)
    return { status: answer.status, json }
  }

  it('has a result for each row, and says row and column of what is wrong', async () => {
    const known = await register()
    const fresh = aGuide()
    const { status, json } = await send(
      csv(
        fresh,
        aGuide({ name: '小美😊' }),
        aGuide({ userid: known['userid'] }),
        aGuide({ store_id: 424_242 }),
        aGuide({ userid: fresh.userid }),
      ),
    )
    expect(status).toBe(200)
    expect(json).toMatchObject({ status: 'done', total: 5, registered: 1, known: 1, refused: 3 })
    expect(json['rows']).toMatchObject([
      { row: 2, status: 'registered' },
      { row: 3, status: 'refused', errors: [{ column: 'name' }] },
      { row: 4, status: 'known', guide_id: known.guide_id },
      { row: 5, status: 'refused', errors: [{ column: 'store_id' }] },
      { row: 6, status: 'refused', errors: [{ column: 'userid' }] },
    ])
    expect(await upstream()).toHaveLength(2)
    const later = await ask('GET', `/guides/imports/${json['id']}`)
    expect(later.json).toEqual(json)
  })

  it('takes NDJSON, and with dry_run registers nobody', async () => {
    const lines = [aGuide(), aGuide({ mobile: 'x' })].map(guide => JSON.stringify(guide)).join('\n')
    const dry = await send(lines, '?dry_run=true', 'application/x-ndjson')
    expect(dry.json).toMatchObject({ total: 2, waiting: 1, refused: 1 })
    expect(await upstream()).toEqual([])
    const real = await send(lines, '', 'application/x-ndjson')
    expect(real.json).toMatchObject({ registered: 1, refused: 1 })
    expect((await send(lines, '', 'application/x-ndjson')).json).toMatchObject({ known: 1 })
    expect(await upstream()).toHaveLength(1)
  })

  it('waits for WeChat Pay while it cannot be asked, says so, and goes on by itself', async () => {
    await rig.control('PUT', '/faults', { rates: { no_auth: 1 } })
    const { status, json } = await send(csv(aGuide(), aGuide()), '', 'text/csv', 'respond-async')
    expect([status, json['status']]).toEqual([202, 'running'])
    const path = `/guides/imports/${json['id']}`
    await eventually(async () => (await ask('GET', path)).json.waiting_for?.includes('NO_AUTH'))
    expect((await ask('GET', path)).json).toMatchObject({ status: 'running', waiting: 2 })
    await rig.control('PUT', '/faults', {})
    await eventually(async () => (await ask('GET', path)).json.status === 'done')
    expect((await ask('GET', path)).json).toMatchObject({ registered: 2, waiting: 0 })
    expect(await upstream()).toHaveLength(2)
  })

  it.each([
    ['', 'header'],
    ['store_id,name\n1,x', 'header'],
    [`${header}\n"`, 'quote'],
    [`${header}\n`, 'no rows'],
  ])('refuses a file that cannot be read as a whole (%j)', async (body, word) => {
    const { status, json } = await send(body)
    expect([status, json['code']]).toEqual([400, 'invalid_request'])
    expect(JSON.stringify(json)).toContain(word)
  })
})

describe('the settings of a merchant', () => {
  it('are read back as they were put, and say at once when the platform assigns by itself', async () => {
    expect((await ask('GET', '/settings')).json).toEqual({
      edition: 'standard',
      platform_auto_assign: false,
      assign_window_seconds: null,
    })
    const settings = { edition: 'standard', platform_auto_assign: true, assign_window_seconds: 300 }
    await register()
    expect(await ask('PUT', '/settings', { body: settings })).toMatchObject({
      status: 200,
      json: settings,
    })
    const order = await readJson(await rig.assign(`P-${storeId}`, { store_id: storeId }))
    expect(order).toMatchObject({ status: 'skipped', reason: 'PLATFORM_AUTO_ASSIGN' })
    const ready = await (await rig.app.request('/readyz')).json()
    expect(ready).toMatchObject({
      status: 'ready',
      warnings: [{ code: 'platform_auto_assign', merchants: [rig.merchant] }],
    })
    const metric = async () => (await rig.app.request('/metrics')).text()
    expect(await metric()).toContain('\nsmartguide_platform_auto_assign_merchants 1\n')
    await ask('PUT', '/settings', { body: { ...settings, platform_auto_assign: false } })
    expect(await metric()).toContain('\nsmartguide_platform_auto_assign_merchants 0\n')
    expect(await (await rig.app.request('/readyz')).json()).not.toHaveProperty('warnings')
    await ask('PUT', '/settings', {
      body: { edition: 'commercial', platform_auto_assign: false, assign_window_seconds: null },
    })
    const scanned = { store_id: storeId, channel: 'jsapi' }
    expect(await readJson(await rig.assign(`Q-${storeId}`, scanned))).toMatchObject({
      status: 'skipped',
      reason: 'CHANNEL_UNSUPPORTED',
    })
    await ask('PUT', '/settings', {
      body: { edition: 'standard', platform_auto_assign: false, assign_window_seconds: null },
    })
  })

  it('take no half of them, and no window that cannot be', async () => {
    for (const body of [
      {},
      { edition: 'gold', platform_auto_assign: false, assign_window_seconds: null },
      { edition: 'standard', platform_auto_assign: 'no', assign_window_seconds: null },
      { edition: 'standard', platform_auto_assign: false, assign_window_seconds: 0 },
    ]) {
      expect((await ask('PUT', '/settings', { body })).status).toBe(400)
    }
    expect((await ask('PUT', '/settings', { body: {}, scope: 'manage' })).status).toBe(403)
  })
})
