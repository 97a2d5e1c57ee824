import type { Db } from '../db/open.ts'
import type { BookView, Standing, Turn } from '../rules/decide.ts'
import {
  charge,
  type LoggedTurn,
  logTurn,
  moveHandedOn,
  refund,
  retaken,
  type Standings,
} from '../rules/logged.ts'

type Page = { turn: number; standings: Standings }
type StoredPage = { turn: number; standings: Record<string, [balance: number, lastServed: number]> }

export type RecordedTurn = LoggedTurn

const nobody: Standing = { balance: 0, lastServed: 0 }

/** The fairness books, warm in memory, true in the database once `write` and the commit are through. */
export function openBooks(db: Db, maxPages = 16_384) {
  const read = db.$client
    .prepare<[storeId: number, book: string], string>(
      'SELECT page FROM books WHERE store_id = ? AND book = ?',
    )
    .pluck()
  const write = db.$client.prepare<[storeId: number, book: string, page: string]>(`
    INSERT INTO books (store_id, book, page) VALUES (?, ?, ?)
    ON CONFLICT (store_id, book) DO UPDATE SET page = excluded.page`)

  const pages = new Map<string, Page>()
  const changed = new Map<string, { storeId: number; book: string; page: Page }>()

  function pageOf(storeId: number, book: string): Page {
    const key = `${storeId}/${book}`
    const warm = pages.get(key)
    if (warm) return warm
    const page = parsePage(read.get(storeId, book))
    if (pages.size >= maxPages) evictOne()
    pages.set(key, page)
    return page
  }

  function evictOne(): void {
    for (const key of pages.keys()) {
      if (changed.has(key)) continue
      pages.delete(key)
      return
    }
  }

  function change(storeId: number, book: string): Page {
    const page = pageOf(storeId, book)
    changed.set(`${storeId}/${book}`, { storeId, book, page })
    return page
  }

  return {
    view(storeId: number, book: string): BookView {
      const { standings } = pageOf(storeId, book)
      return {
        name: book,
        standing: guideId => standings.get(guideId) ?? nobody,
        holders: () => standings.keys(),
      }
    },

    take(storeId: number, turn: Turn): LoggedTurn {
      const page = change(storeId, turn.book)
      page.turn += 1
      const logged = logTurn(turn, page.turn)
      moveHandedOn(page.standings, logged)
      charge(page.standings, logged, turn.changes)
      return logged
    },

    /** Takes a turn that was given back, as the candidates stand now. */
    takeAnew(storeId: number, turn: LoggedTurn): LoggedTurn {
      const page = change(storeId, turn.book)
      page.turn += 1
      const logged = retaken(turn, page.standings, page.turn)
      charge(page.standings, logged)
      return logged
    },

    /** The number of the refund in its book: turns and refunds count together. */
    refund(storeId: number, turn: LoggedTurn): number {
      const page = change(storeId, turn.book)
      page.turn += 1
      refund(page.standings, turn)
      return page.turn
    },

    write(): void {
      for (const { storeId, book, page } of changed.values()) {
        write.run(storeId, book, printPage(page))
      }
      changed.clear()
    },

    forget(): void {
      pages.clear()
      changed.clear()
    },
  }
}

export function parsePage(text: string | undefined): Page {
  if (text === undefined) return { turn: 0, standings: new Map() }
  const { turn, standings }: StoredPage = JSON.parse(text)
  return {
    turn,
    standings: new Map(
      Object.entries(standings).map(([id, [balance, lastServed]]) => [id, { balance, lastServed }]),
    ),
  }
}

function printPage({ turn, standings }: Page): string {
  const stored: StoredPage = { turn, standings: Object.create(null) }
  for (const [id, { balance, lastServed }] of standings)
    stored.standings[id] = [balance, lastServed]
  return JSON.stringify(stored)
}
