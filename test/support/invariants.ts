import { join } from 'node:path'
import type Database from 'better-sqlite3'
import { type Db, openDatabase } from '../../src/db/open.ts'
import { openHistory } from '../../src/ledger/history.ts'
import type { Attempt, OrderTrace } from '../../src/ledger/order.ts'
import { verify } from '../../src/ledger/verify.ts'
import type { LogEntry } from '../../src/simulator/request-log.ts'
import type { Rig, WireOrder } from './rig.ts'

export type SentAssign = {
  guideId: string
  outTradeNo: string
  subMchid: string | null
  /** When it came to WeChat Pay. */
  atMs: number
  /** It was answered with 2xx and a signature that holds. */
  accepted: boolean
}

/** What a client was told of an order: the status, and the guide. */
export type Told = {
  outTradeNo: string
  status: string
  guideId: string | null
  generation: number
  /** The answer to a payment or a closing, and when it came. */
  ended?: { by: 'paid' | 'closed'; atMs: number }
}

export type Witnesses = {
  db: Database.Database
  sent: readonly SentAssign[]
  told: readonly Told[]
  nowMs: number
  /** The service was away for a while, and could end no window meanwhile. */
  wasDown?: boolean
}

type Row = {
  out_trade_no: string
  status: string
  guide_id: string | null
  generation: number
  attempts: string
  trace: string | null
  decided_at_ms: number
  expires_at_ms: number
  due_at_ms: number | null
  settled_at_ms: number | null
  paid_at_ms: number | null
  closed_at_ms: number | null
}

type Generation = { generation: number; guideId: string | null; status: string }
type OrderSeen = { no: string; row: Row; generations: Generation[] }

/** What a call takes from leaving us to being written down there, on a busy machine; when it left stands in the row. */
const clockToleranceMs = 1000
const settleLimitMs = 1000

/**
 * The invariants of the design, asked of the three who know: the database, WeChat Pay's log, and what clients were told.
 * One sentence for each that does not hold.
 */
export function brokenInvariants({ db, sent, told, nowMs, wasDown = false }: Witnesses): string[] {
  const orders = readOrders(db)
  const sends = Map.groupBy(sent, ({ outTradeNo }) => outTradeNo)
  const answers = Map.groupBy(told, ({ outTradeNo }) => outTradeNo)
  const lost = (nos: Iterable<string>, what: string) =>
    [...nos]
      .filter(no => !orders.has(no))
      .map(no => `order ${no} ${what} and is not in the database`)
  return [
    ...lost(sends.keys(), 'was sent'),
    ...lost(answers.keys(), 'was answered'),
    ...[...orders.values()].flatMap(order => {
      const sentOfIt = sends.get(order.no) ?? []
      const toldOfIt = answers.get(order.no) ?? []
      return [
        ...brokenSends(order, sentOfIt),
        ...brokenAcceptance(order, sentOfIt),
        ...brokenWindow(order, sentOfIt, toldOfIt, nowMs, wasDown),
        ...brokenAnswers(order, toldOfIt),
      ]
    }),
    ...unevenBooks(db),
  ]
}

/** Each book recomputed from the log of its store; duplicates have no turn there. */
export async function brokenBooks(db: Db): Promise<string[]> {
  const stores = db.$client
    .prepare<[], number>('SELECT DISTINCT store_id FROM orders ORDER BY store_id')
    .pluck()
    .all()
  const always = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  const history = openHistory(db)
  const broken: string[] = []
  for (const storeId of stores) {
    const { faults } = await history.read(past => verify(past, storeId, always, () => null))
    for (const { out_trade_no, what } of faults)
      broken.push(
        `store ${storeId}: ${out_trade_no === null ? '' : `order ${out_trade_no} `}${what}`,
      )
  }
  return broken
}

/** All of them, for a service in this process; `sent` when its WeChat Pay is not the simulator. */
export async function brokenIn(
  rig: Rig,
  told: readonly Told[] = [],
  sent?: readonly SentAssign[],
): Promise<string[]> {
  const nowMs = Date.now() + rig.skew.ms
  return [
    ...brokenInvariants({ db: rig.db.$client, sent: sent ?? (await sentTo(rig)), told, nowMs }),
    ...(await brokenBooks(rig.db)),
  ]
}

/** All of them, for a service that has ended. */
export async function brokenAfter(
  dataDir: string,
  witnesses: Omit<Witnesses, 'db' | 'nowMs'>,
): Promise<string[]> {
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  try {
    return [
      ...brokenInvariants({ ...witnesses, db: db.$client, nowMs: Date.now() }),
      ...(await brokenBooks(db)),
    ]
  } finally {
    db.$client.close()
  }
}

export function toldOf(order: WireOrder): Told {
  return {
    outTradeNo: String(order['out_trade_no']),
    status: order.status,
    guideId: order.guide_id,
    generation: Number(order['generation']),
  }
}

/** The assigns that reached the simulator, as its log has them. */
export async function sentTo({ control }: Pick<Rig, 'control'>): Promise<SentAssign[]> {
  const { entries }: { entries: LogEntry[] } = await control('GET', '/log?since=0')
  return readSent(entries)
}

/** Those that were validly signed, the first first. */
export function readSent(entries: readonly LogEntry[]): SentAssign[] {
  const sent: SentAssign[] = []
  for (const { method, path, body, at, signature_valid, answer, fault } of entries) {
    const guideId = /^\/v3\/smartguide\/guides\/([^/]+)\/assign$/.exec(path)?.[1]
    if (method !== 'POST' || guideId === undefined || !signature_valid) continue
    const { out_trade_no, sub_mchid } = JSON.parse(body)
    const isSuccess = answer.status !== null && answer.status >= 200 && answer.status < 300
    sent.push({
      guideId: decodeURIComponent(guideId),
      outTradeNo: out_trade_no,
      subMchid: sub_mchid ?? null,
      atMs: Date.parse(at),
      accepted: isSuccess && (fault === null || !spoilingFaults.includes(fault)),
    })
  }
  return sent.sort((a, b) => a.atMs - b.atMs)
}

