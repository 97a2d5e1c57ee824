import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { scratchDir } from '../support/rig.ts'
import {
  type Env,
  prepareData,
  settingsFor,
  startProcess,
  writeSecret,
} from '../support/service-process.ts'
import { startUpstream } from '../wechatpay/upstream.ts'
import {
  aCertificate,
  consult,
  examine,
  faults,
  keyPair,
  pemOf,
  runDoctor,
  startProxy,
  the,
} from './consult.ts'

const deadHost = 'http://127.0.0.1:9'
let dir: string
let simulator: Simulator
let sound: Env
let other: ReturnType<typeof keyPair>

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  sound = settingsFor(simulator, join(dir, 'data'))
  other = keyPair()
  const merchant = simulator.keys.mchid
  prepareData(join(dir, 'data'), mirror => {
    mirror.putStore({ storeId: 1001, merchant, name: '南山店', timezone: 'Asia/Shanghai' })
    mirror.claim({ mode: 'direct', mchid: merchant })
  })
  chmodSync(join(dir, 'data'), 0o700)
  await control('/stores/1001', { name: '南山店' })
})
afterEach(async () => {
  await control('/faults', {})
  await control('/policies', { key_mode: 'public_key' })
})
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function control(path: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const url = `${simulator.url}/_sim${path}`
  const answer = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
}

const script = (on: string, fault: string) =>
  control('/faults', { script: [{ on, do: fault, times: 9 }] })

function without(...names: string[]): Env {
  return Object.fromEntries(Object.entries(sound).filter(([name]) => !names.includes(name)))
}

const secret = (name: string, text: string) => writeSecret(join(dir, name), text)
const otherKeyFile = () => secret('other.key', pemOf(other.privateKey))

function contents(of: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(of).map(name => [
      name,
      createHash('sha256')
        .update(readFileSync(join(of, name)))
        .digest('hex'),
    ]),
  )
}

describe('with a sound configuration', () => {
  it('finds all well, ends with 0, and leaves the data directory as it was', async () => {
    const before = contents(join(dir, 'data'))
    const { code, text, checks, ok } = await consult(sound)
    expect(faults(checks)).toEqual([])
    expect([code, ok]).toEqual([0, true])
    expect(text).toMatch(/All is well\.\n$/)
    expect(checks.map(({ check }) => check)).toEqual(
      expect.arrayContaining([
        'private key',
        'public key',
        'data directory',
        'disk',
        'database',
        'host',
        'clock',
        'signed call',
        'store 1001',
        'key mode',
        'WeChat Pay key',
      ]),
    )
    expect(contents(join(dir, 'data'))).toEqual(before)
  })

  it('holds beside a service that runs, which goes on undisturbed', async () => {
    const running = await startProcess(sound)
    const { code, checks } = await consult(sound)
    expect(faults(checks)).toEqual([])
    expect(code).toBe(0)
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200)
    expect(await running.end('SIGTERM')).toBe(0)
  })

  it('says that WeChat Pay’s key was not tried where no store is known', async () => {
    const checks = await examine({ ...sound, DATA_DIR: join(dir, 'none') })
    expect(faults(checks)).toEqual(['warn WeChat Pay key'])
    expect(the(checks, 'WeChat Pay key').todo).toContain('--store')
  })

  it('verifies by platform certificates, opened with the APIv3 key, where the merchant has those', async () => {
    await control('/policies', { key_mode: 'certificate' })
    const checks = await examine({
      ...without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
      WECHATPAY_APIV3_KEY_FILE: secret('apiv3.key', simulator.keys.apiv3Key),
    })
    expect(the(checks, 'key mode')).toMatchObject({
      status: 'ok',
      found: 'platform certificates, 1 in force',
    })
    expect(the(checks, 'WeChat Pay key').status).toBe('ok')
  })

  it('shows no key, secret or name', async () => {
    const apiv3 = secret('apiv3.key', simulator.keys.apiv3Key)
    const env = { ...sound, WECHATPAY_APIV3_KEY_FILE: apiv3 }
    const { text, checks } = await consult(env, ['--store', '1001'])
    const shown = text + JSON.stringify(checks)
    expect(shown).not.toContain(simulator.keys.apiv3Key)
    expect(shown).not.toContain('南山店')
    for (const name of ['merchant.key', 'platform.pub']) {
      const [line = ''] = readFileSync(join(dir, 'sim', name), 'utf8')
        .split('\n')
        .slice(1)
      expect(line).toHaveLength(64)
      expect(shown).not.toContain(line.slice(10, 40))
    }
  })
})

