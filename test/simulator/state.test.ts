import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { send } from './merchant.ts'

let stateDir: string

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'simulator-'))
})

afterEach(() => rm(stateDir, { recursive: true }))

async function control(url: string, method: string, path: string, body?: object) {
  const reply = await send(url, method, `/_sim${path}`, {}, body ? JSON.stringify(body) : '')
  return JSON.parse(reply.body)
}

test('the first start makes the keys that a merchant needs, secret ones for the owner alone', async () => {
  const simulator = await startSimulator({ stateDir })
  await simulator.stop()
  const read = (name: string) => readFile(join(stateDir, name), 'utf8')
  const modeOf = async (name: string) => (await stat(join(stateDir, name))).mode & 0o777

  expect(await read('mchid')).toMatch(/^\d{10}$/)
  expect(await read('merchant.serial')).toMatch(/^[0-9A-F]{40}$/)
  expect(await read('platform.id')).toMatch(/^PUB_KEY_ID_\d{34}$/)
  expect(await read('apiv3.key')).toMatch(/^[0-9a-zA-Z]{32}$/)
  expect(await read('merchant.key')).toContain('BEGIN PRIVATE KEY')
  expect(createPrivateKey(await read('merchant.key')).asymmetricKeyDetails?.modulusLength).toBe(
    2048,
  )
  expect(createPublicKey(await read('platform.pub')).asymmetricKeyType).toBe('rsa')
  for (const name of ['merchant.key', 'apiv3.key', 'platform.key', 'certificates.json']) {
    expect([name, await modeOf(name)]).toEqual([name, 0o600])
  }
})

test('keys, stores, guides, card and policies are the same after a restart', async () => {
  const first = await startSimulator({ stateDir })
  await control(first.url, 'PUT', '/stores/1', { name: '一店' })
  await control(first.url, 'PUT', '/stores/2', { name: '二店', sub_mchid: '1900000109' })
  await control(first.url, 'POST', '/guides', { store_id: 1, name: '陈晓雯', mobile: '138' })
  await control(first.url, 'PUT', '/card', { title: '导购' })
  await control(first.url, 'PUT', '/policies', { unknown_guide: 'reject', key_mode: 'certificate' })
  const before = await allOf(first.url)
  const certificates = await readFile(join(stateDir, 'certificates.json'), 'utf8')
  await first.stop()

  const second = await startSimulator({ stateDir })
  expect(await allOf(second.url)).toEqual(before)
  expect(second.keys.merchantPrivateKeyPem).toBe(first.keys.merchantPrivateKeyPem)
  expect(second.keys.platformKeyId).toBe(first.keys.platformKeyId)
  expect(second.keys.mchid).toBe(first.keys.mchid)
  expect(await readFile(join(stateDir, 'certificates.json'), 'utf8')).toBe(certificates)
  await second.stop()
  expect((await readdir(stateDir)).filter(name => name.endsWith('.tmp'))).toEqual([])
})

async function allOf(url: string) {
  const paths = ['/stores', '/guides', '/card', '/policies']
  return Promise.all(paths.map(path => control(url, 'GET', path)))
}

test('what was changed is on disk soon, without a stop', async () => {
  const simulator = await startSimulator({ stateDir })
  await control(simulator.url, 'PUT', '/stores/1', { name: '一店' })
  await expect
    .poll(() => readFile(join(stateDir, 'state.json'), 'utf8').catch(() => ''), { timeout: 2_000 })
    .toContain('一店')
  await simulator.stop()
})
