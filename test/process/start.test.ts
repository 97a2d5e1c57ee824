import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { scratchDir } from '../support/rig.ts'
import {
  type Env,
  failToStart,
  prepareData,
  settingsFor,
  startProcess,
  writeSecret,
} from '../support/service-process.ts'

let dir: string
let simulator: Simulator
let settings: Env

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  settings = settingsFor(simulator, join(dir, 'data'))
})
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

function without(...names: string[]): Env {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !names.includes(name)))
}

function otherKey(bits = 2048): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

const mistakes: [what: string, env: () => Env, says: RegExp][] = [
  [
    'half a configuration',
    () => without('WECHATPAY_SERIAL_NO', 'WECHATPAY_PUBLIC_KEY_ID'),
    /WECHATPAY_SERIAL_NO, WECHATPAY_PUBLIC_KEY_ID must be set too/,
  ],
  [
    'one setting alone',
    () => ({ WECHATPAY_MODE: 'direct' }),
    /WECHATPAY_MCHID.* must be set too, because WECHATPAY_MODE is/,
  ],
  [
    'a misspelt setting',
    () => ({ ...settings, WECHATPAY_MCHDI: '1' }),
    /WECHATPAY_MCHDI is not a setting/,
  ],
  [
    'a mode that does not exist',
    () => ({ ...settings, WECHATPAY_MODE: 'both' }),
    /WECHATPAY_MODE must be one of direct, partner/,
  ],
  [
    'a key file that is not there',
    () => ({ ...settings, WECHATPAY_PRIVATE_KEY_FILE: join(dir, 'none') }),
    /WECHATPAY_PRIVATE_KEY_FILE: .*none does not exist/,
  ],
  [
    'a key file that others can read',
    () => ({
      ...settings,
      WECHATPAY_PRIVATE_KEY_FILE: writeSecret(join(dir, 'open.key'), otherKey(), 0o644),
    }),
    /open\.key is open to other users .*chmod 600/,
  ],
  [
    'a key file that is no key',
    () => ({
      ...settings,
      WECHATPAY_PRIVATE_KEY_FILE: writeSecret(join(dir, 'text.key'), 'hello'),
    }),
    /WECHATPAY_PRIVATE_KEY_FILE: \S/,
  ],
  [
    'a key that does not fit the serial number',
    () => ({
      ...settings,
      WECHATPAY_PRIVATE_KEY_FILE: writeSecret(join(dir, 'other.key'), otherKey()),
    }),
    /do not belong together: WeChat Pay answered 401 SIGN_ERROR/,
  ],
  [
    "a serial number that is not the merchant's",
    () => ({ ...settings, WECHATPAY_SERIAL_NO: 'ABCDEF0123456789' }),
    /do not belong together: WeChat Pay answered 401/,
  ],
  [
    'plain http to another machine',
    () => ({ ...settings, WECHATPAY_BASE_URLS: 'http://api.example.com' }),
    /WECHATPAY_BASE_URLS: /,
  ],
  [
    'a port that is no port',
    () => ({ ...settings, PORT: '80800' }),
    /PORT must be a whole number from 0 to 65535, and is 80800/,
  ],
  [
    'an APIv3 key of the wrong length',
    () => ({ ...settings, WECHATPAY_APIV3_KEY_FILE: writeSecret(join(dir, 'short.key'), 'short') }),
    /WECHATPAY_APIV3_KEY_FILE: The APIv3 key has 5 bytes and must have 32/,
  ],
  [
    'neither a 公钥 nor an APIv3 key',
    () => without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
    /WECHATPAY_PUBLIC_KEY_ID and WECHATPAY_PUBLIC_KEY_FILE \(公钥\), or WECHATPAY_APIV3_KEY_FILE .* must be set too/,
  ],
  [
    'an APIv3 key alone, of a merchant who has a 公钥',
    () => ({
      ...without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
      WECHATPAY_APIV3_KEY_FILE: join(simulator.stateDir, 'apiv3.key'),
    }),
    /has no platform certificates for \d+, for it is in 公钥 mode: set WECHATPAY_PUBLIC_KEY_ID/,
  ],
  [
    'a serial number beside the certificate that has it',
    () => ({
      ...settings,
      WECHATPAY_CERTIFICATE_FILE: join(simulator.stateDir, 'merchant.cert'),
    }),
    /WECHATPAY_SERIAL_NO and WECHATPAY_CERTIFICATE_FILE are both set/,
  ],
  [
    'a certificate that is not of the private key',
    () => ({
      ...without('WECHATPAY_SERIAL_NO'),
      WECHATPAY_PRIVATE_KEY_FILE: writeSecret(join(dir, 'unlike.key'), otherKey()),
      WECHATPAY_CERTIFICATE_FILE: join(simulator.stateDir, 'merchant.cert'),
    }),
    /WECHATPAY_CERTIFICATE_FILE: .* does not belong to the private key/,
  ],
  [
    'a private key in place of the certificate',
    () => ({
      ...without('WECHATPAY_SERIAL_NO'),
      WECHATPAY_CERTIFICATE_FILE: join(simulator.stateDir, 'merchant.key'),
    }),
    /WECHATPAY_CERTIFICATE_FILE: .* is a private key; use apiclient_cert\.pem/,
  ],
  [
    'an admin key file with something else in it',
    () => ({ ...settings, ADMIN_KEY_FILE: writeSecret(join(dir, 'admin.key'), 'hello') }),
    /ADMIN_KEY_FILE .* does not hold a key/,
  ],
  [
    'a data directory that is a file',
    () => {
      writeFileSync(join(dir, 'file'), '')
      return { ...settings, DATA_DIR: join(dir, 'file') }
    },
    /data directory .* cannot be used/,
  ],
]

