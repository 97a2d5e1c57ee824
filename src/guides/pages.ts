import { AppError } from '../errors.ts'
import { guideIdSchema } from '../rules/names.ts'
import {
  type GuidePage,
  type GuideQuery,
  maxPageSize,
  type UpstreamGuide,
} from '../wechatpay/guides.ts'
import { refusedBy, type Upstream } from './upstream.ts'

const maxGuides = 5000
const maxReadings = 3

type Wanted = Pick<GuideQuery, 'subMchid' | 'storeId' | 'by'>

/**
 * The first guide of the store who is meant; null when there is none.
 *
 * @throws AppError refused_upstream, upstream_unavailable, draining
 */
export async function findGuide(
  upstream: Upstream,
  wanted: Wanted,
  isMeant: (guide: UpstreamGuide) => boolean,
): Promise<UpstreamGuide | null> {
  for (let offset = 0; offset < maxGuides; offset += maxPageSize) {
    const { guides, totalCount } = await readPage(upstream, wanted, offset)
    const found = guides.find(guide => guide.storeId === wanted.storeId && isMeant(guide))
    if (found) return found
    if (guides.length < maxPageSize || offset + guides.length >= totalCount) break
  }
  return null
}

/**
 * All guides of a store, by guide_id.
 *
 * Pages are of a list that may change between them: who stands on no page then may still be there. A list that shrank,
 * or whose pages do not add up to what it says, is read again.
 *
 * @throws AppError when not every page could be read, or the service stops
 */
export async function readGuides(
  upstream: Upstream,
  { subMchid, storeId }: Omit<Wanted, 'by'>,
): Promise<Map<string, UpstreamGuide>> {
  let why = ''
  for (let reading = 0; reading < maxReadings; reading++) {
    const read = await readOnce(upstream, { subMchid, storeId, by: null })
    if (typeof read !== 'string') return read
    why = read
  }
  throw incomplete(why)
}

/** Why the pages make no list, else the list. */
async function readOnce(
  upstream: Upstream,
  wanted: Wanted,
): Promise<Map<string, UpstreamGuide> | string> {
  const seen = new Map<string, UpstreamGuide>()
  let total = 0
  for (let offset = 0; ; offset += maxPageSize) {
    const { guides, totalCount } = await readPage(upstream, wanted, offset)
    if (totalCount > maxGuides) throw incomplete(`it has ${totalCount} guides`)
    if (totalCount < total) return 'its list changed while it was read'
    total = totalCount
    for (const guide of guides) seen.set(checked(guide, wanted.storeId).guideId, guide)
    if (offset + guides.length >= total) {
      return seen.size === total ? seen : 'its list changed while it was read'
    }
    if (guides.length === 0) return 'its list ended early'
  }
}

async function readPage(
  upstream: Upstream,
  { subMchid, storeId, by }: Wanted,
  offset: number,
): Promise<GuidePage> {
  const page = await upstream.ask(subMchid, attempted =>
    upstream.calls.queryGuides({ ...attempted, storeId, by, limit: maxPageSize, offset }),
  )
  if (page.kind === 'rejected') throw refusedBy(page)
  return page.value
}

/** An answer to another question than ours moves nobody to another store, and no id that cannot be used is taken in. */
function checked(guide: UpstreamGuide, storeId: number): UpstreamGuide {
  if (guide.storeId !== storeId) throw incomplete(`it lists a guide of store ${guide.storeId}`)
  if (guideIdSchema.safeParse(guide.guideId).success) return guide
  throw incomplete(`it lists a guide_id that cannot be used: ${JSON.stringify(guide.guideId)}`)
}

function incomplete(why: string): AppError {
  return new AppError('upstream_unavailable', `The store was not read to the end: ${why}.`)
}
