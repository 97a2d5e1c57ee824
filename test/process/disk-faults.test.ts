import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { type DiskFault, startOnBadDisk } from '../support/disk-faults.ts'
import { brokenInvariants, sentTo, type Told } from '../support/invariants.ts'
import { hasStrace } from '../support/power-cut.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { type Env, prepareData, settingsFor, startProcess } from '../support/service-process.ts'

const firstSyncs = 100
/** The short forms; the full ones, 320 and 100, are `npm run torture`. */
const writes = Number(process.env['ENOSPC_WRITES'] ?? 8)
const syncs = Number(process.env['EIO_SYNCS'] ?? 2)
const isFull = syncs >= firstSyncs
/** In one process every fortieth write fails, so that the disk has space again meanwhile. */
const stride = 40
const faultsARun = 8

const stopped = /"level":60,.*The disk of the database .* failed \(SQLITE_IOERR_\w+: .*: look after/
const databaseFiles = ['smartguide.db', 'smartguide.db-wal']

let dir: string
let simulator: Simulator
let settings: Env
let key: string
let runs = 0

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  settings = settingsFor(simulator, join(dir, 'template'))
  const merchant = settings['WECHATPAY_MCHID'] ?? ''
  key = prepareData(join(dir, 'template'), mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    for (const id of ['G1', 'G2', 'G3', 'G4']) {
      mirror.putGuide({ id, storeId: 1001, state: 'registered' })
    }
  })
})
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function control(method: string, path: string) {
  const answer = await fetch(`${simulator.url}/_sim${path}`, { method })
  return JSON.parse((await answer.text()) || 'null')
}

/** A data directory of its own, on a disk where that fails. */
async function startRun(fault: Omit<DiskFault, 'files'> & { files?: readonly string[] }) {
  runs += 1
  const dataDir = join(dir, `data-${runs}`)
  cpSync(join(dir, 'template'), dataDir, { recursive: true })
  await control('DELETE', '/log')
  const env = { ...settings, DATA_DIR: dataDir, ASSIGN_WAIT_MS: '100' }
  const log = join(dir, `strace-${runs}.log`)
  const service = await startOnBadDisk(env, { files: databaseFiles, ...fault }, log)
  return { ...service, dataDir, env, told: [] as Told[] }
}

type Run = Awaited<ReturnType<typeof startRun>>

type Answer = {
  code?: string
  out_trade_no: string
  status: string
  guide_id: string | null
  generation: number
}

async function post({ told }: Run, url: string, no: string): Promise<number> {
  const answer = await fetch(`${url}/orders/${no}/assign`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: '{"store_id":1001}',
  })
  const body: Answer = JSON.parse(await answer.text())
  if (answer.status === 503) {
    expect([body.code, Number(answer.headers.get('retry-after'))]).toEqual(['storage_full', 1])
  } else {
    expect([200, 202], JSON.stringify(body)).toContain(answer.status)
    const { status, guide_id, generation } = body
    told.push({ outTradeNo: no, status, guideId: guide_id, generation })
  }
  return answer.status
}

async function get(url: string, path: string, as = key): Promise<Response> {
  return fetch(`${url}${path}`, { headers: { authorization: `Bearer ${as}` } })
}

