import {
  constants,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: string
  bytes: Buffer
}

/** A request as the documents say; each field planted here makes it wrong in one thing. */
export interface Plant {
  body?: unknown
  rawBody?: string | Buffer
  sentBody?: string
  headers?: Record<string, string | undefined>
  authorization?: string
  alterAuthorization?: (good: string) => string
  mchid?: string
  serialNo?: string
  nonce?: string
  timestamp?: number
  signedTarget?: string
  key?: KeyObject
}

export type Merchant = Awaited<ReturnType<typeof openMerchant>>

/** A simulator in a directory of its own, and a merchant that signs by hand, over raw node:http. */
export async function openMerchant({
  clock = Date.now,
  ...options
}: Omit<Partial<SimulatorOptions>, 'stateDir'> = {}) {
  const stateDir = await copyOfKeys()
  const simulator = await startSimulator({ ...options, stateDir, clock })
  const { keys, url } = simulator
  const privateKey = createPrivateKey(keys.merchantPrivateKeyPem)
  const platformKey = createPublicKey(keys.platformPublicKeyPem)

  function authorize(method: string, target: string, body: Buffer, plant: Plant): string {
    const timestamp = plant.timestamp ?? Math.floor(clock() / 1000)
    const nonce = plant.nonce ?? randomBytes(16).toString('hex')
    const message = `${method}\n${plant.signedTarget ?? target}\n${timestamp}\n${nonce}\n`
    const signed = Buffer.concat([Buffer.from(message), body, Buffer.from('\n')])
    const signature = sign('RSA-SHA256', signed, plant.key ?? privateKey).toString('base64')
    const mchid = plant.mchid ?? keys.mchid
    const serialNo = plant.serialNo ?? keys.merchantSerialNo
    const good = `WECHATPAY2-SHA256-RSA2048 mchid="${mchid}",nonce_str="${nonce}",signature="${signature}",timestamp="${timestamp}",serial_no="${serialNo}"`
    return plant.alterAuthorization?.(good) ?? good
  }

  function call(method: string, target: string, plant: Plant = {}): Promise<Reply> {
    const json = plant.body === undefined ? '' : JSON.stringify(plant.body)
    const body = Buffer.from(plant.rawBody ?? json)
    const headers: Record<string, string | undefined> = {
      Accept: 'application/json',
      'User-Agent': 'smartguide-assign tests',
      ...(body.length > 0 && { 'Content-Type': 'application/json' }),
      'Wechatpay-Serial': keys.platformKeyId,
      Authorization: plant.authorization ?? authorize(method, target, body, plant),
      ...plant.headers,
    }
    return send(url, method, target, headers, plant.sentBody ?? body)
  }

  async function control(method: string, path: string, body?: unknown) {
    const reply = await send(
      url,
      method,
      `/_sim${path}`,
      {},
      body === undefined ? '' : JSON.stringify(body),
    )
    const isJson = reply.headers['content-type']?.startsWith('application/json')
    return { status: reply.status, json: isJson ? JSON.parse(reply.body) : reply.body }
  }

  const assign = (guideId: string, outTradeNo: string, plant: Plant = {}) =>
    call('POST', `/v3/smartguide/guides/${guideId}/assign`, {
      body: { out_trade_no: outTradeNo },
      ...plant,
    })

  return {
    simulator,
    keys,
    url,
    call,
    control,
    assign,
    seal: (plain: string, key: KeyObject = platformKey) =>
      publicEncrypt(
        { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        Buffer.from(plain),
      ).toString('base64'),
    open: (sealed: string) =>
      privateDecrypt(
        { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        Buffer.from(sealed, 'base64'),
      ).toString(),
    verifies: (reply: Reply, key: KeyObject = platformKey) => verifies(reply, key),
    async lastEntry() {
      const { json } = await control('GET', '/log')
      return json.entries.at(-1)
    },
    /** A store and a personal-WeChat guide in it: enough to assign. */
    async withGuide(storeId = 1, name = '陈晓雯'): Promise<string> {
      await control('PUT', `/stores/${storeId}`, { name: '深圳南山店' })
      const { json } = await control('POST', '/guides', {
        store_id: storeId,
        name,
        mobile: '13800000000',
      })
      return json.guide_id
    },
    async close() {
      await simulator.stop()
      await rm(stateDir, { recursive: true })
    },
  }
}

let keyFiles: Promise<Map<string, Buffer>> | undefined

/** RSA keys are made once a test file, because making them takes longer than the tests. */
async function copyOfKeys(): Promise<string> {
  keyFiles ??= makeKeys()
  const stateDir = await mkdtemp(join(tmpdir(), 'simulator-'))
  for (const [name, content] of await keyFiles) {
    await writeFile(join(stateDir, name), content, { mode: 0o600 })
  }
  return stateDir
}

async function makeKeys(): Promise<Map<string, Buffer>> {
  const stateDir = await mkdtemp(join(tmpdir(), 'simulator-'))
  const simulator = await startSimulator({ stateDir })
  await simulator.stop()
  const files = new Map<string, Buffer>()
  for (const name of await readdir(stateDir)) files.set(name, await readFile(join(stateDir, name)))
  await rm(stateDir, { recursive: true })
  return files
}

function verifies({ headers, bytes }: Reply, key: KeyObject): boolean {
  const lines = `${headers['wechatpay-timestamp']}\n${headers['wechatpay-nonce']}\n`
  const message = Buffer.concat([Buffer.from(lines), bytes, Buffer.from('\n')])
  const signature = Buffer.from(String(headers['wechatpay-signature']), 'base64')
  return verify('RSA-SHA256', message, key, signature)
}

/** Rejects with the socket's error; a connection per request, so that a reset breaks one call only. */
export function send(
  url: string,
  method: string,
  target: string,
  headers: Record<string, string | undefined>,
  body: string | Buffer,
): Promise<Reply> {
  const present = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const outgoing = request(
      { hostname, port, method, path: target, headers: Object.fromEntries(present), agent: false },
      incoming => {
        const chunks: Buffer[] = []
        incoming.on('data', chunk => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const bytes = Buffer.concat(chunks)
          const { statusCode: status = 0, headers: received } = incoming
          resolve({ status, headers: received, body: bytes.toString(), bytes })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
