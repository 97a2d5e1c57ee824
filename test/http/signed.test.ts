import { randomBytes } from 'node:crypto'
import { appendFileSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKeys, sealedKeys } from '../../src/access/keys.ts'
import { createListener } from '../../src/app.ts'
import { openDatabase } from '../../src/db/open.ts'
import { openVault } from '../../src/mirror/open-vault.ts'
import { openRig, type Rig, scratchDir } from '../support/rig.ts'
import { bytesOf, type Raw, serve, sign, type ToSign } from '../support/signing.ts'

let rig: Rig
let server: Awaited<ReturnType<typeof serve>>
let till = ''
let count = 0

beforeAll(async () => {
  rig = await openRig()
  await rig.openStore(1001, 3)
  till = rig.mint({ scope: 'assign', signed: true })
  server = await serve(createListener(rig.deps))
})
afterAll(async () => {
  await server.close()
  await rig.close()
})

const seconds = () => Math.floor((Date.now() + rig.skew.ms) / 1000)
const aTarget = () => `/orders/S${++count}/assign`
const body = '{"store_id":1001}'

function send(asked: Partial<ToSign & Raw> & { authorization?: string } = {}) {
  const request = { key: till, method: 'POST', target: aTarget(), body, ...asked }
  const authorization = asked.authorization ?? sign({ timestamp: seconds(), ...request })
  const headers = [`Authorization: ${authorization}`, ...(asked.headers ?? [])]
  return server.send(bytesOf({ ...request, headers }))
}

const orders = () => rig.db.$client.prepare('SELECT count(*) FROM orders').pluck().get()

