import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Merchant, openMerchant } from './merchant.ts'

let merchant: Merchant

beforeAll(async () => {
  merchant = await openMerchant()
})

afterAll(() => merchant.close())

const REQUEST = 'GET /v3/nothing HTTP/1.1\r\nHost: x\r\n\r\n'

// A bare socket: node's own client reads the server's Keep-Alive hint and closes first.
async function exchange(socket: Socket): Promise<string> {
  socket.write(REQUEST)
  const [answer] = await once(socket, 'data')
  return String(answer)
}

test('an idle connection is promised 8 s, as by the real server', async () => {
  const socket = connect(merchant.simulator.port, '127.0.0.1')
  expect(await exchange(socket)).toContain('Keep-Alive: timeout=8\r\n')
  expect(await exchange(socket)).toContain('404 Not Found')
  socket.destroy()
})

test('an idle connection is closed when its time is over, not later', async () => {
  const hurried = await openMerchant({ keepAliveMs: 500 })
  const socket = connect(hurried.simulator.port, '127.0.0.1')
  const closed = once(socket, 'close')
  await exchange(socket)
  const idleSinceMs = performance.now()
  await closed
  const idleMs = performance.now() - idleSinceMs
  expect(idleMs).toBeGreaterThan(450)
  expect(idleMs).toBeLessThan(1_400)
  await hurried.close()
})

test('500 assigns at once are each carried out once', async () => {
  const guideId = await merchant.withGuide()
  const assigns = Array.from({ length: 500 }, (_, each) => merchant.assign(guideId, `A${each}`))
  const replies = await Promise.all(assigns)
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([204]))
  const { entries } = (await merchant.control('GET', '/log')).json
  const bodies = entries
    .filter((entry: { method: string }) => entry.method === 'POST')
    .map((entry: { body: string }) => entry.body)
  expect([bodies.length, new Set(bodies).size]).toEqual([500, 500])
})
