import { type ChildProcess, fork, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { send } from './merchant.ts'

const MAIN = 'src/simulator/main.ts'

let directory: string
let children: ChildProcess[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'simulator-'))
  children = []
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await chmod(directory, 0o700)
  await rm(directory, { recursive: true, force: true })
})

function start(env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN], {
    env: { PORT: '0', SIM_STATE_DIR: directory, ...env },
  })
  children.push(child)
  const output = { out: '', err: '' }
  child.stdout.on('data', chunk => {
    output.out += chunk
  })
  child.stderr.on('data', chunk => {
    output.err += chunk
  })
  return { child, output, exit: exitOf(child) }
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise(resolve => child.once('exit', resolve))
}

async function urlOf(output: { out: string }): Promise<string> {
  await expect.poll(() => output.out, { timeout: 10_000 }).toContain('\n')
  return /http:\/\/\S+/.exec(output.out)?.[0] ?? ''
}

describe.each(['SIGTERM', 'SIGINT'] as const)('on %s', signal => {
  test('the process ends with 0, though a request hangs, and its state is written', async () => {
    const { child, output, exit } = start({})
    const url = await urlOf(output)
    expect(output.out.split('\n')).toHaveLength(2)
    expect(output.out).toContain(directory)
    await send(url, 'PUT', '/_sim/stores/1', {}, '{"name":"一店"}')
    await send(url, 'PUT', '/_sim/faults', {}, '{"script":[{"do":"hang"}]}')
    const hanging = send(url, 'GET', '/v3/certificates', {}, '').catch(error => error.code)
    await expect
      .poll(async () => (await send(url, 'GET', '/_sim/log', {}, '')).body)
      .toContain('"fault":"hang"')
    child.kill(signal)
    expect(await exit).toBe(0)
    expect(await hanging).toBe('ECONNRESET')

    const again = start({})
    const stores = await send(await urlOf(again.output), 'GET', '/_sim/stores', {}, '')
    expect(stores.body).toContain('一店')
  })
})

describe('a start that cannot be ends with one sentence and a code that is not 0', () => {
  async function refusal(env: Record<string, string>): Promise<string> {
    const { output, exit } = start(env)
    expect(await exit).not.toBe(0)
    expect(output.out).toBe('')
    expect(output.err.trim().split('\n')).toHaveLength(1)
    return output.err
  }

  test('a port that is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => holder.once('listening', resolve))
    const address = holder.address()
    const port = typeof address === 'object' && address ? String(address.port) : ''
    expect(await refusal({ PORT: port })).toContain(`port ${port}`)
    holder.close()
  })

  test.each(['http', '70000'])('PORT=%s', async port => {
    expect(await refusal({ PORT: port })).toContain('PORT')
  })

  test('a host that is not ours', async () => {
    expect(await refusal({ HOST: '192.0.2.1' })).toContain('HOST')
  })

  test('a state directory that cannot be', async () => {
    const path = join(directory, 'file')
    await writeFile(path, '')
    expect(await refusal({ SIM_STATE_DIR: join(path, 'below') })).toContain('SIM_STATE_DIR')
  })

  test.each(['state.json', 'certificates.json', 'merchant.key'])('a damaged %s', async name => {
    await writeFile(join(directory, name), '{"stores":')
    expect(await refusal({})).toContain(name)
  })
})

test('a child process tells its parent the URL, and ends when the parent is gone', async () => {
  const child = fork(MAIN, [], {
    env: { PORT: '0', SIM_STATE_DIR: directory },
    execArgv: [],
    silent: true,
  })
  children.push(child)
  const message = await new Promise(resolve => child.once('message', resolve))
  expect(message).toEqual({
    kind: 'listening',
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  })
  const exit = exitOf(child)
  child.disconnect()
  expect(await exit).toBe(0)
})
