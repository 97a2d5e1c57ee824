import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readOwnerFile } from '../../src/http/owner-file.ts'
import { contentsOf, createManager } from '../support/manage.ts'
import { openRig, type Rig, randomNo, readJson } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>
let here: string
let alsoHere: string
let elsewhere: string
let member = 'member-0'
let members = 0

const dayMs = 86_400_000
const instant = (ms: number) => new Date(Math.floor(Date.now() / 1000) * 1000 + ms).toISOString()

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
  ;[here = '', alsoHere = ''] = await rig.openStore(5001, 2)
  ;[elsewhere = ''] = await rig.openStore(5002, 1)
  rig.mirror.putStore({ storeId: 5009, merchant: '1999999999', name: 'x', timezone: 'UTC' })
  rig.mirror.putGuide({ id: 'STRANGER', storeId: 5009, state: 'registered' })
})
afterAll(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})
beforeEach(() => {
  rig.skew.ms = 0
  members += 1
  member = `member-${members}`
})

/** The longest that the event loop had to wait while it was worked. */
async function longestStall(work: () => Promise<unknown>): Promise<number> {
  let [longestMs, lastMs, isOver] = [0, performance.now(), false]
  const look = () => {
    longestMs = Math.max(longestMs, performance.now() - lastMs)
    lastMs = performance.now()
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await work()
  isOver = true
  look()
  return longestMs
}

const ownerOf = (id: string) => `/members/${encodeURIComponent(id)}/owner`
const own = { stores: [5001] }

describe('the owner of a member', () => {
  it('is set, read, followed by the next order, and removed', async () => {
    const put = await ask('PUT', ownerOf(member), { ...own, body: { guide_id: alsoHere } })
    expect(put).toMatchObject({
      status: 200,
      json: { member_id: member, guide_id: alsoHere, expires_at: null },
    })
    expect((await ask('GET', ownerOf(member), own)).json).toEqual(put.json)
    for (let order = 0; order < 3; order++) {
      const answer = await rig.assign(randomNo(), { store_id: 5001, member_id: member })
      expect(await readJson(answer)).toMatchObject({ guide_id: alsoHere, reason: 'OWNER' })
    }
    expect((await ask('DELETE', ownerOf(member), own)).status).toBe(204)
    expect((await ask('GET', ownerOf(member), own)).json.code).toBe('owner_not_found')
    expect((await ask('DELETE', ownerOf(member), own)).status).toBe(404)
  })

  it('keeps the day since when for the same guide, begins anew with another, and ends when it expires', async () => {
    const put = (guide_id: string, expires_at?: string) =>
      ask('PUT', ownerOf(member), { body: { guide_id, ...(expires_at ? { expires_at } : {}) } })
    const { since } = (await put(here)).json
    rig.skew.ms = dayMs
    const expires = instant(2 * dayMs)
    expect((await put(here, expires)).json).toMatchObject({ since, expires_at: expires })
    expect(Date.parse((await put(alsoHere, expires)).json.since)).toBeGreaterThan(Date.now())
    rig.skew.ms = 3 * dayMs
    expect((await ask('GET', ownerOf(member))).status).toBe(404)
  })

  it.each(['oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '卡号 42', 'a/b', '%', "O'Brien; DROP"])(
    'is kept for the member %s as they are called',
    async id => {
      const put = await ask('PUT', ownerOf(id), { body: { guide_id: here } })
      expect(put).toMatchObject({ status: 200, json: { member_id: id } })
      expect(rig.mirror.owner(rig.merchant, id)?.guideId).toBe(here)
    },
  )

  it.each<[what: string, body: unknown, status: number]>([
    ['a guide whom nobody knows', { guide_id: 'NOBODY' }, 404],
    ['a guide of another merchant', { guide_id: 'STRANGER' }, 404],
    ['a guide called __proto__', { guide_id: '__proto__' }, 404],
    ['no guide', {}, 400],
    ['a guide_id with a space', { guide_id: 'a b' }, 400],
    ['an end that is over', { guide_id: 'HERE', expires_at: '2020-01-01T00:00:00Z' }, 400],
    ['an end without an offset', { guide_id: 'HERE', expires_at: '2030-01-01T00:00:00' }, 400],
    ['another field', { guide_id: 'HERE', since: '2020-01-01T00:00:00Z' }, 400],
    ['a list', [], 400],
  ])('is not %s', async (_, body, status) => {
    const before = contentsOf(rig)
    const sent = JSON.parse(JSON.stringify(body).replace('HERE', here))
    expect((await ask('PUT', ownerOf(member), { body: sent })).status).toBe(status)
    expect(contentsOf(rig)).toEqual(before)
  })

  it('may be a guide who is borrowed on the staff, and is not taken from them again', async () => {
    const staff = { timezone: 'Asia/Shanghai', guides: [{ id: here }, { id: elsewhere }] }
    const { etag } = await ask('GET', '/stores/5001/staff')
    await ask('PUT', '/stores/5001/staff', { ...own, ifMatch: etag ?? '', body: staff })
    const put = await ask('PUT', ownerOf(member), { ...own, body: { guide_id: elsewhere } })
    expect(put).toMatchObject({ status: 200, json: { guide_id: elsewhere } })
    const again = { guide_id: elsewhere, expires_at: instant(dayMs) }
    expect((await ask('PUT', ownerOf(member), { ...own, body: again })).status).toBe(200)
    expect((await ask('GET', ownerOf(member), own)).json.guide_id).toBe(elsewhere)
    expect((await ask('DELETE', ownerOf(member), own)).json.code).toBe('forbidden')
    const taken = await ask('PUT', ownerOf(member), { ...own, body: { guide_id: here } })
    expect(taken.json.code).toBe('forbidden')
    await ask('PUT', '/stores/5001/staff', {
      ...own,
      ifMatch: '"1"',
      body: { ...staff, guides: [{ id: here }, { id: alsoHere }] },
    })
    expect((await ask('PUT', ownerOf(member), { ...own, body: again })).status).toBe(404)
  })

  it('in another store can be neither seen nor taken nor removed, and no foreign guide be given', async () => {
    await ask('PUT', ownerOf(member), { body: { guide_id: elsewhere } })
    const before = contentsOf(rig)
    const seen = await ask('GET', ownerOf(member), own)
    const unseen = await ask('GET', ownerOf('nobody'), own)
    expect([seen.status, seen.text]).toEqual([404, unseen.text])
    expect((await ask('DELETE', ownerOf(member), own)).status).toBe(404)
    const taken = await ask('PUT', ownerOf(member), { ...own, body: { guide_id: here } })
    expect(taken.status).toBe(403)
    const given = await ask('PUT', ownerOf('nobody'), { ...own, body: { guide_id: elsewhere } })
    expect(given).toMatchObject({ status: 404, json: { code: 'guide_not_found' } })
    expect(contentsOf(rig)).toEqual(before)
    expect((await ask('GET', ownerOf(member), { scope: 'admin' })).status).toBe(200)
  })

  it('that is over in another store is none, to a manager and to a file alike', async () => {
    const gone = `${member}-gone`
    for (const id of [member, gone]) {
      await ask('PUT', ownerOf(id), { body: { guide_id: elsewhere, expires_at: instant(dayMs) } })
    }
    rig.skew.ms = 2 * dayMs
    const put = await ask('PUT', ownerOf(member), { ...own, body: { guide_id: here } })
    expect(put).toMatchObject({ status: 200, json: { guide_id: here } })
    const file = await rig.app.request('/members/owners/import', {
      method: 'POST',
      body: `member_id,guide_id\n${gone},${here}`,
      headers: {
        'content-type': 'text/csv',
        authorization: `Bearer ${rig.mint({ scope: 'manage', ...own })}`,
      },
    })
    expect(await readJson(file)).toMatchObject({ created: 1, changed: 0 })
    expect(rig.mirror.owner(rig.merchant, gone)?.guideId).toBe(here)
  })

  it('is not for tills, and names no sub-merchant in direct mode', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const body = method === 'PUT' ? { body: { guide_id: here } } : {}
      expect((await ask(method, ownerOf(member), { ...body, scope: 'assign' })).status).toBe(403)
      const named = `${ownerOf(member)}?sub_mchid=1900000111`
      expect((await ask(method, named, body)).status).toBe(400)
    }
  })
})

