import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { findCanaries, findInFile, formsOf } from '../support/canaries.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import {
  type Env,
  failToStart,
  prepareData,
  settingsFor,
  startProcess,
} from '../support/service-process.ts'

// Each way in has people of its own, so that a leak says where it is.
const people = {
  registered: { name: '欧阳金丝雀', mobile: '13987651201' },
  latin: { name: 'Zebulon Quillfeather', mobile: '+86 139-8765-1202' },
  imported: { name: '迪丽热巴·卡纳里', mobile: '13987651203' },
  emoji: { name: '司徒金丝鸟😀', mobile: '13987651204' },
  longMobile: { name: '诸葛长号码', mobile: '13987651205139876512051398765120513987651205' },
  noStore: { name: '东方无门店', mobile: '13987651206' },
  adopted: { name: '上官抄来的', mobile: '13987651207' },
  patched: { name: '慕容改过名', mobile: '13987651208' },
  synced: { name: '皇甫同步来', mobile: '13987651209' },
  sought: { name: '尉迟被搜索', mobile: '13987651210' },
  brokenJson: { name: '长孙坏格式', mobile: '13987651211' },
  tooLarge: { name: '宇文太大了', mobile: '13987651212' },
  quoted: { name: '夏侯被引用', mobile: '13987651213' },
  quotedPatch: { name: '公孙被引用', mobile: '13987651214' },
  quotedAssign: { name: '令狐被引用', mobile: '13987651215' },
  defect: { name: '呼延出故障', mobile: '13987651216' },
  killed: { name: '端木被杀死', mobile: '13987651217' },
  waiting: { name: '轩辕在等待', mobile: '13987651218' },
  erased: { name: '澹台被遗忘', mobile: '13987651219' },
  wrongType: { name: '公冶类型错', mobile: '13987651220' },
  wrongKey: { name: '濮阳字段名', mobile: '13987651221' },
  inPath: { name: 'Quetzalcoatlus', mobile: '13987651222' },
  refused: { name: '淳于被拒绝', mobile: '13987651223' },
  unverified: { name: '申屠没签名', mobile: '13987651224' },
} as const
type Person = { name: string; mobile: string }

const canaries = Object.values(people).flatMap(({ name, mobile }) => {
  const digits = mobile.replace(/\D/g, '')
  return [name, mobile, digits.slice(-11)]
})

type Quoting = { method: string; path: RegExp; status: number; body(url: string): string }

