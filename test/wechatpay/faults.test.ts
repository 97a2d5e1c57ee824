import { verify } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import { createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keep } from './keep.ts'
import { aCertificate, certificateKey } from './published.ts'
import {
  aClient,
  anAssign,
  brief,
  platform,
  raw204,
  rawAnswer,
  signedHeaders,
  startRaw,
  startUpstream,
} from './upstream.ts'

async function upstreamThat(answer: (socket: Socket, call: number) => void) {
  let calls = 0
  const upstream = keep(await startRaw(socket => answer(socket, calls++)))
  const client = keep(aClient(upstream.url))
  return { upstream, client, calls: () => calls }
}

async function unusedUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : ''
}

describe('certainly not sent', () => {
  it('is a call that was refused a connection', async () => {
    const outcome = await keep(aClient(await unusedUrl())).assign(anAssign)
    expect(outcome).toMatchObject({ kind: 'unknown', reason: 'not_sent', status: null })
    expect(outcome).toHaveProperty('detail', expect.stringContaining('ECONNREFUSED'))
  })

  it('is a call to a name that does not resolve', async () => {
    const outcome = await keep(aClient('https://nowhere.invalid')).assign(anAssign)
    expect(brief(outcome)).toBe('unknown not_sent')
  })

  it('is a call to a host whose certificate is not trusted', async () => {
    let requests = 0
    const server = createTlsServer({ cert: aCertificate, key: certificateKey }, () => requests++)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const outcome = await keep(aClient(`https://127.0.0.1:${port}`)).assign(anAssign)
    server.close()
    expect(brief(outcome)).toBe('unknown not_sent')
    expect(requests).toBe(0)
  })

  it('is a call to a host that does not finish the TLS handshake in time', async () => {
    const upstream = keep(await startRaw(() => {}))
    const url = upstream.url.replace('http:', 'https:')
    const outcome = await keep(aClient(url)).assign({ ...anAssign, timeoutMs: 100 })
    expect(brief(outcome)).toBe('unknown not_sent')
  })

  it.each([0, -5, Number.NaN])('is a call with %j ms left', async timeoutMs => {
    const { client, calls } = await upstreamThat(socket => socket.write(raw204()))
    expect(brief(await client.assign({ ...anAssign, timeoutMs }))).toBe('unknown not_sent')
    expect(calls()).toBe(0)
  })

  it('is a call whose time ran out in the queue, and it costs no connection', async () => {
    const accepted = new Set<Socket>()
    let calls = 0
    const upstream = keep(
      await startRaw(socket => {
        accepted.add(socket)
        calls++
        setTimeout(() => socket.write(raw204()), 100)
      }),
    )
    const client = keep(aClient(upstream.url, { connections: 1 }))
    const first = client.assign(anAssign)
    await delay(20)
    const hurried = client.assign({ ...anAssign, timeoutMs: 30 })
    const patient = client.assign(anAssign)
    expect(brief(await hurried)).toBe('unknown not_sent')
    expect(brief(await first)).toBe('accepted')
    expect(brief(await patient)).toBe('accepted')
    expect([calls, accepted.size]).toEqual([2, 1])
  })

  it('is a call after the client was closed', async () => {
    const { client, calls } = await upstreamThat(socket => socket.write(raw204()))
    await client.close()
    await client.close()
    expect(brief(await client.assign(anAssign))).toBe('unknown not_sent')
    expect(calls()).toBe(0)
  })
})

