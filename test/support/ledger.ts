import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { type Db, openDatabase } from '../../src/db/open.ts'
import type { RecordedTurn } from '../../src/ledger/books.ts'
import type { Asked, LedgerView, NewOrder, OrderTrace, Resolution } from '../../src/ledger/order.ts'
import { decide, type Question, type Rules } from '../../src/rules/decide.ts'
import { type HandedOn, shares, turnChanges } from '../../src/rules/fairness.ts'
import { aStore, mondayMs } from './rules.ts'

export const merchant = '1900000109'
export const windowMs = 60_000

export function aDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'smartguide-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** A database file with the real migrations in a directory of its own. */
export function aDatabase(): { db: Db; path: string; close(): void } {
  const directory = aDirectory()
  const path = join(directory.path, 'smartguide.db')
  const db = openDatabase(path)
  return {
    db,
    path,
    close() {
      db.$client.close()
      directory.remove()
    },
  }
}

let ordersMade = 0

export function anOrder(facts: Partial<NewOrder> = {}): NewOrder {
  ordersMade += 1
  return {
    merchant,
    outTradeNo: `order-${ordersMade}`,
    storeId: 1,
    facts: facts.test ? '{"test":true}' : '{}',
    cartId: null,
    test: false,
    ...facts,
  }
}

/** Decides with the real rules, as an assignment would. */
export function decideBy(
  rules: Rules = aStore(),
  { atMs = mondayMs, ...facts }: Partial<Omit<Question, 'openBook' | 'sticky'>> = {},
): (view: LedgerView) => Resolution {
  return view => {
    const asked: Asked = { owner: facts.owner ?? null, sticky: view.cartGuide() }
    const decision = decide(rules, {
      atMs,
      outTradeNo: 'order',
      channel: null,
      memberLevel: null,
      amountFen: null,
      hint: null,
      isPaused: () => false,
      tally: view.tally,
      ...facts,
      ...asked,
      openBook: view.openBook,
    })
    return {
      ...decision,
      asked,
      status: decision.guideId === null ? 'unassigned' : 'pending',
      versions: rules.versions,
      decidedAtMs: atMs,
      expiresAtMs: atMs + windowMs,
    }
  }
}

export type Standings = Record<string, [balance: number, lastServed: number]>

/** A book as the file has it, read by a connection of its own. */
export function bookOnDisk(path: string, storeId = 1, book = 'orders'): Standings {
  return onDisk(path, client => {
    const page = client
      .prepare<[number, string], string>('SELECT page FROM books WHERE store_id = ? AND book = ?')
      .pluck()
      .get(storeId, book)
    if (page === undefined) return {}
    const { standings }: { standings: Standings } = JSON.parse(page)
    return standings
  })
}

/** The balances that follow from the orders alone: each turn taken and not given back, and all that was handed on. */
export function balancesFromOrders(path: string, storeId = 1): Map<string, number> {
  const rows = onDisk(path, client =>
    client
      .prepare<[number], { trace: string; turn: string | null }>(
        'SELECT trace, turn FROM orders WHERE store_id = ? AND trace IS NOT NULL ORDER BY id',
      )
      .all(storeId)
      .map(({ trace, turn }) => ({ ...(JSON.parse(trace) as OrderTrace), holds: turn })),
  )
  const taken = rows.flatMap(({ turn, holds }) => (turn && holds === 'taken' ? [turn] : []))
  const handedOn = rows
    .flatMap(row => [row, ...(row.earlier ?? [])])
    .flatMap(({ turn, inherited }) =>
      turn && turn.number > 0 && !inherited ? (turn.handedOn ?? []) : [],
    )
  return recompute(taken, handedOn)
}

function recompute(
  turns: readonly RecordedTurn[],
  handedOn: readonly HandedOn[],
): Map<string, number> {
  const balances = new Map<string, number>()
  for (const [id, , change] of handedOn) balances.set(id, (balances.get(id) ?? 0) + change)
  for (const { candidates, chosen, units } of turns) {
    const split = shares(
      candidates.map(([id, weight]) => ({ id, weight })),
      units,
    )
    for (const [index, change] of turnChanges(split, chosen).entries()) {
      const id = candidates[index]?.[0] ?? ''
      balances.set(id, (balances.get(id) ?? 0) + change)
    }
  }
  return balances
}

export function onDisk<T>(path: string, read: (client: Database.Database) => T): T {
  const client = new Database(path, { readonly: true })
  try {
    return read(client)
  } finally {
    client.close()
  }
}

/** What a crash of the process would leave: the two files as they are now, opened elsewhere. */
export function asAfterCrash<T>(path: string, read: (copy: string) => T): T {
  const directory = aDirectory()
  try {
    const copy = join(directory.path, 'copy.db')
    copyFileSync(path, copy)
    if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`)
    return read(copy)
  } finally {
    directory.remove()
  }
}

/**
 * The commits in a write-ahead log that was not checkpointed yet: the frames that carry the size of the database.
 * https://sqlite.org/fileformat2.html#wal_file_format
 */
export function commitsInLog(path: string): number {
  const log = readFileSync(`${path}-wal`)
  if (log.length < 32) return 0
  const frameBytes = 24 + log.readUInt32BE(8)
  const salt = log.subarray(16, 24)
  let commits = 0
  for (let at = 32; at + frameBytes <= log.length; at += frameBytes) {
    if (!log.subarray(at + 8, at + 16).equals(salt)) break
    if (log.readUInt32BE(at + 4) !== 0) commits += 1
  }
  return commits
}
