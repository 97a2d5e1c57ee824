import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { unanswered } from '../../src/wechatpay/outcome.ts'
import { createManager } from '../support/manage.ts'
import { eventually, openRig, type Rig, readJson, scratchDir } from '../support/rig.ts'
import { createSeam, pageOf, refusedAccount } from './upstream-seam.ts'

const storeId = 6001
const seam = createSeam()
let rig: Rig
let ask: ReturnType<typeof createManager>
let failures: unknown[]

beforeEach(async () => {
  seam.reset()
  failures = []
  rig = await openRig({ guideCalls: seam.between })
  await rig.openStore(storeId, 0)
  const asManager = createManager(rig)
  ask = (method, path, asked) => asManager(method, path, { scope: 'admin', ...asked })
})
afterEach(async () => {
  await rig.close()
  expect(rig.failures).toEqual(failures)
})

const aGuide = (n: number) => ({
  store_id: storeId,
  corpid: 'ww1234567890abcdef',
  userid: `emp-${n}`,
  name: `王小美${n}`,
  mobile: `138${String(n).padStart(8, '0')}`,
  qr_code: `https://example.com/qr/${n}`,
  avatar: `https://example.com/avatar/${n}.png`,
})

const fileOf = (count: number) =>
  Array.from({ length: count }, (_, n) => JSON.stringify(aGuide(n))).join('\n')

type Wire = { id: string; status: string; [key: string]: unknown }

async function send(body: string, prefer = 'respond-async') {
  const answer = await rig.app.request('/guides/import', {
    method: 'POST',
    headers: {
      authorization: `Bearer ${rig.mint({ scope: 'admin' })}`,
      'content-type': 'application/x-ndjson',
      prefer,
    },
    body,
  })
  const json: unknown = await readJson(answer)
  return { status: answer.status, json: json as Wire }
}

const stateOf = async (id: string): Promise<Wire> =>
  (await ask('GET', `/guides/imports/${id}?after=999999`)).json
const done = (id: string) => eventually(async () => (await stateOf(id)).status === 'done', 15_000)

/** How often each employee was registered at WeChat Pay. */
async function registrations(): Promise<Map<string, number>> {
  const { entries } = await rig.control('GET', '/log?since=0')
  const times = new Map<string, number>()
  for (const { method, path, body, carried_out } of entries) {
    if (method !== 'POST' || !/smartguide\/guides$/.test(path) || !carried_out) continue
    const { userid } = JSON.parse(body)
    times.set(userid, (times.get(userid) ?? 0) + 1)
  }
  return times
}

/** As if there were room for a hundred pages more. */
async function fillDisk<T>(work: () => Promise<T>): Promise<T> {
  const { $client } = rig.db
  $client.pragma(`max_page_count = ${Number($client.pragma('page_count', { simple: true })) + 100}`)
  try {
    return await work()
  } finally {
    $client.pragma('max_page_count = 1000000')
  }
}

describe('each guide is registered once', () => {
  it('when the same file comes twice at once, and one of them by hand too', async () => {
    const body = fileOf(30)
    const [first, second, byHand] = await Promise.all([
      send(body, 'wait=15'),
      send(body, 'wait=15'),
      ask('POST', '/guides', { body: aGuide(3) }),
    ])
    expect([200, 201]).toContain(byHand.status)
    for (const { json } of [first, second]) {
      expect(json).toMatchObject({ status: 'done', total: 30, refused: 0, waiting: 0 })
    }
    const times = await registrations()
    expect(times.size).toBe(30)
    expect(new Set(times.values())).toEqual(new Set([1]))
    expect(rig.mirror.guidesOf(storeId)).toHaveLength(30)
  })

  it('though the answer was lost, and a second registration is refused', async () => {
    await rig.control('PUT', '/policies', { register_twice: 'error' })
    await rig.control('PUT', '/faults', { script: [{ on: 'register', do: 'unsigned' }] })
    let queries = 0
    seam.queryGuides = query => {
      queries += 1
      // WeChat Pay's own index lags behind.
      return queries === 2 ? Promise.resolve(pageOf([])) : seam.real.queryGuides(query)
    }
    const { status, json } = await ask('POST', '/guides', { body: aGuide(1) })
    expect([status, json.name]).toEqual([201, '王小美1'])
    expect(await registrations()).toEqual(new Map([['emp-1', 1]]))
  })

  it('and found where the process ended between the registration and its writing down', async () => {
    await send(fileOf(3), 'wait=15')
    rig.db.$client.exec("DELETE FROM guides WHERE userid = 'emp-1'")
    const { json } = await send(fileOf(3), 'wait=15')
    expect(json).toMatchObject({ known: 3, registered: 0 })
    expect(rig.guides.byUserid(storeId, 'emp-1')?.profile?.name).toBe('王小美1')
  })
})

