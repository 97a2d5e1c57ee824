import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { readArguments } from '../../src/top/arguments.ts'
import { frameOf, quantileOf } from '../../src/top/frame.ts'
import { linesOf, type View } from '../../src/top/lines.ts'
import { readSample } from '../../src/top/sample.ts'
import { openScreen } from '../../src/top/screen.ts'
import { cut, widthOf } from '../../src/width.ts'
import { scratchDir } from '../support/rig.ts'
import {
  type Env,
  prepareData,
  settingsFor,
  startProcess,
  writeSecret,
} from '../support/service-process.ts'

const metricsOf = ({ started = 1000, decided = 0, quick = 0, slow = 0, ready = 1 }) => `# HELP x y
process_start_time_seconds ${started}
smartguide_ready ${ready}
smartguide_orders_decided_total{status="pending",reason="turn"} ${decided}
smartguide_orders_decided_total{status="skipped",reason="a \\"b\\""} 2
smartguide_order_accepted_seconds_bucket{le="0.1"} ${quick}
smartguide_order_accepted_seconds_bucket{le="1"} ${quick + slow}
smartguide_order_accepted_seconds_bucket{le="+Inf"} ${quick + slow}
smartguide_attempts_total{host="0",outcome="accepted"} ${quick}
smartguide_attempts_total{host="1",outcome="timeout"} 3
smartguide_host_breaker_open{host="1"} 1
smartguide_orders_pending_expiry_seconds 75.5
garbage {{{
`

describe('a frame', () => {
  it('tells rates and times of what came between two samples, and not of what came before', () => {
    const before = readSample(metricsOf({ decided: 1000, quick: 900, slow: 100 }), 10_000)
    const now = readSample(metricsOf({ decided: 1030, quick: 909, slow: 101 }), 12_000)
    const frame = frameOf(before, now, 1_090_000)
    expect(frame).toMatchObject({ ordersPerSecond: 15, upSeconds: 90, restarted: false })
    expect(frame.accepted?.count).toBe(10)
    expect(frame.accepted?.p50Ms).toBeCloseTo(55.6, 0)
    expect(frame.accepted?.p99Ms).toBeCloseTo(910, 0)
    expect(frame.hosts.map(({ host, isOpen }) => [host, isOpen])).toEqual([
      ['0', false],
      ['1', true],
    ])
    expect(frame.hosts[0]?.attempts[0]).toEqual({ name: 'accepted', total: 909, perSecond: 4.5 })
  })

  it('tells no rates of one sample, nor of two that a restart stands between', () => {
    const now = readSample(metricsOf({ started: 2000, decided: 5 }), 12_000)
    expect(frameOf(null, now, 0)).toMatchObject({ ordersPerSecond: null, accepted: null })
    const before = readSample(metricsOf({ started: 1000, decided: 900 }), 10_000)
    const frame = frameOf(before, now, 0)
    expect(frame).toMatchObject({ ordersPerSecond: null, accepted: null, restarted: true })
  })

  it.each([
    [
      0.5,
      [
        [1, 0],
        [2, 0],
      ],
      null,
    ],
    [0.5, [], null],
    [
      0.5,
      [
        [1, 10],
        [2, 10],
        [Infinity, 10],
      ],
      0.5,
    ],
    [
      0.99,
      [
        [1, 10],
        [2, 10],
        [Infinity, 100],
      ],
      2,
    ],
    [
      0.5,
      [
        [1, 0],
        [3, 4],
        [Infinity, 4],
      ],
      2,
    ],
  ] as const)('puts the quantile %d of %j at %d', (quantile, buckets, is) => {
    expect(quantileOf(quantile, buckets)).toBe(is)
  })
})

const frame = frameOf(null, readSample(metricsOf({ decided: 7 }), 0), 1_000_000)
const view: View = {
  url: 'http://127.0.0.1:8080',
  time: '10:00:00',
  frame,
  trouble: null,
  shares: [
    {
      storeId: 1001,
      name: '南京路旗舰店\x1b[2J',
      orders: 7,
      guides: [{ name: '张三李四王五'.repeat(9), count: 4, share: 3.5, deviation: 0.5 }],
    },
  ],
  sharesNote: null,
}

