import type { Decision, DocumentVersions, StepVerdict } from './decide.ts'
import type { NotChosen } from './eligibility.ts'
import { type Candidate, nextTurn, unitsPerOrder } from './fairness.ts'
import { type LoggedTurn, sharesOf } from './logged.ts'
import type { NameOf } from './names.ts'
import type { Plan, Step } from './plan.ts'
import { type Sentence, sayWhy } from './sentence.ts'

/** An order as it was decided, with what is known of its end. */
export type Recorded = {
  status: 'pending' | 'assigned' | 'unassigned' | 'skipped' | 'rejected' | 'expired'
  guideId: string | null
  reason: string
  versions: DocumentVersions
  steps: readonly StepVerdict[]
  blocked: Decision['blocked']
  turn: LoggedTurn | null
  isClosed: boolean
  /** Whoever named the guide in place of the rules. */
  named?: { by: string; why: string }
  earlier?: readonly EarlierGuide[]
}

/** A guide whom the order was with before, or nobody. */
export type EarlierGuide = { guideId: string | null; ended: 'refused' | 'reassigned' }

/** Balances and shares in units of the book, and in orders to four decimals. */
export type GuideExplained = {
  guide_id: string
  chosen: boolean
  reason: string
  balance_before?: number
  share?: number
  balance_after?: number
  units?: { before: number; share: number; after: number }
}

export type Explanation = {
  versions: DocumentVersions
  steps: { step: number; use: Step['use']; verdict: StepVerdict }[]
  /** What guides who had left the staff stood at, moved to the others before the turn; in orders. */
  handed_on?: { guide_id: string; change: number }[]
  guides: GuideExplained[]
  sentence: Sentence
}

/** A candidate of a turn: what stood in the book, what the order added, and what remained. */
export type Stood = {
  id: string
  isChosen: boolean
  lastServed: number
  before: number
  share: number
  after: number
}

/** How those guides are called in one and the same sentence. */
export type NamesOf = (guideIds: readonly string[]) => NameOf

const byId: NamesOf = () => id => id

/** Why each of the staff was chosen or not; `staffIds` matters where the rules were not asked and name nobody. */
export function explain(
  recorded: Recorded,
  plan: Plan,
  staffIds: readonly string[],
  namesOf = byId,
): Explanation {
  const { guideId, reason, steps, versions } = recorded
  const stood = turnOfItsOwn(recorded)
  // The turn of a test order, number 0, moved nothing.
  const isTaken = stood.length > 0 && recorded.turn?.number !== 0
  const handedOn = (isTaken ? (recorded.turn?.handedOn ?? []) : []).map(([guide_id, , change]) => ({
    guide_id,
    change: inOrders(change),
  }))
  const guides = new Map<string, GuideExplained>()
  const add = (guide: GuideExplained) => {
    if (!guides.has(guide.guide_id)) guides.set(guide.guide_id, guide)
  }
  if (guideId !== null) {
    const own = stood.find(({ id }) => id === guideId)
    add({ guide_id: guideId, chosen: true, reason, ...numbersOf(own) })
  }
  for (const one of stood) {
    add({ guide_id: one.id, chosen: false, reason: whyLost(one, reason, stood), ...numbersOf(one) })
  }
  for (const [id, why] of recorded.blocked) add({ guide_id: id, chosen: false, reason: why })
  if (recorded.blocked.length === 0 && guideId === null) {
    for (const id of staffIds) add({ guide_id: id, chosen: false, reason: 'STEP_NOT_REACHED' })
  }
  return {
    versions,
    ...(handedOn.length > 0 ? { handed_on: handedOn } : {}),
    steps: plan.steps.map(({ use }, index) => ({
      step: index + 1,
      use,
      verdict: steps[index] ?? 'not_reached',
    })),
    guides: [...guides.values()],
    sentence: sayWhy(
      recorded,
      stood,
      [...guides.values()],
      plan.fair_by,
      namesOf([...guides.keys()]),
    ),
  }
}

/** Why a guide did not serve, or null for the one who did and for whom the order does not name. */
export function whyNotThem(recorded: Recorded, guideId: string): string | null {
  if (recorded.guideId === guideId) return null
  const blocked = recorded.blocked.find(([id]) => id === guideId)
  if (blocked) return blocked[1]
  const stood = turnOfItsOwn(recorded)
  const own = stood.find(({ id }) => id === guideId)
  return own ? whyLost(own, recorded.reason, stood) : null
}

/** Of a cart's turn, decided for an earlier order of it, and of one that was taken up again, the numbers tell nothing. */
function turnOfItsOwn({ turn, reason }: Recorded): Stood[] {
  return turn && reason !== 'STICKY_CART' && reason !== 'RESTORED' ? standingsIn(turn) : []
}

function whyLost(one: Stood, reason: string, stood: readonly Stood[]): NotChosen {
  if (reason !== 'FAIR_TURN' && reason !== 'ONLY_ONE') return 'STEP_NOT_REACHED'
  const winner = stood.find(({ isChosen }) => isChosen)
  const isTie = winner && one.before + one.share === winner.before + winner.share
  return isTie ? 'TIE_SERVED_LATER' : 'LOWER_BALANCE'
}

function standingsIn(turn: LoggedTurn): Stood[] {
  const split = sharesOf(turn)
  const units = split.reduce((sum, share) => sum + share, 0)
  return turn.candidates.map(([id, , before, lastServed], index) => {
    const share = split[index] ?? 0
    const isChosen = index === turn.chosen
    return {
      id,
      isChosen,
      lastServed,
      before,
      share,
      after: before + share - (isChosen ? units : 0),
    }
  })
}

/** Whether the one who served is the one whose turn it was, from the logged numbers alone. */
export function followsFromNumbers(turn: LoggedTurn): boolean {
  const candidates: Candidate[] = turn.candidates.map(([id, weight, balance, lastServed]) => ({
    id,
    weight,
    balance,
    lastServed,
  }))
  return candidates.length > 0 && nextTurn(candidates, sharesOf(turn)) === turn.chosen
}

function numbersOf(
  stood: Stood | undefined,
): Omit<GuideExplained, 'guide_id' | 'chosen' | 'reason'> {
  if (!stood) return {}
  const { before, share, after } = stood
  return {
    balance_before: inOrders(before),
    share: inOrders(share),
    balance_after: inOrders(after),
    units: { before, share, after },
  }
}

export function inOrders(units: number): number {
  return Math.round((units / unitsPerOrder) * 10_000) / 10_000 + 0
}