describe('a registration', () => {
  it('has its guide in the mirror before its row has its result', async () => {
    const { $client } = rig.db
    $client.exec(`CREATE TEMP TRIGGER kept BEFORE UPDATE OF status ON guide_import_rows
      WHEN NEW.guide_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM guides WHERE guide_id = NEW.guide_id)
      BEGIN SELECT RAISE(ABORT, 'settled before it was kept'); END`)
    expect((await send(fileOf(10), 'wait=15')).json).toMatchObject({ registered: 10 })
  })

  it('that WeChat Pay refuses ends its row with the reason, and no other', async () => {
    await rig.control('PUT', '/faults', { script: [{ on: 'register', do: 'param_error_guide' }] })
    const { json } = await send(fileOf(10), 'wait=15')
    expect(json).toMatchObject({ status: 'done', registered: 9, refused: 1 })
    const rows = json['rows'] as { status: string; errors?: { message: string }[] }[]
    const refused = rows.find(({ status }) => status === 'refused')
    expect(refused?.errors?.[0]?.message).toContain('PARAM_ERROR')
    expect(JSON.stringify(json)).not.toContain('王小美')
    expect(
      rig.db.$client.prepare('SELECT 1 FROM guide_import_rows WHERE sealed IS NOT NULL').all(),
    ).toEqual([])
  })

  it('of somebody whom a sync found to be gone asks WeChat Pay again, and brings them back', async () => {
    const { json } = await ask('POST', '/guides', { body: aGuide(0) })
    rig.guides.miss(json.guide_id)
    rig.guides.miss(json.guide_id)
    expect((await send(fileOf(1), 'wait=15')).json).toMatchObject({ known: 1 })
    expect(rig.guides.find(json.guide_id)).toMatchObject({ state: 'registered', missedSyncs: 0 })
  })

  it('tells apart who was registered now and who was known before', async () => {
    await ask('POST', '/guides', { body: aGuide(0) })
    rig.db.$client.exec('DELETE FROM guides')
    expect((await send(fileOf(2), 'wait=15')).json).toMatchObject({ registered: 1, known: 1 })
  })
})

describe('while WeChat Pay refuses the account', () => {
  it('it is not asked for every row, and the import goes on by itself afterwards', async () => {
    let asked = 0
    seam.queryGuides = () => {
      asked += 1
      return Promise.resolve(refusedAccount)
    }
    const { json } = await send(fileOf(200))
    await eventually(async () => 'waiting_for' in (await stateOf(json.id)))
    expect(asked).toBeLessThan(30)
    seam.reset()
    await done(json.id)
    expect(await stateOf(json.id)).toMatchObject({ registered: 200 })
    expect(await stateOf(json.id)).not.toHaveProperty('waiting_for')
  })

  it('for some rows, these hold up no others', async () => {
    const isRefused = (userid: string) => Number(userid.slice(4)) < 20
    seam.queryGuides = query =>
      query.by && 'userid' in query.by && isRefused(query.by.userid)
        ? Promise.resolve(refusedAccount)
        : seam.real.queryGuides(query)
    const { json } = await send(fileOf(40))
    await eventually(async () => (await stateOf(json.id))['registered'] === 20, 15_000)
    expect(await stateOf(json.id)).toMatchObject({ waiting: 20, status: 'running' })
    seam.reset()
    await done(json.id)
  }, 40_000)
})