type Fault = {
  what: string
  env?: () => Env
  args?: string[]
  clockAheadSeconds?: number
  before?: () => Promise<unknown>
  check: string
  status?: 'warn' | 'fail'
  says: RegExp
  todo: RegExp
}

const planted: Fault[] = [
  {
    what: 'a wrong serial number',
    env: () => ({ ...sound, WECHATPAY_SERIAL_NO: '4'.repeat(40) }),
    check: 'signed call',
    says: /SERIAL_NO 4{40} is not the serial number of an API certificate of merchant \d+/,
    todo: /证书序列号.*API安全/,
  },
  {
    what: 'a private key of another pair',
    env: () => ({ ...sound, WECHATPAY_PRIVATE_KEY_FILE: otherKeyFile() }),
    check: 'signed call',
    says: /same string, so the private key is not the one of certificate [0-9A-F]{40}/,
    todo: /apiclient_key\.pem.*API安全/,
  },
  {
    what: 'a clock 10 minutes ahead',
    clockAheadSeconds: 600,
    check: 'clock',
    says: /clock is (59[5-9]|60[0-5]) s ahead/,
    todo: /NTP/,
  },
  {
    what: 'a clock 10 minutes behind',
    clockAheadSeconds: -600,
    check: 'clock',
    says: /clock is (59[5-9]|60[0-5]) s behind/,
    todo: /NTP/,
  },
  {
    what: 'a clock that begins to be off',
    clockAheadSeconds: 90,
    check: 'clock',
    status: 'warn',
    says: /clock is (8[5-9]|9[0-5]) s ahead; from 300 s on all fails/,
    todo: /NTP/,
  },
  {
    what: 'one host of two that is down',
    env: () => ({ ...sound, WECHATPAY_BASE_URLS: `${simulator.url},${deadHost}` }),
    check: 'host',
    status: 'warn',
    says: /TCP fails: .*ECONNREFUSED.*the other host/,
    todo: /127\.0\.0\.1 port 9: open the firewall/,
  },
  {
    what: 'both hosts down',
    env: () => ({ ...sound, WECHATPAY_BASE_URLS: `http://localhost:9,${deadHost}` }),
    check: 'host',
    says: /TCP fails: .*ECONNREFUSED/,
    todo: /firewall/,
  },
  {
    what: 'a 公钥 merchant configured for platform certificates',
    env: () => ({
      ...without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
      WECHATPAY_APIV3_KEY_FILE: secret('apiv3.key', simulator.keys.apiv3Key),
    }),
    check: 'key mode',
    says: /this is a 公钥 merchant: .*RESOURCE_NOT_EXISTS/,
    todo: /WECHATPAY_PUBLIC_KEY_ID and WECHATPAY_PUBLIC_KEY_FILE.*微信支付公钥/,
  },
  {
    what: 'a merchant with platform certificates configured for a 公钥',
    before: () => control('/policies', { key_mode: 'certificate' }),
    check: 'key mode',
    says: /a 公钥 is configured, and WeChat Pay signs .* platform certificate [0-9A-F]{40}/,
    todo: /微信支付公钥/,
  },
  {
    what: 'an emoji in a name',
    args: ['--guide', '小美😊'],
    check: 'guide name',
    says: /character 3 of 3 is 😊 \(U\+1F60A\)/,
    todo: /out of the name/,
  },
]