it.each(mistakes)('ends with one sentence and exit code 78 on %s', async (_, env, says) => {
  const { code, output } = await failToStart(env())
  expect(output).toMatch(says)
  expect(
    output
      .trim()
      .split('\n')
      .filter(line => !line.startsWith('{')),
  ).toHaveLength(1)
  expect(code).toBe(78)
})

it('claims a data directory for no merchant that WeChat Pay does not know', async () => {
  const DATA_DIR = join(dir, 'mistyped')
  const mistyped = await failToStart({ ...settings, DATA_DIR, WECHATPAY_MCHID: '1900000009' })
  expect(mistyped).toMatchObject({
    code: 78,
    output: expect.stringMatching(/WECHATPAY_MCHID 1900000009 is not known/),
  })
  const running = await startProcess({ ...settings, DATA_DIR })
  expect(await running.end('SIGTERM')).toBe(0)
})

it('says its process id in the data directory while it runs, and not after an end or a start that failed', async () => {
  const DATA_DIR = join(dir, 'pid')
  const path = join(DATA_DIR, 'service.pid')
  const pid = () => Number(readFileSync(path, 'utf8'))
  const killed = await startProcess({ ...settings, DATA_DIR })
  await killed.end('SIGKILL')
  expect(pid()).toBe(killed.child.pid)
  const running = await startProcess({ ...settings, DATA_DIR })
  await failToStart({ ...settings, DATA_DIR })
  expect(pid()).toBe(running.child.pid)
  expect(await running.end('SIGTERM')).toBe(0)
  expect(existsSync(path)).toBe(false)
  await failToStart({ ...settings, DATA_DIR, WECHATPAY_SERIAL_NO: 'ABCDEF0123456789' })
  expect(existsSync(path)).toBe(false)
})

it('ends with one sentence when the port is taken', async () => {
  const taken = createServer()
  await new Promise<void>(done => taken.listen(0, '127.0.0.1', done))
  const address = taken.address()
  const port = typeof address === 'object' && address ? String(address.port) : ''
  const { code, output } = await failToStart({ ...settings, PORT: port })
  taken.close()
  expect(output.trim()).toBe(`Port ${port} on 127.0.0.1 is taken: stop what uses it, or set PORT.`)
  expect(code).toBe(69)
})

it('refuses the data directory of a service that runs, and of another merchant', async () => {
  const running = await startProcess(settings)
  const second = await failToStart(settings)
  expect(second).toMatchObject({
    code: 78,
    output: expect.stringMatching(/is in use by another process/),
  })
  expect(await running.end('SIGTERM')).toBe(0)
  const other = await failToStart({ ...settings, WECHATPAY_MODE: 'partner' })
  expect(other).toMatchObject({
    code: 78,
    output: expect.stringMatching(/belongs to direct merchant/),
  })
})

it('makes the admin key file for the owner alone, and says where it is and not what is in it', async () => {
  const DATA_DIR = join(dir, 'fresh')
  const running = await startProcess({ ...settings, DATA_DIR })
  const path = join(DATA_DIR, 'admin.key')
  const key = readFileSync(path, 'utf8').trim()
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const made = await fetch(`${running.url}/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ scope: 'assign', name: 'till 1' }),
  })
  expect(made.status).toBe(201)
  await running.end('SIGTERM')
  expect(running.output()).toContain(path)
  expect(running.output()).not.toContain(key)
})

it('never falls back to the simulator: with an unreachable WeChat Pay it starts, and the order stays pending', async () => {
  const DATA_DIR = join(dir, 'unreachable')
  const merchant = settings['WECHATPAY_MCHID'] ?? ''
  const key = prepareData(DATA_DIR, mirror => {
    mirror.putStore({ storeId: 1, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    mirror.putGuide({ id: 'G1', storeId: 1, state: 'registered' })
  })
  const WECHATPAY_BASE_URLS = 'http://127.0.0.1:9'
  const running = await startProcess({ ...settings, DATA_DIR, WECHATPAY_BASE_URLS })
  expect(running.output()).toContain('could not be asked')
  expect((await fetch(`${running.url}/readyz`)).status).toBe(200)
  const answer = await fetch(`${running.url}/orders/U1/assign`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: '{"store_id":1}',
  })
  expect(answer.status).toBe(202)
  expect(await answer.json()).toMatchObject({ status: 'pending', guide_id: 'G1' })
  expect(await running.end('SIGTERM')).toBe(0)
})

it('says in one sentence which Node it needs when it is started with an older one', () => {
  const fake = join(dir, 'old-node.cjs')
  writeFileSync(
    fake,
    `Object.defineProperty(process.versions, 'node', { value: '20.11.0' }); require(${JSON.stringify(join(process.cwd(), 'src/require-node.cjs'))})`,
  )
  const { status, stderr } = spawnSync(process.execPath, [fake], { encoding: 'utf8' })
  expect(stderr).toMatch(
    /^smartguide-assign needs Node 24 or newer, and this is Node 20\.11\.0: .*\n$/,
  )
  expect(status).toBe(1)
})

it('puts that check before every npm script that starts a process of the service', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  for (const name of ['start', 'demo', 'simulator', 'doctor', 'test']) {
    expect(scripts[`pre${name}`], name).toBe('node src/require-node.cjs')
  }
})
