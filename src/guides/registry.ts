import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { GuideImports } from '../mirror/guide-imports.ts'
import type { Guide, Guides } from '../mirror/guides.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import type { GuideCalls, UpstreamGuide } from '../wechatpay/guides.ts'
import { readCopied } from './adopt.ts'
import type { GuideChangeFields, NewGuideFields } from './fields.ts'
import { createImports, type Imports } from './imports.ts'
import { createRegistrar, type Registered } from './register.ts'
import { createSync, type Sync } from './sync.ts'
import { updateGuide } from './update.ts'
import { createUpstream, refusedBy } from './upstream.ts'

export type Registry = {
  readonly sync: Sync
  readonly imports: Imports
  /** @throws AppError refused_upstream, upstream_unavailable */
  register(store: Store, fields: NewGuideFields): Promise<Registered>
  /** Takes a guide of personal WeChat over, once WeChat Pay has confirmed them. @throws AppError guide_not_found */
  adopt(store: Store, copied: string): Promise<Guide>
  /** @throws AppError guide_not_found, personal_guide, refused_upstream, upstream_unavailable */
  update(guideId: string, fields: GuideChangeFields): Promise<Guide>
  /** Forgets name, mobile and links. @throws AppError guide_not_found */
  erase(guideId: string): void
  /** Begins what goes on in the background. */
  start(): void
  stop(): Promise<void>
}

const resealPauseMs = 20

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
  const upstream = createUpstream({ calls, clock, ratePerSecond })
  const registrar = createRegistrar({ guides, upstream, clock })
  const sync = createSync({ mirror, guides, upstream, clock, subMchidOf })
  const imports = createImports({
    imports: guideImports,
    mirror,
    registrar,
    clock,
    subMchidOf,
    failed,
  })
  let timer: NodeJS.Timeout | null = null
  let isStopped = false

  function present(guideId: string): Guide {
    const guide = guides.find(guideId)
    if (guide) return guide
    throw new AppError('guide_not_found', {
      en: 'There is no such guide here.',
      zh: '这里没有这位服务人员。',
    })
  }

  function later(work: () => Promise<unknown>, ms: number): void {
    if (isStopped) return
    timer = setTimeout(() => void work().catch(failed), ms)
    timer.unref()
  }

  async function syncNow(): Promise<void> {
    await sync.run().finally(syncLater)
  }

  function syncLater(): void {
    if (syncEveryMs === 0) return
    const last = mirror.lastSync()?.endedAtMs ?? 0
    later(syncNow, Math.min(syncEveryMs, Math.max(1000, last + syncEveryMs - clock.nowMs())))
  }

  async function resealAll(): Promise<void> {
    while (!isStopped && !guides.reseal()) {
      await new Promise(done => setTimeout(done, resealPauseMs))
    }
  }

  async function confirm(store: Store, mobile: string | null, guideId: string | null) {
    const { storeId } = store
    for (let offset = 0; ; offset += 10) {
      const by = mobile === null ? null : { mobile }
      const page = await upstream.ask(subMchidOf(store), attempted =>
        calls.queryGuides({ ...attempted, storeId, by, limit: 10, offset }),
      )
      if (page.kind === 'rejected') throw refusedBy(page)
      const { guides: found, totalCount } = page.value
      const match = found.find(one => guideId === null || one.guideId === guideId)
      if (match || found.length === 0 || offset + found.length >= totalCount) return match ?? null
    }
  }

  return {
    sync,
    imports,

    register: (store, fields) => registrar.register(store, subMchidOf(store), fields),

    async adopt(store, copied) {
      const { guideId, mobile, name } = readCopied(copied)
      if (guideId === null && mobile === null) {
        throw new AppError('invalid_request', {
          en: 'The text has neither a telephone number nor an ID.',
          zh: '内容里既没有手机号，也没有 ID。',
        })
      }
      const found: UpstreamGuide | null = await confirm(store, mobile, guideId)
      if (!found) {
        throw new AppError('guide_not_found', {
          en: `WeChat Pay has no such guide in store ${store.storeId}: check the store, and that the guide was approved.`,
          zh: `微信支付在门店 ${store.storeId} 没有这位服务人员：请核对门店，以及是否已审核通过。`,
        })
      }
      const profile = { name: found.name ?? name, mobile: found.mobile ?? mobile }
      const { storeId } = store
      const { userid, workId } = found
      guides.keep({ guideId: found.guideId, storeId, userid, workId, profile }, clock.nowMs())
      return present(found.guideId)
    },

    async update(guideId, fields) {
      const guide = present(guideId)
      const store = mirror.store(guide.storeId)
      if (!store) throw new Error(`guide ${guideId} is of a store that is not known`)
      await updateGuide({ guides, upstream }, guide, subMchidOf(store), fields)
      return present(guideId)
    },

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
      isStopped = true
      if (timer) clearTimeout(timer)
      await Promise.all([sync.stop(), imports.stop()])
    },
  }
}
