import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { brokenIn } from '../support/invariants.ts'
import { eventually, openRig, type Rig, readJson, scratchDir } from '../support/rig.ts'
import { atLength } from '../support/thorough.ts'
import { signedHeaders, startUpstream, type Upstream } from '../wechatpay/upstream.ts'

const hourMs = 3_600_000
const stepHours = atLength(8, 4)
const forged = {
  guideId: 'G1',
  outTradeNo: 'forged',
  subMchid: null,
  host: 1,
  timeoutMs: 2000,
}

let dir: string
let skew: { ms: number }
let simulator: Simulator
let forger: Upstream
/** Who signs what the forger answers, to every call. */
let signer: { serial: string; key: KeyObject }

beforeEach(async () => {
  dir = scratchDir()
  skew = { ms: 0 }
  const clock = () => Date.now() + skew.ms
  simulator = await startSimulator({ stateDir: join(dir, 'sim'), clock })
  forger = await startUpstream((_, response) => {
    response.writeHead(204, signedHeaders({ ...signer, nowMs: clock() })).end()
  })
})
afterEach(async () => {
  await simulator.stop()
  await forger.stop()
  rmSync(dir, { recursive: true, force: true })
})

function openShop(keyKinds: readonly ('public_key' | 'certificate')[]): Promise<Rig> {
  return openRig({
    simulator: { running: simulator, stateDir: simulator.stateDir },
    dataDir: dir,
    hosts: url => [url, forger.url],
    skew,
    keyKinds,
    windowMs: 3 * hourMs,
  })
}

function newestSigner(): { serial: string; key: KeyObject } {
  const [newest] = JSON.parse(readFileSync(join(simulator.stateDir, 'certificates.json'), 'utf8'))
  const serial = new X509Certificate(newest.pem).serialNumber
  return { serial, key: createPrivateKey(newest.privateKeyPem) }
}

async function control(method: string, path: string, body: object) {
  const answer = await fetch(`${simulator.url}/_sim${path}`, { method, body: JSON.stringify(body) })
  expect(answer.status).toBeLessThan(300)
}

/** Posts the orders and waits until each is assigned; time passes faster than ours where something has to be waited for. */
async function sell(shop: Rig, numbers: string[]): Promise<void> {
  const isSettled = async (no: string) => (await shop.order(no)).status === 'assigned'
  await Promise.all(
    numbers.map(async no => {
      const answer = await shop.assign(no, { store_id: 1001 }, { prefer: 'wait=1' })
      expect([200, 202]).toContain(answer.status)
      if ((await readJson(answer)).status === 'assigned') return
      await eventually(async () => {
        skew.ms += 500
        await shop.upstream.renew()
        return isSettled(no)
      }, 20_000)
    }),
  )
}

/** Each order is assigned, and only one guide was ever sent for it. */
async function expectNoneLost(shop: Rig, numbers: string[]): Promise<void> {
  const sent = new Map<string, Set<string>>()
  for (const { outTradeNo, guideId } of await shop.sent()) {
    sent.set(outTradeNo, (sent.get(outTradeNo) ?? new Set()).add(guideId))
  }
  for (const no of numbers) {
    const order = await shop.order(no)
    expect(order.status, no).toBe('assigned')
    expect([...(sent.get(no) ?? [])], no).toEqual([order.guide_id])
  }
}

it('a month of platform certificates: each rotation under a stream of orders, none lost, and no answer of a retired key accepted', async () => {
  await control('PUT', '/policies', { key_mode: 'certificate' })
  let shop = await openShop(['certificate'])
  await shop.openStore(1001, 4)
  const numbers: string[] = []
  const retired: { serial: string; key: KeyObject }[] = []
  const stranger = {
    serial: 'F'.repeat(40),
    key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  }
  // The day, and for how long the old certificate stays in the list.
  const rotations = new Map([
    [4, 24],
    [11, 24],
    [12, 12],
    [18, 0],
    [25, 24],
  ])
  const troubles = new Map<number, object>([
    [6, { script: [{ on: 'certificates', do: 'status_500', times: 3 }] }],
    [7, { script: [{ on: 'certificates', do: 'wrong_signature', times: 3 }] }],
    [11, { script: [{ on: 'certificates', do: 'unsigned', times: 2 }] }],
    [20, { script: [{ on: 'assign', do: 'signtest', times: 5 }] }],
  ])
  let forgeries = 0

  for (let hour = 0; hour < 30 * 24; hour += stepHours) {
    skew.ms += stepHours * hourMs
    const day = hour / 24
    const trouble = troubles.get(day)
    if (trouble) await control('PUT', '/faults', trouble)
    const overlapHours = rotations.get(day)
    const batch = Array.from({ length: atLength(2, 4) }, (_, n) => `H${hour}-${n}`)
    const selling = sell(shop, batch)
    if (overlapHours !== undefined) {
      retired.push(newestSigner())
      await control('POST', '/rotate', { overlap_seconds: overlapHours * 3600 })
    }
    await selling
    // Among them the first orders that are answered with the new certificate.
    await sell(shop, [`H${hour}-x`])
    numbers.push(...batch, `H${hour}-x`)
    await shop.upstream.renew()
    const [old] = retired.slice(-1)
    if (overlapHours && old) {
      // Still in the list: what it signed is in the air.
      signer = old
      expect(await shop.upstream.client.assign(forged)).toMatchObject({ kind: 'accepted' })
    }
    if (day === 15) {
      await shop.close()
      // What is kept verifies, though the list cannot be asked for.
      await control('PUT', '/faults', { script: [{ on: 'certificates', do: 'refuse', times: 1 }] })
      shop = await openShop(['certificate'])
      expect(shop.said.map(({ sentence }) => sentence)).toContain(
        'WeChat Pay could not be asked whether the keys fit',
      )
      await sell(shop, ['restarted'])
      numbers.push('restarted')
    }

    // Two days after it was withdrawn at the latest.
    const gone = retired.slice(0, [...rotations.keys()].filter(each => each + 2 <= day).length)
    const underAGoodName = { serial: newestSigner().serial, key: stranger.key }
    for (const each of [...gone, stranger, underAGoodName]) {
      signer = each
      expect(await shop.upstream.client.assign(forged)).toMatchObject({ reason: 'unverified' })
      forgeries++
    }
  }

  // The forger is believed as soon as it has the key: so the refusals above were of the keys.
  signer = newestSigner()
  expect(await shop.upstream.client.assign(forged)).toMatchObject({ kind: 'accepted' })
  expect(forgeries).toBeGreaterThan(atLength(150, 500))
  expect(numbers.length).toBeGreaterThan(atLength(250, 900))
  await expectNoneLost(shop, numbers)
  expect(shop.failures).toEqual([])
  await shop.close()
}, 180_000)

