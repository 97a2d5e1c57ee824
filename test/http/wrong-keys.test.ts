import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newKeyText, openKeys } from '../../src/access/keys.ts'
import { createBuckets, networkOf } from '../../src/access/throttle.ts'
import { createListener } from '../../src/app.ts'
import { openDatabase } from '../../src/db/open.ts'
import { aDatabase } from '../support/ledger.ts'
import { openRig, type Rig } from '../support/rig.ts'
import { bytesOf, serve, sign } from '../support/signing.ts'

let rig: Rig
let server: Awaited<ReturnType<typeof serve>>

const body = '{"store_id":1001}'
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

/** A text that is a whole key, of an id of its own or of this one. */
function aWrongKey(id = randomBytes(8).toString('hex')): string {
  const text = `spa_${id}_${randomBytes(32).toString('hex')}`
  return `${text}_${crc32(text).toString(16).padStart(8, '0')}`
}

function post(no: string, key: string): Promise<Response> {
  const headers = { ...bearer(key), 'content-type': 'application/json' }
  return fetch(`${server.url}/orders/${no}/assign`, { method: 'POST', headers, body })
}

/** So many posts over one socket, each after the answer to the one before; counts the answers by status. */
async function pour(count: number, told: Map<string, number>): Promise<void> {
  const socket = connect(server.port, '127.0.0.1')
  const over = once(socket, 'close')
  let left = count
  let text = ''
  const next = () => {
    const headers = [`Authorization: Bearer ${aWrongKey()}`]
    const request = bytesOf({ target: `/orders/BAD${left}/assign`, body, headers }).toString()
    socket.write(request.replace('Connection: close\r\n', ''))
  }
  next()
  socket.on('data', chunk => {
    text += chunk
    const [, status = ''] = /^HTTP\/1\.1 (\d{3}) [\s\S]*\r\n\r\n.*\}$/.exec(text) ?? []
    if (status === '') return
    text = ''
    told.set(status, (told.get(status) ?? 0) + 1)
    left -= 1
    if (left === 0) socket.destroy()
    else next()
  })
  await over
}

const loopback = { remoteAddress: '127.0.0.1' }

function openSecond() {
  const db = openDatabase(join(rig.dataDir, 'smartguide.db'))
  return { keys: openKeys(db), close: () => db.$client.close() }
}