describe('names the cause, to eyes and to scripts, of', () => {
  it.each(planted)('$what', async fault => {
    const { what: _, env = () => sound, args = [], before, check, status = 'fail' } = fault
    await before?.()
    const { code, text, checks, ok } = await consult(env(), args, fault)
    const found = checks.find(each => each.check === check && each.status === status)
    expect(found, JSON.stringify(checks)).toBeDefined()
    expect(found?.found).toMatch(fault.says)
    expect(found?.todo).toMatch(fault.todo)
    expect(text).toMatch(new RegExp(`^${status === 'fail' ? 'FAIL' : 'warn'}  ${check} .*`, 'm'))
    expect(text).toMatch(fault.says)
    expect(text).toMatch(fault.todo)
    expect([code, ok]).toEqual(status === 'fail' ? [1, false] : [0, true])
  })
})

type Case = [what: string, plant: () => Promise<Env> | Env, check: string, says: RegExp]

const accounts: Case[] = [
  [
    'a merchant number that does not exist',
    () => ({ ...sound, WECHATPAY_MCHID: '1900000009' }),
    'signed call',
    /400 MCH_NOT_EXISTS: WeChat Pay knows no merchant 1900000009/,
  ],
  [
    'a product that is not open',
    async () => {
      await script('query', 'no_auth')
      return sound
    },
    'store 1001',
    /403 NO_AUTH: .*the signature holds, the permission is missing/,
  ],
  [
    'a merchant that is punished',
    async () => {
      await script('certificates', 'mch_punished')
      return sound
    },
    'signed call',
    /400 INVALID_REQUEST: WeChat Pay has restricted merchant/,
  ],
  [
    'a public key that is not the one of its id',
    () => ({
      ...sound,
      WECHATPAY_PUBLIC_KEY_FILE: secret('other.pub', pemOf(other.publicKey)),
    }),
    'WeChat Pay key',
    /signature of an answer is wrong: WECHATPAY_PUBLIC_KEY_FILE is not the key PUB_KEY_ID_/,
  ],
  [
    'a public key id that WeChat Pay does not sign with',
    () => ({ ...sound, WECHATPAY_PUBLIC_KEY_ID: 'PUB_KEY_ID_0110' }),
    'WeChat Pay key',
    /signs with PUB_KEY_ID_\d+, and WECHATPAY_PUBLIC_KEY_ID is PUB_KEY_ID_0110/,
  ],
  [
    'answers whose signature is stripped',
    async () => {
      await script('query', 'unsigned')
      return sound
    },
    'WeChat Pay key',
    /cannot be verified: no Wechatpay-Timestamp header/,
  ],
  [
    'answers that were signed ten minutes ago',
    async () => {
      await script('query', 'clock_skew')
      return sound
    },
    'clock',
    /by the Date header and (59[5-9]|60[0-5]) s ahead by Wechatpay-Timestamp/,
  ],
  [
    'an APIv3 key that does not open the certificates',
    async () => {
      await control('/policies', { key_mode: 'certificate' })
      return {
        ...without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
        WECHATPAY_APIV3_KEY_FILE: secret('wrong.key', '0'.repeat(32)),
      }
    },
    'key mode',
    /the APIv3 key does not open the platform certificates/,
  ],
  [
    'the id of the 公钥 as serial number',
    () => ({ ...sound, WECHATPAY_SERIAL_NO: simulator.keys.platformKeyId }),
    'serial number',
    /holds the id of a 微信支付公钥/,
  ],
  [
    'the serial number of a certificate as the id of the 公钥',
    () => ({ ...sound, WECHATPAY_PUBLIC_KEY_ID: '5'.repeat(40) }),
    'public key id',
    /holds the serial number of a certificate/,
  ],
  [
    'a host name that nobody knows',
    () => ({ ...sound, WECHATPAY_BASE_URLS: 'https://wechat-pay.invalid' }),
    'host',
    /^DNS fails: /,
  ],
]

