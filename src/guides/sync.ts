import { type Clock, createBreather } from '../clock.ts'
import { AppError, isStorageFull, storageFull } from '../errors.ts'
import type { Guide, Guides, Written } from '../mirror/guides.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import type { UpstreamGuide } from '../wechatpay/guides.ts'
import { readGuides } from './pages.ts'
import type { Upstream } from './upstream.ts'

/** `missing`: not found this time; `gone`: not found twice in a row, and in no decision any more. */
export type Finding = 'new' | 'changed' | 'restored' | 'missing' | 'gone'

type Found = { store_id: number; guide_id: string; finding: Finding; fields?: string[] }

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
  findings: Found[]
  failed: { store_id: number; why: string }[]
}

export type Sync = {
  /**
   * Goes through all stores; a sync that is under way is joined.
   *
   * @throws AppError storage_full, draining
   */
  run(): Promise<SyncReport>
  /** Of the one under way, else of the last. */
  progress(): SyncReport | null
  /** Resolves when nothing is under way any more. */
  ended(): Promise<void>
}

const storesAtOnce = 4
const guidesASlice = 50
const maxFindings = 1000
const maxFailed = 1000

export function createSync({
  mirror,
  guides,
  upstream,
  clock,
  subMchidOf,
  stopping,
  failed,
}: {
  mirror: Mirror
  guides: Guides
  upstream: Upstream
  clock: Clock
  subMchidOf(store: Store): string | null
  stopping: AbortSignal
  /** Why a sync broke off: whoever asked for it may not wait for its end. */
  failed(cause: unknown): void
}): Sync {
  let underWay: { report: SyncReport; ended: Promise<SyncReport> } | null = null

  /**
   * Nobody is missing before the last store was read, for they may have moved there; nor who was registered or changed
   * by anybody meanwhile.
   */
  async function syncAll(report: SyncReport): Promise<SyncReport> {
    const stores = mirror.stores()
    report.stores = stores.length
    const written = guides.watch()
    try {
      const absent: Absent[] = []
      let broken = false
      const left = stores.values()
      const worker = async () => {
        for (const store of left) {
          if (stopping.aborted || broken) return
          try {
            absent.push(...(await syncStore(store, report)))
          } catch (cause) {
            broken = true
            throw cause
          }
          report.stores_done += 1
        }
      }
      const workers = Array.from({ length: storesAtOnce }, worker)
      await Promise.all(workers).finally(() => Promise.allSettled(workers))
      if (stopping.aborted) throw new AppError('draining', 'The service stops: sync again.')
      await missAll(
        absent.filter(({ guideId }) => !written.has(guideId)),
        report,
      )
    } finally {
      written.close()
    }
    const endedAtMs = clock.nowMs()
    const ended = { ...report, ended_at: new Date(endedAtMs).toISOString() }
    mirror.keepSync(endedAtMs, JSON.stringify(ended))
    return ended
  }

  /** Who of the store's guides was not to be found; nobody when not every page could be read. */
  async function syncStore(store: Store, report: SyncReport): Promise<Absent[]> {
    const { storeId } = store
    const written = guides.watch()
    try {
      const seen = await readGuides(upstream, { subMchid: subMchidOf(store), storeId })
      await compare(store, [...seen.values()], written, report)
      report.guides += seen.size
      return mirror
        .guidesOf(storeId)
        .filter(guideId => !seen.has(guideId))
        .map(guideId => ({ storeId, guideId }))
    } catch (cause) {
      if (!(cause instanceof AppError)) throw cause
      if (report.failed.length < maxFailed) {
        report.failed.push({ store_id: storeId, why: cause.message })
      }
      return []
    } finally {
      written.close()
    }
  }

  /** What was written since the pages were asked for is newer than they. */
  async function compare(
    store: Store,
    seen: readonly UpstreamGuide[],
    written: Written,
    report: SyncReport,
  ): Promise<void> {
    const breathe = createBreather()
    for (let at = 0; at < seen.length; at += guidesASlice) {
      const slice = seen.slice(at, at + guidesASlice).filter(one => !written.has(one.guideId))
      tell(
        report,
        guides.together(() => compareSlice(store, slice)),
      )
      await breathe()
    }
  }

  function compareSlice(store: Store, slice: readonly UpstreamGuide[]): Found[] {
    const nowMs = clock.nowMs()
    const { storeId } = store
    const unchanged: string[] = []
    const found: Found[] = []
    for (const sighting of slice) {
      const { guideId, name, mobile, userid, workId } = sighting
      const before = guides.find(guideId)
      const fields = before ? differing(before, store, sighting) : []
      if (before?.state === 'registered' && fields.length === 0) {
        unchanged.push(guideId)
        continue
      }
      guides.keep({ guideId, storeId, userid, workId, profile: { name, mobile } }, nowMs)
      const told = { store_id: storeId, guide_id: guideId }
      if (!before) found.push({ ...told, finding: 'new' })
      else if (before.state !== 'registered') found.push({ ...told, finding: 'restored' })
      else found.push({ ...told, finding: 'changed', fields })
    }
    guides.seen(unchanged, nowMs)
    return found
  }

  async function missAll(absent: readonly Absent[], report: SyncReport): Promise<void> {
    const breathe = createBreather()
    for (let at = 0; at < absent.length; at += guidesASlice) {
      const slice = absent.slice(at, at + guidesASlice)
      const found = guides.together(() =>
        slice.map(({ storeId, guideId }): Found => {
          const finding = guides.miss(guideId) ? 'gone' : 'missing'
          return { store_id: storeId, guide_id: guideId, finding }
        }),
      )
      tell(report, found)
      await breathe()
    }
  }

  return {
    run() {
      if (underWay) return underWay.ended
      const report = emptyReport(clock.nowMs())
      const ended = syncAll(report)
        .catch(cause => {
          if (!stopping.aborted) failed(cause)
          throw isStorageFull(cause) ? storageFull() : cause
        })
        .finally(() => {
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

    async ended() {
      await underWay?.ended.catch(() => {})
    },
  }
}

type Absent = { storeId: number; guideId: string }

function tell(report: SyncReport, found: readonly Found[]): void {
  for (const { finding } of found) report[finding] += 1
  report.findings.push(...found.slice(0, maxFindings - report.findings.length))
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
