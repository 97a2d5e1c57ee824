import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import type { Client, ClientOptions } from '../../src/wechatpay/client.ts'
import type { GuidePage, NewGuide } from '../../src/wechatpay/guides.ts'
import { createMerchantKeys } from '../../src/wechatpay/merchant-keys.ts'
import { createPlatformKeys } from '../../src/wechatpay/platform-keys.ts'
import { encryptSensitive } from '../../src/wechatpay/sensitive.ts'
import { keep } from './keep.ts'
import {
  aClient,
  brief,
  merchant,
  type Received,
  signedHeaders,
  startUpstream,
} from './upstream.ts'

const name = '陈晓雯'
const mobile = '13800138000'
const at = { subMchid: null, host: 0, timeoutMs: 2_000 }
const aGuide: NewGuide = {
  storeId: 1001,
  corpid: 'ww1',
  userid: 'chen',
  name,
  mobile,
  qrCode: 'https://example.com/qr',
  avatar: 'https://example.com/a.png',
  groupQrcode: null,
}

let simulator: Simulator
let stateDir: string

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'wechatpay-'))
  simulator = await startSimulator({ stateDir })
  await control('PUT', '/stores/1001', { name: 'store' })
  await control('PUT', '/stores/2001', { name: 'store', sub_mchid: '1900000110' })
  await control('PUT', '/stores/3001', { name: 'store' })
})
afterEach(() => control('PUT', '/faults', {}))
afterAll(async () => {
  await simulator.stop()
  await rm(stateDir, { recursive: true })
})