/** A success that cannot be believed. */
const spoilingFaults = ['unsigned', 'wrong_signature', 'signtest', 'clock_skew', 'garbage_body']

function readOrders(db: Database.Database): Map<string, OrderSeen> {
  const rows = db
    .prepare<[], Row>(`
      SELECT out_trade_no, status, guide_id, generation, attempts, trace, decided_at_ms, expires_at_ms, due_at_ms,
        settled_at_ms, paid_at_ms, closed_at_ms
      FROM orders`)
    .all()
  const orders = new Map(
    rows.map(row => {
      const { out_trade_no: no, generation, guide_id: guideId, status } = row
      const { earlier = [] }: OrderTrace = JSON.parse(row.trace ?? '{}')
      return [no, { no, row, generations: [...earlier, { generation, guideId, status }] }]
    }),
  )
  if (orders.size < rows.length) throw new Error('two merchants have orders of one number')
  return orders
}

/** One guide a generation, one generation after the other. */
function brokenSends({ no, generations }: OrderSeen, sends: readonly SentAssign[]): string[] {
  let at = 0
  for (const { guideId } of sends) {
    const found = generations.findIndex((one, index) => index >= at && one.guideId === guideId)
    if (found < 0) {
      const guides = generations.map(one => one.guideId).join(', ')
      return [`order ${no} was sent with ${guideId}, and its generations had ${guides}`]
    }
    at = found
  }
  return []
}

function brokenAcceptance({ no, generations }: OrderSeen, sends: readonly SentAssign[]): string[] {
  return generations
    .filter(({ status }) => status === 'assigned')
    .filter(({ guideId }) => !sends.some(one => one.accepted && one.guideId === guideId))
    .map(({ guideId }) => `order ${no} is assigned to ${guideId}, whom WeChat Pay never accepted`)
}

function brokenWindow(
  { no, row }: OrderSeen,
  sends: readonly SentAssign[],
  told: readonly Told[],
  nowMs: number,
  wasDown: boolean,
): string[] {
  const broken: string[] = []
  const { status, expires_at_ms, settled_at_ms, due_at_ms } = row
  // Payment and closing move the end of the window to an instant that may be over when they are told.
  const isCutShort = row.paid_at_ms !== null || row.closed_at_ms !== null
  const ends = told.flatMap(({ ended }) => (ended ? [ended.atMs] : []))
  const endMs = isCutShort ? Math.min(...ends) : expires_at_ms
  for (const { atMs } of sends) {
    if (atMs > endMs + clockToleranceMs)
      broken.push(`order ${no} was sent ${atMs - endMs} ms after its window`)
  }
  const attempts: Attempt[] = JSON.parse(row.attempts)
  for (const { at_ms } of attempts) {
    if (!isCutShort && at_ms > expires_at_ms)
      broken.push(`order ${no} left ${at_ms - expires_at_ms} ms after its window`)
  }
  if (status === 'pending' && nowMs > expires_at_ms + settleLimitMs)
    broken.push(`order ${no} is pending ${nowMs - expires_at_ms} ms after its window`)
  const lateMs = (settled_at_ms ?? 0) - Math.max(expires_at_ms, row.decided_at_ms)
  if (status === 'expired' && !isCutShort && !wasDown && lateMs > settleLimitMs)
    broken.push(`order ${no} was pending ${lateMs} ms after its window`)
  if ((status === 'pending') !== (due_at_ms !== null))
    broken.push(`order ${no} is ${status} and ${due_at_ms === null ? 'not ' : ''}due`)
  return broken
}

function brokenAnswers({ no, row, generations }: OrderSeen, told: readonly Told[]): string[] {
  const broken: string[] = []
  for (const [number, answers] of Map.groupBy(told, ({ generation }) => generation)) {
    const guides = [...new Set(answers.map(({ guideId }) => guideId))]
    const statuses = [...new Set(answers.map(({ status }) => status))].filter(
      status => status !== 'pending',
    )
    const differ = guides.length > 1 ? guides : statuses.length > 1 ? statuses : []
    if (differ.length > 0)
      broken.push(`order ${no} was answered with ${differ.join(' and with ')} in one generation`)
    const kept = generations.find(({ generation }) => generation === number)
    if (!kept) {
      broken.push(`order ${no} was answered in generation ${number}, which is not in the database`)
      continue
    }
    for (const guideId of guides.filter(guideId => guideId !== kept.guideId))
      broken.push(`order ${no} was answered with ${guideId}, and the database has ${kept.guideId}`)
    for (const status of statuses.filter(status => status !== kept.status))
      broken.push(`order ${no} was answered as ${status}, and the database has ${kept.status}`)
  }
  for (const { ended } of told) {
    if (ended && row[`${ended.by}_at_ms`] === null)
      broken.push(`order ${no} was answered as ${ended.by}, and the database knows nothing of it`)
  }
  return broken
}

function unevenBooks(db: Database.Database): string[] {
  return db
    .prepare<[], { store_id: number; book: string; page: string }>(
      'SELECT store_id, book, page FROM books',
    )
    .all()
    .flatMap(({ store_id, book, page }) => {
      const { standings }: { standings: Record<string, [number, number]> } = JSON.parse(page)
      const sum = Object.values(standings).reduce((all, [balance]) => all + balance, 0)
      return sum === 0 ? [] : [`book ${book} of store ${store_id} sums to ${sum}, not to 0`]
    })
}
