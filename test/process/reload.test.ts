import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { brokenAfter, readSent, toldOf } from '../support/invariants.ts'
import { eventually, scratchDir, type WireOrder } from '../support/rig.ts'
import {
  controlSimulator,
  type Env,
  prepareData,
  settingsFor,
  spawnService,
  startProcess,
  writeSecret,
} from '../support/service-process.ts'

let dir: string
let simulator: Simulator
let env: Env
let key: string

beforeEach(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  const { WECHATPAY_SERIAL_NO: _, ...settings } = settingsFor(simulator, join(dir, 'data'))
  env = {
    ...settings,
    WECHATPAY_PRIVATE_KEY_FILE: join(dir, 'apiclient_key.pem'),
    WECHATPAY_CERTIFICATE_FILE: join(dir, 'apiclient_cert.pem'),
  }
  takeOver()
  const merchant = env['WECHATPAY_MCHID'] ?? ''
  key = prepareData(join(dir, 'data'), mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    for (const id of ['G1', 'G2', 'G3', 'G4'])
      mirror.putGuide({ id, storeId: 1001, state: 'registered' })
  })
})
afterEach(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** What an operator does with what the merchant platform gave. */
function takeOver(): void {
  rmSync(join(dir, 'apiclient_key.pem'), { force: true })
  copyFileSync(join(simulator.stateDir, 'merchant.key'), join(dir, 'apiclient_key.pem'))
  copyFileSync(join(simulator.stateDir, 'merchant.cert'), join(dir, 'apiclient_cert.pem'))
}

const control = (method: string, path: string, body?: object) =>
  controlSimulator(simulator, method, path, body)

async function post(url: string, no: string): Promise<WireOrder> {
  const answer = await fetch(`${url}/orders/${no}/assign`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      prefer: 'wait=5',
    },
    body: '{"store_id":1001}',
  })
  expect([200, 202]).toContain(answer.status)
  const order: WireOrder = JSON.parse(await answer.text())
  return order
}

/** The assigns that came, and how each was answered. */
async function assigns(): Promise<
  { serialNo: string; no: string; status: number; valid: boolean }[]
> {
  const { entries } = await control('GET', '/log?since=0')
  return entries
    .filter(({ path }: { path: string }) => path.endsWith('/assign'))
    .map((entry: { body: string; signature_valid: boolean; answer: { status: number } }) => ({
      no: JSON.parse(entry.body).out_trade_no,
      status: entry.answer.status,
      valid: entry.signature_valid,
    }))
}

it('SIGHUP under load changes over to the new merchant key: no order fails, none is refused', async () => {
  const running = await startProcess(env)
  const told = new Map<string, WireOrder>()
  let over = false
  const till = async (place: number) => {
    for (let n = 0; !over; n++)
      told.set(`S${place}-${n}`, await post(running.url, `S${place}-${n}`))
  }
  const tills = Array.from({ length: 12 }, (_, place) => till(place))
  for (let round = 1; round <= 3; round++) {
    await sleep(200)
    const { serial_no } = await control('POST', '/merchant-key', { overlap_seconds: 2 })
    takeOver()
    process.kill(Number(readFileSync(join(dir, 'data', 'service.pid'), 'utf8')), 'SIGHUP')
    await eventually(async () => running.output().includes(serial_no))
    await sleep(2100)
  }
  over = true
  await Promise.all(tills)
  expect(told.size).toBeGreaterThan(200)
  const failed = [...told].filter(([, { status }]) => status !== 'assigned')
  expect(failed).toEqual([])
  const sent = await assigns()
  expect(sent.filter(({ valid, status }) => !valid || status !== 204)).toEqual([])
  expect(running.output().split('the keys were changed').length - 1).toBe(3)
  expect(await running.end('SIGTERM')).toBe(0)
  const witnesses = {
    sent: readSent((await control('GET', '/log')).entries),
    told: [...told.values()].map(toldOf),
  }
  expect(await brokenAfter(join(dir, 'data'), witnesses)).toEqual([])
}, 60_000)

const garbage: [what: string, spoil: () => unknown, says: RegExp][] = [
  [
    'a key file that is gone',
    () => rmSync(join(dir, 'apiclient_key.pem')),
    /KEY_FILE: .* does not exist/,
  ],
  [
    'a key file that is no key',
    () => writeSecret(join(dir, 'apiclient_key.pem'), 'x'),
    /is not a private key/,
  ],
  [
    'a pipe that nobody writes to',
    () => {
      rmSync(join(dir, 'apiclient_key.pem'))
      execFileSync('mkfifo', ['-m', '600', join(dir, 'apiclient_key.pem')])
    },
    /is no ordinary file/,
  ],
  [
    'a key file that others can read',
    () => writeSecret(join(dir, 'apiclient_key.pem'), aKey(), 0o644),
    /open to other users/,
  ],
  [
    'a key that is not of the certificate',
    () => writeSecret(join(dir, 'apiclient_key.pem'), aKey()),
    /does not belong to the private key/,
  ],
  [
    'a pair that WeChat Pay does not know',
    async () => {
      const other = await startSimulator({ stateDir: join(dir, 'other') })
      copyFileSync(join(other.stateDir, 'merchant.key'), join(dir, 'apiclient_key.pem'))
      copyFileSync(join(other.stateDir, 'merchant.cert'), join(dir, 'apiclient_cert.pem'))
      await other.stop()
    },
    /do not belong together: WeChat Pay answered 401 SIGN_ERROR/,
  ],
  [
    'a new pair while WeChat Pay does not answer',
    async () => {
      await control('POST', '/merchant-key', { overlap_seconds: 60 })
      takeOver()
      await control('PUT', '/faults', {
        script: [{ on: 'certificates', do: 'status_500', times: 3 }],
      })
    },
    /could not be asked whether the keys fit: status 500/,
  ],
  [
    'another 公钥 under the same id',
    () => writeSecret(join(simulator.stateDir, 'platform.pub'), aKey('public')),
    /WECHATPAY_PUBLIC_KEY_FILE holds another key than before/,
  ],
]