describe('names the cause of', () => {
  it.each(accounts)('%s', async (_, plant, check, says) => {
    const checks = await examine(await plant())
    const found = checks.find(each => each.check === check && each.status === 'fail')
    expect(found?.found, JSON.stringify(checks)).toMatch(says)
    expect(found?.todo).toBeTruthy()
  })

  it('a platform certificate’s serial number as the merchant’s, where the answer tells it', async () => {
    const serial = 'A'.repeat(40)
    const proxy = await startProxy(simulator.url, {
      answer: { headers: headers => ({ ...headers, 'wechatpay-serial': serial }) },
    })
    const checks = await examine({
      ...sound,
      WECHATPAY_SERIAL_NO: serial,
      WECHATPAY_BASE_URLS: proxy.url,
    })
    proxy.stop()
    const found = checks.filter(({ check }) => check === 'serial number').at(-1)
    expect(found).toMatchObject({
      status: 'fail',
      found: expect.stringMatching(/is the serial number of WeChat Pay’s platform certificate/),
    })
  })

  it('a host that speaks no TLS, and one whose certificate nobody vouches for', async () => {
    const plain = createServer(socket => socket.end('hello\r\n')).listen(0, '127.0.0.1')
    const keys = keyPair()
    const cert = aCertificate({ keys, commonName: '127.0.0.1' })
    const tls = createTlsServer({ key: pemOf(keys.privateKey), cert }).listen(0, '127.0.0.1')
    await Promise.all([once(plain, 'listening'), once(tls, 'listening')])
    const urls = [plain, tls].map(server => {
      const address = server.address()
      return `https://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}`
    })
    const checks = await examine({ ...sound, WECHATPAY_BASE_URLS: urls.join() })
    plain.close()
    tls.close()
    const [spoke, vouched] = checks.filter(({ check }) => check === 'host')
    expect(spoke).toMatchObject({ status: 'fail', found: expect.stringMatching(/^TLS fails/) })
    expect(spoke?.todo).toContain('speaks no TLS')
    expect(vouched?.found).toMatch(/^TLS fails: .*self-signed/)
    expect(vouched?.todo).toContain('certificate of their own')
  })

  it('a host that takes the connection and never answers, within the limit', async () => {
    await script('certificates', 'hang')
    const startMs = performance.now()
    const checks = await examine(sound, {}, { timeoutMs: 300 })
    expect(performance.now() - startMs).toBeLessThan(1500)
    expect(the(checks, 'host').found).toMatch(/gives no answer: no answer in time/)
  })

  it('a probe of WeChat Pay’s, which is no fault', async () => {
    await script('query', 'signtest')
    const checks = await examine(sound)
    expect(faults(checks)).toEqual(['warn WeChat Pay key'])
    expect(the(checks, 'WeChat Pay key').found).toContain('SIGNTEST')
  })

  it('a clock that is off by Wechatpay-Timestamp and the Date header alike, as from one that is right', async () => {
    const seen: string[] = []
    for (const aheadMs of [-301_500, -62_000, 0, 62_000, 301_500]) {
      seen.push(the(await examine(sound, {}, { aheadMs }), 'clock').status)
    }
    expect(seen).toEqual(['fail', 'warn', 'ok', 'warn', 'fail'])
  })
})

describe('lays our string beside what WeChat Pay read', () => {
  it('and marks the first difference when a proxy rewrites the path', async () => {
    const proxy = await startProxy(simulator.url, {
      request: { target: target => `${target}?via=gateway` },
    })
    const { text, checks } = await consult({ ...sound, WECHATPAY_BASE_URLS: proxy.url })
    proxy.stop()
    const found = the(checks, 'signed call')
    expect(found.found).toMatch(/first difference in line 2 \(path and query\), character 17/)
    expect(found.todo).toMatch(/must pass unchanged/)
    expect(found.lines).toHaveLength(7)
    expect(found.lines?.[2]).toMatch(
      /^> +2 {2}\/v3\/certificates +\/v3\/certificates\?via=gateway$/,
    )
    expect(found.lines?.[3]).toMatch(/^ +\^ +\^$/)
    expect(text).toContain(found.lines?.[2])
  })

  it('and marks it in a body that a proxy adds, and one level deeper in the answer', async () => {
    const deepen = (body: string) => {
      const { detail, ...rest } = JSON.parse(body)
      const { sign_information } = detail
      sign_information.truncated_sign_message = `${sign_information.truncated_sign_message.slice(0, -1)}{"a":1}\n`
      sign_information.sign_message_length += 7
      return JSON.stringify({ ...rest, detail: { detail: { sign_information } } })
    }
    await script('certificates', 'sign_error')
    const proxy = await startProxy(simulator.url, { answer: { body: deepen } })
    const checks = await examine({ ...sound, WECHATPAY_BASE_URLS: proxy.url })
    proxy.stop()
    const found = the(checks, 'signed call')
    expect(found.found).toMatch(/first difference in line 5 \(body\), character 1/)
    expect(found.lines?.join('\n')).toMatch(/^> +5 +\{"a":1\}$/m)
  })
})

