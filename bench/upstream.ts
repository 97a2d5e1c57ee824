import { createPrivateKey, randomBytes, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A WeChat Pay that takes no time: it accepts every assign with an empty 204, signed beforehand, because a signature for
 * each would measure the upstream. Told `count` on its channel, it says how many it has accepted.
 */
const resignEveryMs = 30_000
const key = createPrivateKey(readFileSync(process.env['PLATFORM_KEY_FILE'] ?? ''))
const serial = process.env['PLATFORM_KEY_ID'] ?? ''

let signed: string[] = []
function signEmpty(): void {
  const timestamp = String(Math.floor(Date.now() / 1000))
  const nonce = randomBytes(16).toString('hex')
  const signature = sign('RSA-SHA256', Buffer.from(`${timestamp}\n${nonce}\n\n`), key)
  signed = [
    'Wechatpay-Timestamp',
    timestamp,
    'Wechatpay-Nonce',
    nonce,
    'Wechatpay-Signature',
    signature.toString('base64'),
    'Wechatpay-Serial',
    serial,
    'Request-ID',
    '08F78FB6AE0610C302181C20BBD1DCB10128B3D302-0',
  ]
}
signEmpty()
setInterval(signEmpty, resignEveryMs).unref()

let accepted = 0
const server = createServer((request, response) => {
  request.resume()
  request.once('end', () => {
    if (request.method === 'POST' && request.url?.endsWith('/assign')) {
      accepted += 1
      response.writeHead(204, signed).end()
      return
    }
    const body = '{"code":"RESOURCE_NOT_EXISTS","message":"a benchmark has no such thing"}'
    response.writeHead(404, { 'content-type': 'application/json' }).end(body)
  })
})
server.keepAliveTimeout = 65_000
process.on('message', () => process.send?.({ accepted }))
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`"url":"http://127.0.0.1:${(server.address() as AddressInfo).port}"\n`)
})
