import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'

/**
 * The floor: what the protocol costs when nothing is decided and nothing is kept. A bare handler that parses the body,
 * signs on the thread pool with a parsed key, calls through kept-alive connections, and verifies the answer.
 */
const env = (name: string): string => process.env[name] ?? ''
const mchid = env('WECHATPAY_MCHID')
const serialNo = env('WECHATPAY_SERIAL_NO')
const privateKey = createPrivateKey(readFileSync(env('WECHATPAY_PRIVATE_KEY_FILE')))
const platformKey = createPublicKey(readFileSync(env('WECHATPAY_PUBLIC_KEY_FILE')))
const pool = new Pool(env('WECHATPAY_BASE_URLS'), { connections: 64, pipelining: 1 })

const server = createServer((request, response) => {
  assign(request).then(
    body => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    },
    cause => {
      response.writeHead(500).end(String(cause))
    },
  )
})

async function assign(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const order: { store_id: number } = JSON.parse(Buffer.concat(chunks).toString())
  const [, , outTradeNo = ''] = (request.url ?? '').split('/')
  const path = `/v3/smartguide/guides/G${order.store_id}/assign`
  const body = JSON.stringify({ out_trade_no: outTradeNo })
  const answer = await pool.request({
    method: 'POST',
    path,
    headers: {
      accept: 'application/json',
      'content-type': 'application/json',
      'user-agent': 'floor',
      'wechatpay-serial': env('WECHATPAY_PUBLIC_KEY_ID'),
      authorization: await authorize(path, body),
    },
    body,
  })
  const text = await answer.body.text()
  const header = (name: string) => String(answer.headers[name])
  const signed = `${header('wechatpay-timestamp')}\n${header('wechatpay-nonce')}\n${text}\n`
  const signature = Buffer.from(header('wechatpay-signature'), 'base64')
  if (!verify('RSA-SHA256', Buffer.from(signed), platformKey, signature)) throw new Error('forged')
  return JSON.stringify({ out_trade_no: outTradeNo, status: 'assigned' })
}

function authorize(path: string, body: string): Promise<string> {
  const timestamp = Math.floor(Date.now() / 1000)
  const nonce = randomBytes(16).toString('hex')
  const text = `POST\n${path}\n${timestamp}\n${nonce}\n${body}\n`
  return new Promise((done, fail) => {
    sign('RSA-SHA256', Buffer.from(text), privateKey, (error, signature) => {
      if (error) return fail(error)
      done(
        `WECHATPAY2-SHA256-RSA2048 mchid="${mchid}",nonce_str="${nonce}",signature="${signature.toString('base64')}",timestamp="${timestamp}",serial_no="${serialNo}"`,
      )
    })
  })
}

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`"url":"http://127.0.0.1:${(server.address() as AddressInfo).port}"\n`)
})
process.once('SIGTERM', () => process.exit(0))