async function control(method: string, path: string, body?: object) {
  const answer = await fetch(`${simulator.url}/_sim${path}`, {
    method,
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  expect(answer.status).toBeLessThan(300)
  return answer.status === 204 ? null : JSON.parse(await answer.text())
}

function ours() {
  const { merchantSerialNo, merchantPrivateKeyPem } = simulator.keys
  return { serialNo: merchantSerialNo, privateKey: createPrivateKey(merchantPrivateKeyPem) }
}

function connected(options: Partial<ClientOptions> = {}): Client {
  const { keys, url } = simulator
  const key = createPublicKey(keys.platformPublicKeyPem)
  return keep(
    aClient(url, {
      mchid: keys.mchid,
      merchantKeys: createMerchantKeys(ours()),
      platformKeys: createPlatformKeys({ serial: keys.platformKeyId, key }),
      ...options,
    }),
  )
}

async function pageOf(client: Client, query: object): Promise<GuidePage> {
  const reply = await client.queryGuides({
    ...at,
    storeId: 1001,
    by: null,
    limit: 10,
    offset: 0,
    ...query,
  })
  if (reply.kind !== 'accepted') throw new Error(JSON.stringify(reply))
  return reply.value
}

describe('against the simulator, which was written apart from this client', () => {
  it('a guide that is registered reads there as it was told here, and is found again by each of its marks', async () => {
    const client = connected()
    const reply = await client.registerGuide({
      ...at,
      guide: { ...aGuide, groupQrcode: 'https://g' },
    })
    if (reply.kind !== 'accepted') throw new Error(JSON.stringify(reply))
    const { guideId } = reply.value
    const { guides } = await control('GET', '/guides')
    expect(guides).toContainEqual({
      kind: 'wecom',
      guide_id: guideId,
      corpid: 'ww1',
      userid: 'chen',
      store_id: 1001,
      name,
      mobile,
      avatar: aGuide.avatar,
      qr_code: aGuide.qrCode,
      group_qrcode: 'https://g',
      sub_mchid: null,
    })
    const row = { guideId, storeId: 1001, name, mobile, userid: 'chen', workId: null }
    for (const by of [{ userid: 'chen' }, { mobile }, null]) {
      expect(await pageOf(client, { by })).toEqual({ guides: [row], totalCount: 1 })
    }
    for (const by of [{ userid: 'li' }, { mobile: '13800138001' }, { workId: 'W1' }]) {
      expect(await pageOf(client, { by })).toEqual({ guides: [], totalCount: 0 })
    }
  })

  it('what is changed is changed, and what is absent stays', async () => {
    const client = connected()
    const [guide] = (await pageOf(client, { by: { userid: 'chen' } })).guides
    const guideId = guide?.guideId ?? ''
    const changes = { name: '陈小雯', avatar: 'https://example.com/b.png' }
    expect(brief(await client.updateGuide({ ...at, guideId, changes }))).toBe('accepted')
    const { guides } = await control('GET', '/guides')
    expect(guides.find((each: { guide_id: string }) => each.guide_id === guideId)).toMatchObject({
      ...changes,
      mobile,
      qr_code: aGuide.qrCode,
    })
  })

  it('a service provider names the sub-merchant in all three', async () => {
    const client = connected()
    const sub = { ...at, subMchid: '1900000110' }
    const reply = await client.registerGuide({ ...sub, guide: { ...aGuide, storeId: 2001 } })
    expect(brief(reply)).toBe('accepted')
    const [guide] = (await pageOf(client, { ...sub, storeId: 2001, by: { mobile } })).guides
    expect(guide).toMatchObject({ name, storeId: 2001 })
    const update = { ...sub, guideId: guide?.guideId ?? '', changes: { mobile: '13900000000' } }
    expect(brief(await client.updateGuide(update))).toBe('accepted')
    const elsewhere = { ...at, guideId: guide?.guideId ?? '', changes: { mobile } }
    expect(brief(await client.updateGuide(elsewhere))).toBe('rejected guide')
  })

  it('pages of ten are read to the end, each name and number in the clear', async () => {
    const client = connected()
    for (let n = 0; n < 23; n++) {
      const fields = {
        store_id: 3001,
        name: `导购${n}`,
        mobile: `1380000${1000 + n}`,
        work_id: `W${n}`,
      }
      await control('POST', '/guides', fields)
    }
    const seen: (string | null)[] = []
    for (const offset of [0, 10, 20]) {
      const { guides, totalCount } = await pageOf(client, { storeId: 3001, offset })
      expect(totalCount).toBe(23)
      seen.push(...guides.map(guide => `${guide.name} ${guide.mobile} ${guide.workId}`))
    }
    expect(seen).toEqual(Array.from({ length: 23 }, (_, n) => `导购${n} 1380000${1000 + n} W${n}`))
  })

  it('on the wire no name and no number is in the clear', async () => {
    const { entries } = await control('GET', '/log?since=0')
    const wire = JSON.stringify(entries)
    expect(wire).toContain('smartguide/guides?store_id=1001&mobile=')
    for (const secret of [name, '陈小雯', mobile, '13900000000', encodeURIComponent(name)]) {
      expect(wire).not.toContain(secret)
    }
  })

  it('an answer for the key of before is read while both are there', async () => {
    const next = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const merchantKeys = createMerchantKeys(ours())
    const client = connected({ merchantKeys })
    const received: Received[] = []
    const upstream = await answering(received, page(encryptSensitive(name, merchant.publicKey)))
    const other = keep(
      aClient(upstream.url, {
        merchantKeys: createMerchantKeys({ serialNo: 'A', privateKey: merchant.privateKey }),
      }),
    )
    expect((await pageOf(other, {})).guides[0]?.name).toBe(name)
    const changed = createMerchantKeys({ serialNo: 'A', privateKey: merchant.privateKey })
    changed.replace({ serialNo: 'B', privateKey: next.privateKey })
    const later = keep(aClient(upstream.url, { merchantKeys: changed }))
    expect((await pageOf(later, {})).guides[0]?.name).toBe(name)
    const stranger = keep(
      aClient(upstream.url, {
        merchantKeys: createMerchantKeys({ serialNo: 'B', privateKey: next.privateKey }),
      }),
    )
    expect((await pageOf(stranger, {})).guides[0]).toMatchObject({ name: null, guideId: 'G1' })
    await client.close()
  })

  const calls: [string, (client: Client) => Promise<Parameters<typeof brief>[0]>][] = [
    [
      'query',
      client =>
        client.queryGuides({
          ...at,
          timeoutMs: 400,
          storeId: 1001,
          by: { mobile },
          limit: 10,
          offset: 0,
        }),
    ],
    [
      'register',
      client => client.registerGuide({ ...at, timeoutMs: 400, guide: { ...aGuide, userid: 'li' } }),
    ],
    [
      'update',
      async client =>
        client.updateGuide({ ...at, timeoutMs: 400, guideId: await aGuideId(), changes: { name } }),
    ],
  ]
  const faults: [fault: string, query: string, register: string, update: string][] = [
    ['refuse', 'unknown network', 'unknown network', 'unknown network'],
    ['reset_before', 'unknown network', 'unknown network', 'unknown network'],
    ['reset_after', 'unknown network', 'unknown network', 'unknown network'],
    ['hang', 'unknown timeout', 'unknown timeout', 'unknown timeout'],
    ['slow_body', 'unknown timeout', 'unknown timeout', 'unknown timeout'],
    ['status_429', 'unknown throttled', 'unknown throttled', 'unknown throttled'],
    ['status_500', 'unknown server_error', 'unknown server_error', 'unknown server_error'],
    ['status_502', 'unknown server_error', 'unknown server_error', 'unknown server_error'],
    ['unsigned', 'unknown unverified', 'unknown unverified', 'unknown unverified'],
    ['wrong_signature', 'unknown unverified', 'unknown unverified', 'unknown unverified'],
    ['signtest', 'unknown unverified', 'unknown unverified', 'unknown unverified'],
    ['clock_skew', 'unknown unverified', 'unknown unverified', 'unknown unverified'],
    ['garbage_body', 'unknown unverified', 'unknown unverified', 'unknown unverified'],
    ['sign_error', 'rejected account', 'rejected account', 'rejected account'],
    ['no_auth', 'rejected account', 'rejected account', 'rejected account'],
    ['mch_punished', 'rejected account', 'rejected account', 'rejected account'],
    ['param_error_guide', 'rejected request', 'rejected request', 'rejected guide'],
    ['param_error_order', 'rejected request', 'rejected request', 'rejected request'],
  ]
  it.each(
    faults.flatMap(([fault, ...read]) =>
      calls.map(([on, ask], n) => [fault, on, read[n] ?? '', ask] as const),
    ),
  )('%s on %s is read as %s, and the repeat is accepted', async (fault, on, expected, ask) => {
    const client = connected()
    await control('PUT', '/faults', { script: [{ on, do: fault }] })
    const reply = await ask(client)
    expect(brief(reply)).toBe(expected)
    expect(JSON.stringify(reply)).not.toContain(mobile)
    expect((await control('GET', '/faults')).script).toEqual([])
    expect(brief(await ask(client))).toBe('accepted')
  })

  it.each([
    ['an unknown store', { storeId: 9 }, 'rejected request'],
    ['a corpid that is too long', { corpid: 'x'.repeat(65) }, 'rejected request'],
  ])('a registration with %s is at fault itself', async (_, fault, expected) => {
    const reply = await connected().registerGuide({ ...at, guide: { ...aGuide, ...fault } })
    expect(brief(reply)).toBe(expected)
  })

  it('a field that they cannot open is the fault of our keys, not of the guide', async () => {
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
    const platformKeys = createPlatformKeys({ serial: simulator.keys.platformKeyId, key })
    const reply = await connected({ platformKeys }).registerGuide({ ...at, guide: aGuide })
    expect(brief(reply)).toBe('rejected account')
    const unknown = createPlatformKeys({ serial: 'PUB_KEY_ID_0', key })
    const other = await connected({ platformKeys: unknown }).registerGuide({ ...at, guide: aGuide })
    expect(brief(other)).toBe('rejected account')
  })

  it('without a key to encrypt with nothing is sent, save what needs none', async () => {
    await control('DELETE', '/log')
    const client = connected({ platformKeys: createPlatformKeys(null) })
    const guideId = 'G1'
    const query = { ...at, storeId: 1001, limit: 10, offset: 0 }
    expect(brief(await client.registerGuide({ ...at, guide: aGuide }))).toBe('unknown not_sent')
    expect(brief(await client.queryGuides({ ...query, by: { mobile } }))).toBe('unknown not_sent')
    expect(brief(await client.updateGuide({ ...at, guideId, changes: { name } }))).toBe(
      'unknown not_sent',
    )
    expect((await control('GET', '/log')).entries).toEqual([])
    expect(brief(await client.queryGuides({ ...query, by: null }))).toBe('unknown unverified')
  })

  async function aGuideId(): Promise<string> {
    const { guides } = await control('GET', '/guides')
    return guides.find((each: { store_id: number }) => each.store_id === 1001).guide_id
  }
})

function page(field: unknown, more: object = {}) {
  return {
    data: [{ guide_id: 'G1', store_id: 1, name: field, mobile: field, ...more }],
    total_count: 1,
  }
}

async function answering(received: Received[], answer: unknown, status = 200) {
  const body = typeof answer === 'string' ? answer : JSON.stringify(answer)
  return keep(
    await startUpstream((request, response) => {
      received.push(request)
      response.writeHead(status, signedHeaders({ body })).end(body)
    }),
  )
}

describe('a validly signed answer that is not what was asked for', () => {
  it.each<[string, unknown]>([
    ['nothing', ''],
    ['no JSON', '<html>'],
    ['half of it', '{"data":[{"guide_id":"G1"'],
    ['null', null],
    ['a list', []],
    ['no total', { data: [] }],
    ['a total below nothing', { data: [], total_count: -1 }],
    [
      'more guides than were asked for',
      { data: [1, 2, 3].flatMap(() => page('x').data), total_count: 3 },
    ],
    ['a guide without an id', page('x', { guide_id: '' })],
    ['an id that is too long', page('x', { guide_id: 'x'.repeat(65) })],
    ['a store that is no number', page('x', { store_id: '1001' })],
    ['a name that is no text', page(7)],
    ['a field without end', page('x'.repeat(5000))],
  ])('%s is unknown, for a query', async (_, body) => {
    const upstream = await answering([], body)
    const client = keep(aClient(upstream.url))
    const reply = await client.queryGuides({ ...at, storeId: 1, by: null, limit: 2, offset: 0 })
    expect(brief(reply)).toBe('unknown server_error')
  })

  it.each<[string, unknown]>([
    ['nothing', ''],
    ['no id', {}],
    ['an empty id', { guide_id: '' }],
    ['a number', { guide_id: 7 }],
    ['an id that is too long', { guide_id: 'x'.repeat(65) }],
  ])('%s is unknown, for a registration', async (_, body) => {
    const upstream = await answering([], body)
    const reply = await keep(aClient(upstream.url)).registerGuide({ ...at, guide: aGuide })
    expect(brief(reply)).toBe('unknown server_error')
  })

  it.each<[string, unknown]>([
    ['not there', undefined],
    ['null', null],
    ['empty', ''],
    ['not encrypted', '陈晓雯'],
    [
      'for another',
      encryptSensitive(name, generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey),
    ],
  ])('a name that is %s is null, and its guide is there', async (_, field) => {
    const upstream = await answering([], page(field, { userid: '' }))
    const { guides } = await pageOf(keep(aClient(upstream.url)), {})
    expect(guides).toEqual([
      { guideId: 'G1', storeId: 1, name: null, mobile: null, userid: null, workId: null },
    ])
  })
})

describe('a refusal that quotes what we sent', () => {
  it('is told without it, wherever it stands and however long the rest', async () => {
    let answer: { body: string; status: number } = { body: '', status: 400 }
    const upstream = keep(
      await startUpstream((_, response) => response.writeHead(answer.status).end(answer.body)),
    )
    const client = keep(aClient(upstream.url))
    const person = fc.string({
      unit: fc.constantFrom(...'陈晓雯李XYZ'),
      minLength: 2,
      maxLength: 12,
    })
    const number = fc.stringMatching(/^1[3-9]\d{9}$/)
    await fc.assert(
      fc.asyncProperty(
        person,
        number,
        fc.oneof(fc.nat({ max: 600 }), fc.integer({ min: 490, max: 511 })),
        fc.nat({ max: 3 }),
        async (who, phone, length, place) => {
          const filler = '-'.repeat(length)
          const quote = `${filler}${who}/${encodeURIComponent(who)}/${phone}/+86${phone}`
          const bodies = [
            { code: 'PARAM_ERROR', message: quote },
            { code: `${who}${phone}`, message: '' },
            { return_code: 'PARAM_ERROR', return_msg: quote },
            {
              code: 'SIGN_ERROR',
              message: 'x',
              detail: {
                field: quote,
                sign_information: {
                  method: 'POST',
                  url: quote,
                  sign_message_length: 1,
                  truncated_sign_message: quote,
                },
              },
            },
          ]
          answer = { status: place === 3 ? 401 : 400, body: JSON.stringify(bodies[place]) }
          const guide = {
            ...aGuide,
            name: who,
            mobile: `+86 ${phone.slice(0, 3)} ${phone.slice(3)}`,
          }
          const told = [
            await client.registerGuide({ ...at, guide }),
            await client.updateGuide({
              ...at,
              guideId: 'G1',
              changes: { name: who, mobile: phone },
            }),
          ]
          for (const reply of told) {
            expect(reply.kind).toBe('rejected')
            const text = JSON.stringify(reply)
            for (const secret of [who, phone, encodeURIComponent(who)])
              expect(text).not.toContain(secret)
            // Nor half of it where the rest was cut off.
            if (place !== 1) expect(text).not.toMatch(new RegExp(`-${who.slice(0, 1)}`))
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  it('and our own defects quote nothing', async () => {
    const client = keep(aClient('http://127.0.0.1:9'))
    const long = `${name}${'x'.repeat(60)}`
    for (const guide of [
      { ...aGuide, name: long },
      { ...aGuide, name: '' },
      { ...aGuide, name: `${name}\ud800` },
      { ...aGuide, mobile: `${mobile}${'0'.repeat(30)}` },
    ]) {
      const failure = await client.registerGuide({ ...at, guide }).catch((cause: Error) => cause)
      expect(String(failure)).toMatch(/AssertionError.*bytes of UTF-8/)
      expect(
        `${failure instanceof Error ? failure.stack : ''}${JSON.stringify(failure)}`,
      ).not.toMatch(new RegExp(`${name}|${mobile}`))
    }
  })
})
