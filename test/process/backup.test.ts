import { execFile, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { brokenAfter, readSent } from '../support/invariants.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import {
  controlSimulator,
  type Env,
  failToStart,
  prepareData,
  settingsFor,
  startProcess,
} from '../support/service-process.ts'
import { createTills, seeded } from '../support/tills.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

let dir: string
let data: string
let file: string
let simulator: Simulator
let env: Env
let key: string

beforeEach(async () => {
  dir = scratchDir()
  data = join(dir, 'data')
  file = join(dir, 'kept.db')
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  env = settingsFor(simulator, data)
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  key = prepareData(data, mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    for (const id of ['G1', 'G2', 'G3', 'G4'])
      mirror.putGuide({ id, storeId: 1001, state: 'registered' })
  })
})
afterEach(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

const run = (verb: string, ...args: string[]) =>
  new Promise<{ code: number; output: string }>(done => {
    const command = ['src/backup/main.ts', verb, ...args]
    const asked = { cwd: root, env: { PATH: process.env['PATH'] ?? '', DATA_DIR: data } }
    execFile(process.execPath, command, asked, (fault, stdout, stderr) =>
      done({ code: fault ? Number(fault.code) : 0, output: stdout + stderr }),
    )
  })

const control = (method: string, path: string, body?: object) =>
  controlSimulator(simulator, method, path, body)

async function call(url: string, method: string, path: string, body?: object) {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      prefer: 'wait=0',
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  return JSON.parse(await answer.text())
}

const numbersIn = (path: string): Map<string, string> => {
  const db = new Database(path, { readonly: true })
  const rows = db
    .prepare<[], { no: string; guide: string }>(
      'SELECT out_trade_no AS no, guide_id AS guide FROM orders',
    )
    .all()
  db.close()
  return new Map(rows.map(({ no, guide }) => [no, guide]))
}

it('a backup under load has every order that was told before it began, is private and whole, and holds nobody up', async () => {
  const service = await startProcess(env)
  const tills = createTills({ key, stores: [1001], count: 8, random: seeded(7), heedless: true })
  let isOver = false
  const selling = tills.sell(service.url, () => isOver)
  await eventually(async () => tills.told.length > 100, 20_000)
  const before = new Map(tills.told.map(({ outTradeNo, guideId }) => [outTradeNo, guideId]))
  expect(await run('backup', file)).toMatchObject({ code: 0 })
  const during = tills.told.length
  expect(during).toBeGreaterThan(before.size)
  // Again, over the first one.
  expect(await run('backup', file)).toMatchObject({ code: 0 })
  await sleep(300)
  isOver = true
  await selling
  expect(tills.broken).toEqual([])
  expect(tills.refused).toEqual([])

  expect(statSync(file).mode & 0o777).toBe(0o600)
  const metrics = await (await fetch(`${service.url}/metrics`)).text()
  const atSeconds = /^smartguide_backup_last_success_timestamp_seconds (\S+)$/m.exec(metrics)?.[1]
  expect(Math.abs(Number(atSeconds) - statSync(file).mtimeMs / 1000)).toBeLessThan(5)
  expect(readdirSync(dir).filter(name => name.includes('kept'))).toEqual(['kept.db'])
  expect(await run('restore', file)).toMatchObject({
    code: 78,
    output: expect.stringMatching(/in use by another/),
  })
  const all = numbersIn(join(data, 'smartguide.db'))
  await service.end('SIGKILL')

  expect(await run('restore', file)).toMatchObject({ code: 0 })
  const restored = numbersIn(join(data, 'smartguide.db'))
  for (const [no, guide] of before) expect([no, restored.get(no)]).toEqual([no, guide])
  expect(restored.size).toBeLessThan(all.size)
  const [kept = ''] = readdirSync(data).filter(name => /\.before-[\dTZ-]+$/.test(name))
  expect(numbersIn(join(data, kept))).toEqual(all)

  const again = await startProcess(env)
  const [[no = '', guide] = []] = before
  const replayed = await call(again.url, 'GET', `/orders/${no}`)
  expect(replayed.guide_id).toBe(guide)
  expect(await again.end('SIGTERM')).toBe(0)
  const kin = tills.told.filter(({ outTradeNo, ended }) => before.has(outTradeNo) && !ended)
  const { entries } = await control('GET', '/log?since=0')
  const sent = readSent(entries).filter(({ outTradeNo }) => restored.has(outTradeNo))
  const broken = await brokenAfter(data, { sent, told: kin, wasDown: true })
  // What was paid, closed or sent after the backup is not known to it.
  expect(broken.filter(what => /book|never accepted|not in the database/.test(what))).toEqual([])
}, 40_000)

it('after a restore the pending orders inside their window are sent again with the same guide, the others expire, and nothing else is sent', async () => {
  const service = await startProcess(env)
  await control('PUT', '/faults', { rates: { status_500: 1 } })
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString()
  const post = (no: string, facts: object = {}) =>
    call(service.url, 'POST', `/orders/${no}/assign`, { store_id: 1001, ...facts })
  const open = new Map<string, string>()
  for (const no of ['P1', 'P2', 'P3']) open.set(no, (await post(no)).guide_id)
  await post('OVER', { created_at: ago(596) })
  const overMs = Date.now() + 4500
  expect((await run('backup', file)).code).toBe(0)
  await post('LATER')
  await service.end('SIGKILL')
  const { output } = await run('restore', file)
  expect(output).toContain('4 orders, 4 of them pending')
  await sleep(Math.max(0, overMs - Date.now()))
  await control('PUT', '/faults', {})
  await control('DELETE', '/log')

  const again = await startProcess(env)
  const view = (no: string) => call(again.url, 'GET', `/orders/${no}`)
  await eventually(async () => {
    const all = await Promise.all([...open.keys(), 'OVER'].map(view))
    return all.every(({ status }) => status !== 'pending')
  })
  expect((await view('OVER')).status).toBe('expired')
  expect((await view('LATER')).code).toBe('order_not_found')
  for (const [no, guide] of open)
    expect(await view(no)).toMatchObject({ status: 'assigned', guide_id: guide, generation: 1 })
  const sent = readSent((await control('GET', '/log?since=0')).entries)
  expect(new Set(sent.map(({ outTradeNo }) => outTradeNo))).toEqual(new Set(open.keys()))
  for (const { outTradeNo, guideId } of sent) expect(guideId).toBe(open.get(outTradeNo))
  expect(await again.end('SIGTERM')).toBe(0)
}, 30_000)

it('a restored pending order is marked as one whose call may be under way, for what was sent after the backup nobody knows', async () => {
  const service = await startProcess(env)
  await control('PUT', '/faults', { rates: { refuse: 1 } })
  const { guide_id } = await call(service.url, 'POST', '/orders/P/assign', { store_id: 1001 })
  await eventually(async () => (await call(service.url, 'GET', '/orders/P')).attempts.length > 0)
  await service.end('SIGTERM')
  expect((await run('backup', file)).code).toBe(0)
  expect((await run('restore', file)).code).toBe(0)
  const db = new Database(join(data, 'smartguide.db'), { readonly: true })
  const { trace, due } = db
    .prepare<[], { trace: string; due: number }>('SELECT trace, due_at_ms AS due FROM orders')
    .get() ?? { trace: '', due: -1 }
  db.close()
  expect(JSON.parse(trace)).toMatchObject({ interrupted: true })
  expect([due, guide_id !== null]).toEqual([0, true])
})

it('a backup that is damaged, cut off, empty, foreign or of another version is refused, and the database stays', async () => {
  const service = await startProcess(env)
  const tills = createTills({ key, stores: [1001], count: 4, random: seeded(3) })
  const endsMs = performance.now() + 800
  await tills.sell(service.url, () => performance.now() > endsMs)
  expect((await run('backup', file)).code).toBe(0)
  expect(await service.end('SIGTERM')).toBe(0)
  const good = readFileSync(file)
  const live = join(data, 'smartguide.db')
  const was = readFileSync(live)
  const spoilt = join(dir, 'spoilt.db')

  const edit = (sql: string) => () => {
    copyFileSync(file, spoilt)
    const db = new Database(spoilt)
    db.exec(sql)
    db.close()
  }
  const bytes = (change: (copy: Buffer) => Buffer) => () =>
    writeFileSync(spoilt, change(Buffer.from(good)))
  for (const [spoil, says] of [
    [bytes(copy => copy.fill(0x5a, copy.length - 8192)), /damaged/],
    [bytes(copy => copy.fill(0, 4096 * 3, 4096 * 4)), /damaged/],
    [bytes(copy => copy.subarray(0, copy.length - 4096 * 3)), /damaged/],
    [bytes(copy => copy.subarray(0, 0)), /empty/],
    [
      bytes(() => Buffer.from('no database at all, but long enough to look at'.repeat(200))),
      /damaged/,
    ],
    [edit('DROP TABLE __drizzle_migrations'), /not a backup of this service/],
    [edit("UPDATE __drizzle_migrations SET hash = 'f'"), /another version/],
    [
      edit("INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('f', 9e15)"),
      /a newer version/,
    ],
  ] as const) {
    rmSync(spoilt, { force: true })
    spoil()
    const { code, output } = await run('restore', spoilt)
    expect([code, output]).toEqual([78, expect.stringMatching(says)])
    expect(readdirSync(data).filter(name => /copy|before|restoring/.test(name))).toEqual([])
    expect(readFileSync(live).equals(was)).toBe(true)
  }
  expect(await run('restore', join(dir, 'none.db'))).toMatchObject({ code: 78 })
  expect(await run('restore')).toMatchObject({ code: 64 })
  // The database itself is not written over, and what is damaged is not backed up.
  expect(await run('backup', live)).toMatchObject({
    code: 78,
    output: expect.stringMatching(/the database itself/),
  })
  const torn = Buffer.from(was).fill(0x5a, 4096 * 2, was.length - 4096)
  writeFileSync(live, torn)
  expect((await run('backup', file)).code).toBe(78)
  expect(readFileSync(file).equals(good)).toBe(true)
}, 60_000)

it('a restore that was cut off half-way keeps the service from starting, and is made again', async () => {
  const service = await startProcess(env)
  await call(service.url, 'POST', '/orders/A/assign', { store_id: 1001 })
  await service.end('SIGTERM')
  expect((await run('backup', file)).code).toBe(0)
  const live = join(data, 'smartguide.db')
  // As it is when the database of before was set aside and the other is not yet in its place.
  linkSync(live, `${live}.before-then`)
  copyFileSync(file, `${live}.restoring`)
  const { code, output } = await failToStart(env)
  expect([code, output]).toEqual([78, expect.stringMatching(/run npm run restore again/)])
  expect((await run('restore', file)).code).toBe(0)
  expect(existsSync(`${live}.restoring`)).toBe(false)
  const again = await startProcess(env)
  expect(await again.end('SIGTERM')).toBe(0)
})

it('a backup whose mark cannot be written is a good backup all the same, and says so', async () => {
  mkdirSync(join(data, 'smartguide.db.backed-up'))
  const { code, output } = await run('backup', file)
  expect([code, output]).toEqual([0, expect.stringMatching(/is a whole copy of the database/)])
  expect(output).toMatch(/The backup is good; that it was made could not be noted .*EISDIR/)
  expect((await run('restore', file)).code).toBe(0)
})

it('into a directory without a database a backup goes as well, and is as private there', async () => {
  await (await startProcess(env)).end('SIGTERM')
  expect((await run('backup', file)).code).toBe(0)
  chmodSync(file, 0o644)
  rmSync(data, { recursive: true })
  mkdirSync(data, { mode: 0o700 })
  expect((await run('restore', file)).code).toBe(0)
  expect(statSync(join(data, 'smartguide.db')).mode & 0o777).toBe(0o600)
})

it('npm run bench:restore measures backup and restore, with as many orders as it is told', async () => {
  const orders = Number(process.env['RESTORE_ORDERS'] ?? 2000)
  const { stdout } = await promisify(execFile)(process.execPath, ['bench/restore.ts'], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', RESTORE_ORDERS: String(orders) },
  })
  expect(stdout).toMatch(/^restore +\d+\.\d s \(within the 10 s\)$/m)
}, 300_000)

it.each(['src/backup/main.ts', 'src/keys/main.ts'])(
  '%s does not guess in a bare shell which database is meant, that of the shop or of the demo',
  main => {
    const cwd = join(dir, 'bare')
    mkdirSync(join(cwd, 'data', 'demo'), { recursive: true })
    writeFileSync(join(cwd, 'data', 'smartguide.db'), 'no database')
    const copy = join(cwd, 'copy.db')
    const args = main.includes('backup') ? ['backup', copy] : ['list']
    const bare = { cwd, env: { PATH: process.env['PATH'] ?? '' }, encoding: 'utf8' } as const
    const inBareShell = () => spawnSync(process.execPath, [join(root, main), ...args], bare)
    expect(inBareShell()).toMatchObject({ stderr: expect.stringMatching(/data\/smartguide\.db/) })
    writeFileSync(join(cwd, 'data', 'demo', 'smartguide.db'), 'no database')
    expect(inBareShell()).toMatchObject({
      status: 78,
      stderr: expect.stringContaining('set DATA_DIR'),
    })
    expect(existsSync(copy)).toBe(false)
  },
)
