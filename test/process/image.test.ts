import { spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { type Env, settingsFor } from '../support/service-process.ts'

type Instruction = { name: string; rest: string }

const stages = readStages(readFileSync('Dockerfile', 'utf8'))
const [build = [], image = []] = stages.slice(1)
const only = (stage: Instruction[], name: string) => {
  const found = stage.filter(one => one.name === name)
  if (found.length !== 1) throw new Error(`${found.length} times ${name}`)
  return found[0]?.rest ?? ''
}
const exec = (text: string): string[] => JSON.parse(text)
const command = exec(only(image, 'CMD'))
const probe = exec(only(image, 'HEALTHCHECK').replace(/^.*?CMD /, ''))
const imageEnv: Env = Object.fromEntries(
  only(image, 'ENV')
    .split(' ')
    .map(pair => pair.split('=', 2)),
)

/** What is before the first FROM, and one list of instructions for each stage. */
function readStages(text: string): Instruction[][] {
  const lines = text.replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, '')
  const all: Instruction[][] = [[]]
  for (const [, name = '', rest = ''] of lines.matchAll(/^([A-Z]+) (.*)$/gm)) {
    if (name === 'FROM') all.push([])
    all.at(-1)?.push({ name, rest })
  }
  return all
}

/** What the first stage takes out of the checkout. */
const copied = build
  .filter(({ name }) => name === 'COPY')
  .flatMap(({ rest }) => rest.split(' ').slice(0, -1))

let dir: string
let app: string
let simulator: Simulator

beforeAll(async () => {
  dir = scratchDir()
  app = join(dir, 'app')
  mkdirSync(app)
  for (const name of copied) cpSync(name, join(app, name), { recursive: true })
  symlinkSync(realpathSync('node_modules'), join(app, 'node_modules'))
  simulator = await startSimulator({ stateDir: join(dir, 'sim') })
})
afterAll(async () => {
  await simulator.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** Runs words of the Dockerfile in what it copies, with the environment that it sets. */
function run([file = '', ...args]: string[], env: Env) {
  const child = spawn(file, args, {
    cwd: app,
    env: { ...imageEnv, PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stdout.on('data', chunk => {
    text += chunk
  })
  child.stderr.on('data', chunk => {
    text += chunk
  })
  const ended = new Promise<number | null>(done => child.once('exit', code => done(code)))
  return { child, ended, output: () => text }
}

it('copies what the service needs, all of it let in by .dockerignore, and nothing else of the checkout', () => {
  const [first, ...letIn] = readFileSync('.dockerignore', 'utf8').trim().split('\n')
  expect(first).toBe('**')
  expect(letIn.map(line => line.slice(1)).sort()).toEqual([...copied].sort())
  expect(letIn.every(line => /^![\w.-]+$/.test(line))).toBe(true)
  expect(copied.filter(name => !existsSync(name))).toEqual([])
})

it('stands on one base image that a digest can pin, and installs without scripts and without what is for development', () => {
  const [before = []] = stages
  expect(before).toEqual([{ name: 'ARG', rest: 'NODE_IMAGE=node:24-slim' }])
  const bases = stages.slice(1).map(stage => stage[0]?.rest)
  expect(bases.map(base => base?.split(' ')[0])).toEqual(Array(2).fill('$' + '{NODE_IMAGE}'))
  const installs = build.filter(({ rest }) => rest.startsWith('npm'))
  expect(installs).toEqual([{ name: 'RUN', rest: 'npm ci --omit=dev --ignore-scripts' }])
})

it('runs as an unprivileged user to whom the data directory belongs, and nothing else', () => {
  expect(only(image, 'USER')).toBe('node')
  expect(only(image, 'VOLUME')).toBe(imageEnv['DATA_DIR'])
  expect(only(image, 'RUN')).toBe('mkdir -m 700 /data && chown node:node /data')
  const names = image.map(({ name }) => name)
  // Later ones would be carried out as that user, and be lost in the volume.
  expect(names.indexOf('RUN')).toBeLessThan(names.indexOf('USER'))
  expect(names.indexOf('RUN')).toBeLessThan(names.indexOf('VOLUME'))
})

it.concurrent('starts the service itself, with no shell and no npm before it, which hears SIGTERM', async () => {
  expect(only(image, 'ENTRYPOINT')).toBe('[]')
  expect(only(image, 'STOPSIGNAL')).toBe('SIGTERM')
  const env = { ...settingsFor(simulator, join(dir, 'data')), HOST: '127.0.0.1' }
  const service = run(command, env)
  await eventually(async () => service.output().includes('listening'), 20_000)
  const port = /"url":"http:[^"]*:(\d+)"/.exec(service.output())?.[1] ?? ''
  expect(await run(probe, { PORT: port }).ended).toBe(0)
  service.child.kill('SIGTERM')
  expect(await service.ended).toBe(0)
  expect(await run(probe, { PORT: port }).ended).toBe(1)
})

it.concurrent('says of a service that is not ready, or does not answer, that it is not healthy', async () => {
  let status = 503
  const server = createServer(({ url }, response) => {
    if (status !== 0) response.writeHead(url === '/readyz' ? status : 200).end()
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const isHealthy = async () => (await run(probe, { PORT: `${port}` }).ended) === 0
  expect(await isHealthy()).toBe(false)
  status = 200
  expect(await isHealthy()).toBe(true)
  status = 0
  const startMs = performance.now()
  expect(await isHealthy()).toBe(false)
  // By itself, before it is killed.
  const limitMs = Number(/--timeout=(\d+)s/.exec(only(image, 'HEALTHCHECK'))?.[1]) * 1000
  expect(performance.now() - startMs).toBeLessThan(limitMs + 1000)
  server.closeAllConnections()
  server.close()
})

it.concurrent('does not start the demo when nobody configured it, and says so', async () => {
  const { ended, output } = run(command, { DATA_DIR: join(dir, 'none') })
  expect(await ended).toBe(78)
  expect(output()).toMatch(/^WECHATPAY_MCHID.* must be set too, .*\n$/)
})