describe('tells all mistakes at once', () => {
  it('of the settings, and still tries what it can', async () => {
    const { code, checks } = await consult({
      ...without('WECHATPAY_PUBLIC_KEY_ID'),
      WECHATPAY_MCHDI: '1',
      WECHATPAY_MODE: 'both',
      WECHATPAY_SERIAL_NO: '51:57:F0',
      WECHATPAY_PRIVATE_KEY_FILE: writeSecret(
        join(dir, 'open.key'),
        pemOf(other.privateKey),
        0o644,
      ),
      WECHATPAY_PUBLIC_KEY_FILE: join(dir, 'gone.pem'),
      WECHATPAY_APIV3_KEY_FILE: secret('short.key', 'short'),
      PORT: '80800',
      LOG_LEVEL: 'loud',
    })
    const failing = checks.filter(({ status }) => status === 'fail').map(({ found }) => found)
    const said = failing.join('\n')
    for (const mistake of [
      /WECHATPAY_MCHDI is not a setting/,
      /WECHATPAY_MODE must be one of/,
      /WECHATPAY_SERIAL_NO must be a hexadecimal number/,
      /open\.key is open to other users \(mode 644\)/,
      /WECHATPAY_PUBLIC_KEY_ID is not set/,
      /gone\.pem does not exist/,
      /APIV3_KEY_FILE.*\b32\b/,
      /PORT must be a whole number/,
      /LOG_LEVEL must be one of/,
    ]) {
      expect(said).toMatch(mistake)
    }
    expect(checks.filter(({ todo, status }) => status === 'fail' && !todo)).toEqual([])
    expect(the(checks, 'host').status).toBe('ok')
    expect(the(checks, 'clock').status).toBe('ok')
    expect(the(checks, 'signed call').found).toMatch(/^not made/)
    expect(code).toBe(1)
  })
})

