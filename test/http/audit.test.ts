import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findCanaries } from '../support/canaries.ts'
import { type Asked, createManager } from '../support/manage.ts'
import { openRig, type Rig, randomNo } from '../support/rig.ts'

const storeId = 7001
const member = 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o'
const person = { name: '欧阳金丝雀', mobile: '13987651201', userid: 'canary.employee' }
const renamed = '慕容改过名'
const why = '轩辕请病假'
const links = {
  avatar: 'https://example.com/canary-avatar',
  qr_code: 'https://example.com/canary-qr',
}

let rig: Rig
let ask: ReturnType<typeof createManager>
let admin: string
let first: string
let second: string

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
  admin = rig.mint({ scope: 'admin', name: 'head office' })
  ;[first = '', second = ''] = await rig.openStore(storeId, 2)
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

type Audited = {
  seq: number
  at: string
  kind: string
  action: string
  subject: string
  store_id: number | null
  key_id: string | null
  key_name: string | null
  request_id: string | null
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
}

async function records(query = ''): Promise<Audited[]> {
  // With a key that is there already.
  const answer = await rig.request('GET', `/audit?limit=500${query}`, { scope: 'admin' })
  expect(answer.status).toBe(200)
  const { records: found } = JSON.parse(await answer.text())
  return found
}

async function verify(query = '') {
  return (await ask('GET', `/audit/verify${query}`, { scope: 'admin' })).json
}

/** Asks, and answers with what the audit says of it. */
async function audited(method: string, path: string, asked: Asked = {}) {
  const requestId = `audit-${randomNo()}`
  const headers = {
    authorization: `Bearer ${admin}`,
    'x-request-id': requestId,
    ...asked.headers,
  }
  const [last] = await records()
  const answer = await ask(method, path, { ...asked, headers })
  const since = (await records()).filter(({ seq }) => seq > (last?.seq ?? 0))
  const own = since.filter(({ request_id }) => request_id === requestId)
  // The keys that `ask` makes on its way are the test's.
  const others = since.filter(one => one.request_id !== requestId && one.kind !== 'key')
  expect(others).toEqual([])
  return { answer, own }
}

const fieldsOf = (userid: string, name: string = person.name) => ({
  store_id: storeId,
  corpid: 'ww1234567890abcdef',
  userid,
  name,
  mobile: person.mobile,
  ...links,
})

async function registered(): Promise<string> {
  const body = fieldsOf(`${person.userid}.${randomNo()}`)
  return (await ask('POST', '/guides', { scope: 'admin', body })).json.guide_id
}

