import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Guide, Guides } from '../mirror/guides.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import { maxPageSize, type UpstreamGuide } from '../wechatpay/guides.ts'
import { refusedBy, type Upstream } from './upstream.ts'

/** `missing`: not found this time; `gone`: not found twice in a row, and in no decision any more. */
export type Finding = 'new' | 'changed' | 'restored' | 'missing' | 'gone'

export type SyncReport = {
  started_at: string
  ended_at: string | null
  stores: number
  stores_done: number
  guides: number
  new: number
  changed: number
  restored: number
  missing: number
  gone: number
  /** The first of them. */
  findings: { store_id: number; guide_id: string; finding: Finding; fields?: string[] }[]
  failed: { store_id: number; why: string }[]
}

export type Sync = {
  /** Goes through all stores; a sync that is under way is joined. */
  run(): Promise<SyncReport>
  /** Of the one under way, else of the last. */
  progress(): SyncReport | null
  /** Ends after the pages under way. */
  stop(): Promise<void>
}

const storesAtOnce = 4
const maxGuidesOfStore = 5000
const maxFindings = 1000
const maxFailed = 1000

export function createSync({
  mirror,
  guides,
  upstream,
  clock,
  subMchidOf,
}: {
  mirror: Mirror
  guides: Guides
  upstream: Upstream
  clock: Clock
  subMchidOf(store: Store): string | null
}): Sync {
  let underWay: { report: SyncReport; ended: Promise<SyncReport> } | null = null
  let isStopped = false

  async function syncAll(report: SyncReport): Promise<SyncReport> {
    const stores = mirror.stores()
    report.stores = stores.length
    const left = stores.values()
    const worker = async () => {
      for (const store of left) {
        if (isStopped) return
        await syncStore(store, report)
        report.stores_done += 1
      }
    }
    await Promise.all(Array.from({ length: storesAtOnce }, worker))
    const endedAtMs = clock.nowMs()
    report.ended_at = new Date(endedAtMs).toISOString()
    if (!isStopped) mirror.keepSync(endedAtMs, JSON.stringify(report))
    return report
  }

  async function syncStore(store: Store, report: SyncReport): Promise<void> {
    try {
      const sightings = await readStore(store)
      compare(store, sightings, report)
    } catch (cause) {
      if (!(cause instanceof AppError)) throw cause
      if (report.failed.length >= maxFailed) return
      report.failed.push({ store_id: store.storeId, why: cause.message })
    }
  }

  /** @throws AppError when not every page could be read: nobody is missing from half a list */
  async function readStore(store: Store): Promise<Map<string, UpstreamGuide>> {
    const { storeId } = store
    const seen = new Map<string, UpstreamGuide>()
    for (let offset = 0; ; offset += maxPageSize) {
      const page = await upstream.ask(subMchidOf(store), attempted =>
        upstream.calls.queryGuides({ ...attempted, storeId, by: null, limit: maxPageSize, offset }),
      )
      if (page.kind === 'rejected') throw refusedBy(page)
      const { guides: found, totalCount } = page.value
      for (const guide of found) seen.set(guide.guideId, guide)
      if (totalCount > maxGuidesOfStore) throw incomplete(`it has ${totalCount} guides`)
      if (offset + found.length >= totalCount) {
        if (seen.size < totalCount) throw incomplete('its list changed while it was read')
        return seen
      }
      if (found.length === 0) throw incomplete('its list ended early')
    }
  }

  function compare(store: Store, seen: Map<string, UpstreamGuide>, report: SyncReport): void {
    const nowMs = clock.nowMs()
    const tell = (guideId: string, finding: Finding, fields?: string[]) => {
      report[finding] += 1
      if (report.findings.length >= maxFindings) return
      const found = { store_id: store.storeId, guide_id: guideId, finding }
      report.findings.push(fields ? { ...found, fields } : found)
    }
    const unchanged: string[] = []
    for (const sighting of seen.values()) {
      const { guideId, name, mobile, userid, workId } = sighting
      const before = guides.find(guideId)
      const fields = before ? differing(before, store, sighting) : []
      if (before?.state === 'registered' && fields.length === 0) {
        unchanged.push(guideId)
        continue
      }
      const { storeId } = store
      guides.keep({ guideId, storeId, userid, workId, profile: { name, mobile } }, nowMs)
      if (!before) tell(guideId, 'new')
      else if (before.state !== 'registered') tell(guideId, 'restored')
      else tell(guideId, 'changed', fields)
    }
    guides.seen(unchanged, nowMs)
    for (const guide of guides.ofStore(store.storeId)) {
      if (seen.has(guide.guideId) || guide.state === 'gone') continue
      tell(guide.guideId, guides.miss(guide) ? 'gone' : 'missing')
    }
    report.guides += seen.size
  }

  return {
    run() {
      if (underWay) return underWay.ended
      const report = emptyReport(clock.nowMs())
      const ended = syncAll(report).finally(() => {
        underWay = null
      })
      underWay = { report, ended }
      return ended
    },

    progress() {
      if (underWay) return underWay.report
      const last = mirror.lastSync()
      return last ? JSON.parse(last.report) : null
    },

    async stop() {
      isStopped = true
      await underWay?.ended.catch(() => {})
    },
  }
}

/** What WeChat Pay has otherwise; of an erased guide nothing is compared that was forgotten. */
function differing(before: Guide, store: Store, sighting: UpstreamGuide): string[] {
  const { name, mobile, userid, workId } = sighting
  const isErased = before.erasedAtMs !== null
  const changed = {
    store_id: before.storeId !== store.storeId,
    userid: before.userid !== userid,
    work_id: before.workId !== workId,
    name: !isErased && name !== null && name !== before.profile?.name,
    mobile: !isErased && mobile !== null && mobile !== before.profile?.mobile,
  }
  return Object.entries(changed).flatMap(([field, differs]) => (differs ? [field] : []))
}

function incomplete(why: string): AppError {
  return new AppError('upstream_unavailable', `The store was not read to the end: ${why}.`)
}

function emptyReport(nowMs: number): SyncReport {
  return {
    started_at: new Date(nowMs).toISOString(),
    ended_at: null,
    stores: 0,
    stores_done: 0,
    guides: 0,
    new: 0,
    changed: 0,
    restored: 0,
    missing: 0,
    gone: 0,
    findings: [],
    failed: [],
  }
}