/** An administrator writes too, without the orders' group commit. */
async function putSettings({ dataDir }: Run, url: string, seconds: number): Promise<number> {
  const admin = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()
  const body = {
    edition: 'standard',
    platform_auto_assign: false,
    assign_window_seconds: seconds,
  }
  const answer = await fetch(`${url}/settings`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (answer.status === 200) {
    const read = await (await get(url, '/settings', admin)).json()
    expect(read).toMatchObject({ assign_window_seconds: seconds })
  } else expect(await answer.json()).toMatchObject({ status: 503, code: 'storage_full' })
  return answer.status
}

/** What is wrong with what the process left, which nobody may have open. */
async function wrongWith({ dataDir, told }: Run): Promise<string[]> {
  const db = new Database(join(dataDir, 'smartguide.db'), { readonly: true })
  try {
    const check = db.pragma('integrity_check', { simple: true })
    const sent = await sentTo({ control })
    const broken = brokenInvariants({ db, sent, told, nowMs: Date.now() })
    const statusOf = db.prepare<[string], string>(
      'SELECT status FROM orders WHERE out_trade_no = ?',
    )
    const falsely = told
      .filter(({ status }) => status === 'assigned')
      .filter(({ outTradeNo }) => statusOf.pluck().get(outTradeNo) !== 'assigned')
    return [
      ...(check === 'ok' ? [] : [`integrity: ${check}`]),
      ...broken,
      ...falsely.map(({ outTradeNo }) => `${outTradeNo} was said to be assigned, and is not`),
    ]
  } finally {
    db.close()
  }
}

async function pendingAt(url: string, { told }: Run): Promise<number> {
  const orders = await Promise.all(told.map(({ outTradeNo }) => orderAt(url, outTradeNo)))
  return orders.filter(({ status }) => status === 'pending').length
}

async function orderAt(url: string, no: string): Promise<Answer> {
  return JSON.parse(await (await get(url, `/orders/${no}`)).text())
}

/** The same directory on a disk that works: every order that was answered is there, and orders are taken. */
async function startAnew(run: Run): Promise<void> {
  const { url, end } = await startProcess(run.env)
  for (const { outTradeNo, guideId } of run.told) {
    expect(await orderAt(url, outTradeNo)).toMatchObject({
      out_trade_no: outTradeNo,
      guide_id: guideId,
    })
  }
  expect(await post(run, url, 'AFTERWARDS')).toBeLessThan(300)
  await eventually(async () => (await pendingAt(url, run)) === 0)
  expect(await end('SIGTERM')).toBe(0)
  expect(await wrongWith(run)).toEqual([])
}

/** Orders and settings until as many writes were asked of the disk; what is refused is asked again until it is not. */
async function trade(run: Run, url: string): Promise<{ refused: number }> {
  let refused = 0
  for (let n = 0; run.calls() < stride * faultsARun; n++) {
    const isSettings = n % 5 > 1
    const ask = () => (isSettings ? putSettings(run, url, 60 + n) : post(run, url, `FULL-${n}`))
    for (let status = await ask(); status === 503; status = await ask()) {
      refused += 1
      expect(refused).toBeLessThan(50)
      const ready = await get(url, '/readyz')
      expect([ready.status, await ready.json()]).toEqual([
        503,
        { status: 'not ready', storage: 'full' },
      ])
      expect((await get(url, '/livez')).status).toBe(200)
      const [known] = run.told
      if (known) expect((await get(url, `/orders/${known.outTradeNo}`)).status).toBe(200)
    }
  }
  return { refused }
}

describe.skipIf(!hasStrace)('a disk that is full (skipped where strace is missing)', () => {
  const count = Math.ceil(writes / faultsARun)
  const firsts = Array.from({ length: count }, (_, n) => 1 + Math.floor((n * stride) / count))

  it(`at ${firsts.length * faultsARun} of the first ${stride * faultsARun} writes: 503 storage_full, nothing false is said, and orders are taken again without a restart`, async () => {
    let faults = 0
    let refused = 0
    for (const first of firsts) {
      let run = await startRun({ call: 'write', error: 'ENOSPC', when: `${first}+${stride}` })
      if (run.url === null) {
        expect([await run.ended, run.output()]).toEqual([74, expect.stringMatching(/ is full: /)])
        faults += run.faults()
        await startAnew(run)
        run = await startRun({
          call: 'write',
          error: 'ENOSPC',
          when: `${first + stride}+${stride}`,
        })
      }
      const { url } = run
      if (url === null) throw new Error(run.output())
      refused += (await trade(run, url)).refused
      await eventually(async () => (await get(url, '/readyz')).status === 200)
      await eventually(async () => (await post(run, url, 'LAST')) !== 503)
      await eventually(async () => (await pendingAt(url, run)) === 0)
      faults += run.faults()
      await run.end('SIGKILL')
      expect(await wrongWith(run), run.output()).toEqual([])
      expect(run.output()).not.toContain('defect')
    }
    expect(faults).toBeGreaterThanOrEqual(writes)
    expect(refused).toBeGreaterThan(faults / 4)
  }, 1_800_000)

  it('so that the data directory cannot even be taken: the process ends with 74, to be started again', async () => {
    const files = ['service.lock-journal']
    const run = await startRun({ call: 'write', error: 'ENOSPC', when: '1+', files })
    expect([await run.ended, run.output()]).toEqual([74, expect.stringMatching(/ is full/)])
    await startAnew(run)
  }, 60_000)

  it.runIf(isFull)(
    'when the log moves into the database: orders are taken all the same, and it moves later',
    async () => {
      const run = await startRun({
        call: 'write',
        error: 'ENOSPC',
        when: '2..4',
        files: ['smartguide.db'],
      })
      await tradeUntil(run, () => run.faults() > 0)
      await eventually(async () => run.calls() > 10 || (await tradeOn(run)), 30_000)
      await run.end('SIGKILL')
      expect(await wrongWith(run)).toEqual([])
    },
    60_000,
  )
})

let posted = 0

/** Eight tills at once; false, so that it can be asked again. */
async function tradeOn(run: Run): Promise<false> {
  const { url } = run
  if (url === null) throw new Error(run.output())
  await Promise.all(Array.from({ length: 8 }, () => post(run, url, `TILL-${posted++}`)))
  return false
}

async function tradeUntil(run: Run, enough: () => boolean): Promise<void> {
  for (let rounds = 0; !enough(); rounds++) {
    if (rounds > 400) throw new Error('no fault was met')
    await tradeOn(run)
  }
}

describe.skipIf(!hasStrace)('a sync that fails (skipped where strace is missing)', () => {
  const numbers = Array.from(
    { length: syncs },
    (_, n) => 1 + Math.floor(((n + 0.5) * firstSyncs) / syncs),
  )

  it(`at ${syncs} of the first ${firstSyncs}: the process ends with 74, nothing false is said, and the next start has all that was`, async () => {
    for (const number of numbers) {
      const run = await startRun({ call: 'sync', error: 'EIO', when: `${number}` })
      await stopsByItself(run)
      await startAnew(run)
    }
  }, 1_800_000)

  it.runIf(isFull)(
    'when the log moves into the database: the process ends likewise',
    async () => {
      const run = await startRun({
        call: 'sync',
        error: 'EIO',
        when: '1',
        files: ['smartguide.db'],
      })
      await stopsByItself(run)
      await startAnew(run)
    },
    60_000,
  )
})

async function stopsByItself(run: Run): Promise<void> {
  const answers = run.url === null ? [] : await tradeUntilCutOff(run, run.url)
  expect([await run.ended, run.output()]).toEqual([74, expect.stringMatching(/ failed \(SQLITE_/)])
  if (run.url !== null) expect(run.output()).toMatch(stopped)
  expect(run.faults()).toBe(1)
  expect(answers.filter(status => status >= 300)).toEqual([])
}

/** Two tills, until nobody answers any more. */
async function tradeUntilCutOff(run: Run, url: string): Promise<number[]> {
  const answers: number[] = []
  let isCutOff = false
  const till = async (name: string) => {
    for (let n = 0; !isCutOff; n++) {
      if (n > 2000) throw new Error('no fault was met')
      try {
        answers.push(await post(run, url, `${name}-${n}`))
      } catch (cause) {
        if (!(cause instanceof TypeError)) throw cause
        isCutOff = true
      }
    }
  }
  await Promise.all([till('A'), till('B')])
  return answers
}
