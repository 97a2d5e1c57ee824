import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { eventually, openRig, type Rig, scratchDir } from '../support/rig.ts'
import { failToStart, prepareData, settingsFor, spawnService } from '../support/service-process.ts'

const page = readFileSync(fileURLToPath(new URL('../../docs/probes.md', import.meta.url)), 'utf8')
/** The states of the page, with what it says of both probes: `200`, `503`, or `no answer`. */
const documented = new Map(
  [...page.matchAll(/^\| ([^|]+) \| (\d+|no answer) \| (\d+|no answer)[^|]* \|/gm)].map(
    ([, state = '', live = '', ready = '']) => [state.trim(), [live, ready]],
  ),
)

type Ask = (path: string) => Promise<{ status: number; body: Record<string, unknown> }>
async function answers(ask: Ask) {
  const [live, ready] = [await ask('/livez'), await ask('/readyz')]
  expect(live.body).toEqual({ status: 'live' })
  return { codes: [String(live.status), String(ready.status)], ready: ready.body }
}

describe('while the service runs', () => {
  let rig: Rig
  const ask: Ask = async path => {
    const answer = await rig.app.request(path)
    return { status: answer.status, body: JSON.parse(await answer.text()) }
  }
  const states: [state: string, bring: () => Promise<unknown> | unknown, says: object][] = [
    ['orders are taken', () => {}, { status: 'ready' }],
    ['it stops', () => Object.assign(rig.state, { ready: false }), { status: 'not ready' }],
    [
      'the disk is full',
      () => rig.db.storage.met(Object.assign(new Error('full'), { code: 'SQLITE_FULL' })),
      { status: 'not ready', storage: 'full' },
    ],
    [
      'WeChat Pay refuses the merchant',
      async () => {
        await rig.control('PUT', '/faults', { rates: { no_auth: 1 } })
        for (const no of ['A', 'B', 'C', 'D']) await rig.assign(no, { store_id: 1001 })
      },
      { status: 'ready', warnings: [{ code: 'account_refused' }] },
    ],
    [
      'every host of WeChat Pay is down',
      async () => {
        await rig.control('PUT', '/faults', { rates: { refuse: 1 } })
        for (let no = 0; no < 12; no++) await rig.assign(`H${no}`, { store_id: 1001 })
        const open = () =>
          rig.deps.assignments.counts().outbound.hosts.every(({ isOpen }) => isOpen)
        await eventually(async () => open())
      },
      { status: 'ready' },
    ],
    [
      '自动分配 is on',
      () =>
        rig.app.request('/settings', {
          method: 'PUT',
          headers: {
            authorization: `Bearer ${rig.mint({ scope: 'admin' })}`,
            'content-type': 'application/json',
          },
          body: '{"edition": "standard", "platform_auto_assign": true, "assign_window_seconds": null}',
        }),
      { status: 'ready', warnings: [{ code: 'platform_auto_assign' }] },
    ],
  ]
  beforeEach(async () => {
    rig = await openRig({ waitMs: 50 })
    await rig.openStore(1001, 2)
  })
  afterEach(() => rig.close())

  it.each(states)('%s: as the page says', async (state, bring, says) => {
    await bring()
    const { codes, ready } = await answers(ask)
    expect(codes).toEqual(documented.get(state))
    expect(ready).toMatchObject(says)
    // What asks for a look is said, and nothing else is.
    expect('warnings' in ready).toBe('warnings' in says)
  })
})

describe('where the service does not take orders yet, or never will', () => {
  let dir: string
  let simulator: Awaited<ReturnType<typeof startSimulator>>
  beforeEach(async () => {
    dir = scratchDir()
    simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  })
  afterEach(async () => {
    await simulator.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  async function freePort(): Promise<string> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    server.close()
    await once(server, 'close')
    return String(typeof address === 'object' ? address?.port : 0)
  }

  const codeOf = (port: string, path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`).then(
      ({ status }) => String(status),
      () => 'no answer',
    )
  const codesOf = async (port: string) => [
    await codeOf(port, '/livez'),
    await codeOf(port, '/readyz'),
  ]
  const rowOf = (begin: string) =>
    [...documented].find(([state]) => state.startsWith(begin))?.[1] ?? []

  it('it starts: nobody answers before orders can be taken', async () => {
    const port = await freePort()
    const env = { ...settingsFor(simulator, join(dir, 'data')), PORT: port }
    const { child } = spawnService(env)
    const seen = new Set<string>()
    await eventually(async () => {
      const codes = await codesOf(port)
      // One may be asked just before, the other just after.
      if (codes[0] === codes[1]) seen.add(codes.join())
      return codes.join() === '200,200'
    }, 20_000)
    expect([...seen]).toEqual([rowOf('it starts').join(), '200,200'])
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  }, 30_000)

  it('a second process on one directory answers nobody and ends; so does one whose keys are refused', async () => {
    const data = join(dir, 'data')
    prepareData(data, () => {})
    const first = await freePort()
    const { child } = spawnService({ ...settingsFor(simulator, data), PORT: first })
    await eventually(async () => (await codeOf(first, '/readyz')) === '200', 20_000)
    const second = await freePort()
    const ended = await failToStart({ ...settingsFor(simulator, data), PORT: second })
    expect([ended.code, await codesOf(second)]).toEqual([78, rowOf('a second process')])
    expect(await codesOf(first)).toEqual(rowOf('orders are taken'))
    child.kill('SIGKILL')
    const third = await freePort()
    const wrong = { ...settingsFor(simulator, join(dir, 'other')), PORT: third }
    const refused = await failToStart({ ...wrong, WECHATPAY_SERIAL_NO: 'ABCDEF0123456789' })
    expect([refused.code, await codesOf(third)]).toEqual([78, rowOf('the keys are refused')])
  }, 40_000)

  it('the page has a row for each state that is tried here, and no other but the check of a large file', () => {
    expect(documented.size).toBe(10)
  })
})