async function sendText(path: string, text: string, type: string) {
  const requestId = `audit-${randomNo()}`
  const answer = await rig.app.request(path, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${admin}`,
      'content-type': type,
      'x-request-id': requestId,
    },
    body: text,
  })
  const own = (await records()).filter(({ request_id }) => request_id === requestId)
  return { answer: { status: answer.status }, own }
}

type Acted = { answer: { status: number }; own: Audited[] }
type Act = { act(): Promise<Acted>; kind: string; action: string; subject?(): string }

const plan = (label: string) => ({ steps: [{ use: 'guide', id: label }, { use: 'none' }] })
const etagOf = async (path: string) => (await ask('GET', path)).etag ?? ''
const documentPath = (kind: string) => `/stores/${storeId}/${kind}`

function publishing(kind: 'staff' | 'roster' | 'plan', body: () => unknown): Act {
  return {
    kind,
    action: 'created',
    subject: () => String(storeId),
    act: async () =>
      audited('PUT', documentPath(kind), {
        body: body(),
        ifMatch: await etagOf(documentPath(kind)),
      }),
  }
}

function restoring(kind: 'staff' | 'roster' | 'plan'): Act {
  return {
    kind,
    action: 'changed',
    subject: () => String(storeId),
    act: async () =>
      audited('POST', `${documentPath(kind)}/versions/1/restore`, {
        ifMatch: await etagOf(documentPath(kind)),
      }),
  }
}

const away = '/members/other-member/owner'

/** Every operation that changes something, in an order in which each finds what it needs. */
const acts: Record<string, Act> = {
  'PUT /stores/{store_id}/staff': publishing('staff', () => ({
    timezone: 'Asia/Shanghai',
    guides: [{ id: first }, { id: second }],
  })),
  'PUT /stores/{store_id}/roster': publishing('roster', () => ({
    weekly: [{ shift: 'early', days: ['mon'], from: '09:00', to: '18:00', guides: [first] }],
  })),
  'PUT /stores/{store_id}/plan': publishing('plan', () => plan(first)),
  'POST /stores/{store_id}/staff/versions/{version}/restore': restoring('staff'),
  'POST /stores/{store_id}/roster/versions/{version}/restore': restoring('roster'),
  'POST /stores/{store_id}/plan/versions/{version}/restore': restoring('plan'),
  'POST /stores/{store_id}/import': {
    kind: 'plan',
    action: 'changed',
    async act() {
      const { json } = await ask('GET', `/stores/${storeId}/export`)
      return audited('POST', `/stores/${storeId}/import`, { body: { ...json, plan: plan(second) } })
    },
  },
  'PUT /stores/{store_id}': {
    kind: 'store',
    action: 'changed',
    subject: () => String(storeId),
    act: () =>
      audited('PUT', `/stores/${storeId}`, { body: { name: '新店名', timezone: 'Asia/Urumqi' } }),
  },
  'PUT /stores/{store_id}/guides/{guide_id}/pause': {
    kind: 'pause',
    action: 'created',
    subject: () => first,
    act: () =>
      audited('PUT', `/stores/${storeId}/guides/${first}/pause`, { body: { minutes: 9, why } }),
  },
  'DELETE /stores/{store_id}/guides/{guide_id}/pause': {
    kind: 'pause',
    action: 'removed',
    subject: () => first,
    act: () => audited('DELETE', `/stores/${storeId}/guides/${first}/pause`),
  },
  'PUT /members/{member_id}/owner': {
    kind: 'owner',
    action: 'created',
    act: () => audited('PUT', `/members/${member}/owner`, { body: { guide_id: first } }),
  },
  'DELETE /members/{member_id}/owner': {
    kind: 'owner',
    action: 'removed',
    act: () => audited('DELETE', `/members/${member}/owner`),
  },
  'POST /members/owners/import': {
    kind: 'owners',
    action: 'changed',
    act: async () =>
      sendText(
        '/members/owners/import',
        `member_id,guide_id\n${member},${second}\n${member}2,${first}\n`,
        'text/csv',
      ),
  },
  'PUT /settings': {
    kind: 'settings',
    action: 'created',
    subject: () => rig.merchant,
    act: () =>
      audited('PUT', '/settings', {
        body: { edition: 'commercial', platform_auto_assign: false, assign_window_seconds: 60 },
      }),
  },
  'POST /keys': {
    kind: 'key',
    action: 'created',
    act: () =>
      audited('POST', '/keys', { body: { scope: 'manage', stores: [storeId], name: 'till 4' } }),
  },
  'DELETE /keys/{id}': {
    kind: 'key',
    action: 'removed',
    async act() {
      const { id } = rig.keys.create(
        { scope: 'assign', stores: null, name: null, expiresAtMs: null },
        Date.now(),
      )
      return audited('DELETE', `/keys/${id}`)
    },
  },
  'POST /guides': {
    kind: 'guide',
    action: 'created',
    act: () => audited('POST', '/guides', { body: fieldsOf(`${person.userid}.new`) }),
  },
  'POST /guides/import': {
    kind: 'guide',
    action: 'created',
    act: () =>
      sendText(
        '/guides/import',
        JSON.stringify(fieldsOf(`${person.userid}.file`)),
        'application/x-ndjson',
      ),
  },
  'POST /guides/adopt': {
    kind: 'guide',
    action: 'created',
    async act() {
      const { guide_id } = await rig.control('POST', '/guides', {
        store_id: storeId,
        name: person.name,
        mobile: '13987651299',
      })
      const body = { store_id: storeId, text: `${person.name}\n13987651299\n${guide_id}` }
      return audited('POST', '/guides/adopt', { body })
    },
  },
  'POST /guides/sync': {
    kind: 'guide',
    action: 'created',
    async act() {
      await ask('POST', '/guides/sync', { scope: 'admin' })
      await rig.control('POST', '/guides', {
        store_id: storeId,
        name: person.name,
        mobile: '13987651298',
      })
      return audited('POST', '/guides/sync')
    },
  },
  'PATCH /guides/{guide_id}': {
    kind: 'guide',
    action: 'changed',
    async act() {
      return audited('PATCH', `/guides/${await registered()}`, { body: { name: renamed } })
    },
  },
  'DELETE /guides/{guide_id}/profile': {
    kind: 'guide',
    action: 'changed',
    async act() {
      return audited('DELETE', `/guides/${await registered()}/profile`)
    },
  },
}

/** These change orders, which have a log of their own, or nothing at all. */
const exceptions = [
  'POST /orders/{out_trade_no}/assign',
  'POST /orders/{out_trade_no}/paid',
  'POST /orders/{out_trade_no}/closed',
  'POST /orders/{out_trade_no}/reassign',
  'POST /stores/{store_id}/simulate',
  'POST /stores/{store_id}/replay',
  'POST /stores/{store_id}/fairness/verify',
]

describe('the audit', () => {
  it('knows every operation that changes something', async () => {
    const { paths } = (await ask('GET', '/openapi.json')).json
    const mutating = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods as object)
        .filter(method => ['post', 'put', 'patch', 'delete'].includes(method))
        .map(method => `${method.toUpperCase()} ${path}`),
    )
    expect([...Object.keys(acts), ...exceptions].sort()).toEqual(mutating.sort())
  })

  it.each(Object.entries(acts))('has one record of %s', async (_, { act, ...expected }) => {
    const { answer, own } = await act()
    expect(answer.status).toBeLessThan(300)
    expect(own).toHaveLength(1)
    const [record] = own
    const { kind, action, subject } = expected
    expect(record).toMatchObject({ kind, action, key_name: 'head office' })
    if (subject) expect(record?.subject).toBe(subject())
    expect(record?.before === null).toBe(action === 'created')
    expect(record?.after === null).toBe(action === 'removed')
    expect(Math.abs(Date.parse(record?.at ?? '') - Date.now())).toBeLessThan(10_000)
    expect(record?.before).not.toEqual(record?.after)
    expect(await verify()).toMatchObject({ ok: true, first_bad: null })
  })

  it('tells before and after', async () => {
    const setWindow = (assign_window_seconds: number) =>
      audited('PUT', '/settings', {
        body: { edition: 'standard', platform_auto_assign: true, assign_window_seconds },
      })
    await setWindow(70)
    const told = { edition: 'standard', platform_auto_assign: true }
    expect((await setWindow(71)).own).toMatchObject([
      {
        before: { ...told, assign_window_seconds: 70 },
        after: { ...told, assign_window_seconds: 71 },
      },
    ])
    const { own } = await audited('PATCH', `/guides/${await registered()}`, {
      body: { name: renamed, mobile: '13987651202' },
    })
    const known = ['avatar', 'mobile', 'name', 'qr_code', 'userid']
    expect(own).toMatchObject([
      { before: { known }, after: { known, changed: ['mobile', 'name'] }, store_id: storeId },
    ])
  })

  it('says which version of a document, by the text that was published', async () => {
    const publish = async (label: string) =>
      audited('PUT', documentPath('plan'), {
        body: plan(label),
        ifMatch: await etagOf(documentPath('plan')),
      })
    const [one] = (await publish(first)).own
    const [two] = (await publish(second)).own
    expect(two?.before).toEqual(one?.after)
    expect(two?.after?.['version']).toBe(Number(one?.after?.['version']) + 1)
    expect(two?.after?.['sha256']).not.toBe(one?.after?.['sha256'])
  })

  it('has a record for each document of a file', async () => {
    const { json } = await ask('GET', `/stores/${storeId}/export`)
    const { own } = await audited('POST', `/stores/${storeId}/import`, {
      body: {
        ...json,
        plan: plan('ANOTHER'),
        staff: { timezone: 'Asia/Shanghai', guides: [{ id: first }] },
      },
    })
    expect(own.map(({ kind }) => kind).sort()).toEqual(['plan', 'staff'])
  })

  it('has nothing of what changed nothing, or was refused', async () => {
    const body = { name: '新店名', timezone: 'Asia/Urumqi' }
    await ask('PUT', `/stores/${storeId}`, { scope: 'admin', body })
    for (const [method, path, asked, status] of [
      ['PUT', `/stores/${storeId}`, { body }, 200],
      ['PUT', `/stores/${storeId}/plan?dry_run=true`, { body: plan(first) }, 200],
      ['PUT', `/stores/${storeId}/plan`, { body: plan(first), ifMatch: '"0"' }, 412],
      ['PUT', `/stores/${storeId}/plan`, { body: { steps: 1 }, ifMatch: '"1"' }, 400],
      ['PUT', '/stores/99/plan', { body: plan(first), ifMatch: '"1"' }, 404],
      ['DELETE', `/stores/${storeId}/guides/${first}/pause`, {}, 204],
      ['DELETE', '/keys/none', {}, 404],
      ['DELETE', away, {}, 404],
      ['PATCH', '/guides/NOBODY', { body: { name: renamed } }, 404],
    ] as const) {
      const { answer, own } = await audited(method, path, asked)
      expect([method, path, answer.status, own]).toEqual([method, path, status, []])
    }
  })

  it('puts down to the service what no request asked for', async () => {
    rig.mirror.quarantine(second)
    const [record] = await records(`&kind=guide&subject=${second}`)
    expect(record).toMatchObject({
      key_id: null,
      request_id: null,
      before: { state: 'registered' },
      after: { state: 'quarantined' },
    })
  })

  it('holds nothing of a person, and no secret', async () => {
    const { json } = await ask('POST', '/keys', { scope: 'admin', body: { scope: 'assign' } })
    const client = rig.db.$client
    const rows = client.prepare('SELECT * FROM audit').all()
    expect(rows.length).toBeGreaterThan(20)
    const secret = json.key.split('_')[2]
    const { name, mobile, userid } = person
    const canaries = [name, mobile, userid, renamed, why, member, secret, ...Object.values(links)]
    const digests = client.prepare<[], string>('SELECT digest FROM keys').pluck().all()
    const told = (await ask('GET', '/audit?limit=500', { scope: 'admin' })).text
    for (const [where, text] of [
      ['rows', JSON.stringify(rows)],
      ['answer', told],
    ] as const) {
      expect(findCanaries(where, Buffer.from(text), [...canaries, ...digests])).toEqual([])
    }
    expect(findCanaries('planted', Buffer.from(`${told}${name}`), canaries)).toHaveLength(1)
  })
})

describe('GET /audit', () => {
  it('is asked by store, kind, subject, member, key and time', async () => {
    await ask('PUT', `/members/${member}/owner`, { scope: 'admin', body: { guide_id: first } })
    const all = await records()
    const only = async (query: string, wanted: (one: Audited) => boolean) => {
      const found = await records(query)
      expect(found.length).toBeGreaterThan(0)
      expect(found).toEqual((await records()).filter(wanted))
    }
    await only(`&store_id=${storeId}`, ({ store_id }) => store_id === storeId)
    await only('&kind=plan', ({ kind }) => kind === 'plan')
    await only(`&kind=pause&subject=${first}`, o => o.kind === 'pause' && o.subject === first)
    const { key_id } = all.find(({ key_name }) => key_name === 'head office') ?? {}
    await only(`&key_id=${key_id}`, one => one.key_id === key_id)
    const at = all.find(({ kind }) => kind === 'settings')?.at ?? ''
    await only(`&to=${at}`, one => one.at < at)
    await only(`&from=${at}`, one => one.at >= at)
    const owned = await records(`&member_id=${member}`)
    expect(owned).toMatchObject([{ kind: 'owner' }, { kind: 'owner' }, { kind: 'owner' }])
    expect(await records('&member_id=nobody')).toEqual([])
  })

  it('leads from page to page, newest first', async () => {
    const all: number[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`
      const path = `/audit?limit=7&kind=guide${query}`
      const { json } = await ask('GET', path, { scope: 'admin' })
      all.push(...json.records.map(({ seq }: Audited) => seq))
      cursor = json.cursor
    }
    expect(all.length).toBeGreaterThan(7)
    expect(all).toEqual((await records('&kind=guide')).map(({ seq }) => seq))
    expect(all).toEqual(all.toSorted((a, b) => b - a))
  })

  it.each([
    '/audit?limit=0',
    '/audit?limit=501',
    '/audit?kind=order',
    '/audit?store_id=x',
    '/audit?from=now',
    '/audit?cursor=x',
    '/audit?who=x',
    '/audit?member_id=x&subject=y',
    '/audit?member_id=x&kind=plan',
    '/audit/verify?count=1',
    `/audit/verify?hash=${'0'.repeat(64)}`,
    '/audit/verify?count=1&hash=x',
  ])('refuses %s, in both languages', async path => {
    const [en, zh] = [
      await ask('GET', path, { scope: 'admin' }),
      await ask('GET', path, { scope: 'admin', language: 'zh' }),
    ]
    expect([en.status, zh.status]).toEqual([400, 400])
    expect(en.text).not.toMatch(/[\u4e00-\u9fff]|Invalid|expected/)
    expect(zh.json.errors[0].message).toMatch(/[\u4e00-\u9fff]/)
  })

  it('is for administrators', async () => {
    for (const path of ['/audit', '/audit/verify']) {
      for (const scope of ['assign', 'manage'] as const) {
        expect((await ask('GET', path, { scope })).status).toBe(403)
      }
      expect((await rig.app.request(path)).status).toBe(401)
    }
  })
})

describe('GET /audit/verify', () => {
  it('tells how many there are, and the hash to keep elsewhere', async () => {
    const { ok, checked, count, hash } = await verify()
    expect([ok, checked]).toEqual([true, count])
    const kept = `?count=${count}&hash=${hash}`
    expect(await verify(kept)).toMatchObject({ ok: true, first_bad: null })
    const other = `?count=${count}&hash=${'0'.repeat(64)}`
    expect(await verify(other)).toMatchObject({ ok: false, first_bad: count })
    const more = `?count=${count + 1000}&hash=${hash}`
    expect((await verify(more)).ok).toBe(false)
  })
})
