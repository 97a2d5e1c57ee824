import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { keepDoor } from '../../src/http/door.ts'

let admits = false
let asked = 0
const server = createServer(
  keepDoor(
    () => {
      asked += 1
      return admits
    },
    (_, outgoing) => outgoing.end('in'),
  ),
)
let url = ''

beforeEach(async () => {
  ;[admits, asked] = [false, 0]
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

const post = (path: string, headers = {}) =>
  fetch(`${url}${path}`, { method: 'POST', body: '{}', headers })

it('refuses an order with a problem in the language of the till, and leaves the connection usable', async () => {
  const answer = await post('/orders/A1/assign')
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(JSON.parse(await answer.text())).toMatchObject({ code: 'overloaded', status: 503 })
  const chinese = await post('/orders/A1/assign?x=1', { 'accept-language': 'zh-CN' })
  expect(chinese.headers.get('content-language')).toBe('zh')
  admits = true
  expect(await (await post('/orders/A1/assign')).text()).toBe('in')
  expect(asked).toBe(3)
})

it.each([
  ['POST', '/orders/A1/paid'],
  ['POST', '/orders/A1/reassign'],
  ['GET', '/orders/A1/assign'],
  ['GET', '/livez'],
  ['POST', '/stores/1/assign'],
])('lets %s %s in always: it costs little, or comes seldom', async (method, path) => {
  expect(await (await fetch(`${url}${path}`, { method })).text()).toBe('in')
  expect(asked).toBe(0)
})