function aKey(half: 'private' | 'public' = 'private'): string {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return half === 'private'
    ? privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    : publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

it('SIGHUP with keys that are wrong is one sentence in the log, and the old ones go on', async () => {
  const running = await startProcess(env)
  const publicKey = readFileSync(join(simulator.stateDir, 'platform.pub'), 'utf8')
  await eventually(async () => running.output().includes('admin key'))
  let n = 0
  for (const [what, spoil, says] of garbage) {
    await spoil()
    const from = running.output().length
    running.child.kill('SIGHUP')
    // Each order that is settled has a line as well.
    const lines = () => running.output().slice(from).trim().split('\n')
    const said = () =>
      lines()
        .filter(line => !line.includes('"out_trade_no"'))
        .join('\n')
    await eventually(async () => said().includes('the keys stay as they were'))
    expect(said(), what).toMatch(says)
    expect(said().split('\n'), what).toHaveLength(1)
    expect(await post(running.url, `B${n++}`), what).toMatchObject({ status: 'assigned' })
    writeSecret(join(simulator.stateDir, 'platform.pub'), publicKey)
    takeOver()
  }
  running.child.kill('SIGHUP')
  await eventually(async () => running.output().includes('the keys were changed'))
  expect(await post(running.url, 'last')).toMatchObject({ status: 'assigned' })
  expect(running.output()).not.toContain('PRIVATE KEY')
  expect(await running.end('SIGTERM')).toBe(0)
}, 60_000)

it('SIGHUP while it starts is heeded when it has started, and ends nothing', async () => {
  const dataDir = join(dir, 'fresh')
  const starting = spawnService({ ...env, DATA_DIR: dataDir })
  // A new directory is filled in one go, and this is its first file.
  while (!existsSync(join(dataDir, 'service.lock'))) await sleep(1)
  starting.child.kill('SIGHUP')
  await eventually(async () => starting.output().includes('the keys were read again'))
  const gone = once(starting.child, 'exit')
  starting.child.kill('SIGTERM')
  expect(await gone).toEqual([0, null])
}, 30_000)

it('many SIGHUPs in a row are one more reading of the files, not a queue of calls', async () => {
  const running = await startProcess(env)
  await eventually(async () => running.output().includes('admin key'))
  await control('PUT', '/faults', { latency_ms: { p50: 300, p99: 300 } })
  for (let n = 0; n < 40; n++) {
    running.child.kill('SIGHUP')
    await sleep(5)
  }
  const readings = () => running.output().split('the keys were read again').length - 1
  await eventually(async () => readings() >= 2)
  await sleep(1500)
  expect(readings()).toBeLessThanOrEqual(3)
  expect(await running.end('SIGTERM')).toBe(0)
}, 30_000)

it('in certificate mode it starts, verifies, and starts again from what it kept while the list cannot be asked for, or opened', async () => {
  await control('PUT', '/policies', { key_mode: 'certificate' })
  const { WECHATPAY_PUBLIC_KEY_ID: _, WECHATPAY_PUBLIC_KEY_FILE: __, ...rest } = env
  const certificateMode = {
    ...rest,
    WECHATPAY_APIV3_KEY_FILE: join(simulator.stateDir, 'apiv3.key'),
  }
  const first = await startProcess(certificateMode)
  expect(await post(first.url, 'C1')).toMatchObject({ status: 'assigned' })
  first.child.kill('SIGHUP')
  await eventually(async () => first.output().includes('the keys were read again'))
  expect(await first.end('SIGTERM')).toBe(0)
  await control('PUT', '/faults', {
    script: [{ on: 'certificates', do: 'status_502', times: 100 }],
  })
  const second = await startProcess(certificateMode)
  expect(second.output()).toContain('could not be asked')
  expect(await post(second.url, 'C2')).toMatchObject({ status: 'assigned' })
  expect(await second.end('SIGTERM')).toBe(0)

  const wrong = writeSecret(join(dir, 'wrong.key'), 'x'.repeat(32))
  await control('PUT', '/faults', {})
  const reset = { ...certificateMode, WECHATPAY_APIV3_KEY_FILE: wrong }
  const third = await startProcess(reset)
  expect(third.output()).toMatch(/WECHATPAY_APIV3_KEY_FILE does not open .* of before are used/)
  expect(await post(third.url, 'C3')).toMatchObject({ status: 'assigned' })
  expect(await third.end('SIGTERM')).toBe(0)
  await expect(startProcess({ ...reset, DATA_DIR: join(dir, 'new') })).rejects.toThrow(
    /ended with 78: WECHATPAY_APIV3_KEY_FILE does not open/,
  )
}, 60_000)