describe('perhaps done', () => {
  it('is a call that got no answer in its time, and its connection is closed', async () => {
    const { upstream, client } = await upstreamThat(() => {})
    const startMs = performance.now()
    const outcome = await client.assign({ ...anAssign, timeoutMs: 80 })
    expect(outcome).toMatchObject({ reason: 'timeout', detail: 'no answer in time' })
    expect(performance.now() - startMs).toBeLessThan(1_500)
    await expect.poll(() => upstream.sockets.size).toBe(0)
  })

  it('is a call whose headers came but whose body dripped on past its time', async () => {
    const { upstream, client } = await upstreamThat(socket => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n`)
      const timer = setInterval(() => socket.write('x'), 10)
      socket.on('close', () => clearInterval(timer))
    })
    const startMs = performance.now()
    const outcome = await client.assign({ ...anAssign, timeoutMs: 80 })
    expect(brief(outcome)).toBe('unknown timeout')
    expect(performance.now() - startMs).toBeLessThan(1_500)
    await expect.poll(() => upstream.sockets.size).toBe(0)
  })

  it.each<[string, (socket: Socket) => unknown]>([
    ['was reset', socket => socket.resetAndDestroy()],
    ['was closed on', socket => socket.end()],
    ['got half a header', socket => socket.end('HTTP/1.1 204 No Con')],
    ['got half a body', socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a"')],
    ['got garbage', socket => socket.end('\u0000\u0001 this is not HTTP\r\n\r\n')],
    ['was offered an upgrade', socket => socket.end('HTTP/1.1 101 X\r\nupgrade: x\r\n\r\n')],
    [
      'got a header without end',
      socket => socket.write(`HTTP/1.1 204 X\r\na: ${'x'.repeat(99_999)}`),
    ],
    ['got too long a body', socket => socket.write(rawAnswer(200, {}, 'x'.repeat(66_000)))],
  ])('is a call that %s after it was sent', async (_, answer) => {
    const { upstream, client, calls } = await upstreamThat(answer)
    expect(brief(await client.assign(anAssign))).toBe('unknown network')
    expect(calls()).toBe(1)
    await expect.poll(() => upstream.sockets.size).toBe(0)
  })

  it('is a redirect, which is not followed', async () => {
    let elsewhere = 0
    const other = keep(
      await startUpstream((_, response) => {
        elsewhere++
        response.writeHead(204, signedHeaders()).end()
      }),
    )
    for (const status of [301, 302, 303, 307, 308]) {
      const { client } = await upstreamThat(socket =>
        socket.write(rawAnswer(status, { location: `${other.url}/` })),
      )
      expect(brief(await client.assign(anAssign))).toBe('unknown server_error')
    }
    expect(elsewhere).toBe(0)
  })

  it('is a signature probe, and a changed, unsigned or old answer', async () => {
    const probe = `WECHATPAY/SIGNTEST/${signedHeaders()['wechatpay-signature']}`
    const answers = [
      rawAnswer(204, { ...signedHeaders(), 'wechatpay-signature': probe }),
      rawAnswer(200, signedHeaders({ body: '{"a":1}' }), '{"a":2}'),
      rawAnswer(204, {}),
      rawAnswer(204, signedHeaders({ nowMs: Date.now() - 301_000 })),
    ]
    const { client } = await upstreamThat((socket, call) => socket.write(answers[call] ?? ''))
    for (const _ of answers) {
      expect(brief(await client.assign(anAssign))).toBe('unknown unverified')
    }
  })
})

describe('nothing is lost', () => {
  it('when the server closes each idle connection at once after answering', async () => {
    const { client, calls } = await upstreamThat(socket => socket.end(raw204()))
    const seen: string[] = []
    for (let n = 0; n < 50; n++) seen.push(brief(await client.assign(anAssign)))
    expect(seen).toEqual(Array.from({ length: 50 }, () => 'accepted'))
    expect(calls()).toBe(50)
  })

  it('and one connection serves calls that follow one another', async () => {
    const used = new Set<Socket>()
    const { client } = await upstreamThat(socket => used.add(socket) && socket.write(raw204()))
    for (let n = 0; n < 20; n++) expect(brief(await client.assign(anAssign))).toBe('accepted')
    expect(used.size).toBe(1)
  })

  it('when an answer comes in many pieces, after interim ones', async () => {
    const body = '{"guide_id":"导购"}'
    const { client } = await upstreamThat(async socket => {
      const answer = Buffer.from(rawAnswer(200, signedHeaders({ body }), body))
      socket.setNoDelay(true).write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n')
      for (const byte of answer) {
        socket.write(Buffer.of(byte))
        if (byte === 0x0a || byte >= 0x80) await delay(1)
      }
    })
    expect(brief(await client.assign(anAssign))).toBe('accepted')
  })

  it('when close is asked for in the middle of a call', async () => {
    const { client, upstream } = await upstreamThat(socket => {
      setTimeout(() => socket.write(raw204()), 50)
    })
    const call = client.assign(anAssign)
    await delay(20)
    await client.close()
    expect(brief(await call)).toBe('accepted')
    await expect.poll(() => upstream.sockets.size).toBe(0)
  })
})

it('resolves whatever bytes the server sends, and accepts only a valid signature', async () => {
  let answer = Buffer.alloc(0)
  const { client } = await upstreamThat(socket => socket.end(answer))
  const name = fc.constantFrom(...Object.keys(signedHeaders()), 'content-length', 'connection')
  const mangled = fc.tuple(fc.nat(), fc.nat({ max: 255 })).map(([at, byte]) => {
    const bytes = Buffer.from(raw204())
    bytes[at % bytes.length] = byte
    return bytes
  })
  const headed = fc
    .record({
      status: fc.integer({ min: 100, max: 999 }),
      headers: fc.dictionary(name, fc.string({ maxLength: 80 })),
      body: fc.string({ maxLength: 200 }),
    })
    .map(({ status, headers, body }) => Buffer.from(rawAnswer(status, headers, body)))
  const noise = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))

  await fc.assert(
    fc.asyncProperty(fc.oneof(noise, headed, mangled), async bytes => {
      answer = bytes
      const outcome = await client.assign({ ...anAssign, timeoutMs: 1_000 })
      if (outcome.kind === 'accepted') expect(isTrulySigned(bytes)).toBe(true)
    }),
    { numRuns: 400 },
  )
})

function isTrulySigned(bytes: Buffer): boolean {
  const text = bytes.toString('latin1')
  const value = (name: string) =>
    new RegExp(`^wechatpay-${name}:[ \\t]*(.*?)[ \\t]*\\r?$`, 'im').exec(text)?.[1]
  const signed = Buffer.from(`${value('timestamp')}\n${value('nonce')}\n\n`)
  const signature = Buffer.from(value('signature') ?? '', 'base64')
  return verify('sha256', signed, platform.publicKey, signature)
}
