import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { GuideImports } from '../mirror/guide-imports.ts'
import type { Guide, Guides } from '../mirror/guides.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import type { GuideCalls, UpstreamGuide } from '../wechatpay/guides.ts'
import { readCopied } from './adopt.ts'
import type { GuideChangeFields, NewGuideFields } from './fields.ts'
import { createImports, type Imports } from './imports.ts'
import { findGuide } from './pages.ts'
import { createRegistrar, type Registered } from './register.ts'
import { createSync, type Sync } from './sync.ts'
import { createTurns } from './turns.ts'
import { updateGuide } from './update.ts'
import { createUpstream } from './upstream.ts'

export type Registry = {
  readonly sync: Sync
  readonly imports: Imports
  /** @throws AppError refused_upstream, upstream_unavailable, draining */
  register(store: Store, fields: NewGuideFields): Promise<Registered>
  /** Takes a guide of personal WeChat over, once WeChat Pay has confirmed them. @throws AppError guide_not_found */
  adopt(store: Store, copied: string): Promise<Guide>
  /** @throws AppError guide_not_found, personal_guide, refused_upstream, upstream_unavailable, draining */
  update(guideId: string, fields: GuideChangeFields): Promise<Guide>
  /** Forgets name, mobile and links. @throws AppError guide_not_found */
  erase(guideId: string): void
  /** Begins what goes on in the background. */
  start(): void
  /** Begins no call any more, and ends with those under way. */
  stop(): Promise<void>
}

const resealPauseMs = 20
/** A sync that failed as a whole is not begun again before. */
const failedSyncPauseMs = 600_000

/** The guides, here and at WeChat Pay: the use case of those who register them. */
export function createRegistry({
  mirror,
  guides,
  guideImports,
  calls,
  clock,
  mode,
  ratePerSecond,
  syncEveryMs,
  failed,
}: {
  mirror: Mirror
  guides: Guides
  guideImports: GuideImports
  calls: GuideCalls
  clock: Clock
  mode: 'direct' | 'partner'
  /** Of all these calls together. */
  ratePerSecond: number
  /** 0: only when asked. */
  syncEveryMs: number
  failed(cause: unknown): void
}): Registry {
  const subMchidOf = ({ merchant }: Store) => (mode === 'partner' ? merchant : null)
  const ending = new AbortController()
  const stopping = ending.signal
  const turns = createTurns()
  const upstream = createUpstream({ calls, clock, ratePerSecond, stopping })
  const registrar = createRegistrar({ guides, upstream, clock })
  const sync = createSync({ mirror, guides, upstream, clock, subMchidOf, stopping, failed })
  const imports = createImports({
    imports: guideImports,
    mirror,
    registrar,
    clock,
    subMchidOf,
    stopping,
    failed,
  })
  let timer: NodeJS.Timeout | null = null

  function present(guideId: string): Guide {
    const guide = guides.find(guideId)
    if (!guide) throw new AppError('guide_not_found', 'There is no such guide here.')
    return guide
  }

  function syncIn(ms: number): void {
    if (stopping.aborted || syncEveryMs === 0) return
    timer = setTimeout(() => {
      sync.run().then(syncLater, () => syncIn(failedSyncPauseMs))
    }, ms)
    timer.unref()
  }

  function syncLater(): void {
    const last = mirror.lastSync()?.endedAtMs ?? 0
    syncIn(Math.min(syncEveryMs, Math.max(1000, last + syncEveryMs - clock.nowMs())))
  }

  async function resealAll(): Promise<void> {
    while (!stopping.aborted && !(guides.reseal() && guideImports.reseal())) {
      await new Promise(done => setTimeout(done, resealPauseMs))
    }
  }

  async function confirm(store: Store, mobile: string | null, guideId: string | null) {
    const by = mobile === null ? null : { mobile }
    const { storeId } = store
    return findGuide(
      upstream,
      { subMchid: subMchidOf(store), storeId, by },
      guide => guideId === null || guide.guideId === guideId,
    )
  }

  return {
    sync,
    imports,

    register: (store, fields) => registrar.register(store, subMchidOf(store), fields),

    async adopt(store, copied) {
      const { guideId, mobile, name } = readCopied(copied)
      if (guideId === null && mobile === null) {
        throw new AppError('invalid_request', 'The text has neither a telephone number nor an ID.')
      }
      const found: UpstreamGuide | null = await confirm(store, mobile, guideId)
      if (!found) {
        throw new AppError(
          'guide_not_found',
          `WeChat Pay has no such guide in store ${store.storeId}: check the store, and that the guide was approved.`,
        )
      }
      const profile = { name: found.name ?? name, mobile: found.mobile ?? mobile }
      const { storeId } = store
      const { userid, workId } = found
      guides.keep({ guideId: found.guideId, storeId, userid, workId, profile }, clock.nowMs())
      return present(found.guideId)
    },

    // Two changes of one guide go one after the other, so that the mirror has the later one too.
    update: (guideId, fields) =>
      turns.take(guideId, async () => {
        const guide = present(guideId)
        const store = mirror.store(guide.storeId)
        if (!store) throw new Error(`guide ${guideId} is of a store that is not known`)
        await updateGuide({ guides, upstream }, guide, subMchidOf(store), fields)
        return present(guideId)
      }),

    erase(guideId) {
      present(guideId)
      guides.erase(guideId, clock.nowMs())
    },

    start() {
      imports.resume()
      void resealAll().catch(failed)
      syncLater()
    },

    async stop() {
      ending.abort()
      if (timer) clearTimeout(timer)
      await Promise.all([sync.ended(), imports.ended()])
    },
  }
}
