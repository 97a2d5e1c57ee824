import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keepDoor } from '../../src/http/door.ts'
import { createExpressLane } from '../../src/http/express-lane.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let servers: { lane: Server; router: Server; shut: Server }
let toRouter = 0
const keys = { till: '', other: '', manager: '' }

beforeAll(async () => {
  rig = await openRig()
  await rig.openStore(1001, 3)
  keys.till = rig.mint({ scope: 'assign' })
  keys.other = rig.mint({ scope: 'assign', stores: [2002] })
  keys.manager = rig.mint({ scope: 'manage' })
  const router = getRequestListener(rig.app.fetch)
  const lane = createExpressLane({
    ...rig.deps,
    router: (incoming, outgoing) => {
      toRouter += 1
      router(incoming, outgoing)
    },
  })
  const shut = await listen(keepDoor(() => false, router))
  servers = { lane: await listen(lane), router: await listen(router), shut }
})

afterAll(async () => {
  for (const server of Object.values(servers)) {
    server.closeAllConnections()
    server.close()
  }
  await rig.close()
})

async function listen(answer: RequestListener): Promise<Server> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

type Post = {
  target?: string
  method?: string
  headers?: readonly string[]
  body?: string | Buffer
  key?: string | null
  /** The parts that the body is sent in, if not in one. */
  parts?: number
}

type Told = { status: string; headers: string[]; body: string }

/** The request as bytes, which no client can make better than it is. */
function bytesOf(no: string, post: Post): Buffer {
  const { method = 'POST', target = `/orders/${no}/assign`, body = '{"store_id":1001}' } = post
  const { key = keys.till } = post
  const length = Buffer.byteLength(body)
  const headers = post.headers ?? [
    'Host: 127.0.0.1',
    'Content-Type: application/json',
    `Content-Length: ${length}`,
  ]
  const authorization = key === null ? [] : [`Authorization: Bearer ${key}`]
  const head = [
    `${method} ${target.replaceAll('NO', no)} HTTP/1.1`,
    ...headers.map(line => line.replace('LENGTH', String(length))),
    ...authorization,
    'Connection: close',
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), Buffer.from(body)])
}

async function send(server: Server, no: string, post: Post): Promise<Told> {
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  const bytes = bytesOf(no, post)
  const slice = Math.ceil(bytes.length / (post.parts ?? 1))
  for (let at = 0; at < bytes.length; at += slice) {
    socket.write(bytes.subarray(at, at + slice))
    if (post.parts) await new Promise(done => setTimeout(done, 3))
  }
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [status = '', ...headers] = head.split('\r\n')
  return { status, headers: mask(no, headers), body: maskText(no, body.join('\r\n\r\n')) }
}

/** What must differ between two answers to two orders. */
function mask(no: string, headers: readonly string[]): string[] {
  return headers
    .map(line => line.replace(/^[^:]+/, name => name.toLowerCase()))
    .map(line => maskText(no, line))
    .map(line => line.replace(/^(date|keep-alive): .*/, '$1'))
    .map(line => line.replace(/^(x-request-id): [0-9a-f-]{36}$/, '$1'))
    .sort()
}

function maskText(no: string, text: string): string {
  return text
    .replaceAll(no, 'NO')
    .replace(/"(decided_at|assigned_at|expires_at)":"[^"]+"/g, '"$1"')
    .replace(/"guide_id":"[^"]+"/g, '"guide_id"')
}

let count = 0

/** The same of both; and whether the lane had to ask the router. */
async function both(post: Post): Promise<{ lane: Told; router: Told; isExpress: boolean }> {
  count += 1
  const before = toRouter
  const lane = await send(servers.lane, `L${count}`, post)
  const isExpress = toRouter === before
  return { lane, router: await send(servers.router, `R${count}`, post), isExpress }
}

const json = 'Content-Type: application/json'
const sized = ['Host: 127.0.0.1', 'Content-Length: LENGTH']
const withHeaders = (...more: string[]) => ({ headers: [...sized, json, ...more] })

