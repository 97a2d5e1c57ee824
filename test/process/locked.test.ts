import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { scratchDir } from '../support/rig.ts'
import {
  controlSimulator,
  type Env,
  failToStart,
  prepareData,
  settingsFor,
  spawnService,
  startProcess,
} from '../support/service-process.ts'

const locked = 'src/locked.ts'

let dir: string
let simulator: Simulator
let env: Env
let till: string

beforeEach(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  env = settingsFor(simulator, join(dir, 'data'))
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  const store = { store_id: 1, name: 'store' }
  await control('PUT', '/stores/1', { name: store.name })
  const { guide_id } = await control('POST', '/guides', {
    store_id: 1,
    name: 'guide',
    mobile: '13900000001',
  })
  till = prepareData(join(dir, 'data'), mirror => {
    mirror.putStore({ storeId: 1, merchant, name: store.name, timezone: 'Asia/Shanghai' })
    mirror.putGuide({ id: guide_id, storeId: 1, state: 'registered' })
  })
})
afterEach(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

const control = (method: string, path: string, body?: object) =>
  controlSimulator(simulator, method, path, body)

async function assign(url: string, no: string) {
  const answer = await fetch(`${url}/orders/${no}/assign`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${till}`,
      'content-type': 'application/json',
      prefer: 'wait=5',
    },
    body: JSON.stringify({ store_id: 1 }),
  })
  return JSON.parse(await answer.text())
}

/** What code that got into the process tries, once it is the service. */
function plant(place: string): string {
  mkdirSync(place, { recursive: true })
  const path = join(place, 'planted.mjs')
  const outside = join(dir, 'outside.txt')
  writeFileSync(outside, 'a secret of somebody else')
  writeFileSync(
    path,
    `import fs from 'node:fs'
import { spawnSync } from 'node:child_process'
import { Worker } from 'node:worker_threads'
const tries = {
  hostname: () => fs.readFileSync('/etc/hostname'),
  outside: () => fs.readFileSync(${JSON.stringify(outside)}),
  environment: () => fs.readFileSync('/proc/1/environ'),
  listing: () => fs.readdirSync('/'),
  code: () => fs.writeFileSync('src/planted.txt', ''),
  elsewhere: () => fs.writeFileSync(${JSON.stringify(join(dir, 'written.txt'))}, ''),
  key: () => fs.writeFileSync(process.env.WECHATPAY_PRIVATE_KEY_FILE, ''),
  link: () => fs.symlinkSync('/etc/hostname', process.env.DATA_DIR + '/link'),
  process: () => { const { error } = spawnSync('/bin/true'); if (error) throw error },
  thread: () => new Worker('', { eval: true }).terminate(),
  own: () => fs.readFileSync(process.env.WECHATPAY_PRIVATE_KEY_FILE),
  data: () => fs.writeFileSync(process.env.DATA_DIR + '/written.txt', ''),
}
if (process.argv[1]?.endsWith('main.ts')) {
  const done = Object.entries(tries).map(([name, attempt]) => {
    try { attempt(); return [name, 'done'] } catch (cause) { return [name, cause.code] }
  })
  process.stderr.write('PLANTED' + JSON.stringify(Object.fromEntries(done)) + '\\n')
}
`,
  )
  return pathToFileURL(path).href
}

function planted(output: string): Record<string, string> {
  return JSON.parse(/PLANTED(.*)/.exec(output)?.[1] ?? 'null')
}

it('assigns orders, and takes up after a stop what was not settled', async () => {
  let service = await startProcess(env, locked)
  expect(await assign(service.url, 'ONE')).toMatchObject({ status: 'assigned' })
  // The signal reaches the service itself, for it took the place of what was started.
  expect(await service.end('SIGTERM')).toBe(0)
  service = await startProcess(env, locked)
  expect(await assign(service.url, 'ONE')).toMatchObject({ status: 'assigned' })
  expect(await assign(service.url, 'TWO')).toMatchObject({ status: 'assigned' })
  expect(service.output()).not.toMatch(/Warning|ERR_ACCESS_DENIED/)
  expect(await service.end('SIGTERM')).toBe(0)
})

it('reads and writes nothing but what is its own, and starts nothing', async () => {
  const before = readdirSync('src')
  const NODE_OPTIONS = `--import=${plant(join(dir, 'data'))}`
  const service = await startProcess({ ...env, NODE_OPTIONS }, locked)
  expect(await assign(service.url, 'ONE')).toMatchObject({ status: 'assigned' })
  const { own, data, ...others } = planted(service.output())
  expect([own, data]).toEqual(['done', 'done'])
  expect(Object.keys(others)).toHaveLength(10)
  expect(new Set(Object.values(others))).toEqual(new Set(['ERR_ACCESS_DENIED']))
  expect(readdirSync('src')).toEqual(before)
  await service.end('SIGTERM')
})

it('is what keeps it from that: without it, it is done', async () => {
  const NODE_OPTIONS = `--import=${plant(join(dir, 'data'))}`
  const free = { ...env, NODE_OPTIONS, WECHATPAY_PRIVATE_KEY_FILE: join(dir, 'none') }
  const { output } = await failToStart(free)
  rmSync('src/planted.txt', { force: true })
  expect(planted(output)).toMatchObject({ outside: 'done', elsewhere: 'done', process: 'done' })
})

it('loads no code from elsewhere', async () => {
  const NODE_OPTIONS = `--import=${plant(join(dir, 'elsewhere'))}`
  const { output, code } = await failToStart({ ...env, NODE_OPTIONS }, locked)
  expect(code).not.toBe(0)
  expect(output).toContain('ERR_ACCESS_DENIED')
  expect(output).not.toContain('PLANTED')
})

it('reads a key file that is a link to one that changes, as a mounted secret is', async () => {
  const secrets = join(dir, 'secrets')
  mkdirSync(join(secrets, '..1'), { recursive: true })
  const key = join(secrets, '..1', 'merchant.key')
  writeFileSync(key, readFileSync(env['WECHATPAY_PRIVATE_KEY_FILE'] ?? ''))
  chmodSync(key, 0o600)
  symlinkSync('..1', join(secrets, '..data'))
  symlinkSync(join('..data', 'merchant.key'), join(secrets, 'merchant.key'))
  const WECHATPAY_PRIVATE_KEY_FILE = join(secrets, 'merchant.key')
  const service = await startProcess({ ...env, WECHATPAY_PRIVATE_KEY_FILE }, locked)
  expect(await assign(service.url, 'ONE')).toMatchObject({ status: 'assigned' })
  await service.end('SIGTERM')
})

it('makes a data directory and key files that are not there', async () => {
  const DATA_DIR = join(dir, 'new', 'data')
  const ADMIN_KEY_FILE = join(dir, 'admin.key')
  const PII_KEY_FILE = join(dir, 'pii.key')
  const service = await startProcess({ ...env, DATA_DIR, ADMIN_KEY_FILE, PII_KEY_FILE }, locked)
  expect(await service.end('SIGTERM')).toBe(0)
  expect(readdirSync(dir)).toEqual(expect.arrayContaining(['admin.key', 'pii.key']))
})

it('starts on a large database too, and says that nobody checked it', async () => {
  const db = new Database(join(dir, 'data', 'smartguide.db'))
  db.exec('CREATE TABLE ballast AS SELECT zeroblob(70000000) AS bytes')
  db.close()
  const service = await startProcess(env, locked)
  expect(await assign(service.url, 'ONE')).toMatchObject({ status: 'assigned' })
  expect(service.output()).toContain('check-whole.ts')
  expect(await service.end('SIGTERM')).toBe(0)
})

it('is not for the demo', async () => {
  const { child, output } = spawnService({}, locked)
  const code = await new Promise(done => child.once('exit', done))
  expect(code).toBe(78)
  expect(output()).toMatch(/^The service cannot be started locked: .*\n$/)
})