describe('the lines', () => {
  it.each([1, 2, 9, 10, 33, 80, 200])(
    'fit into %d columns, by the width of what is written',
    columns => {
      const lines = linesOf(view, { columns, rows: 100 })
      expect(lines.every(line => widthOf(line) <= columns)).toBe(true)
      if (columns >= 80) expect(lines.join('\n')).toContain('张三')
    },
  )

  it('fit into the rows, and say how many are missing', () => {
    expect(linesOf(view, { columns: 80, rows: 5 })).toHaveLength(5)
    expect(linesOf(view, { columns: 80, rows: 5 }).at(-1)).toMatch(/^… \d+ more lines$/)
  })

  it('let no name steer the terminal', () => {
    const text = linesOf(view, { columns: 200, rows: 100 }).join('')
    expect(text).toContain('旗舰店�[2J')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(text).not.toMatch(/[\x00-\x1f\x7f-\x9f]/)
  })

  it('say what is open, near its end, or not ready', () => {
    const odd = { ...frame, isReady: false, isStorageFull: true, nearestExpirySeconds: 12.7 }
    const text = linesOf({ ...view, frame: odd }, { columns: 200, rows: 99 }).join('\n')
    for (const said of [
      'NOT READY',
      'DISK FULL',
      'next expires in 12 s !!',
      'host 1    BREAKER OPEN',
    ]) {
      expect(text).toContain(said)
    }
  })

  it.each([
    ['中文', 3, '中…'],
    ['中文', 4, '中文'],
    ['中文字', 4, '中…'],
    ['ab', 0, ''],
    ['é́x', 2, 'é́x'],
  ])('cuts %s to %d columns: %s', (text, columns, is) => expect(cut(text, columns)).toBe(is))
})

it('draws over in place on the second screen, in the size of the moment, and gives the first one back', () => {
  let text = ''
  const terminal = { columns: 40, rows: 10, write: (more: string) => (text += more) }
  const screen = openScreen(terminal)
  expect(text).toBe('\x1b[?1049h\x1b[?25l')
  text = ''
  screen.show(view)
  expect(text.startsWith('\x1b[H')).toBe(true)
  expect(text.split('\r\n')).toHaveLength(10)
  terminal.rows = 4
  text = ''
  screen.draw()
  expect(text.split('\r\n')).toHaveLength(4)
  text = ''
  screen.close()
  expect(text).toBe('\x1b[?25h\x1b[?1049l')
  screen.show(view)
  screen.close()
  expect(text).toBe('\x1b[?25h\x1b[?1049l')
})

it.each([
  ['--interval 0.1', /--interval takes/],
  ['--interval 1e9', /--interval takes/],
  ['--url ftp://x', /--url takes/],
  ['--url http://u:p@127.0.0.1', /--url takes/],
  ['--store x', /--store takes/],
  ['--nonsense', /nonsense/],
])('refuses %s', (words, why) => {
  expect(readArguments(words.split(' '))).toEqual({ wrong: expect.stringMatching(why) })
})

let dir: string
let simulator: Simulator
let env: Env

beforeAll(async () => {
  dir = scratchDir()
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  env = settingsFor(simulator, join(dir, 'data'))
})
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function runTop(args: string[], env: Env = {}, cwd = process.cwd()) {
  const child = spawn(process.execPath, [resolve('src/top/main.ts'), '--once', ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    out += text
  })
  const [code] = await once(child, 'close')
  return { code, out }
}