describe('in partner mode', () => {
  it('a member is one of the sub-merchant that is named', async () => {
    const partner = await openRig({ mode: 'partner' })
    const asPartner = createManager(partner)
    const [guide] = await partner.openStore(5101, 1, '1900000111')
    const path = ownerOf('m')
    const named = `${path}?sub_mchid=1900000111`
    const body = { guide_id: guide }
    expect((await asPartner('PUT', path, { body })).status).toBe(400)
    expect((await asPartner('PUT', `${path}?sub_mchid=1900000112`, { body })).status).toBe(404)
    expect((await asPartner('PUT', named, { body })).status).toBe(200)
    expect((await asPartner('GET', named)).json.guide_id).toBe(guide)
    expect((await asPartner('GET', `${path}?sub_mchid=1900000112`)).status).toBe(404)
    const headers = { 'content-type': 'text/csv' }
    const authorization = `Bearer ${partner.mint({ scope: 'manage' })}`
    const file = { method: 'POST', body: `member_id,guide_id\nm2,${guide}`, headers }
    const post = (query: string) =>
      partner.app.request(`/members/owners/import${query}`, {
        ...file,
        headers: { ...headers, authorization },
      })
    expect((await post('')).status).toBe(400)
    expect((await post('?sub_mchid=1900000112')).status).toBe(400)
    expect((await post('?sub_mchid=1900000111')).status).toBe(200)
    expect(partner.mirror.owner('1900000111', 'm2')?.guideId).toBe(guide)
    await partner.close()
    expect(partner.failures).toEqual([])
  })
})

