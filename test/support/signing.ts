import { createHash, createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'

export type ToSign = {
  key: string
  method?: string
  target: string
  body?: string
  timestamp?: number | string
  nonce?: string
}

/** An Authorization header as a till makes it, by the README alone. */
export function sign({
  key,
  method = 'POST',
  target,
  body = '',
  timestamp = Math.floor(Date.now() / 1000),
  nonce = randomBytes(16).toString('hex'),
}: ToSign): string {
  const digest = createHash('sha256').update(body).digest('hex')
  const message = `${method}\n${target}\n${timestamp}\n${nonce}\n${digest}\n`
  const signature = createHmac('sha256', key).update(message).digest('base64')
  const [, id] = key.split('_')
  return `SMARTGUIDE-HMAC-SHA256 key_id="${id}",timestamp="${timestamp}",nonce="${nonce}",signature="${signature}"`
}

export type Raw = {
  method?: string
  target: string
  body?: string
  headers: readonly string[]
}

/** The request as bytes, which no client can make better than it is. */
export function bytesOf({ method = 'POST', target, body = '', headers }: Raw): Buffer {
  const sized =
    body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${body.length}`]
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: a', ...headers, ...sized]
  return Buffer.from(`${lines.join('\r\n')}\r\nConnection: close\r\n\r\n${body}`, 'latin1')
}

export async function serve(answer: RequestListener) {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,

    async send(bytes: Buffer): Promise<{ status: number; code: string | null; text: string }> {
      const socket = connect(port, '127.0.0.1')
      socket.write(bytes)
      const chunks: Buffer[] = []
      for await (const chunk of socket) chunks.push(chunk)
      const text = Buffer.concat(chunks).toString()
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
      return { status, code: /"code":"(\w+)"/.exec(text)?.[1] ?? null, text }
    },

    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