describe('tells one mistake once', () => {
  const byCertificate = (more: Env = {}): Env => ({
    ...without('WECHATPAY_SERIAL_NO'),
    WECHATPAY_CERTIFICATE_FILE: join(dir, 'sim', 'merchant.cert'),
    ...more,
  })
  const open = () => secret('apiclient.key', readFileSync(join(dir, 'sim', 'merchant.key'), 'utf8'))

  it('and none with a certificate in place of the serial number', async () => {
    expect(faults(await examine(byCertificate()))).toEqual([])
  })

  const once: [what: string, env: () => Env, says: RegExp, seen: string[]][] = [
    [
      'a key file that others can read, beside a certificate',
      () => {
        const path = open()
        chmodSync(path, 0o644)
        return byCertificate({ WECHATPAY_PRIVATE_KEY_FILE: path })
      },
      /open to other users/,
      ['fail private key', 'warn key pair', 'warn signed call'],
    ],
    [
      'a key file that is not there, beside a certificate',
      () => byCertificate({ WECHATPAY_PRIVATE_KEY_FILE: join(dir, 'gone.key') }),
      /gone\.key does not exist/,
      ['fail private key', 'warn key pair', 'warn signed call'],
    ],
    [
      'a key that is not of the certificate',
      () => byCertificate({ WECHATPAY_PRIVATE_KEY_FILE: otherKeyFile() }),
      /private key is not that of the certificate/,
      ['fail key pair', 'warn signed call'],
    ],
    [
      'a certificate that is not there',
      () => byCertificate({ WECHATPAY_CERTIFICATE_FILE: join(dir, 'gone.cert') }),
      /gone\.cert does not exist/,
      ['fail certificate', 'warn signed call'],
    ],
    [
      'a serial number beside the certificate',
      () => ({ ...sound, ...byCertificate() }),
      /are both set/,
      ['fail settings'],
    ],
    [
      'a misspelt setting',
      () => ({ ...without('WECHATPAY_MCHID'), WECHATPAY_MCHDI: sound['WECHATPAY_MCHID'] ?? '' }),
      /WECHATPAY_MCHDI is not a setting of this service; below it is taken for WECHATPAY_MCHID/,
      ['fail settings'],
    ],
    [
      'a misspelt file setting, beside a certificate',
      () => {
        const { WECHATPAY_PRIVATE_KEY_FILE: path = '', ...rest } = byCertificate()
        return { ...rest, WECHATPAY_PRIVATE_KEY: path }
      },
      /WECHATPAY_PRIVATE_KEY is not a setting of this service; below it is taken for WECHATPAY_PRIVATE_KEY_FILE/,
      ['fail settings'],
    ],
    [
      'a name that means nothing',
      () => ({ ...sound, WECHATPAY_COLOUR: 'red' }),
      /WECHATPAY_COLOUR is not a setting of this service$/,
      ['fail settings'],
    ],
    [
      'a public key that is not there',
      () => ({ ...sound, WECHATPAY_PUBLIC_KEY_FILE: join(dir, 'gone.pub') }),
      /gone\.pub does not exist/,
      ['fail public key', 'warn store 1001', 'warn WeChat Pay key'],
    ],
    [
      'no key of WeChat Pay’s',
      () => without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
      /WECHATPAY_PUBLIC_KEY_ID and .* must be set/,
      ['fail settings', 'warn store 1001', 'warn WeChat Pay key'],
    ],
    [
      'an APIv3 key where the merchant has a 公钥',
      () => ({
        ...without('WECHATPAY_PUBLIC_KEY_ID', 'WECHATPAY_PUBLIC_KEY_FILE'),
        WECHATPAY_APIV3_KEY_FILE: secret('apiv3.key', simulator.keys.apiv3Key),
      }),
      /this is a 公钥 merchant/,
      ['fail key mode', 'warn store 1001'],
    ],
  ]
  it.each(once)('%s', async (_, env, says, seen) => {
    const checks = await examine(env())
    expect(faults(checks).sort()).toEqual(seen.sort())
    expect(checks.find(({ status }) => status === 'fail')?.found).toMatch(says)
    for (const { found } of checks.filter(({ status }) => status === 'warn')) {
      expect(found).toMatch(/because|the answer is not verified/)
    }
  })

  it('a clock that is off, though WeChat Pay refuses the call for it', async () => {
    const checks = await examine(sound, {}, { aheadMs: 600_000 })
    expect(faults(checks)).toEqual(['fail clock', 'warn signed call'])
  })

  it('and two mistakes twice: a key of another pair behind a proxy that rewrites the path', async () => {
    const proxy = await startProxy(simulator.url, {
      request: { target: to => `${to}?via=gateway` },
    })
    const checks = await examine(
      byCertificate({
        WECHATPAY_PRIVATE_KEY_FILE: otherKeyFile(),
        WECHATPAY_BASE_URLS: proxy.url,
      }),
    )
    proxy.stop()
    expect(faults(checks)).toEqual(['fail key pair', 'fail signed call'])
  })
})

describe('a store that WeChat Pay does not know', () => {
  it('is a mistake when the operator named it, and a warning when the database did', async () => {
    const named = await examine(sound, { storeId: 4242 })
    expect(faults(named)).toEqual(['fail store 4242', 'warn WeChat Pay key'])
    expect(the(named, 'store 4242').found).toContain('门店id不存在')
    expect(the(named, 'WeChat Pay key').todo).toContain('the line of store 4242')
    const DATA_DIR = join(dir, 'unverified')
    const merchant = simulator.keys.mchid
    prepareData(DATA_DIR, mirror => {
      mirror.putStore({ storeId: 4243, merchant, name: '店', timezone: 'Asia/Shanghai' })
    })
    chmodSync(DATA_DIR, 0o700)
    expect(faults(await examine({ ...sound, DATA_DIR }))).toEqual([
      'warn store 4243',
      'warn WeChat Pay key',
    ])
  })
})

