import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openAudit } from '../../src/access/audit.ts'
import { type NewKey, openKeys, type Scope, sealedKeys } from '../../src/access/keys.ts'
import { type AppDeps, createApp } from '../../src/app.ts'
import { createAssignments } from '../../src/assignment/assignments.ts'
import type { Upstreams } from '../../src/assignment/fly.ts'
import { createReports } from '../../src/assignment/reports.ts'
import { openDatabase } from '../../src/db/open.ts'
import { createRegistry } from '../../src/guides/registry.ts'
import { openHistory } from '../../src/ledger/history.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import { openSandbox } from '../../src/ledger/sandbox.ts'
import { openCertificates } from '../../src/mirror/certificates.ts'
import { openGuideImports } from '../../src/mirror/guide-imports.ts'
import { openGuides } from '../../src/mirror/guides.ts'
import { openMirror } from '../../src/mirror/mirror.ts'
import { openVault } from '../../src/mirror/open-vault.ts'
import { orderLine } from '../../src/order-line.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { openAccount } from '../../src/wechatpay/account.ts'
import type { GuideCalls } from '../../src/wechatpay/guides.ts'
import { parseApiv3Key, parsePrivateKey, parsePublicKey } from '../../src/wechatpay/keys.ts'
import { accountOf } from './account.ts'
import { createJudge } from './description.ts'

export type Rig = Awaited<ReturnType<typeof openRig>>
export type WireOrder = Record<string, unknown> & { status: string; guide_id: string | null }
export type Sent = { guideId: string; outTradeNo: string; subMchid: string | null; status: number }

/** A scratch directory that is gone with the rig. */
export function scratchDir(): string {
  return mkdtempSync(join(tmpdir(), 'smartguide-test-'))
}

/**
 * The whole service in this process: real database, real client, real simulator over a socket; only the clock's
 * offset and the randomness are the test's.
 */