let dir: string
let simulator: Simulator
let wire: Server
let env: Env
let till: string
let quoting: Quoting[] = []
let passed: string[] = []

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  wire = createServer(relay)
  wire.listen(0, '127.0.0.1')
  await once(wire, 'listening')
  const { port } = wire.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  env = { ...settingsFor({ ...simulator, url }, join(dir, 'data')), LOG_LEVEL: 'trace' }
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  till = prepareData(join(dir, 'data'), mirror =>
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' }),
  )
  await control('PUT', '/stores/1001', { name: 'store' })
})
afterAll(async () => {
  wire.closeAllConnections()
  wire.close()
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** WeChat Pay, but for the answers that quote what nobody may read. */
const relay: Parameters<typeof createServer>[1] = (asked, answer) => {
  const { method = '', url = '', headers } = asked
  const at = quoting.findIndex(one => one.method === method && one.path.test(url))
  const [quote] = at === -1 ? [] : quoting.splice(at, 1)
  if (quote) {
    asked.resume()
    answer.writeHead(quote.status, { 'content-type': 'application/json' }).end(quote.body(url))
    return
  }
  passed.push(url)
  const onward = request(`${simulator.url}${url}`, { method, headers }, response => {
    answer.writeHead(response.statusCode ?? 500, response.rawHeaders)
    response.pipe(answer)
  })
  onward.on('error', () => answer.destroy())
  asked.pipe(onward)
}

const quote = (
  method: string,
  path: RegExp,
  what: string | ((url: string) => string),
  status = 400,
) =>
  quoting.push({
    method,
    path,
    status,
    body(url) {
      const message = typeof what === 'string' ? what : what(url)
      const detail = { field: message, value: message, location: 'body' }
      return JSON.stringify({ code: 'PARAM_ERROR', message, detail })
    },
  })

const said = ({ name, mobile }: Person) =>
  `参数错误：${name}/${encodeURIComponent(name)}，${mobile}，${mobile.replace(/\D/g, '').slice(-11)} 不合法`

async function control(method: string, path: string, body?: object) {
  const answer = await fetch(`${simulator.url}/_sim${path}`, {
    method,
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  return JSON.parse((await answer.text()) || 'null')
}

let made = 0
function fieldsOf(person: Person, more: object = {}) {
  made += 1
  return {
    store_id: 1001,
    corpid: 'ww1234567890abcdef',
    userid: `emp-${made}`,
    name: person.name,
    mobile: person.mobile,
    qr_code: 'https://example.com/qr',
    avatar: 'https://example.com/a.png',
    ...more,
  }
}

function dumpOf(client: Database.Database): Buffer {
  const tables = client
    .prepare<[], string>("SELECT name FROM sqlite_master WHERE type = 'table'")
    .pluck()
    .all()
  return Buffer.from(
    JSON.stringify(tables.map(name => client.prepare(`SELECT * FROM "${name}"`).all())),
  )
}

describe('the search for canaries', () => {
  const canary = people.registered.name

  it.each([...formsOf(canary).keys()])('finds one that a file holds as %s', name => {
    const path = join(dir, 'planted')
    const form = formsOf(canary).get(name) ?? Buffer.alloc(0)
    writeFileSync(path, Buffer.concat([Buffer.from('before '), form, Buffer.from(' after')]))
    expect(findInFile(path, [canary]).length).toBeGreaterThan(0)
    writeFileSync(path, 'before  after')
    expect(findInFile(path, [canary])).toEqual([])
  })

  it.each([0, 1, 2, 3])('finds one inside a longer text that was encoded as a whole (%i)', at => {
    for (const mobile of [canary, people.registered.mobile, people.latin.name]) {
      const text = `${'x'.repeat(at)}${mobile}tail`
      for (const encoded of [
        Buffer.from(text).toString('base64'),
        Buffer.from(text).toString('base64url'),
        Buffer.from(text).toString('hex'),
        JSON.stringify({ err: { message: text } }),
        encodeURIComponent(text),
      ]) {
        expect(findCanaries('', Buffer.from(encoded), [mobile]).length).toBeGreaterThan(0)
      }
    }
  })

  it('finds one in a column of a database that was left unsealed, and none once it is sealed', () => {
    const path = join(dir, 'planted.db')
    const db = new Database(path)
    db.exec('CREATE TABLE guides (profile TEXT)')
    db.prepare('INSERT INTO guides VALUES (?)').run(JSON.stringify(people.registered))
    expect(findCanaries('', dumpOf(db), canaries)).not.toEqual([])
    db.close()
    expect(findInFile(path, canaries)).not.toEqual([])
  })
})

it('no name and no mobile is told by a log, an error, a file or a backup, whatever happens to its person', async () => {
  const told: { where: string; text: string }[] = []
  let service = await startProcess(env)
  const admin = readFileSync(join(dir, 'data', 'admin.key'), 'utf8').trim()

  /** Only the answers that are about a guide may tell who it is; the rest is kept for the search. */
  async function ask(
    method: string,
    path: string,
    {
      body,
      type = 'application/json',
      mayTell = false,
      key = admin,
      prefer = 'wait=10',
    }: { body?: unknown; type?: string; mayTell?: boolean; key?: string; prefer?: string } = {},
  ) {
    const answer = await fetch(`${service.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        prefer,
        ...(body === undefined ? {} : { 'content-type': type }),
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const headers = JSON.stringify([...answer.headers])
    told.push({ where: `${method} ${path.slice(0, 30)}: headers`, text: headers })
    const isError = !answer.ok
    if (isError || !mayTell) told.push({ where: `${method} ${path.slice(0, 30)}: body`, text })
    if (path.startsWith('/guides')) expect(answer.headers.get('cache-control')).toBe('no-store')
    return { status: answer.status, text, json: text.startsWith('{') ? JSON.parse(text) : null }
  }
  const register = (person: Person, more: object = {}) =>
    ask('POST', '/guides', { body: fieldsOf(person, more), mayTell: true })

  // Who comes in as it should be.
  const registered = await register(people.registered)
  expect([registered.status, registered.json.name]).toEqual([201, people.registered.name])
  expect((await register(people.latin)).status).toBe(201)
  const toErase = await register(people.erased)
  const personal = await control('POST', '/guides', { store_id: 1001, ...people.adopted })
  const text = `姓名：${people.adopted.name}\n手机号：${people.adopted.mobile}\n服务人员ID：${personal.guide_id}`
  const adopted = await ask('POST', '/guides/adopt', {
    body: { store_id: 1001, text },
    mayTell: true,
  })
  expect([adopted.status, adopted.json.name]).toEqual([200, people.adopted.name])
  await control('POST', '/guides', { store_id: 1001, ...people.synced })
  expect((await ask('POST', '/guides/sync')).json.new).toBe(1)
  expect((await ask('GET', '/guides/sync')).status).toBe(200)
  const path = `/guides/${registered.json.guide_id}`
  const patched = await ask('PATCH', path, { body: people.patched, mayTell: true })
  expect([patched.status, patched.json.mobile]).toEqual([200, people.patched.mobile])

  const file = [
    fieldsOf(people.imported),
    fieldsOf(people.emoji),
    fieldsOf(people.longMobile),
    fieldsOf(people.noStore, { store_id: 424_242 }),
    { ...fieldsOf(people.wrongKey), [people.wrongKey.name]: 1, [people.wrongKey.mobile]: 1 },
    { [people.wrongKey.mobile]: people.wrongKey.name },
    people.wrongType.name,
  ]
  const ndjson = file.map(row => JSON.stringify(row)).join('\n')
  for (const query of ['?dry_run=true', '']) {
    const imported = await ask('POST', `/guides/import${query}`, {
      body: `${ndjson}\n{"name": "${people.brokenJson.name}`,
      type: 'application/x-ndjson',
    })
    expect(imported.status).toBe(200)
    expect(imported.json.refused).toBe(7)
    if (query === '') {
      expect(imported.json.registered).toBe(1)
      await ask('GET', `/guides/imports/${imported.json.id}`)
    }
  }
  const header = Object.keys(fieldsOf(people.imported)).join(',')
  for (const csv of [
    `${header}\n"${people.brokenJson.name}"x,"${people.brokenJson.mobile}`,
    `${header},${people.wrongKey.name}\n1,2`,
    `${people.wrongKey.name},${people.wrongKey.mobile}\n1,2`,
  ]) {
    const { status } = await ask('POST', '/guides/import', { body: csv, type: 'text/csv' })
    expect(status).toBe(400)
  }

  // Who is looked for.
  for (const sought of [people.registered, people.patched, people.sought, people.latin]) {
    for (const q of [sought.name, sought.mobile]) {
      const found = await ask('GET', `/guides?q=${encodeURIComponent(q)}`, { mayTell: true })
      expect(found.status).toBe(200)
    }
  }
  const seen = await ask('GET', '/guides', { mayTell: true })
  for (const who of ['patched', 'latin', 'imported', 'adopted', 'synced', 'erased'] as const) {
    expect(seen.text).toContain(people[who].name)
    expect(seen.text).toContain(people[who].mobile)
  }

  // What is refused.
  const { sought, inPath, wrongType, wrongKey, brokenJson, tooLarge, refused } = people
  const enc = encodeURIComponent
  for (const [method, at, body] of [
    ['GET', `/guides?q=${enc(sought.name.repeat(20))}`],
    ['GET', `/guides?q=${enc(sought.name)}&limit=${enc(sought.mobile)}`],
    ['GET', `/guides?q=${enc(sought.name)}&${enc(sought.name)}=1&${sought.mobile}=1`],
    ['GET', `/guides?store_id=${enc(sought.name)}`],
    ['GET', `/guides?cursor=${enc(sought.name.repeat(20))}`],
    ['GET', `/guides/${inPath.mobile}`],
    ['GET', `/guides/${inPath.name}`],
    ['GET', `/guides/${enc(sought.name)}`],
    ['GET', `/guides/imports/${enc(sought.name)}?after=${sought.mobile}`],
    ['GET', `/${enc(sought.name)}`],
    ['GET', `/guides/${inPath.mobile}/missed?date=2026-11-20`],
    ['PUT', `/guides/${inPath.mobile}`, { name: inPath.name }],
    ['DELETE', `/guides/${inPath.mobile}/profile`],
    ['PATCH', `/guides/${inPath.mobile}`, { name: inPath.name }],
    ['PATCH', path, { [wrongKey.name]: 1 }],
    ['PATCH', path, { name: [wrongType.name], mobile: { [wrongType.mobile]: wrongType.name } }],
    ['POST', '/guides', fieldsOf(people.emoji)],
    ['POST', '/guides', fieldsOf(people.longMobile)],
    ['POST', '/guides', fieldsOf(people.noStore, { store_id: 424_242 })],
    ['POST', '/guides', fieldsOf(refused, { qr_code: refused.name, avatar: refused.mobile })],
    ['POST', '/guides', fieldsOf(refused, { userid: refused.name, corpid: refused.mobile })],
    ['POST', '/guides', { [wrongKey.name]: 1, [wrongKey.mobile]: 1 }],
    ['POST', '/guides', `{"name": "${brokenJson.name}", "mobile": "${brokenJson.mobile}" oops}`],
    ['POST', '/guides', JSON.stringify(brokenJson.name)],
    ['POST', '/guides', { ...tooLarge, avatar: 'x'.repeat(70_000) }],
    ['POST', '/guides/adopt', { store_id: 1001, text: `姓名：${refused.name}` }],
    ['POST', '/guides/adopt', { store_id: 1001, text: `${refused.name}\n${refused.mobile}` }],
    ['POST', '/guides/adopt', { store_id: refused.name, text: { [refused.mobile]: 1 } }],
  ] as const) {
    const { status } = await ask(method, at, { body })
    expect([method, at, status >= 400 && status < 500]).toEqual([method, at, true])
  }
  const typed = await ask('POST', '/guides', { body: tooLarge, type: `text/${refused.mobile}` })
  expect(typed.status).toBe(415)
  expect((await ask('POST', '/guides', { body: refused, key: 'x' })).status).toBe(401)
  expect((await ask('POST', '/guides', { body: refused, key: till })).status).toBe(403)

  // WeChat Pay quotes whom it refuses: in what was sent, in what it knows, in an order that names nobody.
  quote('POST', /guides$/, said(people.quoted))
  expect((await register(people.quoted)).status).toBe(422)
  quote('POST', /guides$/, said(people.quoted), 403)
  expect((await register(people.quoted)).status).toBe(503)
  quote('PATCH', /guides/, said(people.quotedPatch))
  expect((await ask('PATCH', path, { body: people.quotedPatch })).status).toBe(422)
  quote('PATCH', /guides/, said(people.patched))
  expect((await ask('PATCH', path, { body: { avatar: 'https://x.test/1' } })).status).toBe(422)
  for (const status of [200, 500, 429]) {
    quote('POST', /guides$/, said(people.unverified), status)
  }
  expect((await register(people.unverified)).status).toBeLessThan(300)
  quote('GET', /userid=/, said({ name: '', mobile: people.quoted.mobile }))
  expect((await register(people.quoted)).status).toBe(422)
  quote('GET', /mobile=/, said({ name: '', mobile: people.adopted.mobile }))
  expect((await ask('POST', '/guides/adopt', { body: { store_id: 1001, text } })).status).toBe(422)
  quote('POST', /guides$/, said(people.quoted))
  const inFile = await ask('POST', '/guides/import', {
    body: `${header}\n${Object.values(fieldsOf(people.quoted)).join(',')}`,
    type: 'text/csv',
  })
  expect(inFile.json.refused).toBe(1)
  expect((await register(people.quotedAssign)).status).toBe(201)
  const { guides: all } = await control('GET', '/guides')
  const namedAs = new Set<string>()
  const named = (url: string): Person => {
    const found = all.find(({ guide_id }: { guide_id: string }) => url.includes(guide_id))
    namedAs.add(found.name)
    return found
  }
  for (let nth = 0; nth < 12; nth++) {
    quote('POST', /assign$/, url => `${nth % 4 === 0 ? '服务人员' : ''}${said(named(url))}`)
    await ask('POST', `/orders/Q${nth}/assign`, { body: { store_id: 1001 }, key: till })
    await ask('GET', `/orders/Q${nth}`, { key: till })
    quoting = []
  }
  expect(namedAs.size).toBeGreaterThan(1)

  // A defect of ours, with the person in the midst of it.
  const side = new Database(join(dir, 'data', 'smartguide.db'))
  for (const table of ['guides', 'guide_import_rows']) {
    side.exec(`ALTER TABLE ${table} RENAME TO gone`)
    const body = fieldsOf(people.defect)
    const csv = `${header}\n${Object.values(body).join(',')}`
    const alone = await ask('POST', '/guides/import', {
      body: csv,
      type: 'text/csv',
      prefer: 'wait=1',
    })
    if (table === 'guides') {
      expect((await ask('POST', '/guides', { body })).status).toBe(500)
      expect((await ask('GET', `/guides?q=${enc(people.defect.name)}`)).status).toBe(500)
    } else expect(alone.status).toBe(500)
    side.exec(`ALTER TABLE gone RENAME TO ${table}`)
  }
  side.exec(
    "CREATE TRIGGER refuse BEFORE UPDATE ON guides BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END",
  )
  expect((await ask('PATCH', path, { body: people.defect })).status).toBe(500)
  side.exec('DROP TRIGGER refuse')

  // Killed while WeChat Pay does not answer, with rows that wait.
  await control('PUT', '/faults', { rates: { hang: 1 } })
  passed = []
  const waiting = await ask('POST', '/guides/import', {
    body: `${header}\n${Object.values(fieldsOf(people.waiting)).join(',')}`,
    type: 'text/csv',
    prefer: 'respond-async',
  })
  expect(waiting.status).toBe(202)
  register(people.killed).catch(() => {})
  await eventually(async () => passed.length >= 2)
  await service.end('SIGKILL')
  const killed = service.output()
  expect(filesOf(join(dir, 'data')).flatMap(one => findInFile(one, canaries))).toEqual([])
  await control('PUT', '/faults', {})
  service = await startProcess(env)
  await eventually(
    async () => (await ask('GET', `/guides/imports/${waiting.json.id}`)).json.status === 'done',
    15_000,
  )
  expect((await register(people.killed)).status).toBeLessThan(300)

  // Forgotten.
  const erased = `/guides/${toErase.json.guide_id}`
  expect((await ask('DELETE', `${erased}/profile`)).status).toBe(204)
  await ask('POST', '/guides/sync')
  expect((await ask('GET', erased)).status).toBe(200)
  for (const probe of ['/readyz', '/livez', '/openapi.json', '/metrics', '/docs', '/audit']) {
    await ask('GET', probe)
  }

  // Everything that anybody else can get at.
  await side.backup(join(dir, 'backup.db'))
  side.exec(`VACUUM INTO '${join(dir, 'vacuum.db')}'`)
  const files = filesOf(join(dir, 'data'))
  expect(files.map(one => one.split('/').at(-1))).toEqual(
    expect.arrayContaining(['smartguide.db', 'smartguide.db-wal', 'smartguide.db-shm']),
  )
  const dump = dumpOf(side)
  side.close()
  const hits = [
    ...[...files, join(dir, 'backup.db'), join(dir, 'vacuum.db')].flatMap(one =>
      findInFile(one, canaries),
    ),
    ...findCanaries('rows', dump, canaries),
    ...told.flatMap(({ where, text: one }) => findCanaries(where, Buffer.from(one), canaries)),
    ...findCanaries('log of the one that was killed', Buffer.from(killed), canaries),
    ...findCanaries('log', Buffer.from(service.output()), canaries),
  ]
  expect([...new Set(hits)]).toEqual([])
  expect(killed).toContain('"defect"')
  expect(killed).toContain('"attempt"')

  // The key alone opens it, so a start without it stops before anything is overwritten.
  expect(await service.end('SIGTERM')).toBe(0)
  const before = readFileSync(join(dir, 'data', 'smartguide.db'))
  renameSync(join(dir, 'data', 'pii.key'), join(dir, 'moved.key'))
  const { code, output } = await failToStart(env)
  expect([code, output.trim().split('\n').length]).toEqual([78, 1])
  expect(output).toContain('PII_KEY_FILE')
  expect(existsSync(join(dir, 'data', 'pii.key'))).toBe(false)
  expect(readFileSync(join(dir, 'data', 'smartguide.db')).equals(before)).toBe(true)
  expect(findCanaries('start', Buffer.from(output), canaries)).toEqual([])
}, 120_000)

function filesOf(path: string): string[] {
  return readdirSync(path).map(name => join(path, name))
}
