import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createListener } from '../../src/app.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let server: Server
const clients: Socket[] = []

beforeAll(async () => {
  rig = await openRig()
  server = createServer(createListener(rig.deps)).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(async () => {
  for (const client of clients) client.destroy()
  server.closeAllConnections()
  server.close()
  await rig.close()
})

/** The status of the answer to the beginning of a body in chunks; null when there is none within 300 ms. */
async function beginBody(path: string, type: string, key: string): Promise<number | null> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  clients.push(socket)
  socket.on('error', () => {})
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n`,
  )
  socket.write('x'.repeat(50_000))
  const late = AbortSignal.timeout(300)
  const [chunk] = await once(socket, 'data', { signal: late }).catch(() => [null])
  return chunk === null ? null : Number(/^HTTP\/1.1 (\d+)/.exec(String(chunk))?.[1])
}

it.each([
  ['/guides/import', 'text/csv', 401],
  ['/members/owners/import', 'application/x-ndjson', 401],
  ['/orders/A1/assign', 'application/json', 401],
  ['/stores/1001/replay', 'application/json', 401],
  ['/nowhere', 'application/json', 404],
])('reads nothing of a body in chunks to %s without a key', async (path, type, status) => {
  expect(await beginBody(path, type, 'spa_none')).toBe(status)
})

it('reads it with a key that may do it, and not with another', async () => {
  const admin = rig.mint({ scope: 'admin' })
  expect(await beginBody('/guides/import', 'text/csv', admin)).toBe(null)
  expect(await beginBody('/guides/import', 'text/csv', rig.mint({ scope: 'assign' }))).toBe(403)
})

it('makes its description once, for it takes long and whoever asks needs no key', async () => {
  const { getOpenAPI31Document } = rig.app
  let made = 0
  rig.app.getOpenAPI31Document = (...asked) => {
    made += 1
    return getOpenAPI31Document(...asked)
  }
  const [first, second] = [
    await rig.app.request('/openapi.json'),
    await rig.app.request('/openapi.json'),
  ]
  expect(await first.text()).toBe(await second.text())
  expect(made).toBe(1)
})
