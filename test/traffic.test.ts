import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { type TrafficLimits, watchTraffic } from '../src/traffic.ts'

const limits: TrafficLimits = { untakenMs: 60_000, lingerMs: 300, graceMs: 200 }
const impatient: TrafficLimits = { ...limits, untakenMs: 200 }
/** More than the sockets of both sides hold. */
const large = Buffer.alloc(16 * 1024 * 1024)

let server: Server
const clients: Socket[] = []

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
  server.closeAllConnections()
  server.close()
})

async function open(answer: RequestListener, told = limits) {
  server = createServer(answer).listen(0, '127.0.0.1')
  const traffic = watchTraffic(server, told)
  await once(server, 'listening')
  return traffic
}

/** A client who sends that, and reads only when told to. */
async function send(text: string): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').pause()
  clients.push(socket)
  socket.on('error', () => {})
  socket.write(text)
  await once(server, 'request')
  return socket
}

async function readAll(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}

const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const halfBody = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{'

async function timed(work: Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work
  return performance.now() - startMs
}

it('lets go of a caller who takes no answer', async () => {
  await open((_, outgoing) => outgoing.end(large), impatient)
  const gone = once(server, 'request').then(([incoming]) => once(incoming.socket, 'close'))
  await send(get)
  expect(await timed(gone)).toBeLessThan(2000)
})

it('keeps a caller for whom the answer takes long', async () => {
  await open(async (_, outgoing) => {
    await sleep(3 * impatient.untakenMs)
    outgoing.end('late')
  }, impatient)
  const socket = await send(get)
  await sleep(4 * impatient.untakenMs)
  const [chunk] = await once(socket.resume(), 'data')
  expect(String(chunk)).toContain('late')
})

it.each([
  ['sends a body without end', halfBody, () => {}],
  ['takes no answer', get, ((_, outgoing) => outgoing.end(large)) satisfies RequestListener],
] as const)('ends in time beside a caller who %s', async (_, text, answer) => {
  const traffic = await open(answer)
  await send(text)
  const tookMs = await timed(traffic.end(() => 60_000))
  expect(tookMs).toBeGreaterThan(limits.lingerMs)
  expect(tookMs).toBeLessThan(limits.lingerMs + limits.graceMs + 1000)
})

it('answers who was let in whole, however long it takes, and not past the end', async () => {
  const traffic = await open(async (_, outgoing) => {
    await sleep(1000)
    outgoing.end('answered')
  })
  const whole = await send(get)
  await send(halfBody)
  const told = readAll(whole)
  await traffic.end(() => 60_000)
  expect(await told).toContain('answered')
})

it('waits for nobody past the end', async () => {
  const traffic = await open(() => {})
  await send(get)
  const endsAtMs = performance.now() + 700
  const tookMs = await timed(traffic.end(() => endsAtMs - performance.now()))
  expect(tookMs).toBeGreaterThan(600)
  expect(tookMs).toBeLessThan(1700)
})

it('reads a body that comes while the door closes, and answers it', async () => {
  const traffic = await open((incoming, outgoing) => {
    incoming.resume().once('end', async () => {
      await sleep(2 * limits.graceMs)
      outgoing.end('answered')
    })
  })
  const socket = await send(halfBody)
  const told = readAll(socket)
  const ended = traffic.end(() => 60_000)
  await sleep(limits.lingerMs + limits.graceMs / 4)
  socket.write('x'.repeat(99))
  await ended
  expect(await told).toContain('answered')
})