export async function openRig(
  options: {
    mode?: 'direct' | 'partner'
    simulator?: { running: Omit<Simulator, 'keys'>; stateDir: string }
    client?: Upstreams
    /** Stands between the registry and the client. */
    guideCalls?: (real: GuideCalls) => GuideCalls
    windowMs?: number
    waitMs?: number
    attemptTimeoutMs?: number
    maxInFlight?: number
    dataDir?: string
    hosts?: (url: string) => string[]
    keyKinds?: readonly ('public_key' | 'certificate')[]
    /** Moves the whole clock, for durations too; a simulator may share it. */
    skew?: { ms: number }
  } = {},
) {
  const { mode = 'direct', windowMs = 60_000, waitMs = 2000, keyKinds = ['public_key'] } = options
  const dataDir = options.dataDir ?? scratchDir()
  const stateDir = options.simulator?.stateDir ?? join(dataDir, 'sim')
  const simulator: Omit<Simulator, 'keys'> =
    options.simulator?.running ?? (await startSimulator({ stateDir }))
  const account = accountOf(stateDir)
  const failures: unknown[] = []
  const said: { level: string; about: object; sentence: string }[] = []
  const skew = options.skew ?? { ms: 0 }
  const clock = {
    nowMs: () => Date.now() + skew.ms,
    monotonicMs: () => performance.now() + (options.skew?.ms ?? 0),
  }
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  const mirror = openMirror(db)
  const lines: ReturnType<typeof orderLine>[] = []
  const ledger = openLedger(db, order => lines.push(orderLine(order, assignments.inHand(order))))
  const vault = openVault(db, join(dataDir, 'pii.key'), sealedKeys(db))
  const keys = openKeys(db, vault)
  const upstream = openAccount(
    {
      mode,
      mchid: account.mchid,
      merchantKey: {
        serialNo: account.serialNo,
        privateKey: parsePrivateKey(account.privateKey),
      },
      publicKey: keyKinds.includes('public_key')
        ? { serial: account.publicKeyId, key: parsePublicKey(account.publicKey) }
        : null,
      apiv3Key: keyKinds.includes('certificate') ? parseApiv3Key(account.apiv3Key) : null,
      baseUrls: options.hosts?.(simulator.url) ?? [simulator.url],
    },
    {
      clock,
      store: openCertificates(db),
      tell: (level, about, sentence) => said.push({ level, about, sentence }),
    },
  )
  const { client } = upstream
  if (keyKinds.includes('certificate')) await upstream.check()
  const assignments = createAssignments({
    ledger,
    mirror,
    client: options.client ?? client,
    clock,
    mode,
    windowMs,
    ratePerSecond: 10_000,
    ...(options.attemptTimeoutMs ? { attemptTimeoutMs: options.attemptTimeoutMs } : {}),
    ...(options.maxInFlight ? { maxInFlight: options.maxInFlight } : {}),
    failed: cause => failures.push(cause),
  })
  const state = { ready: true }
  const guides = openGuides(db, vault, mirror.forgetReady)
  const guideImports = openGuideImports(db, vault)
  const registry = createRegistry({
    mirror,
    guides,
    guideImports,
    calls: options.guideCalls?.(client) ?? client,
    clock,
    mode,
    ratePerSecond: 10_000,
    syncEveryMs: 0,
    failed: cause => failures.push(cause),
  })
  const deps: AppDeps = {
    assignments,
    reports: createReports({
      mirror,
      history: openHistory(db),
      openSandbox: () => openSandbox(db),
      clock,
      windowMs,
    }),
    registry,
    guides,
    guideImports,
    mirror,
    ledger,
    keys,
    audit: openAudit(db),
    clock,
    merchant: { mode, mchid: account.mchid },
    waitMs,
    storage: db.storage,
    isReady: () => state.ready,
    report: cause => failures.push(cause),
  }
  const app = createApp(deps)
  const isPromised = createJudge(createApp(deps))
  const secrets = new Map<Scope, string>()
  for (const scope of ['assign', 'manage', 'admin'] as const) secrets.set(scope, mint({ scope }))
  await assignments.resume()
  registry.start()

  function mint(key: Partial<NewKey> & { scope: Scope }): string {
    return keys.create({ stores: null, name: null, expiresAtMs: null, ...key }, clock.nowMs()).key
  }

  async function control(method: string, path: string, body?: object) {
    const answer = await fetch(`${simulator.url}/_sim${path}`, {
      method,
      ...(body
        ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
        : {}),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }

  async function request(
    method: string,
    path: string,
    {
      body,
      scope = 'assign',
      headers = {},
    }: { body?: unknown; scope?: Scope; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const answer = await app.request(path, {
      method,
      headers: {
        authorization: `Bearer ${secrets.get(scope)}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    // All that the tests ask holds the description to account, too.
    const broken = await isPromised(method, path, answer)
    if (broken) failures.push(broken)
    return answer
  }

  return {
    app,
    deps,
    db,
    dataDir,
    mirror,
    guides,
    registry,
    ledger,
    keys,
    assignments,
    simulator,
    skew,
    state,
    failures,
    /** What the log says of the settled orders. */
    lines,
    upstream,
    said,
    merchant: account.mchid,
    mint,
    control,
    request,

    /** A store with guides that the simulator knows; on shift at all hours. Returns their guide_ids. */
    async openStore(
      storeId: number,
      guideCount: number,
      merchant = account.mchid,
    ): Promise<string[]> {
      const name = `store ${storeId}`
      const subMchid = merchant === account.mchid ? {} : { sub_mchid: merchant }
      await control('PUT', `/stores/${storeId}`, { name, ...subMchid })
      mirror.putStore({ storeId, merchant, name, timezone: 'Asia/Shanghai' })
      const ids: string[] = []
      for (let index = 1; index <= guideCount; index++) {
        const { guide_id } = await control('POST', '/guides', {
          store_id: storeId,
          name: `guide ${index} of ${storeId}`,
          mobile: `139${String(storeId * 100 + index).padStart(8, '0')}`,
        })
        mirror.putGuide({ id: guide_id, storeId, state: 'registered' })
        ids.push(guide_id)
      }
      return ids
    },

    assign: (no: string, body: object, headers?: Record<string, string>) =>
      request('POST', `/orders/${encodeURIComponent(no)}/assign`, {
        body,
        ...(headers ? { headers } : {}),
      }),

    async order(no: string, query = ''): Promise<WireOrder> {
      const answer = await request('GET', `/orders/${encodeURIComponent(no)}${query}`)
      return readJson(answer)
    },

    /** The assigns that reached the simulator, validly signed, oldest first. */
    async sent(no?: string): Promise<Sent[]> {
      const { entries } = await control('GET', '/log?since=0')
      const sent: Sent[] = []
      for (const { method, path, body, signature_valid, answer } of entries) {
        const guideId = /^\/v3\/smartguide\/guides\/([^/]+)\/assign$/.exec(path)?.[1]
        if (method !== 'POST' || guideId === undefined || !signature_valid) continue
        const { out_trade_no, sub_mchid } = JSON.parse(body)
        if (no !== undefined && out_trade_no !== no) continue
        sent.push({
          guideId: decodeURIComponent(guideId),
          outTradeNo: out_trade_no,
          subMchid: sub_mchid ?? null,
          status: answer?.status ?? 0,
        })
      }
      return sent
    },

    faults: (...script: string[]) =>
      control('PUT', '/faults', { script: script.map(fault => ({ on: 'assign', do: fault })) }),

    async close() {
      await Promise.all([assignments.drain(), registry.stop()])
      await upstream.close()
      db.$client.close()
      if (!options.simulator) await simulator.stop()
      if (!options.dataDir) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

export async function readJson(answer: Response): Promise<WireOrder> {
  const read: WireOrder = JSON.parse(await answer.text())
  return read
}

/** Waits until `probe` is true, for `limitMs` at most. */
export async function eventually(probe: () => Promise<boolean>, limitMs = 5000): Promise<void> {
  const untilMs = performance.now() + limitMs
  while (!(await probe())) {
    if (performance.now() > untilMs) throw new Error(`not so within ${limitMs} ms: ${probe}`)
    await new Promise(done => setTimeout(done, 20))
  }
}

export const randomNo = (): string => randomBytes(8).toString('hex')
