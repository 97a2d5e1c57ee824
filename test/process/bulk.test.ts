import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, scratchDir } from '../support/rig.ts'
import {
  controlSimulator,
  type Env,
  prepareData,
  settingsFor,
  startProcess,
  startSimulatorProcess,
} from '../support/service-process.ts'
import { atLength } from '../support/thorough.ts'

/** 5,000 over 200 stores take two to four minutes on two cores: BULK_GUIDES=5000. BULK_RATE=200 is the service's default pace. */
const guideCount = Number(process.env['BULK_GUIDES'] ?? atLength(100, 400))
const storeCount = Math.ceil(guideCount / 25)
const [changedCount, newCount, goneCount] = [50, 20, 10]
const ordersPerSecond = 50
/** Everything at once, as fast as two processors that are shared with the simulator can. */
const [longestP50Ms, longestP99Ms] = [600, 2000]
const firstStore = 2001
const tillStore = 1001

let dir: string
let simulator: Awaited<ReturnType<typeof startSimulatorProcess>>
let env: Env
let till: string
let service: Awaited<ReturnType<typeof startProcess>>

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulatorProcess(join(dir, 'sim'))
  env = {
    ...settingsFor(simulator, join(dir, 'data')),
    UPSTREAM_RATE_PER_SECOND: process.env['BULK_RATE'] ?? '10000',
  }
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  const stores = [tillStore, ...Array.from({ length: storeCount }, (_, at) => firstStore + at)]
  till = prepareData(join(dir, 'data'), mirror => {
    for (const storeId of stores) {
      mirror.putStore({ storeId, merchant, name: `store ${storeId}`, timezone: 'Asia/Shanghai' })
    }
  })
  await Promise.all(
    stores.map(storeId => control('PUT', `/stores/${storeId}`, { name: `store ${storeId}` })),
  )
  for (let index = 0; index < 10; index++) await personal(tillStore)
  service = await startProcess(env)
})
afterAll(async () => {
  await service?.end('SIGKILL')
  await simulator?.end('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

const control = (method: string, path: string, body?: object) =>
  controlSimulator(simulator, method, path, body)

let people = 0
function personal(storeId: number) {
  people += 1
  const mobile = `137${String(people).padStart(8, '0')}`
  return control('POST', '/guides', { store_id: storeId, name: `新人${people}`, mobile })
}

async function admin(method: string, path: string, body?: string) {
  const answer = await fetch(`${service.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${readFileSync(join(dir, 'data', 'admin.key'), 'utf8').trim()}`,
      prefer: 'respond-async',
      ...(body === undefined ? {} : { 'content-type': 'application/x-ndjson' }),
    },
    ...(body === undefined ? {} : { body }),
  })
  const text = await answer.text()
  expect(answer.ok, text).toBe(true)
  return JSON.parse(text)
}

type Wire = {
  guide_id: string
  store_id: number
  userid: string | null
  name: string
  mobile: string
}

function fileOf(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => {
    const n = from + index
    return JSON.stringify({
      store_id: firstStore + (n % storeCount),
      corpid: 'ww1234567890abcdef',
      userid: `emp-${n}`,
      name: `王小美${n}`,
      mobile: `138${String(n).padStart(8, '0')}`,
      qr_code: `https://example.com/qr/${n}`,
      avatar: `https://example.com/avatar/${n}.png`,
    })
  }).join('\n')
}

/** Posts orders at a steady rate, whatever becomes of them, and keeps how long each answered one took. */
function openTill() {
  let tookMs: number[] = []
  let place = 0
  const timer = setInterval(async () => {
    place += 1
    const startMs = performance.now()
    const answer = await fetch(`${service.url}/orders/B${place}/assign`, {
      method: 'POST',
      headers: { authorization: `Bearer ${till}`, 'content-type': 'application/json' },
      body: JSON.stringify({ store_id: tillStore }),
    }).catch(() => null)
    // A service that was killed answers nobody.
    if (!answer) return
    expect([200, 202]).toContain(answer.status)
    await answer.arrayBuffer()
    tookMs.push(performance.now() - startMs)
  }, 1000 / ordersPerSecond)
  return {
    take() {
      const sorted = tookMs.sort((a, b) => a - b)
      tookMs = []
      const at = (part: number) => sorted[Math.floor(sorted.length * part)] ?? 0
      return { orders: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 }
    },
    close: () => clearInterval(timer),
  }
}

async function sync() {
  await admin('POST', '/guides/sync')
  let report: Record<string, unknown> = {}
  await eventually(async () => {
    report = (await admin('GET', '/guides/sync')).sync
    return report['ended_at'] !== null
  }, 120_000)
  return report
}

const quiet = { new: 0, changed: 0, restored: 0, missing: 0, gone: 0, failed: [] }
const pause = (ms: number) => new Promise(done => setTimeout(done, ms))

