import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readArguments } from '../../src/keys/arguments.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { scratchDir } from '../support/rig.ts'
import { type Env, prepareData, settingsFor, startProcess } from '../support/service-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const keyText = /^spa_([0-9a-f]{16})_([0-9a-f]{64})_[0-9a-f]{8}\n$/

let dir: string
let simulator: Simulator

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
})
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** As an operator runs it, with nothing of this process's environment. */
async function run(env: Env, ...args: string[]) {
  const child = spawn(process.execPath, ['src/keys/main.ts', ...args], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const told = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', text => {
    told.out += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    told.err += text
  })
  const [code] = await once(child, 'close')
  return { code, ...told }
}

function statusOf(url: string, path: string, key: string): Promise<number> {
  return fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } }).then(
    answer => answer.status,
  )
}

describe('npm run keys', () => {
  it('makes the first key before the first start, tells it once, and keeps no secret of it', async () => {
    const env = settingsFor(simulator, join(dir, 'first'))
    const made = await run(env, 'create', '--scope', 'admin', '--name', 'the owner 老板')
    expect(made).toMatchObject({ code: 0, out: expect.stringMatching(keyText) })
    const [, id = '', secret = ''] = keyText.exec(made.out) ?? []
    expect(made.err).toContain(id)
    expect(made.err).not.toContain(secret)
    const path = join(dir, 'first', 'smartguide.db')
    expect(statSync(path).mode & 0o077).toBe(0)
    expect(readFileSync(path).includes(secret)).toBe(false)
    expect(existsSync(join(dir, 'first', 'service.pid'))).toBe(false)
    const listed = await run(env, 'list')
    expect(listed.out).toContain(id)
    expect(listed.out).toContain('the owner 老板')
    expect(listed.out).not.toContain(secret)
    const service = await startProcess(env)
    expect(await statusOf(service.url, '/keys', made.out.trim())).toBe(200)
    expect(await service.end('SIGTERM')).toBe(0)
    const { keys } = JSON.parse((await run(env, 'list', '--json')).out)
    const used = keys.map((key: { last_used_at: string | null }) => key.last_used_at)
    expect(used).toEqual([expect.stringMatching(/^20.*Z$/), null])
  })

  it('makes and revokes beside a running service, which honours both within a second', async () => {
    const env = settingsFor(simulator, join(dir, 'beside'))
    const merchant = env['WECHATPAY_MCHID'] ?? ''
    prepareData(join(dir, 'beside'), mirror => {
      mirror.putStore({ storeId: 1, merchant, name: 'one', timezone: 'Asia/Shanghai' })
      mirror.putStore({ storeId: 2, merchant, name: 'two', timezone: 'Asia/Shanghai' })
    })
    const service = await startProcess(env)
    const expires = new Date(Date.now() + 3_600_000).toISOString()
    const asked = ['--scope', 'manage', '--store', '1', '--store', '1', '--expires', expires]
    const made = await run(env, 'create', ...asked)
    const key = made.out.trim()
    expect(await statusOf(service.url, '/stores/1/plan', key)).toBe(200)
    expect(await statusOf(service.url, '/stores/2/plan', key)).toBe(403)
    const listed = JSON.parse((await run(env, 'list', '--json')).out)
    const id = key.split('_')[1] ?? ''
    expect(listed.keys).toContainEqual({
      id,
      scope: 'manage',
      stores: [1],
      name: null,
      created_at: expect.any(String),
      expires_at: expires,
      signed: false,
      last_used_at: null,
    })
    // Warm, and then taken away by another process.
    expect(await statusOf(service.url, '/stores/1/plan', key)).toBe(200)
    expect(await run(env, 'revoke', id)).toMatchObject({ code: 0, out: '' })
    const revokedMs = performance.now()
    let status = 200
    while (status === 200 && performance.now() - revokedMs < 1000) {
      status = await statusOf(service.url, '/stores/1/plan', key)
    }
    expect(status).toBe(401)
    expect(await run(env, 'revoke', id)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no key/),
    })
    expect(await service.end('SIGTERM')).toBe(0)
  })

  it.each([
    [[], /Say what to do/],
    [['make'], /There is no make/],
    [['create'], /--scope is required/],
    [['create', '--scope', 'boss'], /--scope is required/],
    [['create', '--scope', 'admin', '--store', '1'], /--store is not for an admin key/],
    [['create', '--scope', 'assign', '--store', '0'], /--store takes/],
    [['create', '--scope', 'assign', '--store', '1e3'], /--store takes/],
    [['create', '--scope', 'assign', '--name', 'demo'], /--name is reserved/],
    [['create', '--scope', 'assign', '--name', 'a\u001b[2J'], /--name takes/],
    [['create', '--scope', 'assign', '--expires', 'tomorrow'], /--expires takes/],
    [['create', '--scope', 'assign', '--expires', '2027-13-01T00:00:00Z'], /--expires takes/],
    [['create', '--scope', 'assign', '--expires', '2020-01-01T00:00:00Z'], /--expires is over/],
    [['create', '--scope', 'assign', '--colour', 'red'], /colour/],
    [['create', '--scope', 'assign', '--json'], /does not take --json/],
    [['list', '--store', '1'], /does not take --store/],
    [['list', '--signed'], /does not take --signed/],
    [['list', 'all'], /too many/],
    [['revoke'], /takes the id/],
    [['revoke', 'a', 'b'], /too many/],
  ])('refuses %j in a sentence', (args, why) => {
    const asked = readArguments(args, Date.now())
    expect(asked.kind === 'wrong' ? asked.why : asked).toMatch(why)
  })

  it('tells wrong usage with 64, and makes nothing', async () => {
    const DATA_DIR = join(dir, 'wrong')
    const { code, out, err } = await run({ DATA_DIR }, 'create')
    expect([code, out]).toEqual([64, ''])
    expect(err).toMatch(/^--scope is required.*\n\nnpm run keys/)
    expect(existsSync(DATA_DIR)).toBe(false)
  })

  it('makes no data directory to list or revoke in', async () => {
    const DATA_DIR = join(dir, 'none')
    for (const args of [['list'], ['revoke', 'x']]) {
      expect(await run({ DATA_DIR }, ...args)).toMatchObject({
        code: 78,
        err: expect.stringMatching(/^There is no database .*DATA_DIR.*\n$/),
      })
    }
    expect(existsSync(DATA_DIR)).toBe(false)
  })

  it('leaves alone what is no database of this service', async () => {
    const DATA_DIR = join(dir, 'strange')
    mkdirSync(DATA_DIR)
    const path = join(DATA_DIR, 'smartguide.db')
    writeFileSync(path, 'my diary'.repeat(1000))
    const { code, out, err } = await run({ DATA_DIR }, 'create', '--scope', 'admin')
    expect([code, out]).toEqual([78, ''])
    expect(err.trim()).not.toContain('\n')
    expect(readFileSync(path, 'utf8')).toBe('my diary'.repeat(1000))
  })

  it('brings no migration beside a running service', async () => {
    const env = settingsFor(simulator, join(dir, 'older'))
    const service = await startProcess(env)
    const db = new Database(join(dir, 'older', 'smartguide.db'))
    const newest = 'SELECT max(created_at) FROM __drizzle_migrations'
    db.exec(`DELETE FROM __drizzle_migrations WHERE created_at = (${newest})`)
    db.close()
    expect(await run(env, 'list')).toMatchObject({
      code: 78,
      err: expect.stringMatching(/of another version/),
    })
    await service.end('SIGTERM')
  })

  it('prints nothing that a terminal would carry out', async () => {
    const DATA_DIR = join(dir, 'terminal')
    await run({ DATA_DIR }, 'create', '--scope', 'assign', '--name', 'x')
    const db = new Database(join(DATA_DIR, 'smartguide.db'))
    db.prepare('UPDATE keys SET name = ?').run('\u001b[2Jboo')
    db.close()
    expect((await run({ DATA_DIR }, 'list')).out).toContain('?[2Jboo')
  })
})