describe('a signed request', () => {
  it.each([
    ['an order', {}],
    ['one with a query, escapes and all', { target: '/orders/Q%31/assign?a=%2f&b=+&c' }],
    ['one by another path to the same place', { target: '/x/../orders/Q2/./assign' }],
    ['one that is read', { method: 'GET', target: '/orders/Q1', body: '' }],
  ])('is heard: %s', async (_, asked) => {
    expect((await send(asked)).status).toBe(200)
  })

  it('is heard of a manager and an administrator, at all that they may do', async () => {
    const manager = rig.mint({ scope: 'manage', stores: [1001], signed: true })
    const admin = rig.mint({ scope: 'admin', signed: true })
    const get = { method: 'GET', body: '' }
    expect((await send({ ...get, key: manager, target: '/stores/1001/plan' })).status).toBe(200)
    expect((await send({ ...get, key: manager, target: '/stores/2002/plan' })).status).toBe(403)
    expect((await send({ ...get, key: manager, target: '/keys' })).status).toBe(403)
    const made = '{"scope":"assign","signed":true}'
    const answer = await send({ key: admin, target: '/keys', body: made })
    expect(answer.status).toBe(201)
    const { key, signed } = JSON.parse(answer.text.split('\r\n\r\n')[1] ?? '')
    expect(signed).toBe(true)
    expect((await send({ key })).status).toBe(200)
  })

  it('is heard once', async () => {
    const target = aTarget()
    const authorization = sign({ key: till, target, body, timestamp: seconds() })
    expect((await send({ target, authorization })).status).toBe(200)
    expect(await send({ target, authorization })).toMatchObject({ status: 401, code: 'nonce_used' })
    // The same order, signed anew.
    expect((await send({ target })).status).toBe(200)
  })

  it('is heard once when it comes twice at the same moment, and so are two that share a nonce', async () => {
    for (let round = 0; round < 20; round++) {
      const target = aTarget()
      const nonce = randomBytes(16).toString('hex')
      const one = sign({ key: till, target, body, nonce, timestamp: seconds() })
      const other = round % 2 === 0 ? target : aTarget()
      const two = sign({ key: till, target: other, body, nonce, timestamp: seconds() })
      const answers = await Promise.all([
        send({ target, authorization: one }),
        send({ target: other, authorization: two }),
      ])
      const told = answers.map(({ status }) => status).sort()
      // Two seconds are two timestamps.
      if (one.slice(0, 80) === two.slice(0, 80)) expect(told).toEqual([200, 401])
    }
  })

  it('in chunks is heard, and of a body that is too large no more is kept than is allowed', async () => {
    const chunked = (sent: string) => {
      const target = aTarget()
      const authorization = sign({ key: till, target, body: sent, timestamp: seconds() })
      const head = `POST ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`
      const size = sent.length.toString(16)
      return server.send(Buffer.from(`${head}${size}\r\n${sent}\r\n0\r\n\r\n`))
    }
    expect((await chunked(body)).status).toBe(200)
    const over = await chunked(`${body}${' '.repeat(64 * 1024)}`)
    expect(over).toMatchObject({ status: 413, code: 'body_too_large' })
  })

  it('of another bit anywhere is refused, and then the right one is heard all the same', async () => {
    const target = '/orders/BITS/assign?a=%2F&b=1'
    const authorization = sign({ key: till, target, body, timestamp: seconds() })
    const whole = bytesOf({ target, body, headers: [`Authorization: ${authorization}`] })
    const before = orders()
    const positions: number[] = []
    for (const part of [`POST ${target}`, authorization, body]) {
      const from = whole.indexOf(part)
      // The name of the scheme knows no case; the space behind it is as good as two.
      const skip = part === authorization ? 'SMARTGUIDE-HMAC-SHA256 '.length : 0
      for (let at = skip; at < part.length; at++) positions.push(from + at)
    }
    const others = positions.map(position => {
      const bytes = Buffer.from(whole)
      bytes[position] = (bytes[position] ?? 0) ^ (1 << (position % 7))
      return bytes
    })
    for (const scheme of ['SMARTGUIDE-HMAC-SHA25', 'SMARTGUIDE-HMAC-SHA2566', 'Bearer', '']) {
      const text = whole.toString('latin1').replace('SMARTGUIDE-HMAC-SHA256', scheme)
      others.push(Buffer.from(text, 'latin1'))
    }
    expect(others.length).toBeGreaterThan(190)
    for (let at = 0; at < others.length; at += 50) {
      const answers = await Promise.all(others.slice(at, at + 50).map(server.send))
      for (const { status } of answers) expect([400, 401, 404, 405, 429]).toContain(status)
    }
    expect(orders()).toBe(before)
    expect((await server.send(whole)).status).toBe(200)
    expect((await server.send(whole)).code).toBe('nonce_used')
  })

  it.each<[string, (authorization: string) => string, number]>([
    ['the parts in another order', text => reorder(text, [3, 1, 0, 2]), 200],
    ['spaces behind the commas', text => text.replaceAll(',', ', '), 200],
    ['the scheme in small letters', text => text.replace(/^\S+/, name => name.toLowerCase()), 200],
    ['a part missing', text => reorder(text, [0, 1, 2]), 401],
    ['no signature', text => text.replace(/signature="[^"]+"/, 'signature=""'), 401],
    ['a part twice', text => reorder(text, [0, 1, 2, 3, 1]), 401],
    ['a part that is not known', text => `${text},constructor="x"`, 401],
    ['no quotes', text => text.replaceAll('"', ''), 401],
    ['another spelling of the same base64', text => text.replace(/(.)="$/, respell), 401],
    ['the signature in hex', hexOf, 401],
    ['two in one', text => `${text}, ${text}`, 401],
    ['nothing after the scheme', () => 'SMARTGUIDE-HMAC-SHA256', 401],
    ['a great deal', text => `${text}${','.repeat(3000)}`, 401],
  ])('with %s', async (_, change, status) => {
    const target = aTarget()
    const authorization = change(sign({ key: till, target, body, timestamp: seconds() }))
    const answer = await send({ target, authorization })
    expect(answer.status).toBe(status)
    if (status === 401) expect(answer.code).toBe('signature_wrong')
  })

  it('with two Authorization headers is refused, whichever comes first', async () => {
    const target = aTarget()
    const good = `Authorization: ${sign({ key: till, target, body, timestamp: seconds() })}`
    const other = `Authorization: Bearer ${rig.mint({ scope: 'assign' })}`
    for (const headers of [
      [good, other],
      [other, good],
      [good, good],
    ]) {
      expect((await server.send(bytesOf({ target, body, headers }))).status).toBe(401)
    }
  })

  it('of 300 s ago or ahead is heard; of longer it is told the time here', async () => {
    for (const away of [-298, 298]) {
      expect((await send({ timestamp: seconds() + away })).status).toBe(200)
    }
    for (const away of [-302, 303, -1e6, 1e6]) {
      const answer = await send({ timestamp: seconds() + away })
      expect(answer).toMatchObject({ status: 401, code: 'clock_skew' })
      expect(answer.text).toMatch(/The time here is 20\d\d-\d\d-\d\dT.* \(\d{10}\)/)
    }
    // To others than the owner of the key the time says nothing.
    const forged = sign({
      key: `${till.slice(0, -1)}x`,
      target: '/orders/F/assign',
      body,
      timestamp: 1e9,
    })
    expect((await send({ target: '/orders/F/assign', authorization: forged })).code).toBe(
      'signature_wrong',
    )
  })

  it('of a key that is wrong, unknown, over, sent as it is, or made to be sent is told the same', async () => {
    const sent = rig.mint({ scope: 'assign' })
    const over = rig.mint({ scope: 'assign', signed: true, expiresAtMs: Date.now() + 60_000 })
    const unknown = till.replace(/^spa_.{16}/, 'spa_0123456789abcdef')
    expect((await send({ key: over })).status).toBe(200)
    rig.skew.ms = 61_000
    const told = await Promise.all([sent, over, unknown].map(key => send({ key })))
    rig.skew.ms = 0
    for (const { status, code } of told) expect([status, code]).toEqual([401, 'signature_wrong'])
    const detail = (text: string) => /"detail":"[^"]+"/.exec(text)?.[0]
    expect(new Set(told.map(({ text }) => detail(text))).size).toBe(1)
    for (const { text } of told) expect(text).toContain('www-authenticate: SMARTGUIDE-HMAC-SHA256')
  })

  it('is the only use of its key: sent as it is, it is refused, and nothing of it is believed', async () => {
    const answer = await send({ authorization: `Bearer ${till}` })
    expect(answer).toMatchObject({ status: 401, code: 'signature_required' })
    const wrong = till.replace(/_.{64}_/, `_${'0'.repeat(64)}_`)
    expect((await send({ authorization: `Bearer ${wrong}` })).code).toBe('unauthorized')
  })

  it('is refused within a second of the revocation, by this process or by another', async () => {
    const here = rig.mint({ scope: 'assign', signed: true })
    const there = rig.mint({ scope: 'assign', signed: true })
    for (const key of [here, there]) expect((await send({ key })).status).toBe(200)
    rig.keys.remove(here.split('_')[1] ?? '')
    expect((await send({ key: here })).status).toBe(401)
    const beside = openDatabase(join(rig.dataDir, 'smartguide.db'))
    openKeys(beside).remove(there.split('_')[1] ?? '')
    beside.$client.close()
    rig.skew.ms = 999
    expect((await send({ key: there })).status).toBe(401)
    rig.skew.ms = 0
  })

  it('of before the start is refused, but where a repetition changes nothing, however it is written', async () => {
    const manager = rig.mint({ scope: 'manage', signed: true })
    const admin = rig.mint({ scope: 'admin', signed: true })
    await send({ target: '/orders/BEFORE/assign' })
    const later = await openRigAt(60_000)
    const ask = async (target: string, key: string, method: string, sent: string) => {
      const authorization = sign({ key, target, method, body: sent })
      return later.send(
        bytesOf({ method, target, body: sent, headers: [`Authorization: ${authorization}`] }),
      )
    }
    const refused: [string, string, string, string][] = [
      ['/stores', manager, 'GET', ''],
      ['/orders/BEFORE/reassign', till, 'POST', '{"guide_id":"G"}'],
      ['/orders/BEFORE', till, 'GET', ''],
      ['/orders/../keys', admin, 'POST', '{"scope":"assign"}'],
      ['/orders/%2e%2e/keys', admin, 'POST', '{"scope":"assign"}'],
      ['/orders/BEFORE/assign/../../../keys', admin, 'POST', '{"scope":"assign"}'],
      ['/keys?/orders/BEFORE/assign', admin, 'POST', '{"scope":"assign"}'],
      ['http://a/orders/../keys', admin, 'POST', '{"scope":"assign"}'],
      ['/orders/BEFORE/assign/../reassign', till, 'POST', '{"guide_id":"G"}'],
      ['/orders/BEFORE/assign%2f..%2freassign', till, 'POST', '{"guide_id":"G"}'],
      ['/orders/BEFORE/%72eassign', till, 'POST', '{"guide_id":"G"}'],
    ]
    for (const [target, key, method, sent] of refused) {
      const { code } = await ask(target, key, method, sent)
      expect(code, target).toBe(target.includes('%2f') ? 'not_found' : 'clock_skew')
    }
    const paid = `{"paid_at":"${new Date().toISOString()}"}`
    for (const [target, sent] of [
      [aTarget(), body],
      ['/x/../orders/BEFORE/./assign', body],
      ['/orders/BEFORE/%61ssign', body],
      ['/orders/BEFORE/paid', paid],
      ['/orders/BEFORE/closed', '{}'],
    ] as const) {
      expect((await ask(target, till, 'POST', sent)).code, target).not.toBe('clock_skew')
    }
    await later.close()

    function openRigAt(ms: number) {
      const clock = { ...rig.deps.clock, nowMs: () => Date.now() + ms }
      return serve(createListener({ ...rig.deps, clock }))
    }
  })
})

function reorder(text: string, order: readonly number[]): string {
  const [scheme, rest = ''] = text.split(/ (.*)/)
  const parts = rest.split(',')
  return `${scheme} ${order.map(at => parts[at]).join(',')}`
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const respell = (_: string, last: string) => `${letters[letters.indexOf(last) + 1]}="`

function hexOf(text: string): string {
  return text.replace(/signature="([^"]+)"/, (_, base64) => {
    return `signature="${Buffer.from(base64, 'base64').toString('hex')}"`
  })
}