const express: [what: string, post: Post, status: number][] = [
  ['an order', {}, 200],
  ['an order in pieces', { parts: 7 }, 200],
  ['an order that nobody waits for', withHeaders('Prefer: respond-async'), 202],
  ['a caller who waits shortly', withHeaders('Prefer: wait=2'), 200],
  ['a request that has a name', withHeaders('X-Request-Id: till-7:1.2'), 200],
  ['another case', { headers: [...sized, 'CONTENT-TYPE: Application/JSON; charset=UTF-8'] }, 200],
  ['a member, an amount, a channel', { body: fact('"member_id":"m","amount":1') }, 200],
  ['letters of elsewhere', { body: fact('"member_id":"会员"') }, 200],
  ['a store that is not known', { body: '{"store_id":7}' }, 404],
  ['a sub-merchant in direct mode', { body: fact('"sub_mchid":"190"') }, 400],
  ['in Chinese', { ...withHeaders('Accept-Language: zh'), body: '{"store_id":7}' }, 404],
  ['a text with quotes and colons', { body: fact('"member_id":"a\\":\\"{[,:"') }, 200],
  ['every letter of a number', { target: '/orders/NO-_*!@aZ9/assign' }, 200],
]

const routed: [what: string, post: Post, status: number][] = [
  ['no key', { key: null }, 401],
  ['a wrong key', { key: 'spa_0_0_0' }, 401],
  ['two keys', withHeaders('Authorization: Bearer x'), 401],
  ["a manager's key", { key: 'MANAGER' }, 403],
  ['no JSON', { body: '{"store_id":1001' }, 400],
  ['an empty body', { body: '' }, 400],
  ['a field too many', { body: fact('"colour":"red"') }, 400],
  ['a wrong type', { body: '{"store_id":"1001"}' }, 400],
  ['a byte-order mark', { body: '\ufeff{"store_id":1001}' }, 200],
  ['no UTF-8', { body: Buffer.from('{"store_id":1001,"member_id":"\xff"}', 'latin1') }, 400],
  ['a field twice', { body: '{"store_id":1001,"store_id":1001}' }, 400],
  ['a field twice, once escaped', { body: '{"store_id":2002,"store\\u005fid":1001}' }, 400],
  ['a prototype', { body: fact('"__proto__":{"test":true}') }, 400],
  ['a larger body', { body: fact(`"member_id":"m"${' '.repeat(5000)}`) }, 200],
  ['too deep a nesting', { body: fact(`"cart_id":${'['.repeat(40)}${']'.repeat(40)}`) }, 400],
  ['too many fields', { body: fact(Array(1200).fill('"test":true').join()) }, 400],
  ['another media type', { headers: [...sized, 'Content-Type: text/plain'] }, 415],
  ['no media type', { headers: sized }, 415],
  ['two media types', withHeaders(json), 415],
  ['too large a body', { body: fact(`"cart_id":"${'x'.repeat(70_000)}"`) }, 413],
  [
    'a body in chunks',
    { headers: ['Host: a', json, 'Transfer-Encoding: chunked'], body: chunked() },
    200,
  ],
  ['a query', { target: '/orders/NO/assign?x=1' }, 200],
  ['an escaped number', { target: '/orders/NO%2D1/assign' }, 200],
  ['a slash too many', { target: '/orders/NO/assign/' }, 404],
  ['two slashes', { target: '//orders/NO/assign' }, 404],
  ['a dot segment', { target: '/x/../orders/NO/assign' }, 200],
  ['an absolute target', { target: 'http://127.0.0.1/orders/NO/assign' }, 200],
  ['another method', { method: 'PUT' }, 405],
  ['a host that is none', { headers: ['Host: a b', json, 'Content-Length: LENGTH'] }, 400],
  ['a number too long', { target: `/orders/${'x'.repeat(33)}/assign` }, 400],
]

