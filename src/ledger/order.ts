import type { BookView, DocumentVersions, Owner, StepVerdict, Turn } from '../rules/decide.ts'
import type { CountingFrom, NotChosen } from '../rules/eligibility.ts'
import type { LoggedTurn } from '../rules/logged.ts'
import type { Earlier } from './generations.ts'
import type { orders } from './schema.ts'

export type Order = typeof orders.$inferSelect
export type OrderKey = { merchant: string; outTradeNo: string }

export type NewOrder = OrderKey & {
  storeId: number
  /** The posted facts in canonical form: two posts of one order must agree on them to the letter. */
  facts: string
  cartId: string | null
  test: boolean
}

/** What the rules made of a new order. `turn` is charged unless the order is a test. */
export type Resolution = {
  status: 'pending' | 'unassigned' | 'skipped' | 'expired'
  guideId: string | null
  reason: string
  turn: Turn | null
  steps: StepVerdict[]
  blocked: [guideId: string, reason: NotChosen][]
  asked: Asked
  versions: DocumentVersions
  decidedAtMs: number
  expiresAtMs: number
  named?: Named
}

/** Whoever named the guide, in place of the rules, and why. */
export type Named = { by: string; why: string }

/** What was known of the order beside its facts: a replay must ask the same question. */
export type Asked = { owner: Owner | null; sticky: string | null; paused?: readonly string[] }

/** What the decision may ask of the ledger, inside the transaction that records it. */
export type LedgerView = {
  openBook(name: string): BookView
  /** The guide of the newest order of the same cart that got one, unless that is paid, or a day old. */
  cartGuide(): string | null
  /** How many orders a guide of the store has had since then. */
  tally(guideId: string, from: CountingFrom): { hour: number; day: number }
}

export type Attempt = {
  at_ms: number
  host: string
  ms: number
  outcome: string
  request_id: string | null
  /** Of which generation, from the second on. */
  generation?: number
}

export type Upstream = { status: number; code: string; message: string; request_id: string | null }

export type Settlement = {
  status: 'assigned' | 'rejected' | 'expired'
  settledAtMs: number
  upstream: Upstream | null
}

/** Whom a refused guide is followed by. `bar` takes the guide out of every decision; both run inside the transaction. */
export type Succession = { bar(): void; resolve(view: LedgerView): Resolution }

export type OrderTrace = {
  steps: StepVerdict[]
  blocked: [guideId: string, reason: NotChosen][]
  asked: Asked
  turn: LoggedTurn | null
  /** The turn was taken for an earlier order of the cart. */
  inherited?: true
  returned?: Returned
  named?: Named
  /** The process ended while a call may have been under way. */
  interrupted?: true
  /** When this generation was decided, from the second on. */
  decidedAtMs?: number
  /** The generations before this one, oldest first. */
  earlier?: Earlier[]
}

/**
 * The order was refused or closed, and counts no more, or it was paid, and its cart is done with it; or a generation of
 * it was `refused` its guide or `reassigned`, and the next one counts: after which order of the ledger (its id); which
 * came first where several were after the same (`seq` grows); and the number of the refund in the book of its turn, null
 * when it gave none back.
 */
export type Returned = {
  by: 'rejected' | 'closed' | 'paid' | 'refused' | 'reassigned'
  after: number
  seq: number
  number: number | null
}