describe('the text of a key that signs', () => {
  it('is in no file of the data directory, and is not to be had without the key file of the vault', () => {
    const dir = scratchDir()
    const path = join(dir, 'smartguide.db')
    const db = openDatabase(path)
    const vault = openVault(db, join(dir, 'pii.key'))
    const newKey = { scope: 'assign', stores: null, name: null, expiresAtMs: null } as const
    const { key, id } = openKeys(db, vault).create({ ...newKey, signed: true }, Date.now())
    db.$client.close()
    for (const file of ['smartguide.db', 'pii.key']) {
      expect(readFileSync(join(dir, file)).includes(key.split('_')[2] ?? '')).toBe(false)
    }
    const alone = openDatabase(path)
    expect(openKeys(alone).signer(id, Date.now(), {})).toBe(null)
    rmSync(join(dir, 'pii.key'))
    expect(() => openVault(alone, join(dir, 'pii.key'), sealedKeys(alone))).toThrow(
      /bring that file/,
    )
    // Sealed for its own row: another key's is of no use there.
    alone.$client.close()
    rmSync(dir, { recursive: true })
  })

  it('is sealed anew when the key of the vault is replaced, and then the old one may go', () => {
    const dir = scratchDir()
    const [path, file] = [join(dir, 'smartguide.db'), join(dir, 'pii.key')]
    const db = openDatabase(path)
    const newKey = { scope: 'assign', stores: null, name: null, expiresAtMs: null } as const
    const { key, id } = openKeys(db, openVault(db, file)).create(
      { ...newKey, signed: true },
      Date.now(),
    )
    appendFileSync(file, `newer ${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
    const keys = openKeys(db, openVault(db, file, sealedKeys(db)))
    expect(keys.signer(id, Date.now(), {})?.text).toBe(key)
    keys.reseal()
    expect(sealedKeys(db)).toMatchObject([{ keyId: 'newer' }])
    const [newest = ''] = readFileSync(file, 'utf8').trim().split('\n').slice(-1)
    rmSync(file)
    appendFileSync(file, newest, { mode: 0o600 })
    const again = openKeys(db, openVault(db, file, sealedKeys(db)))
    expect(again.signer(id, Date.now(), {})?.text).toBe(key)
    // Whoever writes it into the row of another key signs nothing with it.
    const other = again.create({ ...newKey, signed: true }, Date.now())
    db.$client
      .prepare('UPDATE keys SET sealed = (SELECT sealed FROM keys WHERE id = ?) WHERE id = ?')
      .run(id, other.id)
    expect(again.signer(other.id, Date.now(), {})).toBe(null)
    db.$client.close()
    rmSync(dir, { recursive: true })
  })
})
