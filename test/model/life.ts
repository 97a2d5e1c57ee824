import { dirname, join } from 'node:path'
import { openAudit } from '../../src/access/audit.ts'
import { openKeys, type Scope, type scopes } from '../../src/access/keys.ts'
import { createApp } from '../../src/app.ts'
import { createAssignments } from '../../src/assignment/assignments.ts'
import { createReports } from '../../src/assignment/reports.ts'
import { openDatabase } from '../../src/db/open.ts'
import { createRegistry } from '../../src/guides/registry.ts'
import { openHistory } from '../../src/ledger/history.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import { openSandbox } from '../../src/ledger/sandbox.ts'
import { openGuideImports } from '../../src/mirror/guide-imports.ts'
import { openGuides } from '../../src/mirror/guides.ts'
import { openMirror } from '../../src/mirror/mirror.ts'
import { openVault } from '../../src/mirror/open-vault.ts'
import { unanswered } from '../../src/wechatpay/outcome.ts'
import type { Counterpart } from './counterpart.ts'
import type { Hours } from './hours.ts'

export const merchant = '1900000109'
export const storeId = 1
export const windowMs = 10_000
export const waitMs = 800
export const guideIds = ['A', 'B', 'C', 'D', '__proto__']

export type Secrets = Record<Scope, string>
export type OrderRow = {
  id: number
  no: string
  status: string
  generation: number
  guideId: string | null
  reason: string
  turn: string | null
  decidedAtMs: number
  expiresAtMs: number
  dueAtMs: number | null
  settledAtMs: number | null
  paidAtMs: number | null
  closedAtMs: number | null
}

/** A file with a store, its guides and a key of each scope, to begin from. */
export function prepareFile(path: string): Secrets {
  const db = openDatabase(path)
  const mirror = openMirror(db)
  mirror.putStore({ storeId, merchant, name: 'store', timezone: 'Asia/Shanghai' })
  for (const id of guideIds) mirror.putGuide({ id, storeId, state: 'registered' })
  openVault(db, join(dirname(path), 'pii.key'))
  const keys = openKeys(db)
  const mint = (scope: Scope) =>
    keys.create({ scope, stores: null, name: null, expiresAtMs: null }, 0).key
  const secrets = { assign: mint('assign'), manage: mint('manage'), admin: mint('admin') }
  db.$client.pragma('journal_mode = DELETE')
  db.$client.close()
  return secrets satisfies Record<(typeof scopes)[number], string>
}

/** One life of the service, from its start to its end, in this process; all is real but WeChat Pay and the time. */
export async function openLife(
  number: number,
  path: string,
  { hours, counterpart, secrets }: { hours: Hours; counterpart: Counterpart; secrets: Secrets },
) {
  const { clock } = hours
  const failures: unknown[] = []
  const failed = (cause: unknown) => failures.push(cause)
  const db = openDatabase(path)
  const mirror = openMirror(db)
  const ledger = openLedger(db)
  const readRows = db.$client.prepare<[], OrderRow>(`
    SELECT id, out_trade_no AS no, status, generation, guide_id AS guideId, reason, turn,
      decided_at_ms AS decidedAtMs, expires_at_ms AS expiresAtMs, due_at_ms AS dueAtMs,
      settled_at_ms AS settledAtMs, paid_at_ms AS paidAtMs, closed_at_ms AS closedAtMs
    FROM orders ORDER BY id`)
  const readRow = db.$client.prepare<
    [string],
    { guideId: string; generation: number; status: string; expiresAtMs: number }
  >(
    'SELECT guide_id AS guideId, generation, status, expires_at_ms AS expiresAtMs FROM orders WHERE out_trade_no = ?',
  )
  const readPage = db.$client.prepare<[], string>("SELECT page FROM books WHERE book = 'orders'")
  const changes = db.$client.prepare<[], number>('SELECT total_changes()').pluck()
  const early: string[] = []

  const port = counterpart.port(number, ({ outTradeNo, guideId }) => {
    const row = readRow.get(outTradeNo)
    if (db.$client.inTransaction) early.push(`${outTradeNo} was sent before it was committed`)
    if (row?.status !== 'pending' || row.guideId !== guideId)
      early.push(`${outTradeNo} was sent with ${guideId}, and its row says ${JSON.stringify(row)}`)
    if (row && clock.nowMs() >= row.expiresAtMs)
      early.push(`${outTradeNo} was sent after its window`)
    return row?.generation ?? 0
  })
  const assignments = createAssignments({
    ledger,
    mirror,
    client: port,
    clock,
    mode: 'direct',
    windowMs,
    ratePerSecond: 1000,
    // Without jitter nothing sleeps by the real clock, and the order of things follows from the sequence alone.
    random: () => 0,
    failed,
  })
  const vault = openVault(db, join(dirname(path), 'pii.key'))
  const guides = openGuides(db, vault, mirror.forgetReady)
  const guideImports = openGuideImports(db, vault)
  const nothingSent = async () => unanswered('not_sent', 'nobody asks')
  const registry = createRegistry({
    mirror,
    guides,
    guideImports,
    calls: {
      hosts: port.hosts,
      queryGuides: nothingSent,
      registerGuide: nothingSent,
      updateGuide: nothingSent,
    },
    clock,
    mode: 'direct',
    ratePerSecond: 1,
    syncEveryMs: 0,
    failed,
  })
  const app = createApp({
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
    keys: openKeys(db),
    audit: openAudit(db),
    clock,
    merchant: { mode: 'direct', mchid: merchant },
    waitMs,
    storage: db.storage,
    isReady: () => true,
    report: failed,
  })

  return {
    number,
    path,
    mirror,
    failures,
    early,
    startedAtMs: clock.nowMs(),
    client: db.$client,
    rows: () => readRows.all(),

    /** What moves whenever something happens. */
    progress: () => (changes.get() ?? 0) + counterpart.calls.length,

    book(): { turn: number; standings: Record<string, [number, number]> } {
      return JSON.parse(readPage.pluck().get() ?? '{"turn":0,"standings":{}}')
    },

    start: () => assignments.resume(),

    async request(
      method: string,
      path: string,
      {
        body,
        scope = 'assign',
        headers = {},
      }: { body?: unknown; scope?: Scope; headers?: Record<string, string> } = {},
    ) {
      const answer = await app.request(path, {
        method,
        headers: {
          authorization: `Bearer ${secrets[scope]}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await answer.text()
      return {
        status: answer.status,
        headers: answer.headers,
        body: text === '' ? null : JSON.parse(text),
      }
    },

    drain: () => assignments.drain(),

    /** From here on WeChat Pay hears nothing of it. */
    mute: port.end,

    close: () => db.$client.close(),
  }
}

export type Life = Awaited<ReturnType<typeof openLife>>
export type Answer = Awaited<ReturnType<Life['request']>>
