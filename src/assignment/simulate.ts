import { setImmediate as nextTick } from 'node:timers/promises'
import type { OrderTrace, Resolution } from '../ledger/order.ts'
import type { Sandbox } from '../ledger/sandbox.ts'
import type { Mirror, ReadyStore, Store, StoreDocuments } from '../mirror/mirror.ts'
import { type Explanation, explain, type NamesOf } from '../rules/explain.ts'
import { printFacts } from './facts.ts'
import { lookAround, type OrderFacts, resolve, type Surroundings } from './resolve.ts'

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
  /** The store as it is without the draft. */
  published: ReadyStore,
  orders: readonly OrderFacts[],
  atMs: number,
  namesOf?: NamesOf,
): Promise<Simulated[]> {
  const { plan, crew } = store.rules
  const staffIds = crew.members.map(({ id }) => id)
  const simulated: Simulated[] = []
  let startedMs = performance.now()
  for (const facts of orders) {
    const around = withoutStrangers(
      lookAround(mirror, store, facts, atMs, windowMs),
      mirror,
      published,
    )
    const { resolution, turn } = sandbox.record(
      { ...facts, merchant: store.merchant, facts: printFacts(facts) },
      atMs,
      view => resolve(facts, around, view),
    )
    const { status, guideId, reason } = resolution
    const trace: Pick<OrderTrace, 'turn'> = { turn }
    simulated.push({
      outTradeNo: facts.outTradeNo,
      status,
      guideId,
      reason,
      explanation: explain({ ...resolution, ...trace, isClosed: false }, plan, staffIds, namesOf),
    })
    if (performance.now() - startedMs < sliceMs) continue
    await nextTick()
    startedMs = performance.now()
  }
  return simulated
}

/**
 * A draft may put any guide on the staff, and must not tell whose customer a member is in another store: an owner counts
 * when their guide is of this store, or on its staff as published.
 */
function withoutStrangers(
  around: Surroundings,
  mirror: Mirror,
  { storeId, rules }: ReadyStore,
): Surroundings {
  const { owner } = around
  if (owner === null || rules.crew.byId.has(owner.guideId)) return around
  const isOurs = mirror.knownGuides([owner.guideId]).get(owner.guideId)?.storeId === storeId
  return isOurs ? around : { ...around, owner: null }
}
