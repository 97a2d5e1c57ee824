import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import type { Client, ClientOptions } from '../../src/wechatpay/client.ts'
import { createMerchantKeys } from '../../src/wechatpay/merchant-keys.ts'
import { createPlatformKeys } from '../../src/wechatpay/platform-keys.ts'
import { aClient, anAssign, brief, merchant } from './upstream.ts'

let simulator: Simulator
let stateDir: string
const clients: Client[] = []

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'wechatpay-'))
  simulator = await startSimulator({ stateDir })
})

afterEach(async () => {
  await control('PUT', '/faults', {})
  await Promise.all(clients.splice(0).map(client => client.close()))
})

afterAll(async () => {
  await simulator.stop()
  await rm(stateDir, { recursive: true })
})

function ours() {
  const { merchantSerialNo, merchantPrivateKeyPem } = simulator.keys
  return { serialNo: merchantSerialNo, privateKey: createPrivateKey(merchantPrivateKeyPem) }
}

function connected(options: Partial<ClientOptions> = {}): Client {
  const { keys, url } = simulator
  const client = aClient(url, {
    mchid: keys.mchid,
    merchantKeys: createMerchantKeys(ours()),
    platformKeys: createPlatformKeys({
      serial: keys.platformKeyId,
      key: createPublicKey(keys.platformPublicKeyPem),
    }),
    ...options,
  })
  clients.push(client)
  return client
}

async function control(method: string, path: string, body: object): Promise<void> {
  const answer = await fetch(`${simulator.url}/_sim${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  })
  expect(answer.status).toBeLessThan(300)
}

describe('against the simulator, which was written apart from this client', () => {
  it('an assign and a probe are accepted', async () => {
    const client = connected()
    expect(await client.probe({ host: 0, timeoutMs: 2_000 })).toMatchObject({ kind: 'accepted' })
    expect(await client.assign(anAssign)).toMatchObject({ kind: 'accepted' })
  })

  it.each([
    [
      'another key',
      () => ({
        merchantKeys: createMerchantKeys({ ...ours(), privateKey: merchant.privateKey }),
      }),
    ],
    [
      'another serial number',
      () => ({ merchantKeys: createMerchantKeys({ ...ours(), serialNo: '0'.repeat(40) }) }),
    ],
    ['another merchant number', () => ({ mchid: '1900000000' })],
    ['a clock six minutes slow', () => ({ clock: clockAt(-360_000) })],
  ])('a client with %s is told that the account is at fault', async (_, options) => {
    const outcome = await connected(options()).probe({ host: 0, timeoutMs: 2_000 })
    expect(outcome).toMatchObject({ kind: 'rejected', blames: 'account' })
  })

  it.each([
    ['refuse', 'unknown network'],
    ['reset_before', 'unknown network'],
    ['reset_after', 'unknown network'],
    ['hang', 'unknown timeout'],
    ['slow_body', 'unknown timeout'],
    ['status_429', 'unknown throttled'],
    ['status_500', 'unknown server_error'],
    ['status_502', 'unknown server_error'],
    ['unsigned', 'unknown unverified'],
    ['wrong_signature', 'unknown unverified'],
    ['signtest', 'unknown unverified'],
    ['clock_skew', 'unknown unverified'],
    ['garbage_body', 'unknown unverified'],
    ['sign_error', 'rejected account'],
    ['no_auth', 'rejected account'],
    ['mch_punished', 'rejected account'],
    ['param_error_guide', 'rejected guide'],
    ['param_error_order', 'rejected order'],
  ])('%s is read as %s, and the repeat is accepted', async (fault, expected) => {
    const client = connected()
    await control('PUT', '/faults', { script: [{ on: 'assign', do: fault }] })
    expect(brief(await client.assign({ ...anAssign, timeoutMs: 400 }))).toBe(expected)
    expect(brief(await client.assign(anAssign))).toBe('accepted')
  })

  it.each([
    ['unknown_guide', 'rejected guide'],
    ['reassign', 'rejected order'],
  ])('a refusal for %s is read as %s', async (policy, expected) => {
    const client = connected()
    const outTradeNo = `policy-${policy}`
    if (policy === 'reassign') await client.assign({ ...anAssign, outTradeNo })
    await control('PUT', '/policies', { [policy]: 'reject' })
    const outcome = await client.assign({ ...anAssign, outTradeNo, guideId: 'another' })
    await control('PUT', '/policies', { unknown_guide: 'accept', reassign: 'last_wins' })
    expect(brief(outcome)).toBe(expected)
  })
})

function clockAt(offsetMs: number) {
  return { nowMs: () => Date.now() + offsetMs, monotonicMs: () => performance.now() }
}