describe('wrong keys', () => {
  beforeEach(async () => {
    rig = await openRig()
    await rig.openStore(1001, 3)
    // The door closes for who is overrun, and is tried elsewhere.
    const assignments = { ...rig.assignments, admits: () => true }
    server = await serve(createListener({ ...rig.deps, assignments }))
  })
  afterEach(async () => {
    await server.close()
    await rig.close()
  })

  it('10,000 wrong keys beside the orders: each is refused, each order is answered, and nothing is written', async () => {
    const till = rig.mint({ scope: 'assign' })
    const rows = () =>
      ['orders', 'keys', 'audit'].map(table =>
        rig.db.$client.prepare(`SELECT count(*) FROM ${table}`).pluck().get(),
      )
    const before = rows()
    const told = new Map<string, number>()
    const pouring = Promise.all(Array.from({ length: 20 }, () => pour(500, told)))
    const orders: number[] = []
    let isOver = false
    pouring.finally(() => {
      isOver = true
    })
    while (!isOver || orders.length < 20) {
      const { status } = await post(`GOOD${orders.length}`, till)
      orders.push(status)
      await sleep(20)
    }
    await pouring
    expect(new Set(orders)).toEqual(new Set([200]))
    expect([...told.keys()].sort()).toEqual(['401', '429'])
    expect((told.get('401') ?? 0) + (told.get('429') ?? 0)).toBe(10_000)
    expect(told.get('401')).toBeGreaterThanOrEqual(1000)
    expect(told.get('401')).toBeLessThan(2000)
    const [orderCount = 0, ...others] = rows()
    expect([orderCount, ...others]).toEqual([orders.length, ...before.slice(1)])
    expect(rig.keys.remembered()).toBeLessThanOrEqual(10_001)
    expect(rig.failures).toEqual([])
  }, 60_000)

  it('a wrong key too many is told when to come again, and costs no read of the database', async () => {
    const till = rig.mint({ scope: 'assign' })
    const other = rig.mint({ scope: 'assign', signed: true })
    // Ten are heard again each second: the time stands still.
    const time = { ms: Date.now() }
    const clock = { ...rig.deps.clock, nowMs: () => time.ms }
    await server.close()
    server = await serve(createListener({ ...rig.deps, clock }))
    for (let n = 0; n < 1200; n++) rig.keys.countWrong(null, time.ms, loopback)
    const answer = await post('B1', aWrongKey())
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '1'])
    expect(JSON.parse(await answer.text())).toMatchObject({
      code: 'too_many_wrong_keys',
      status: 429,
    })
    // Whoever reads a key reads it here.
    let reads = 0
    rig.db.$client.function('noted', () => {
      reads += 1
      return 1
    })
    rig.db.$client.exec(
      'CREATE TEMP VIEW keys AS SELECT k.* FROM (SELECT noted() AS n LIMIT 1) CROSS JOIN main.keys k WHERE n',
    )
    for (let n = 0; n < 30; n++) {
      expect((await post('B2', aWrongKey())).status).toBe(429)
      const target = '/orders/B3/assign'
      const authorization = sign({ key: aWrongKey(), target, body })
      const signed = bytesOf({ target, body, headers: [`Authorization: ${authorization}`] })
      expect((await server.send(signed)).status).toBe(429)
    }
    expect(reads).toBe(0)
    rig.keys.authenticate(`Bearer ${aWrongKey()}`, time.ms, { remoteAddress: '10.0.0.1' })
    expect(reads).toBe(1)
    rig.db.$client.exec('DROP VIEW temp.keys')
    expect((await post('A1', rig.mint({ scope: 'assign' }))).status).toBe(200)
    // The right ones are heard: warm or cold, sent or signed, made here or by another process.
    expect((await post('A2', till)).status).toBe(200)
    const target = '/orders/A3/assign'
    const headers = [`Authorization: ${sign({ key: other, target, body })}`]
    expect((await server.send(bytesOf({ target, body, headers }))).status).toBe(200)
    const beside = openSecond()
    const made = beside.keys.create(
      { scope: 'assign', stores: null, name: null, expiresAtMs: null },
      Date.now(),
    )
    expect((await post('A4', made.key)).status).toBe(200)
    beside.keys.remove(made.id)
    time.ms += 600
    for (let n = 0; n < 10; n++) rig.keys.countWrong(null, time.ms, loopback)
    expect((await post('A5', made.key)).status).toBe(429)
    beside.close()
  })

  it('who tries wrong keys for one that there is locks nobody out, from wherever they come', async () => {
    const till = rig.mint({ scope: 'assign' })
    const id = till.split('_')[1] ?? ''
    const statuses: number[] = []
    for (let n = 0; n < 130; n++) statuses.push((await post('L', aWrongKey(id))).status)
    expect(statuses.slice(0, 100)).toEqual(Array(100).fill(401))
    expect(statuses.slice(-20)).toEqual(Array(20).fill(429))
    expect((await post('L', till)).status).toBe(200)
    rig.skew.ms = 2000
    expect((await post('L2', till)).status).toBe(200)
    // One a second is heard again, and other ids are not touched.
    expect((await post('L3', aWrongKey(id))).status).toBe(401)
    expect((await post('L3', aWrongKey())).status).toBe(401)
  })

  it('what is open to anyone is open to who brings a wrong key, however often', async () => {
    for (let n = 0; n < 1200; n++) rig.keys.countWrong(null, rig.deps.clock.nowMs(), loopback)
    for (const path of ['/livez', '/metrics', '/openapi.json']) {
      expect((await fetch(`${server.url}${path}`, { headers: bearer(aWrongKey()) })).status).toBe(
        200,
      )
    }
    // No key at all is no wrong one.
    expect((await fetch(`${server.url}/keys`)).status).toBe(401)
  })
})

it('remembers no more than it may of a million addresses and ids, and those that go on', () => {
  const { db, close } = aDatabase()
  const keys = openKeys(db)
  for (let n = 0; n < 10_500; n++) {
    const remoteAddress = `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`
    keys.countWrong(String(n), 0, { remoteAddress })
    keys.countWrong(null, 0, loopback)
  }
  expect(keys.remembered()).toBe(20_000)
  expect(keys.countWrong(null, 0, loopback)).toBeGreaterThan(0)
  expect(keys.authenticate(`Bearer ${newKeyText()}`, 0, loopback)).toBe(null)
  close()
})

it('a bucket lets its burst pass at once, and its rate for ever', () => {
  const buckets = createBuckets({ burst: 5, perSecond: 2, most: 10 })
  let taken = 0
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 10) if (buckets.take('a', nowMs) === 0) taken += 1
  expect(taken).toBe(5 + 120)
  expect(buckets.take('a', 60_001)).toBe(1)
  // A clock that goes back gives nothing away, and takes nothing.
  expect(buckets.take('a', 0)).toBe(1)
  expect(buckets.take('a', 600)).toBe(0)
})

it.each([
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['10.0.0.1', '10.0.0.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::9', '2001:db8:1:2'],
  ['2001:db8::9', '2001:db8:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['::1', '0:0:0:0'],
  ['', ''],
])('counts %s with %s', (address, network) => {
  expect(networkOf(address)).toBe(network)
})