it('the first orders that are answered with a new certificate wait until it is there, and are sent once', async () => {
  await control('PUT', '/policies', { key_mode: 'certificate' })
  const shop = await openShop(['certificate'])
  await shop.openStore(1001, 4)
  await sell(shop, ['before'])
  skew.ms += hourMs
  await control('POST', '/rotate', {})
  const numbers = Array.from({ length: 20 }, (_, n) => `R${n}`)
  await sell(shop, numbers)
  expect((await shop.sent()).map(({ outTradeNo }) => outTradeNo).sort()).toEqual(
    ['before', ...numbers].sort(),
  )
  expect(await brokenIn(shop)).toEqual([])
  await shop.close()
})

it('a name encrypted for a withdrawn certificate is refused once, and then encrypted for the new one', async () => {
  await control('PUT', '/policies', { key_mode: 'certificate' })
  const shop = await openShop(['certificate'])
  await shop.openStore(1001, 1)
  skew.ms += hourMs
  await control('POST', '/rotate', { overlap_seconds: 0 })
  const register = () =>
    shop.upstream.client.registerGuide({
      subMchid: null,
      host: 0,
      timeoutMs: 2000,
      guide: {
        storeId: 1001,
        corpid: 'ww1',
        userid: 'chen',
        name: '陈晓雯',
        mobile: '13800138000',
        qrCode: 'https://example.com/qr',
        avatar: 'https://example.com/a.png',
        groupQrcode: null,
      },
    })
  expect(await register()).toMatchObject({ kind: 'rejected', blames: 'account' })
  await eventually(async () => (await register()).kind === 'accepted')
  const { guides } = await shop.control('GET', '/guides')
  expect(guides).toContainEqual(expect.objectContaining({ userid: 'chen', name: '陈晓雯' }))
  await shop.close()
})

it('from certificates to the 公钥 in the middle of a stream of orders, and of a rotation: none is lost', async () => {
  await control('PUT', '/policies', { key_mode: 'certificate' })
  const shop = await openShop(['certificate', 'public_key'])
  await shop.openStore(1001, 4)
  const numbers: string[] = []
  let over = false
  const till = async (place: number) => {
    for (let n = 0; !over; n++) {
      const no = `T${place}-${n}`
      numbers.push(no)
      await sell(shop, [no])
    }
  }
  const tills = Array.from({ length: 8 }, (_, place) => till(place))
  const pause = () => new Promise(done => setTimeout(done, 300))
  await pause()
  skew.ms += hourMs
  await control('POST', '/rotate', { overlap_seconds: 3600 })
  await pause()
  await control('PUT', '/policies', { key_mode: 'public_key' })
  await pause()
  await control('PUT', '/policies', { key_mode: 'certificate' })
  await pause()
  await control('PUT', '/policies', { key_mode: 'public_key' })
  await shop.upstream.renew()
  await pause()
  over = true
  await Promise.all(tills)
  expect(numbers.length).toBeGreaterThan(40)
  await expectNoneLost(shop, numbers)
  expect(await brokenIn(shop)).toEqual([])
  await shop.close()

  const after = await openShop(['public_key'])
  await sell(after, ['after'])
  signer = newestSigner()
  expect(await after.upstream.client.assign(forged)).toMatchObject({ reason: 'unverified' })
  expect(after.failures).toEqual([])
  await after.close()
}, 60_000)

it('a restart after the APIv3 key was reset goes on with the certificates of before, and says so; without any it does not start', async () => {
  await control('PUT', '/policies', { key_mode: 'certificate' })
  const before = await openShop(['certificate'])
  await before.openStore(1001, 4)
  await sell(before, ['before'])
  await before.close()

  const apiv3Key = join(simulator.stateDir, 'apiv3.key')
  writeFileSync(apiv3Key, 'x'.repeat(32))
  const after = await openShop(['certificate'])
  expect(after.said).toContainEqual({
    level: 'error',
    about: {},
    sentence: expect.stringMatching(/WECHATPAY_APIV3_KEY_FILE does not open .* of before are used/),
  })
  await sell(after, ['after'])
  // One that has ended verifies nothing.
  after.db.$client.exec('UPDATE certificates SET expires_at_ms = 1')
  await after.close()
  await expect(openShop(['certificate'])).rejects.toThrow(/does not open the platform certificates/)
}, 30_000)
