import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { systemClock } from '../../src/clock.ts'
import { type Client, type ClientOptions, createClient } from '../../src/wechatpay/client.ts'
import type { Reply } from '../../src/wechatpay/guides.ts'
import { createMerchantKeys } from '../../src/wechatpay/merchant-keys.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'
import { createPlatformKeys } from '../../src/wechatpay/platform-keys.ts'

export const merchant = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const platform = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const platformSerial = 'PUB_KEY_ID_0114232134912410000000000000'
export const mchid = '1900000109'
export const serialNo = '5157F09EFDC096DE15EBE81A47057A7232F1B8E1'

type SignOptions = { body?: string | Buffer; nowMs?: number; key?: KeyObject; serial?: string }

/** The four headers of a right answer, by their own signing: nothing of the client is used. */
export function signedHeaders(options: SignOptions = {}): Record<string, string> {
  const { body = '', nowMs = Date.now(), key = platform.privateKey } = options
  const timestamp = String(Math.floor(nowMs / 1000))
  const nonce = 'c5ac7061fccab6bf3e254dcf98995b8c'
  const text = Buffer.concat([
    Buffer.from(`${timestamp}\n${nonce}\n`),
    Buffer.from(body),
    Buffer.from('\n'),
  ])
  return {
    'wechatpay-timestamp': timestamp,
    'wechatpay-nonce': nonce,
    'wechatpay-signature': sign('sha256', text, key).toString('base64'),
    'wechatpay-serial': options.serial ?? platformSerial,
    'request-id': '08F3B5A1C10610B4',
  }
}

/** Raw bytes of an HTTP answer, for servers that answer without node:http. */
export function rawAnswer(status: number, headers: Record<string, string>, body = ''): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = status === 204 ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`
  return `HTTP/1.1 ${status} Whatever\r\n${lines.join('')}${length}\r\n${body}`
}

export function raw204(): string {
  return rawAnswer(204, signedHeaders())
}

export type Received = IncomingMessage & { text: string }
export type Upstream = { url: string; sockets: Set<Socket>; stop(): Promise<void> }

/** A server whose whole conduct is `answer`, called once a request is there whole. */
export function startUpstream(
  answer: (request: Received, response: ServerResponse) => void,
): Promise<Upstream> {
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
    answer(Object.assign(request, { text }), response)
  })
  return listen(server)
}

/** A server below HTTP: `answer` gets the connection at each request's last byte. */
export function startRaw(answer: (socket: Socket, request: string) => void): Promise<Upstream> {
  const server = createTcpServer(socket => {
    let seen = ''
    socket.on('data', chunk => {
      seen += chunk.toString('latin1')
      const end = seen.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(seen)?.[1] ?? 0)
      if (end === -1 || seen.length < end + 4 + length) return
      const request = seen
      seen = ''
      answer(socket, request)
    })
    socket.on('error', () => {})
  })
  return listen(server)
}

async function listen(server: Server): Promise<Upstream> {
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    sockets,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

export function aClient(url: string | string[], options: Partial<ClientOptions> = {}): Client {
  return createClient({
    mchid,
    merchantKeys: createMerchantKeys({ serialNo, privateKey: merchant.privateKey }),
    platformKeys: createPlatformKeys({ serial: platformSerial, key: platform.publicKey }),
    baseUrls: [url].flat(),
    clock: systemClock,
    ...options,
  })
}

export const anAssign = {
  guideId: 'LLA3WJ6DSZUfiaZDS79FH5Wm5m4X69TBic',
  outTradeNo: '20150806125346',
  subMchid: null,
  host: 0,
  timeoutMs: 2_000,
}

/** An outcome in two words, for tables. */
export function brief(outcome: Outcome | Reply<unknown>): string {
  if (outcome.kind === 'accepted') return 'accepted'
  return outcome.kind === 'rejected' ? `rejected ${outcome.blames}` : `unknown ${outcome.reason}`
}
