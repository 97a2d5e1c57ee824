import type Database from 'better-sqlite3'
import type { Rig } from './rig.ts'

export type SentAssign = {
  guideId: string
  outTradeNo: string
  subMchid: string | null
  atMs: number
}

/** What a client was told of an order: the status, and the guide. */
export type Told = {
  outTradeNo: string
  status: string
  guideId: string | null
  generation: number
}

type Row = {
  out_trade_no: string
  merchant: string
  status: string
  guide_id: string | null
  generation: number
  expires_at_ms: number
  decided_at_ms: number
  due_at_ms: number | null
}

/**
 * The invariants of the design, asked of the three who know: the database, WeChat Pay's log, and what clients were told.
 * One sentence for each that does not hold.
 */
export function brokenInvariants({
  db,
  sent,
  told,
  nowMs,
}: {
  db: Database.Database
  sent: readonly SentAssign[]
  told: readonly Told[]
  nowMs: number
}): string[] {
  const broken: string[] = []
  const rows = new Map(
    db
      .prepare<[], Row>(
        'SELECT out_trade_no, merchant, status, guide_id, generation, expires_at_ms, decided_at_ms, due_at_ms FROM orders',
      )
      .all()
      .map(row => [row.out_trade_no, row]),
  )

  for (const [no, sends] of Map.groupBy(sent, ({ outTradeNo }) => outTradeNo)) {
    const row = rows.get(no)
    const guides = new Set(sends.map(({ guideId }) => guideId))
    if (!row) {
      broken.push(`order ${no} was sent and is not in the database`)
      continue
    }
    if (guides.size > row.generation) {
      broken.push(
        `order ${no} was sent with ${guides.size} guides in ${row.generation} generations`,
      )
    }
    if (row.guide_id !== null && !guides.has(row.guide_id) && row.status === 'assigned') {
      broken.push(`order ${no} is assigned to a guide whom WeChat Pay was never told of`)
    }
    for (const { atMs } of sends) {
      if (atMs > row.expires_at_ms + clockToleranceMs) {
        broken.push(`order ${no} was sent ${atMs - row.expires_at_ms} ms after its window`)
      }
    }
  }
  for (const { outTradeNo, guideId, generation } of told) {
    const row = rows.get(outTradeNo)
    if (!row) broken.push(`order ${outTradeNo} was answered and is not in the database`)
    else if (row.generation === generation && row.guide_id !== guideId) {
      broken.push(`order ${outTradeNo} was answered with a guide who is not in the database`)
    }
  }
  for (const { out_trade_no, status, expires_at_ms, due_at_ms } of rows.values()) {
    if (status === 'pending' && nowMs > expires_at_ms + 1000) {
      broken.push(`order ${out_trade_no} is pending ${nowMs - expires_at_ms} ms after its window`)
    }
    if ((status === 'pending') !== (due_at_ms !== null)) {
      broken.push(`order ${out_trade_no} is ${status} and ${due_at_ms === null ? 'not ' : ''}due`)
    }
  }
  const pages = db.prepare<[], { page: string }>('SELECT page FROM books').all()
  for (const { page } of pages) {
    const { standings }: { standings: Record<string, [number, number]> } = JSON.parse(page)
    const sum = Object.values(standings).reduce((all, [balance]) => all + balance, 0)
    if (sum !== 0) broken.push(`a book sums to ${sum}`)
  }
  return broken
}

/** What a call takes from leaving us to being written down there. */
const clockToleranceMs = 100

/** The assigns that reached the simulator, as its log has them. */
export async function sentTo({ control }: Pick<Rig, 'control'>): Promise<SentAssign[]> {
  const { entries } = await control('GET', '/log?since=0')
  const sent: SentAssign[] = []
  for (const { method, path, body, at, signature_valid } of entries) {
    const guideId = /^\/v3\/smartguide\/guides\/([^/]+)\/assign$/.exec(path)?.[1]
    if (method !== 'POST' || guideId === undefined || !signature_valid) continue
    const { out_trade_no, sub_mchid } = JSON.parse(body)
    sent.push({
      guideId: decodeURIComponent(guideId),
      outTradeNo: out_trade_no,
      subMchid: sub_mchid ?? null,
      atMs: Date.parse(at),
    })
  }
  return sent
}
