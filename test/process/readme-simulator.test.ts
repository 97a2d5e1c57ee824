import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually, scratchDir } from '../support/rig.ts'
import { atLength } from '../support/thorough.ts'

const run = promisify(execFile)

let dir: string
const ends: (() => Promise<void>)[] = []
beforeEach(() => {
  dir = scratchDir()
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  rmSync(dir, { recursive: true, force: true })
})

/** A checkout of its own, so that `data` is nobody else's. */
function aCheckout(name: string): string {
  const cwd = join(dir, name)
  mkdirSync(cwd)
  for (const of of ['package.json', 'src', 'node_modules'])
    symlinkSync(join(process.cwd(), of), join(cwd, of))
  return cwd
}

function shellBlocks(text: string): string[] {
  const blocks = text.split('```').filter((_, index) => index % 2 === 1)
  return blocks.filter(block => block.startsWith('sh\n')).map(block => block.slice(3))
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return String(port)
}

/** What stays in a terminal until it is closed: npm, the shell and node below them. */
function inTerminal(script: string, cwd: string, port: string) {
  const env = { PATH: process.env['PATH'] ?? '', HOME: dir, PORT: port }
  const child = spawn('bash', ['-c', script], { cwd, env, detached: true })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      text += chunk
    })
  }
  const gone = once(child, 'close')
  ends.push(async () => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
    await gone
  })
  return { output: () => text, isOver: () => child.exitCode !== null }
}

const english = ['README.md', 'docs/production.md', 'docs/signing.md'] as const
const chinese = ['README.zh-CN.md', 'docs/production.zh-CN.md', 'docs/signing.zh-CN.md'] as const

it.each(atLength([english], [english, chinese]))(
  'brings a fresh checkout from the simulator to an assigned order by the lines of %s, %s and %s, pasted top to bottom',
  async (readme, walk, signing) => {
    const cwd = aCheckout(readme)
    const [simulatorPort, port] = [await freePort(), await freePort()]
    const text = readFileSync(readme, 'utf8')
      .replaceAll(':8090', `:${simulatorPort}`)
      .replaceAll(':8080', `:${port}`)
    const blocks = shellBlocks(text)
    const from = blocks.findIndex(block => block.startsWith('npm run simulator'))
    const [simulate = '', start = '', makeKey = '', guides = ''] = blocks.slice(from, from + 4)

    const simulator = inTerminal(simulate, cwd, simulatorPort)
    await eventually(async () => simulator.output().includes('WeChat Pay simulator'), 10_000)
    const service = inTerminal(start, cwd, port)
    await eventually(async () => service.output().includes('admin key'), 10_000)
    const { stdout: made } = await run('bash', ['-ec', makeKey], { cwd })
    const { stdout } = await run('bash', ['-ec', guides.replace(/^# \d$/gm, 'echo; echo ¶')], {
      cwd,
    })
    const answers = stdout.split('¶\n').slice(1)
    const [store, guide, imported, synced, found, settings] = answers.map(one => JSON.parse(one))
    expect(store).toMatchObject({ store_id: 1001 })
    expect(guide).toMatchObject({ state: 'registered' })
    expect(imported).toMatchObject({ registered: 1, refused: 1 })
    expect(synced).toMatchObject({ stores: 1, guides: 2, failed: [] })
    expect(found.guides).toHaveLength(1)
    expect(settings).toMatchObject({ edition: 'standard' })
    const answer = await fetch(`http://127.0.0.1:${port}/orders/R1/assign`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${JSON.parse(made).key}`,
        'content-type': 'application/json',
        prefer: 'wait=5',
      },
      body: '{"store_id": 1001}',
    })
    expect(await answer.json()).toMatchObject({ status: 'assigned' })

    const [sign = 'exit 1'] = shellBlocks(
      readFileSync(signing, 'utf8').replaceAll(':8080', `:${port}`),
    )
    const signed = await run('bash', ['-ec', sign], {
      cwd,
      env: { ...process.env, DATA_DIR: 'data' },
    })
    expect(JSON.parse(signed.stdout)).toMatchObject({
      out_trade_no: 'SIGNED-1',
      status: expect.stringMatching(/^(assigned|pending)$/),
    })
    const first = shellBlocks(readFileSync(walk, 'utf8').replaceAll(':8080', `:${port}`))
    expect(first).toHaveLength(1)
    // Between the first line and the second somebody pays.
    const script =
      first[0]?.replace(/^# 1$/m, '').replace(/^# \d$/gm, 'echo; echo ¶; sleep 1') ?? ''
    const till = { PATH: process.env['PATH'], TILL: JSON.parse(made).key }
    const { stdout: tried } = await run('bash', ['-ec', script], { cwd, env: till })
    const [posted, paid, read] = tried.split('¶\n').map(one => JSON.parse(one))
    expect(posted).toMatchObject({ status: 'assigned' })
    expect(paid).toMatchObject({ paid_at: expect.any(String) })
    expect(read).toMatchObject({ too_late: false, attempts: [{ outcome: 'accepted' }] })
    const bill = await fetch(`http://127.0.0.1:${simulatorPort}/_sim/pay/FIRST-1`, {
      method: 'POST',
    })
    expect(await bill.json()).toMatchObject({ card: { guide_id: posted.guide_id } })

    const [hangUp = ''] = /kill -HUP \$\(cat [^)]+\)/.exec(text) ?? []
    expect(statSync(join(cwd, 'data/service.pid')).mode & 0o777).toBe(0o600)
    await run('bash', ['-ec', hangUp], { cwd })
    await eventually(async () => service.output().includes('the keys were read again'))
    expect(service.isOver()).toBe(false)
  },
  60_000,
)
