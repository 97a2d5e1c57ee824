import type { LedgerView, Resolution } from '../ledger/order.ts'
import type { MerchantSettings, Mirror, ReadyStore } from '../mirror/mirror.ts'
import { decide, type Owner } from '../rules/decide.ts'

/** The facts of an order that the decision looks at. Times in epoch milliseconds. */
export type OrderFacts = {
  storeId: number
  outTradeNo: string
  memberId: string | null
  memberLevel: string | null
  amountFen: number | null
  channel: string | null
  guideId: string | null
  cartId: string | null
  createdAtMs: number | null
  test: boolean
}

export type Surroundings = {
  store: ReadyStore
  settings: MerchantSettings
  owner: Owner | null
  nowMs: number
  windowMs: number
}

/** What the decision must know beside the order, read when it arrives. */
export function lookAround(
  mirror: Mirror,
  store: ReadyStore,
  { memberId }: Pick<OrderFacts, 'memberId'>,
  nowMs: number,
  windowMs: number,
): Surroundings {
  const settings = mirror.settings(store.merchant)
  const { assignWindowSeconds } = settings
  return {
    store,
    settings,
    nowMs,
    owner: memberId === null ? null : mirror.ownerAt(store.merchant, memberId, nowMs),
    windowMs: assignWindowSeconds === null ? windowMs : assignWindowSeconds * 1000,
  }
}

/** What becomes of a new order: skipped, too late, a guide, or nobody. Pure but for what it reads of the view. */
export function resolve(facts: OrderFacts, around: Surroundings, view: LedgerView): Resolution {
  const { store, settings, nowMs } = around
  const createdAtMs = Math.min(facts.createdAtMs ?? nowMs, nowMs)
  const paused = store.rules.crew.members
    .filter(({ id }) => store.isPaused(id, nowMs))
    .map(({ id }) => id)
  const asked = {
    owner: around.owner,
    sticky: view.cartGuide(),
    ...(paused.length > 0 ? { paused } : {}),
  }
  const ground = {
    guideId: null,
    turn: null,
    steps: [],
    blocked: [],
    asked,
    versions: store.rules.versions,
    decidedAtMs: nowMs,
    expiresAtMs: createdAtMs + around.windowMs,
  }
  const skip = skipReason(facts, settings)
  if (skip) return { ...ground, status: 'skipped', reason: skip }
  if (ground.expiresAtMs <= nowMs) return { ...ground, status: 'expired', reason: 'WINDOW_OVER' }

  const decision = decide(store.rules, {
    ...asked,
    atMs: nowMs,
    outTradeNo: facts.outTradeNo,
    channel: facts.channel,
    memberLevel: facts.memberLevel,
    amountFen: facts.amountFen,
    hint: facts.guideId,
    isPaused: guideId => store.isPaused(guideId, nowMs),
    openBook: view.openBook,
    tally: view.tally,
  })
  return { ...ground, ...decision, status: decision.guideId === null ? 'unassigned' : 'pending' }
}

function skipReason(
  { channel }: OrderFacts,
  { edition, platformAutoAssign }: MerchantSettings,
): 'PLATFORM_AUTO_ASSIGN' | 'CHANNEL_UNSUPPORTED' | null {
  if (platformAutoAssign) return 'PLATFORM_AUTO_ASSIGN'
  return edition === 'commercial' && channel === 'jsapi' ? 'CHANNEL_UNSUPPORTED' : null
}
