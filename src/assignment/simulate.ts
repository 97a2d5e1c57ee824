import { setImmediate as nextTick } from 'node:timers/promises'
import type { OrderTrace, Resolution } from '../ledger/ledger.ts'
import type { Sandbox } from '../ledger/sandbox.ts'
import type { Mirror, ReadyStore, Store, StoreDocuments } from '../mirror/mirror.ts'
import { type Explanation, explain } from '../rules/explain.ts'
import { printFacts } from './facts.ts'
import { lookAround, type OrderFacts, resolve } from './resolve.ts'

export type Draft = { [K in keyof StoreDocuments]?: StoreDocuments[K] | undefined }

export type Simulated = Pick<Resolution, 'status' | 'guideId' | 'reason'> & {
  outTradeNo: string
  explanation: Explanation
}

const sliceMs = 8

/** The store as it would be with the draft in force; the draft's documents are version 0. */
export function draftStore(
  mirror: Mirror,
  store: Store,
  draft: Draft,
  nowMs: number,
  atMs: number,
): ReadyStore {
  const ready = mirror.readyStore(store.storeId, nowMs)
  if (!ready) throw new Error(`store ${store.storeId} is gone`)
  const now = mirror.documentsAt(store, atMs)
  const rules = mirror.rulesFor(store, {
    staff: draft.staff ?? now.staff.body,
    roster: draft.roster ?? now.roster.body,
    plan: draft.plan ?? now.plan.body,
  })
  const versions = {
    staff: draft.staff ? 0 : now.staff.version,
    roster: draft.roster ? 0 : now.roster.version,
    plan: draft.plan ? 0 : now.plan.version,
  }
  return { ...ready, rules: { ...rules, versions } }
}

/** Decides the orders one after another as `assign` would, in a ledger that forgets them. */
export async function simulate(
  { mirror, sandbox, windowMs }: { mirror: Mirror; sandbox: Sandbox; windowMs: number },
  store: ReadyStore,
  orders: readonly OrderFacts[],
  atMs: number,
): Promise<Simulated[]> {
  const { plan, crew } = store.rules
  const staffIds = crew.members.map(({ id }) => id)
  const simulated: Simulated[] = []
  let startedMs = performance.now()
  for (const facts of orders) {
    const around = lookAround(mirror, store, facts, atMs, windowMs)
    const { resolution, turn } = sandbox.record(
      { ...facts, merchant: store.merchant, facts: printFacts(facts) },
      view => resolve(facts, around, view),
    )
    const { status, guideId, reason } = resolution
    const trace: Pick<OrderTrace, 'turn'> = { turn }
    simulated.push({
      outTradeNo: facts.outTradeNo,
      status,
      guideId,
      reason,
      explanation: explain({ ...resolution, ...trace, isClosed: false }, plan, staffIds),
    })
    if (performance.now() - startedMs < sliceMs) continue
    await nextTick()
    startedMs = performance.now()
  }
  return simulated
}