describe('a full disk', () => {
  it('stops an import before it registers what it cannot write down, and the import goes on when there is room', async () => {
    let registered = 0
    seam.registerGuide = request => {
      registered += 1
      return seam.real.registerGuide(request)
    }
    const { $client } = rig.db
    const { json } = await send(fileOf(300))
    $client.pragma(`max_page_count = ${$client.pragma('page_count', { simple: true })}`)
    await eventually(async () => {
      const { waiting_for } = await stateOf(json.id)
      return typeof waiting_for === 'string' && waiting_for.includes('disk')
    }, 15_000)
    const before = registered
    const { waiting } = await stateOf(json.id)
    $client.pragma('max_page_count = 1000000')
    expect(registered - (300 - Number(waiting))).toBeLessThan(20)
    await done(json.id)
    expect(registered).toBeGreaterThanOrEqual(before)
    const times = await registrations()
    expect([times.size, new Set(times.values())]).toEqual([300, new Set([1])])
    expect(rig.failures.length).toBeGreaterThan(0)
    expect(JSON.stringify(rig.failures)).not.toContain('王小美')
    failures = [...rig.failures]
  }, 40_000)

  it('takes in no file, and no part of one', async () => {
    const { status, json } = await fillDisk(() => send(fileOf(2000)))
    expect([status, json['code']]).toEqual([503, 'storage_full'])
    rig.registry.imports.resume()
    await rig.registry.imports.ended()
    expect(await registrations()).toEqual(new Map())
    expect(rig.db.$client.prepare('SELECT 1 FROM guide_import_rows').all()).toEqual([])
  })
})

describe('imports that have ended', () => {
  const count = (table: string) =>
    rig.db.$client.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get()

  it('are kept fifty of, the newest', async () => {
    await ask('POST', '/guides', { body: aGuide(0) })
    const ids: string[] = []
    for (let n = 0; n < 55; n++) {
      const { json } = await send(fileOf(1), 'wait=5')
      ids.push(json.id)
      rig.skew.ms += 10
    }
    await eventually(async () => count('guide_imports') === 50)
    expect(count('guide_import_rows')).toBe(50)
    expect((await ask('GET', `/guides/imports/${ids[0]}`)).status).toBe(404)
    expect((await ask('GET', `/guides/imports/${ids[54]}`)).json.status).toBe('done')
  })

  it('are none that an earlier process left half taken in: that one is forgotten', async () => {
    const { $client } = rig.db
    $client.exec(`INSERT INTO guide_imports VALUES ('half', 'me', 1, 1);
      INSERT INTO guide_import_rows (import_id, row, sealed, status) VALUES ('half', 1, 'x', 'waiting')`)
    await send(fileOf(1), 'wait=5')
    await eventually(async () => count('guide_imports') === 1)
    expect(count('guide_import_rows')).toBe(1)
  })
})

describe('many at once', () => {
  it('are twenty at most', async () => {
    seam.queryGuides = () => Promise.resolve(refusedAccount)
    const answers = await Promise.all(Array.from({ length: 25 }, () => send(fileOf(1))))
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array.from({ length: 20 }, () => 202),
      ...Array.from({ length: 5 }, () => 503),
    ])
    expect(answers.find(({ status }) => status === 503)?.json['code']).toBe('overloaded')
    seam.reset()
  })
})

describe('a stop', () => {
  it('ends with the calls under way, though WeChat Pay fails, and the next process goes on', async () => {
    const dataDir = scratchDir()
    const stateDir = rig.simulator.stateDir
    const simulator = { running: rig.simulator, stateDir }
    const first = await openRig({ dataDir, simulator, guideCalls: seam.between })
    first.mirror.putStore({
      storeId,
      merchant: first.merchant,
      name: 'store',
      timezone: 'Asia/Shanghai',
    })
    let asked = 0
    seam.queryGuides = async () => {
      asked += 1
      return { ...unanswered('throttled', 'slow down'), retryAfterMs: 4000 }
    }
    const rows = Array.from({ length: 50 }, (_, n) => ({
      row: n + 1,
      fields: aGuide(n),
      errors: [] as [],
    }))
    const id = await first.registry.imports.start(rows, 'me')
    const syncing = first.registry.sync.run().catch(cause => cause.code)
    await new Promise(done => setTimeout(done, 300))
    const startMs = performance.now()
    const before = asked
    await first.close()
    expect(performance.now() - startMs).toBeLessThan(1000)
    expect(asked).toBe(before)
    expect(await syncing).toBe('draining')

    const second = await openRig({ dataDir, simulator })
    await second.registry.imports.settled(id, 10_000)
    expect(second.registry.imports.progress(id)).toMatchObject({
      isRunning: false,
      counts: { registered: 50, waiting: 0 },
    })
    await second.close()
    expect([...first.failures, ...second.failures]).toEqual([])
  })
})