it(`${guideCount} guides in two files, with faults, two kills and a stop: each is registered once, and the mirror is what WeChat Pay has`, async () => {
  const figures: Record<string, unknown> = { guideCount, storeCount }
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const startMs = performance.now()
    const value = await work()
    figures[name] = Math.round(performance.now() - startMs)
    return value
  }
  const orders = openTill()
  // The sync of the first start is over: nothing but orders.
  await eventually(async () => (await admin('GET', '/guides/sync')).sync?.ended_at != null, 20_000)
  const faults = {
    rates: {
      reset_before: 0.008,
      reset_after: 0.008,
      status_500: 0.01,
      unsigned: 0.008,
      garbage_body: 0.006,
      status_429: 0.006,
      signtest: 0.004,
    },
    script: [
      { on: 'register', do: 'hang', times: 2 },
      { on: 'query', do: 'hang', times: 2 },
    ],
  }
  await control('PUT', '/faults', faults)
  orders.take()
  await pause(3000)
  figures['orders, faults, nothing else'] = orders.take()

  const half = Math.floor(guideCount / 2)
  const imports: { id: string; ofRows: number }[] = []
  const state = async () => {
    await pause(100)
    const seen = await Promise.all(
      imports.map(({ id }) => admin('GET', `/guides/imports/${id}?after=999999`)),
    )
    return {
      waiting: seen.reduce((sum, { waiting }) => sum + waiting, 0),
      isDone: seen.every(({ status }) => status === 'done'),
    }
  }
  await timed('import ms', async () => {
    for (const [from, to] of [
      [0, half],
      [half, guideCount],
    ] as const) {
      const { id, total } = await timed('file taken in ms', () =>
        admin('POST', '/guides/import', fileOf(from, to)),
      )
      imports.push({ id, ofRows: total })
    }
    for (const [left, signal, code] of [
      [3 / 4, 'SIGKILL', null],
      [2 / 4, 'SIGTERM', 0],
      [1 / 4, 'SIGKILL', null],
    ] as const) {
      await eventually(async () => (await state()).waiting < guideCount * left, 200_000)
      const ended = await timed(`${signal} ms`, () => service.end(signal))
      expect(ended).toBe(code)
      if (code === 0) expect(figures[`${signal} ms`]).toBeLessThan(10_000)
      service = await startProcess(env)
    }
    await eventually(async () => (await state()).isDone, 200_000)
  })
  figures['orders, faults, import'] = orders.take()

  const results = new Map<string, string>()
  for (const { id, ofRows } of imports) {
    let after: number | undefined = 0
    let rows = 0
    while (after !== undefined) {
      const page: {
        rows: { row: number; status: string; guide_id: string | null }[]
        next?: number
      } = await admin('GET', `/guides/imports/${id}?after=${after}`)
      for (const { row, status, guide_id } of page.rows) {
        expect(['registered', 'known'], `row ${row}`).toContain(status)
        results.set(guide_id ?? '', status)
        rows += 1
      }
      after = page.next
    }
    expect(rows).toBe(ofRows)
  }
  expect(results.size).toBe(guideCount)

  const { entries } = await control('GET', '/log?since=0')
  const carriedOut = new Map<string, number>()
  for (const { method, path, body, carried_out } of entries) {
    if (method !== 'POST' || !/smartguide\/guides$/.test(path) || !carried_out) continue
    const { userid } = JSON.parse(body)
    carriedOut.set(userid, (carriedOut.get(userid) ?? 0) + 1)
  }
  expect(carriedOut.size).toBe(guideCount)
  expect([...carriedOut].filter(([, times]) => times !== 1)).toEqual([])

  const listed = async (): Promise<Wire[]> => {
    const all: Wire[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: { guides: Wire[]; cursor: string | null } = await admin(
        'GET',
        `/guides?limit=500&cursor=${cursor}`,
      )
      all.push(...page.guides)
      cursor = page.cursor
    }
    return all
  }
  const upstream = async () =>
    (await control('GET', '/guides')).guides
      .map(({ guide_id, store_id, userid = null, name, mobile }: Wire) => ({
        guide_id,
        store_id,
        userid,
        name,
        mobile,
      }))
      .sort((a: Wire, b: Wire) => (a.guide_id < b.guide_id ? -1 : 1))
  const mirrored = async () =>
    (await listed()).map(({ guide_id, store_id, userid, name, mobile }) => ({
      guide_id,
      store_id,
      userid,
      name,
      mobile,
    }))
  expect(await mirrored()).toEqual(await upstream())

  await control('PUT', '/faults', {})
  // The sync that the last start began is joined, and may have read the old names.
  await timed('sync after restart ms', sync)
  orders.take()
  await pause(3000)
  figures['orders, nothing else'] = orders.take()
  expect(await timed('quiet sync ms', sync)).toMatchObject({
    ...quiet,
    stores_done: storeCount + 1,
    guides: guideCount + 10,
  })
  figures['orders, sync'] = orders.take()
  orders.close()

  const employees = (await listed()).filter(({ userid }) => userid !== null)
  const changed = employees.slice(0, changedCount)
  const gone = employees.slice(changedCount, changedCount + goneCount)
  for (const [at, { guide_id }] of changed.entries()) {
    await control('PATCH', `/guides/${guide_id}`, { name: `改名${at}` })
  }
  for (let at = 0; at < newCount; at++) await personal(firstStore + (at % storeCount))
  for (const { guide_id } of gone) await control('DELETE', `/guides/${guide_id}`)
  expect(await timed('changed sync ms', sync)).toMatchObject({
    ...quiet,
    changed: changedCount,
    new: newCount,
    missing: goneCount,
  })
  const second = await sync()
  expect(second).toMatchObject({ ...quiet, gone: goneCount })
  const found = second['findings'] as { guide_id: string }[]
  expect(found.map(({ guide_id }) => guide_id).sort()).toEqual(
    gone.map(({ guide_id }) => guide_id).sort(),
  )
  expect(await sync()).toMatchObject(quiet)
  const ids = new Set(gone.map(({ guide_id }) => guide_id))
  expect((await mirrored()).filter(({ guide_id }) => !ids.has(guide_id))).toEqual(await upstream())

  for (const [name, told] of Object.entries(figures)) {
    if (!name.startsWith('orders')) continue
    const { p50, p99 } = told as { p50: number; p99: number }
    expect(p50, name).toBeLessThan(longestP50Ms)
    expect(p99, name).toBeLessThan(longestP99Ms)
  }
  if (process.env['BULK_GUIDES']) process.stdout.write(`${JSON.stringify(figures, null, 1)}\n`)
  expect(await service.end('SIGTERM')).toBe(0)
}, 600_000)
