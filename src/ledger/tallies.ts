import type { Db } from '../db/open.ts'
import type { CountingFrom } from '../rules/eligibility.ts'

type Page = CountingFrom & { hour: Map<string, number>; day: Map<string, number> }

/**
 * How many orders each guide of a store has had in the present hour and business day, for the caps: read from the
 * orders once an hour and store, kept in step by `add`, and so true inside the transaction that decides.
 */
export function openTallies(db: Db, maxPages = 16_384) {
  const counts = db.$client.prepare<
    [number, number, number, number],
    { guide_id: string; hour: number; day: number }
  >(`
    SELECT guide_id, sum(decided_at_ms >= ?) AS hour, count(*) AS day
    FROM orders
    WHERE store_id = ? AND decided_at_ms BETWEEN ? AND ? AND guide_id IS NOT NULL AND status <> 'rejected'
      AND closed_at_ms IS NULL AND json_extract(facts, '$.test') IS NULL
    GROUP BY guide_id`)
  const pages = new Map<number, Page>()

  function pageOf(storeId: number, from: CountingFrom, untilMs: number): Page {
    const warm = pages.get(storeId)
    if (warm && warm.hourMs === from.hourMs && warm.dayMs === from.dayMs) return warm
    const rows = counts.all(from.hourMs, storeId, from.dayMs, untilMs)
    const page = {
      ...from,
      hour: new Map(rows.map(({ guide_id, hour }) => [guide_id, hour])),
      day: new Map(rows.map(({ guide_id, day }) => [guide_id, day])),
    }
    if (pages.size >= maxPages) pages.clear()
    pages.set(storeId, page)
    return page
  }

  return {
    /** `untilMs`, the last instant that counts, is for whoever asks of the past, and always the same. */
    of(
      storeId: number,
      guideId: string,
      from: CountingFrom,
      untilMs = Number.MAX_SAFE_INTEGER,
    ): { hour: number; day: number } {
      const page = pageOf(storeId, from, untilMs)
      return { hour: page.hour.get(guideId) ?? 0, day: page.day.get(guideId) ?? 0 }
    },

    /** An order was given to a guide, or (`by` −1) taken back. */
    add(order: { storeId: number; guideId: string | null; decidedAtMs: number }, by: 1 | -1): void {
      const page = pages.get(order.storeId)
      const { guideId, decidedAtMs } = order
      if (!page || guideId === null) return
      if (decidedAtMs >= page.dayMs) page.day.set(guideId, (page.day.get(guideId) ?? 0) + by)
      if (decidedAtMs >= page.hourMs) page.hour.set(guideId, (page.hour.get(guideId) ?? 0) + by)
    },

    forget(): void {
      pages.clear()
    },
  }
}
