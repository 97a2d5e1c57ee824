import { spawn } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  request as send,
} from 'node:http'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/clock.ts'
import type { Check } from '../../src/doctor/check.ts'
import { type Asked, diagnose } from '../../src/doctor/diagnose.ts'
import {
  bitString,
  explicit,
  integer,
  nothing,
  objectId,
  sequence,
  setOf,
  time,
  utf8String,
} from '../../src/simulator/der.ts'
import type { Env } from '../support/service-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Below the 20 s that the doctor promises, and the time that a test has. */
const runLimitMs = 18_000

export type Consultation = { code: number | null; text: string; checks: Check[]; ok: boolean }

/** Runs the doctor as an operator does, for eyes and for scripts, with nothing of this process's environment. */
export async function consult(
  env: Env,
  args: string[] = [],
  options: { clockAheadSeconds?: number } = {},
): Promise<Consultation> {
  const [eyes, script] = await Promise.all([
    runDoctor(env, args, options),
    runDoctor(env, [...args, '--json'], options),
  ])
  if (eyes.code !== script.code)
    throw new Error(`${eyes.code} for eyes, ${script.code} for scripts`)
  const { ok, checks } = JSON.parse(script.text)
  return { code: eyes.code, text: eyes.text, checks, ok }
}

export async function runDoctor(
  env: Env,
  args: string[],
  { clockAheadSeconds = 0 }: { clockAheadSeconds?: number } = {},
): Promise<{ code: number | null; text: string }> {
  const shift = `const now = Date.now; Date.now = () => now() + ${clockAheadSeconds * 1000}`
  const preload =
    clockAheadSeconds === 0 ? [] : ['--import', `data:text/javascript,${encodeURIComponent(shift)}`]
  const child = spawn(process.execPath, [...preload, 'src/doctor/main.ts', ...args], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
  }
  const limit = setTimeout(() => child.kill('SIGKILL'), runLimitMs)
  const [code] = await once(child, 'close')
  clearTimeout(limit)
  return { code, text }
}

/** The same in this process, for what needs a clock or a limit of the test's own. */
export function examine(
  env: Env,
  asked: Partial<Asked> = {},
  options: { timeoutMs?: number; aheadMs?: number } = {},
): Promise<Check[]> {
  const { aheadMs = 0, timeoutMs = 2000 } = options
  const clock = { ...systemClock, nowMs: () => Date.now() + aheadMs }
  const nothing: Asked = { guide: null, storeId: null, subMchid: null }
  return diagnose(env, { ...nothing, ...asked }, { clock, timeoutMs })
}

export function the(checks: readonly Check[], name: string): Check {
  const found = checks.find(({ check }) => check === name)
  if (!found) throw new Error(`no check ${name}: ${JSON.stringify(checks, null, 1)}`)
  return found
}

export function faults(checks: readonly Check[]): string[] {
  return checks
    .filter(({ status }) => status !== 'ok')
    .map(({ check, status }) => `${status} ${check}`)
}

type Change = {
  target?: (target: string) => string
  headers?: (headers: IncomingHttpHeaders) => IncomingHttpHeaders
  body?: (body: string) => string
}

/** A small HTTP proxy in front of `url` that changes what passes. */
export async function startProxy(url: string, change: { request?: Change; answer?: Change }) {
  const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = 'GET', url: target = '/', headers } = incoming
    const path = change.request?.target?.(target) ?? target
    const forward = send(new URL(url), { method, path, headers, agent: false }, async answer => {
      let body = ''
      for await (const chunk of answer.setEncoding('utf8')) body += chunk
      body = change.answer?.body?.(body) ?? body
      const changed = change.answer?.headers?.(answer.headers) ?? answer.headers
      const { 'content-length': _, ...rest } = changed
      outgoing.sendDate = false
      outgoing.writeHead(answer.statusCode ?? 500, rest).end(body)
    })
    forward.on('error', () => outgoing.destroy())
    incoming.pipe(forward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}

export const keyPair = (modulusLength = 2048) => generateKeyPairSync('rsa', { modulusLength })

export function pemOf(key: KeyObject): string {
  const type = key.type === 'private' ? 'pkcs8' : 'spki'
  return key.export({ type, format: 'pem' }).toString()
}

/** A certificate as the merchant platform gives it, or another authority. */
export function aCertificate(of: {
  keys: ReturnType<typeof keyPair>
  commonName: string
  serial?: string
  endMs?: number
}): string {
  const { keys, commonName, endMs = Date.now() + 400 * 86_400_000 } = of
  const serial = of.serial ?? `4${randomBytes(20).toString('hex').slice(1)}`
  const algorithm = sequence(objectId('1.2.840.113549.1.1.11'), nothing())
  const name = sequence(setOf(sequence(objectId('2.5.4.3'), utf8String(commonName))))
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(Buffer.from(serial, 'hex')),
    algorithm,
    name,
    sequence(time(Date.now() - 86_400_000), time(endMs)),
    name,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = sign('sha256', body, keys.privateKey)
  const der = sequence(body, algorithm, bitString(signature)).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${der.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`
}