describe('an import of owners', () => {
  async function send(
    body: string | Uint8Array,
    {
      type = 'text/csv',
      query = '',
      stores = null,
      scope = 'manage',
      language = 'en',
    }: {
      type?: string
      query?: string
      stores?: number[] | null
      scope?: 'assign' | 'manage' | 'admin'
      language?: string
    } = {},
  ) {
    const answer = await rig.app.request(`/members/owners/import${query}`, {
      method: 'POST',
      body,
      headers: {
        'content-type': type,
        'accept-language': language,
        authorization: `Bearer ${rig.mint({ scope, stores })}`,
      },
    })
    return { status: answer.status, json: JSON.parse(await answer.text()) }
  }

  const refused = async (
    body: string,
    errors: { row: number; column: string; message?: unknown }[],
    more: Parameters<typeof send>[1] = {},
  ) => {
    const before = contentsOf(rig)
    const answer = await send(body.replaceAll('HERE', here), more)
    expect(answer).toMatchObject({ status: 400, json: { code: 'invalid_request', errors } })
    expect(answer.json.errors).toHaveLength(errors.length)
    expect(contentsOf(rig)).toEqual(before)
  }

  it('takes quotes, CRLF, a byte order mark and columns in any order', async () => {
    const since = '2026-01-02T03:04:05+08:00'
    const file = `\ufeffguide_id,"member_id",expires_at,since\r\n${here},"a ""b"",c",,${since}\r\n\r\n${alsoHere},${member},2030-01-01T00:00:00Z,\r\n`
    const answer = await send(file, { type: 'text/csv; charset=utf-8; header=present' })
    expect(answer).toEqual({
      status: 200,
      json: { rows: 2, created: 2, changed: 0, unchanged: 0, dry_run: false },
    })
    expect(rig.mirror.owner(rig.merchant, 'a "b",c')).toMatchObject({
      guideId: here,
      sinceMs: Date.parse(since),
      expiresAtMs: null,
    })
    expect(rig.mirror.owner(rig.merchant, member)).toMatchObject({
      guideId: alsoHere,
      expiresAtMs: Date.parse('2030-01-01T00:00:00Z'),
    })
  })

  it('takes one JSON object a line', async () => {
    const lines = [
      { member_id: member, guide_id: here },
      { member_id: '第二', guide_id: alsoHere, since: '2026-01-01T00:00:00Z' },
    ]
    const text = `${lines.map(line => JSON.stringify(line)).join('\r\n')}\r\n\r\n`
    const answer = await send(text, { type: 'application/x-ndjson' })
    expect(answer.json).toMatchObject({ rows: 2, created: 2 })
    expect(rig.mirror.owner(rig.merchant, '第二')?.guideId).toBe(alsoHere)
  })

  it('changes nothing the second time, and says what a third one changes', async () => {
    const file = (guide: string) => `member_id,guide_id\n${member},${guide}\n${member}-b,${here}`
    expect((await send(file(here))).json).toMatchObject({ created: 2 })
    const before = contentsOf(rig)
    rig.skew.ms = dayMs
    expect((await send(file(here))).json).toMatchObject({ created: 0, changed: 0, unchanged: 2 })
    expect(contentsOf(rig)).toEqual(before)
    const dry = await send(file(alsoHere), { query: '?dry_run=true' })
    expect(dry.json).toEqual({ rows: 2, created: 0, changed: 1, unchanged: 1, dry_run: true })
    expect(contentsOf(rig)).toEqual(before)
    expect((await send(file(alsoHere))).json).toMatchObject({ changed: 1, unchanged: 1 })
  })

  it('takes 10,000 owners in a second, and again in a second', async () => {
    const rows = Array.from({ length: 10_000 }, (_, n) => `${member}-${n},${here},,`)
    const file = ['member_id,guide_id,since,expires_at', ...rows].join('\r\n')
    for (const what of ['created', 'unchanged']) {
      const startMs = performance.now()
      const answer = await send(file)
      expect(performance.now() - startMs).toBeLessThan(1000)
      expect(answer.json).toMatchObject({ rows: 10_000, [what]: 10_000 })
    }
  })

  it('writes none when one row is wrong, and says which', async () => {
    const good = Array.from({ length: 500 }, (_, n) => `${member}-${n},HERE`)
    await refused(`member_id,guide_id\n${good.join('\n')}\nx,NOBODY`, [
      {
        row: 502,
        column: 'guide_id',
        message: 'is not registered in your stores nor on their staff',
      },
    ])
  })

  it.each<[what: string, file: string, errors: { row: number; column: string }[]]>([
    ['nothing', '', [{ row: 1, column: '' }]],
    ['no header', 'm,HERE', [{ row: 1, column: '' }]],
    ['a header without guide_id', 'member_id\nm', [{ row: 1, column: '' }]],
    ['an unknown column', 'member_id,guide_id,note\nm,HERE,x', [{ row: 1, column: '' }]],
    ['a column twice', 'member_id,guide_id,guide_id\nm,HERE,HERE', [{ row: 1, column: '' }]],
    ['a column __proto__', 'member_id,guide_id,__proto__\nm,HERE,x', [{ row: 1, column: '' }]],
    ['a field too few', 'member_id,guide_id\nm', [{ row: 2, column: '' }]],
    ['a field too many', 'member_id,guide_id\nm,HERE,x', [{ row: 2, column: '' }]],
    ['an open quote', 'member_id,guide_id\n"m,HERE\nn,HERE', [{ row: 2, column: '' }]],
    ['a quote inside a field', 'member_id,guide_id\nm"x,HERE', [{ row: 2, column: '' }]],
    ['text after a quote', 'member_id,guide_id\n"m"x,HERE', [{ row: 2, column: '' }]],
    ['no member', 'member_id,guide_id\n,HERE', [{ row: 2, column: 'member_id' }]],
    ['a NUL', 'member_id,guide_id\na\u0000,HERE', [{ row: 2, column: 'member_id' }]],
    [
      'a long member',
      `member_id,guide_id\n${'x'.repeat(129)},HERE`,
      [{ row: 2, column: 'member_id' }],
    ],
    ['an unknown guide', 'member_id,guide_id\nm,NOBODY', [{ row: 2, column: 'guide_id' }]],
    [
      "another merchant's guide",
      'member_id,guide_id\nm,STRANGER',
      [{ row: 2, column: 'guide_id' }],
    ],
    ['a guide __proto__', 'member_id,guide_id\nm,__proto__', [{ row: 2, column: 'guide_id' }]],
    ['a member twice', 'member_id,guide_id\nm,HERE\nm,HERE', [{ row: 3, column: 'member_id' }]],
    ['a day', 'member_id,guide_id,since\nm,HERE,2026-01-01', [{ row: 2, column: 'since' }]],
    [
      'a since in the future',
      'member_id,guide_id,since\nm,HERE,2090-01-01T00:00:00Z',
      [{ row: 2, column: 'since' }],
    ],
    [
      'an end before the start',
      'member_id,guide_id,since,expires_at\nm,HERE,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z',
      [{ row: 2, column: 'expires_at' }],
    ],
    [
      'three wrong rows of four',
      'member_id,guide_id\n,HERE\nm,HERE\nn\no,a b',
      [
        { row: 2, column: 'member_id' },
        { row: 4, column: '' },
        { row: 5, column: 'guide_id' },
      ],
    ],
  ])('refuses %s', async (_, file, errors) => refused(file, errors))

  it.each<[what: string, line: string, column: string]>([
    ['no JSON', '{', ''],
    ['a list', '[]', ''],
    ['another field', '{"member_id":"m","guide_id":"HERE","note":1}', 'note'],
    ['__proto__', '{"member_id":"m","guide_id":"HERE","__proto__":{}}', '__proto__'],
    ['a number for a member', '{"member_id":1,"guide_id":"HERE"}', 'member_id'],
    ['no guide', '{"member_id":"m"}', 'guide_id'],
    ['a null', '{"member_id":"m","guide_id":"HERE","since":null}', 'since'],
  ])('refuses a line with %s', async (_, line, column) =>
    refused(`\n${line}\n`, [{ row: 2, column }], { type: 'application/x-ndjson' }),
  )

  it('tells a hundred errors at most, and that there are more', async () => {
    const rows = Array.from({ length: 150 }, (_, n) => `m${n},NOBODY`)
    const answer = await send(`member_id,guide_id\n${rows.join('\n')}`)
    expect(answer.json.errors).toHaveLength(100)
    expect(answer.json.detail).toContain('more than 100 mistakes')
  })

  it('speaks Chinese', async () => {
    const file = 'member_id,guide_id,since\nm,NOBODY,\nn,a b,\no,HERE,x'
    const message = [
      '未在您的门店注册，也不在其员工名单里',
      '应为服务人员ID：1到64个可见的英文字符',
    ]
    await refused(
      file,
      [
        { row: 2, column: 'guide_id', message: message[0] ?? '' },
        { row: 3, column: 'guide_id', message: message[1] ?? '' },
        { row: 4, column: 'since', message: '应为带时区的时间，例如 2026-11-23T10:00:00+08:00' },
      ],
      { language: 'zh' },
    )
    const gbk = Buffer.concat([Buffer.from('member_id,guide_id\n'), Buffer.from([0xd5, 0xc5])])
    const answer = await send(gbk, { language: 'zh' })
    expect(answer).toMatchObject({ status: 400, json: { code: 'invalid_request' } })
    expect(answer.json.detail).toContain('UTF-8')
  })

  it.each([
    ['three rows', 'member_id,guide_idm,HEREn,HEREo,HEREp,HERE'],
    ['a hundred', `member_id,guide_id${'m,HERE'.repeat(100)}`],
  ])('of which curl -d made one line says so: %s', async (_, file) => {
    const says = (text: string) => [{ row: 1, column: '', message: expect.stringContaining(text) }]
    await refused(file, says('--data-binary'))
    await refused(file, says('--data-binary'), { language: 'zh' })
    const broken = await send(`${file}\n`)
    expect(broken.status).toBe(400)
    expect(JSON.stringify(broken.json)).not.toContain('--data-binary')
  })

  it('by a manager of one store touches no customer of another', async () => {
    await ask('PUT', ownerOf(member), { body: { guide_id: elsewhere } })
    const mine = { stores: [5001] }
    await refused(`member_id,guide_id\n${member},HERE`, [{ row: 2, column: 'member_id' }], mine)
    await refused(`member_id,guide_id\nnew,${elsewhere}`, [{ row: 2, column: 'guide_id' }], mine)
    const all = await send(`member_id,guide_id\n${member},${here}`)
    expect(all.json).toMatchObject({ changed: 1 })
  })

  it.each([
    ['application/json', 415],
    ['text/plain', 415],
    ['text/csv; charset=gbk', 415],
    ['text/csvx', 415],
    ['', 415],
    ['TEXT/CSV', 200],
  ])('of the media type %j is answered %i', async (type, status) => {
    expect((await send(`member_id,guide_id\n${member},${here}`, { type })).status).toBe(status)
  })

  it('is not for tills, not above 4 MiB, and has no setting that it does not know', async () => {
    const file = `member_id,guide_id\n${member},${here}`
    const before = contentsOf(rig)
    expect((await send(file, { scope: 'assign' })).status).toBe(403)
    expect((await send('x'.repeat(4 * 1024 * 1024 + 1))).status).toBe(413)
    for (const query of ['?dryrun=true', '?dry_run=1', '?sub_mchid=1900000111']) {
      expect((await send(file, { query })).status).toBe(400)
    }
    expect(contentsOf(rig)).toEqual(before)
  })

  it.each([
    ['junk', 'x\n', /more than 100 mistakes/],
    ['numbers', '1\n', /more than 100 mistakes/],
    ['nothing', '\n\n', /a mistake/],
  ])('of two million lines of %s is refused at once', async (_, line, detail) => {
    const body = line.repeat(2_000_000)
    for (const type of ['application/x-ndjson', 'text/csv']) {
      const startMs = performance.now()
      const answer = await send(
        type === 'text/csv' ? `member_id,guide_id\n${body}`.slice(0, 4e6) : body,
        { type },
      )
      expect(performance.now() - startMs).toBeLessThan(1500)
      expect([answer.status, answer.json.detail]).toEqual([400, expect.stringMatching(detail)])
      expect(answer.json.errors.length).toBeLessThanOrEqual(100)
    }
  })

  it.each(['csv', 'ndjson'] as const)(
    'of 95,000 rows of %s lets other requests through while it is read',
    async format => {
      const lines = Array.from({ length: 95_000 }, (_, n) =>
        format === 'csv' ? `${n},A` : `{"member_id":"${n}","guide_id":"A"}`,
      )
      const text = [...(format === 'csv' ? ['member_id,guide_id'] : []), ...lines].join('\n')
      const stallMs = await longestStall(async () => {
        const { rows, errors } = await readOwnerFile(text, format, 'en')
        expect([rows.length, errors]).toEqual([95_000, []])
      })
      expect(stallMs).toBeLessThan(250)
    },
  )

  it('has 100,000 rows at most', async () => {
    const rows = Array.from({ length: 100_001 }, (_, n) => `${n},A`)
    const answer = await send(`member_id,guide_id\n${rows.join('\n')}`)
    expect(answer.json.errors).toEqual([
      { row: 100_001, column: '', message: 'more than 100000 rows' },
    ])
  })
})