describe('in partner mode', () => {
  const partner = () => ({ ...sound, WECHATPAY_MODE: 'partner', DATA_DIR: join(dir, 'partner') })

  it('asks for the sub-merchant whose store it is', async () => {
    const checks = await examine(partner(), { storeId: 2001 })
    expect(the(checks, 'store 2001').todo).toContain('--sub-mchid')
  })

  it('asks about the sub-merchant’s store', async () => {
    await control('/stores/2001', { name: '店', sub_mchid: '1900000109' })
    const checks = await examine(partner(), { storeId: 2001, subMchid: '1900000109' })
    expect(the(checks, 'store 2001').status).toBe('ok')
    expect(the(checks, 'WeChat Pay key').status).toBe('ok')
  })
})

it('is not held up by a pipe, to which nobody writes, in place of a key', async () => {
  const pipe = join(dir, 'pipe')
  execFileSync('mkfifo', ['-m', '600', pipe])
  const { code, text } = await runDoctor({ ...sound, WECHATPAY_PRIVATE_KEY_FILE: pipe }, [])
  expect(text).toMatch(/FAIL {2}private key .*no ordinary file/)
  expect(code).toBe(1)
  const { WECHATPAY_SERIAL_NO: _, ...rest } = sound
  const told = await runDoctor({ ...rest, WECHATPAY_CERTIFICATE_FILE: pipe }, [])
  expect(told.text).toMatch(/FAIL {2}certificate .*no ordinary file/)
  expect(told.code).toBe(1)
})

it('repeats no key that stands in place of its file’s path', async () => {
  const secret = 'Zk3hW8pQ2mN5xR7tV9bC4dF6gJ1sL0aY'
  const pem = pemOf(keyPair().privateKey)
  const env = { WECHATPAY_APIV3_KEY_FILE: secret, WECHATPAY_PRIVATE_KEY_FILE: pem }
  const { code, text } = await consult({ ...sound, ...env })
  expect(text).not.toContain(secret)
  expect(text).not.toContain('BEGIN')
  expect(text).toMatch(/FAIL {2}APIv3 key .*It holds a key/)
  expect(code).toBe(1)
})

it('takes the page of a network that wants a login for no answer of WeChat Pay’s', async () => {
  const portal = await startProxy(simulator.url, {
    request: { target: () => '/_sim/policies' },
    answer: { headers: ({ date, ...rest }) => rest },
  })
  const checks = await examine({ ...sound, WECHATPAY_BASE_URLS: portal.url })
  portal.stop()
  expect(faults(checks)).toEqual(
    expect.arrayContaining([
      'warn signed call',
      'warn store 1001',
      'warn clock',
      'fail WeChat Pay key',
    ]),
  )
})

it.each([
  ['an empty 404', 404, ''],
  ['an empty 403', 403, ''],
  ['a page', 404, '<html>not found</html>'],
  ['another address', 302, ''],
  ['nothing at all', 204, ''],
])(
  'finds that it is not WeChat Pay who answers with %s, and follows nobody',
  async (_, status, body) => {
    const paths: string[] = []
    const stranger = await startUpstream(({ url = '' }, response) => {
      paths.push(url)
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end(body)
    })
    const checks = await examine({ ...sound, WECHATPAY_BASE_URLS: stranger.url })
    await stranger.stop()
    expect(the(checks, 'signed call')).toMatchObject({
      status: 'fail',
      found: expect.stringMatching(/something else answers/),
    })
    expect(paths).not.toContain('/elsewhere')
  },
)

it('says with nothing configured that there is nothing to check and where the demo’s keys are', async () => {
  const { code, checks, text } = await consult({})
  expect(faults(checks)).toEqual([])
  expect(text).toContain('data/demo')
  expect(code).toBe(0)
})

it('ends with 64 and the usage on what it does not understand', async () => {
  const { code, text } = await runDoctor(sound, ['--bla'])
  expect(text).toMatch(/^Unknown option '--bla'/)
  expect(text).toContain('npm run doctor')
  expect(code).toBe(64)
})
