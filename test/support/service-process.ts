import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type NewKey, openKeys } from '../../src/access/keys.ts'
import { openDatabase } from '../../src/db/open.ts'
import { type Mirror, openMirror } from '../../src/mirror/mirror.ts'
import type { Simulator } from '../../src/simulator/simulator.ts'
import { accountOf } from './account.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

export type Env = Record<string, string>

/** The settings of a direct merchant whose WeChat Pay is the simulator, as a deployment would make them. */
export function settingsFor(
  { stateDir, url }: Pick<Simulator, 'stateDir' | 'url'>,
  dataDir: string,
): Env {
  const account = accountOf(stateDir)
  return {
    PORT: '0',
    DATA_DIR: dataDir,
    WECHATPAY_MCHID: account.mchid,
    WECHATPAY_SERIAL_NO: account.serialNo,
    WECHATPAY_PRIVATE_KEY_FILE: join(stateDir, 'merchant.key'),
    WECHATPAY_PUBLIC_KEY_ID: account.publicKeyId,
    WECHATPAY_PUBLIC_KEY_FILE: join(stateDir, 'platform.pub'),
    WECHATPAY_BASE_URLS: url,
  }
}

/** Tells a simulator what to do; null when it has nothing to answer. */
export async function controlSimulator(
  { url }: Pick<Simulator, 'url'>,
  method: string,
  path: string,
  body?: object,
) {
  const answer = await fetch(`${url}/_sim${path}`, {
    method,
    ...(body
      ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      : {}),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text === '' ? null : JSON.parse(text)
}

/** Fills the data directory of a service that is not running; answers with a key for the till. */
export function prepareData(dataDir: string, fill: (mirror: Mirror) => void): string {
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  fill(openMirror(db))
  const till: NewKey = { scope: 'assign', stores: null, name: 'till', expiresAtMs: null }
  const { key } = openKeys(db).create(till, Date.now())
  db.$client.close()
  return key
}

// A test that fails half-way must not leave its services behind.
const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Runs `node src/main.ts` with nothing of this process's environment but the PATH. */
export function spawnService(
  env: Env,
  main = 'src/main.ts',
): { child: ChildProcess; output(): string } {
  const child = spawn(process.execPath, [main], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  let text = ''
  child.stdout.on('data', chunk => {
    text += chunk
  })
  child.stderr.on('data', chunk => {
    text += chunk
  })
  return { child, output: () => text }
}

/** Starts a service and waits until it says where it listens. */
export function startProcess(env: Env, main?: string) {
  return listening(spawnService(env, main))
}

/** The simulator in a process of its own, so that it takes no time from the test's. */
export async function startSimulatorProcess(stateDir: string) {
  const env = { PORT: '0', SIM_STATE_DIR: stateDir }
  return { ...(await listening(spawnService(env, 'src/simulator/main.ts'))), stateDir }
}

async function listening({ child, output }: ReturnType<typeof spawnService>) {
  const url = await new Promise<string>((done, fail) => {
    const look = () => {
      const found =
        /"url":"(http:[^"]+)"/.exec(output()) ?? /(?:service|simulator:) +(http:\S+)/.exec(output())
      if (found?.[1]) done(found[1])
    }
    child.stdout?.on('data', look)
    child.once('exit', code => fail(new Error(`ended with ${code}: ${output()}`)))
  })
  return {
    url,
    child,
    output,
    async end(signal: NodeJS.Signals): Promise<number | null> {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const gone = once(child, 'exit')
      child.kill(signal)
      await gone
      return child.exitCode
    },
  }
}

/** Runs a service that is expected not to start. */
export async function failToStart(
  env: Env,
  main?: string,
): Promise<{ code: number | null; output: string }> {
  const { child, output } = spawnService(env, main)
  const limit = setTimeout(() => child.kill('SIGKILL'), 15_000)
  const [code] = await once(child, 'exit')
  clearTimeout(limit)
  return { code, output: output() }
}

export function writeSecret(path: string, text: string, mode = 0o600): string {
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}