/** Targets that mean an order, or nearly, to whoever reads them. */
const spellings: [target: string, status: number][] = [
  ['/orders/NO/assign', 200],
  ['/orders/NO/assign?x=/../', 200],
  ['http://any/orders/NO/assign', 200],
  ['/x/../orders/NO/assign', 200],
  ['/./orders/NO/assign', 200],
  ['/orders/NO/x/%2e%2e/assign', 200],
  ['/orders/NO/%61ssign', 200],
  ['/%6frders/NO/assign', 200],
  ['/orders/%4E%4F/assign', 200],
  ['/orders/NO/assign#x', 200],
  ['/orders/NO%7C1/assign', 200],
  ['/orders/%FF/%61ssign', 400],
  ['/orders/%2561/assign', 400],
  ['/orders/NO/assign;x=1', 404],
  ['/orders%2FNO/assign', 404],
  ['/orders/NO/assign%3f', 404],
  ['/orders/NO%2Fassign', 405],
]

function fact(more: string): string {
  return `{"store_id":1001,${more}}`
}

function chunked(): string {
  return '11\r\n{"store_id":1001}\r\n0\r\n\r\n'
}

describe('the express lane', () => {
  it.each(express)('answers %s itself, as the router would', async (_, post, status) => {
    const { lane, router, isExpress } = await both(post)
    expect(lane).toEqual(router)
    expect(lane.status).toContain(` ${status} `)
    expect(isExpress).toBe(true)
  })

  it.each(routed)('leaves %s to the router', async (_, post, status) => {
    const { lane, router, isExpress } = await both(
      post.key === 'MANAGER' ? { ...post, key: keys.manager } : post,
    )
    expect(lane).toEqual(router)
    expect(lane.status).toContain(` ${status} `)
    expect(isExpress).toBe(false)
  })

  it.each(spellings)(
    'comes through the door with %s, where the router has an order',
    async (target, status) => {
      const router = await send(
        servers.router,
        `D${spellings.findIndex(([one]) => one === target)}`,
        { target },
      )
      expect(router.status).toContain(` ${status} `)
      const shut = await send(servers.shut, 'SHUT', { target })
      expect(shut.status).toContain(` ${status >= 404 ? status : 503} `)
    },
  )

  it('tells the key of another store what the router tells it', async () => {
    const { lane, router } = await both({ key: keys.other })
    expect(lane).toEqual(router)
    expect(lane.status).toContain(' 403 ')
  })

  it('answers a second post as a replay, and other facts as a mismatch', async () => {
    for (const body of [undefined, '{"store_id":1001,"amount":5}']) {
      const told = await Promise.all(
        (['lane', 'router'] as const).map(async which => {
          const no = `again-${which.at(0)}-${body ? 2 : 1}`
          await send(servers[which], no, {})
          return send(servers[which], no, body ? { body } : {})
        }),
      )
      expect(told[0]).toEqual(told[1])
      expect(told[0]?.status).toContain(body ? ' 422 ' : ' 200 ')
      if (!body) expect(told[0]?.headers).toContain('idempotency-status: replayed')
    }
  })

  it('says that the connection closes while the service stops', async () => {
    rig.state.ready = false
    const { lane, router } = await both({})
    rig.state.ready = true
    expect(lane).toEqual(router)
    expect(lane.headers).toContain('connection: close')
  })

  it('is not held up, and records nothing, when a client goes away inside its body', async () => {
    const { port } = servers.lane.address() as AddressInfo
    const socket = connect(port, '127.0.0.1')
    socket.write(bytesOf('BROKEN', {}).subarray(0, -4))
    await new Promise(done => setTimeout(done, 30))
    socket.destroy()
    await once(socket, 'close')
    expect((await both({})).lane.status).toContain(' 200 ')
    expect(rig.db.$client.prepare("SELECT 1 FROM orders WHERE out_trade_no = 'BROKEN'").get()).toBe(
      undefined,
    )
    expect(rig.failures).toEqual([])
  })

  it('tells a defect as the router does, and nobody what it was', async () => {
    const { assign } = rig.assignments
    rig.assignments.assign = () => Promise.reject(new Error('secret'))
    const { lane, router } = await both({})
    rig.assignments.assign = assign
    expect(lane).toEqual(router)
    expect(lane.status).toContain(' 500 ')
    expect(lane.body).not.toContain('secret')
    expect(rig.failures.splice(0)).toHaveLength(2)
  })
})