async function withServer<T>(listener: RequestListener, use: (url: string) => Promise<T>) {
  const server = createServer(listener)
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

describe('npm run top', () => {
  it('shows a running service, with the orders of that interval and the shares of its stores', async () => {
    const merchant = env['WECHATPAY_MCHID'] ?? ''
    const name = '南京路'
    const control = (method: string, path: string, body: object) =>
      fetch(`${simulator.url}/_sim${path}`, {
        method,
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      })
    await control('PUT', '/stores/1', { name })
    const made = await control('POST', '/guides', {
      store_id: 1,
      name: '张三',
      mobile: '13900000001',
    })
    const { guide_id } = JSON.parse(await made.text())
    const till = prepareData(join(dir, 'data'), mirror => {
      mirror.putStore({ storeId: 1, merchant, name, timezone: 'Asia/Shanghai' })
      mirror.putGuide({ id: guide_id, storeId: 1, state: 'registered' })
    })
    const service = await startProcess(env)
    const assign = (no: string) =>
      fetch(`${service.url}/orders/${no}/assign`, {
        method: 'POST',
        headers: { authorization: `Bearer ${till}`, 'content-type': 'application/json' },
        body: JSON.stringify({ store_id: 1 }),
      })
    expect((await assign('A1')).status).toBe(200)
    const { code, out } = await runTop(['--url', service.url, '--interval', '0.2'], env)
    expect(code).toBe(0)
    for (const said of [
      /^orders +0\.0\/s new/m,
      /^decided .*pending 1/m,
      /^settled .*assigned 1/m,
    ]) {
      expect(out).toMatch(said)
    }
    expect(out).toMatch(/^host 0 +breaker closed {2}accepted 1/m)
    expect(out).toMatch(/^store 1 南京路: 1 orders in 24 h\n {2}(张三|\S+) +1 turns {2}due +1\.0/m)
    const strange = await runTop(['--url', service.url, '--interval', '0.2', '--store', '99'], env)
    expect(strange).toMatchObject({ code: 0, out: expect.stringContaining('no store 99') })
    const elsewhere = { DATA_DIR: join(dir, 'nothing') }
    const keyless = await runTop(['--url', service.url, '--interval', '0.2'], elsewhere)
    expect(keyless).toMatchObject({ code: 0, out: expect.stringContaining('no API key') })
    expect(await service.end('SIGTERM')).toBe(0)
    const gone = await runTop(['--url', service.url], env)
    expect(gone).toMatchObject({ code: 1, out: expect.stringContaining('nobody listens') })
  })

  it('takes no answer without end, no redirect, and no other service for this one', async () => {
    const keyFile = writeSecret(join(dir, 'key'), 'spa_secret')
    const keys: (string | undefined)[] = []
    const trap: RequestListener = ({ headers }, response) => {
      keys.push(headers.authorization)
      response.end('x')
    }
    await withServer(trap, async elsewhere => {
      const endless: RequestListener = (_, response) => {
        const pour = () => {
          while (response.write('x 1\n'.repeat(16_000)));
        }
        response.on('drain', pour)
        pour()
      }
      const moved: RequestListener = ({ url }, response) => {
        if (url === '/metrics') response.end(metricsOf({}))
        else response.writeHead(302, { location: elsewhere }).end()
      }
      const other: RequestListener = (_, response) => response.end('x 1\n')
      const [much, away, wrong] = await Promise.all([
        withServer(endless, url => runTop(['--url', url])),
        withServer(moved, url =>
          runTop(['--url', url, '--interval', '0.2', '--key-file', keyFile]),
        ),
        withServer(other, url => runTop(['--url', url])),
      ])
      expect(much).toMatchObject({ code: 1, out: expect.stringContaining('too much') })
      expect(wrong).toMatchObject({ code: 1, out: expect.stringContaining('not this service') })
      expect(away).toMatchObject({
        code: 0,
        out: expect.stringContaining('answers 302 to /stores'),
      })
      expect(keys).toEqual([])
    })
  })

  it('takes the admin key from beside the database that is there, in a bare shell too', async () => {
    const cwd = join(dir, 'bare')
    mkdirSync(join(cwd, 'data', 'demo'), { recursive: true })
    writeFileSync(join(cwd, 'data', 'smartguide.db'), '')
    writeSecret(join(cwd, 'data', 'admin.key'), 'spa_shop')
    writeSecret(join(cwd, 'data', 'demo', 'admin.key'), 'spa_demo')
    const keys = new Set<string | undefined>()
    const listener: RequestListener = ({ headers }, response) => {
      keys.add(headers.authorization)
      response.end(metricsOf({}))
    }
    await withServer(listener, async url => {
      await runTop(['--url', url, '--interval', '0.2'], {}, cwd)
      expect(keys).toContain('Bearer spa_shop')
      keys.clear()
      writeFileSync(join(cwd, 'data', 'demo', 'smartguide.db'), '')
      const both = await runTop(['--url', url, '--interval', '0.2'], {}, cwd)
      expect(both).toMatchObject({ code: 0, out: expect.stringContaining('set DATA_DIR') })
      expect([...keys]).toEqual([undefined])
    })
  })

  it('tells the admin key of this machine to no other address', async () => {
    const ADMIN_KEY_FILE = writeSecret(join(dir, 'admin.key'), 'spa_secret')
    const keys: (string | undefined)[] = []
    const listener: RequestListener = ({ headers }, response) => {
      keys.push(headers.authorization)
      response.end(metricsOf({}))
    }
    await withServer(listener, async url => {
      await runTop(['--url', url, '--interval', '0.2'], { ADMIN_KEY_FILE })
      expect(keys).toContain('Bearer spa_secret')
      keys.length = 0
      const elsewhere = url.replace('127.0.0.1', '[::ffff:127.0.0.1]')
      const { code } = await runTop(['--url', elsewhere, '--interval', '0.2'], { ADMIN_KEY_FILE })
      expect(code).toBe(0)
      expect(keys).toEqual([undefined, undefined])
    })
  })
})
