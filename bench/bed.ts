import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type NewKey, openKeys } from '../src/access/keys.ts'
import { openDatabase } from '../src/db/open.ts'
import { type Mirror, openMirror } from '../src/mirror/mirror.ts'
import { weekdays } from '../src/rules/names.ts'
import { planSchema } from '../src/rules/plan.ts'
import { rosterSchema } from '../src/rules/roster.ts'
import { staffSchema } from '../src/rules/staff.ts'
import type { Profile, Used } from './accounting.ts'

export type Env = Record<string, string>

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '..')
export const merchant = '1900000109'
/** How many stores the contenders have, and how many guides each. */
export const stores = 20
export const guidesEach = 8

/** A directory of its own for keys and databases, gone at the end. */
export function makeBed() {
  const dir = mkdtempSync(join(tmpdir(), 'smartguide-bench-'))
  const ours = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const platform = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const file = (name: string, text: string | Buffer): string => {
    writeFileSync(join(dir, name), text, { mode: 0o600 })
    return join(dir, name)
  }
  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
  const account: Env = {
    WECHATPAY_MCHID: merchant,
    WECHATPAY_SERIAL_NO: '3775B6A45ACD588826D15E583A95F5DD12345678',
    WECHATPAY_PRIVATE_KEY_FILE: file('merchant.key', ours.privateKey.export(pkcs8)),
    WECHATPAY_PUBLIC_KEY_ID: 'PUB_KEY_ID_0114232134912410000000000000000001',
    WECHATPAY_PUBLIC_KEY_FILE: file(
      'platform.pub',
      platform.publicKey.export({ type: 'spki', format: 'pem' }),
    ),
  }
  const upstreamEnv: Env = {
    PLATFORM_KEY_FILE: file('platform.key', platform.privateKey.export(pkcs8)),
    PLATFORM_KEY_ID: account['WECHATPAY_PUBLIC_KEY_ID'] ?? '',
  }
  return {
    dir,
    account,
    startUpstream: () => startProcess('bench/upstream.ts', upstreamEnv),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

export type Running = Awaited<ReturnType<typeof startProcess>>

/** A process that says its URL, and on its channel what it has used. */
export async function startProcess(main: string, env: Env) {
  const accounting = join(here, 'accounting.ts')
  const child = spawn(process.execPath, ['--import', accounting, main], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  process.once('exit', () => child.kill('SIGKILL'))
  const url = await urlOf(child)
  const ask = async <T>(
    wanted: (said: object) => said is T & object,
    what = 'tell',
  ): Promise<T> => {
    const heard = new Promise<T>(done => {
      const listen = (said: object) => {
        if (!wanted(said)) return
        child.off('message', listen)
        done(said)
      }
      child.on('message', listen)
    })
    child.send(what)
    return heard
  }
  return {
    url,
    used: () => ask((said): said is Used => 'cpuMicroseconds' in said),
    accepted: async () =>
      (await ask((said): said is { accepted: number } => 'accepted' in said)).accepted,
    /** Starts the sampling of its main thread, and answers null; asked again, what was seen. */
    profile: async () =>
      (await ask((said): said is { profile: Profile | null } => 'profile' in said, 'profile'))
        .profile,
    async stop(): Promise<void> {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    },
  }
}

function urlOf(child: ChildProcess): Promise<string> {
  let text = ''
  return new Promise((done, fail) => {
    const look = (chunk: Buffer) => {
      text += chunk
      const url = /"url":"(http:[^"]+)"/.exec(text)?.[1]
      if (url) done(url)
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.once('exit', code => fail(new Error(`ended with ${code}: ${text}`)))
  })
}

/** The stores of a benchmark, 1 to `stores`, each with its guides, shifts, caps and a plan of every kind of step. */
export function fillMirror(mirror: Mirror, storeCount: number, guideCount: number): void {
  const written = { author: 'bench', atMs: Date.now() - 1000 }
  for (let storeId = 1; storeId <= storeCount; storeId++) {
    const ids = Array.from({ length: guideCount }, (_, index) => `G${storeId}-${index}`)
    mirror.putStore({ storeId, merchant, name: `store ${storeId}`, timezone: 'Asia/Shanghai' })
    for (const id of ids) mirror.putGuide({ id, storeId, state: 'registered' })
    mirror.putDocuments(storeId, documentsOf(ids), written)
  }
}

export function documentsOf(ids: readonly string[]) {
  return {
    staff: staffSchema.parse({
      timezone: 'Asia/Shanghai',
      day_starts_at: '04:00',
      guides: ids.map((id, index) => ({ id, weight: (index % 3) + 1, caps: { per_day: 100_000 } })),
    }),
    roster: rosterSchema.parse({
      weekly: [{ shift: 'day', days: [...weekdays], from: '00:00', to: '00:00', guides: [...ids] }],
    }),
    plan: planSchema.parse({
      steps: [
        { use: 'hint' },
        { use: 'owner', counts: 'full', when: { member_level: ['gold'] } },
        { use: 'rotate', when: { min_amount: 100_000 }, book: 'large' },
        { use: 'rotate' },
        { use: 'none' },
      ],
    }),
  }
}

/** The data directory of a service that is not running; answers with a key for the till. */
export function prepareData(dataDir: string, fill: (mirror: Mirror) => void): string {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  db.transaction(() => fill(openMirror(db)))
  const till: NewKey = { scope: 'assign', stores: null, name: 'till', expiresAtMs: null }
  const { key } = openKeys(db).create(till, Date.now())
  db.$client.close()
  return key
}
