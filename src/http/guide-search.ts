import { createBreather } from '../clock.ts'
import type { Guide, Guides } from '../mirror/guides.ts'

type Wanted = { storeId: number | null; q: string | null; after: string; limit: number }
type Found = { guides: Guide[]; next: string | null }

const readAtOnce = 200
/** Names are sealed, so a part of one is looked for by opening them: so many for one answer. */
const maxOpened = 5000

/** A page of guides, by guide_id. A page may be short, or empty, and have a next one. */
export function createGuideSearch(guides: Guides): (wanted: Wanted) => Promise<Found> {
  return async ({ storeId, q, after, limit }) => {
    const inStore = (guide: Guide) => storeId === null || guide.storeId === storeId
    const byMobile = q !== null && /^\+?[\d -]{5,32}$/.test(q) ? guides.byMobile(q) : []
    if (byMobile.length > 0) return { guides: byMobile.filter(inStore), next: null }

    const found: Guide[] = []
    const breathe = createBreather()
    let at = after
    for (let opened = 0; opened < maxOpened; opened += readAtOnce) {
      const page = guides.list(at, readAtOnce, storeId)
      for (const guide of page) {
        await breathe()
        at = guide.guideId
        if (q !== null && !matches(guide, q)) continue
        found.push(guide)
        if (found.length === limit) return { guides: found, next: at }
      }
      if (page.length < readAtOnce) return { guides: found, next: null }
    }
    return { guides: found, next: at }
  }
}

function matches({ guideId, userid, workId, profile }: Guide, q: string): boolean {
  return (
    guideId === q ||
    userid === q ||
    workId === q ||
    (profile?.name?.toLowerCase().includes(q.toLowerCase()) ?? false)
  )
}
