import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { prepareData, settingsFor } from '../support/service-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

it('a log that nobody reads holds up no order and no stop', async () => {
  const dir = scratchDir()
  const simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  const data = join(dir, 'data')
  const env = settingsFor(simulator, data)
  const key = prepareData(data, mirror => {
    const merchant = env['WECHATPAY_MCHID'] ?? ''
    mirror.putStore({ storeId: 1001, merchant, name: 'store', timezone: 'Asia/Shanghai' })
    mirror.putGuide({ id: 'G1', storeId: 1001, state: 'registered' })
  })
  const pipe = join(dir, 'pipe')
  execFileSync('mkfifo', [pipe])
  const ends = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)
  const port = await freePort()
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...env, PORT: String(port) },
    stdio: ['ignore', ends, 'ignore'],
  })
  try {
    const url = `http://127.0.0.1:${port}`
    const isReady = () =>
      fetch(`${url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      )
    await eventually(isReady, 10_000)
    const post = (no: number) =>
      fetch(`${url}/orders/S${no}/assign`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
          prefer: 'wait=5',
          traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
          'x-request-id': `till-${no}`,
        },
        body: '{"store_id": 1001}',
        signal: AbortSignal.timeout(8000),
      })
    // More lines than a pipe holds.
    for (let no = 0; no < 400; no += 20) {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => post(no + n)))
      expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
      await Promise.all(answers.map(answer => answer.text()))
    }
    const startMs = performance.now()
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
    expect(performance.now() - startMs).toBeLessThan(5000)
    const text = Buffer.alloc(128 * 1024)
    const lines = text.toString('utf8', 0, readSync(ends, text)).split('\n')
    expect(lines.length).toBeGreaterThan(50)
    expect(lines.length).toBeLessThan(400)
    const line = lines.find(one => one.includes('"S7"'))
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      msg: 'order',
      out_trade_no: 'S7',
      status: 'assigned',
      guide_id: 'G1',
      request_id: 'till-7',
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    })
  } finally {
    child.kill('SIGKILL')
    closeSync(ends)
    await simulator.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}, 40_000)
