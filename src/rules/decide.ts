import type { Moment } from './calendar.ts'
import { drawn } from './draw.ts'
import {
  absenceFor,
  type CountingFrom,
  type Crew,
  countingFrom,
  type Member,
  type NotChosen,
  type State,
  whyNot,
} from './eligibility.ts'
import {
  type Candidate,
  clampedUnits,
  type HandedOn,
  handOn,
  nextTurn,
  shares,
  turnChanges,
  unitsPerFen,
  unitsPerOrder,
} from './fairness.ts'
import type { Condition, Plan, Step, StepOf } from './plan.ts'
import { holdsWhen } from './when.ts'

export const hitReasons = [
  'HINT',
  'OWNER',
  'OWNER_COVER',
  'FAIR_TURN',
  'ONLY_ONE',
  'LISTED',
  'RANDOM',
  'NAMED',
  'STICKY_CART',
] as const
export type HitReason = (typeof hitReasons)[number]

/** A store's documents made ready: what `decide` needs and nothing that changes between orders. */
export type Rules = { crew: Crew; plan: Plan; versions: DocumentVersions }
export type DocumentVersions = { staff: number; roster: number; plan: number }

/** What stands in the book for one guide. */
export type Standing = { balance: number; lastServed: number }
export type BookView = {
  name: string
  standing(guideId: string): Standing
  /** All who stand in it, on the staff or not any more. */
  holders(): Iterable<string>
}

export type Owner = { guideId: string; sinceMs: number }

/** An order as the rules see it. Times in epoch milliseconds, money in fen. */
export type Question = {
  atMs: number
  outTradeNo: string
  channel: string | null
  memberLevel: string | null
  amountFen: number | null
  hint: string | null
  owner: Owner | null
  /** The guide of an earlier order of the same cart. */
  sticky: string | null
  isPaused(guideId: string): boolean
  openBook(name: string): BookView
  /** How many orders a guide has had since the hour and since the business day began. */
  tally(guideId: string, from: CountingFrom): { hour: number; day: number }
}

/** A turn in a book: what it adds to each candidate's balance, index by index, once `handedOn` has moved what it names. */
export type Turn = {
  book: string
  units: number
  handedOn: HandedOn[]
  candidates: Candidate[]
  chosen: number
  changes: number[]
}

export type StepVerdict =
  | 'hit'
  | 'when_not_met'
  | 'not_given'
  | 'not_on_staff'
  | 'nobody_eligible'
  | 'nobody'
  | 'not_reached'
  | NotChosen

export type Decision = {
  guideId: string | null
  reason: HitReason | 'NO_STEP_MATCHED'
  turn: Turn | null
  /** A verdict for each step of the plan, in its order. */
  steps: StepVerdict[]
  /** The staff who neither serve nor stand in the turn, with the reason: each guide is accounted for once. */
  blocked: [guideId: string, reason: NotChosen][]
}

type Hit = { hit: Member; reason: HitReason; turn: Turn | null; passedOver: NotChosen }
type Miss = { hit: null; why: StepVerdict }
type Scene = {
  rules: Rules
  question: Question
  moment: Moment
  onShift: (NotChosen | null)[]
  state: State
}

/** The guide for one order. Pure: the same rules, question and standings give the same decision. */
export function decide(rules: Rules, question: Question): Decision {
  const scene = setScene(rules, question)
  const kept = keptByCart(scene)
  if (kept) return answer(scene, kept, [])

  const verdicts: StepVerdict[] = []
  for (const step of rules.plan.steps) {
    const found = tryStep(step, scene)
    if (found.hit !== null) return answer(scene, found, [...verdicts, 'hit'])
    verdicts.push(found.why)
  }
  return answer(scene, null, verdicts)
}

function setScene(rules: Rules, question: Question): Scene {
  const { crew } = rules
  const moment = crew.calendar.momentAt(question.atMs)
  const from = crew.hasCaps ? countingFrom(crew, moment) : { hourMs: 0, dayMs: 0 }
  const state = {
    isPaused: question.isPaused,
    tally: (guideId: string) => question.tally(guideId, from),
  }
  const onShift = crew.members.map(member => whyNot(member, 'on_shift', crew, moment, state))
  return { rules, question, moment, onShift, state }
}

function keptByCart({ rules: { crew }, question: { sticky } }: Scene): Hit | null {
  const member = sticky === null ? undefined : crew.byId.get(sticky)
  if (!member || member.barred) return null
  return { hit: member, reason: 'STICKY_CART', turn: null, passedOver: 'STEP_NOT_REACHED' }
}

function tryStep(step: Step, scene: Scene): Hit | Miss {
  if (step.use === 'none') return { hit: null, why: 'nobody' }
  if (!holdsWhen(step.when, scene.question, scene.moment)) return { hit: null, why: 'when_not_met' }
  switch (step.use) {
    case 'hint':
      return tryNamed(scene, scene.question.hint, 'HINT', step)
    case 'guide':
      return tryNamed(scene, step.id, 'NAMED', step)
    case 'owner':
      return tryOwner(scene, step)
    case 'rotate':
      return tryRotation(scene, step)
  }
}

type Named = { if: Condition; counts: 'none' | 'full' | 'clamped' }

function tryNamed(
  scene: Scene,
  guideId: string | null,
  reason: HitReason,
  step: Named,
): Hit | Miss {
  if (guideId === null) return { hit: null, why: 'not_given' }
  const { crew } = scene.rules
  const member = crew.byId.get(guideId)
  if (!member) return { hit: null, why: 'not_on_staff' }
  const why = whyNot(member, step.if, crew, scene.moment, scene.state)
  if (why !== null) return { hit: null, why }
  return {
    hit: member,
    reason,
    turn: chargeFor(scene, member, step.counts),
    passedOver: 'STEP_NOT_REACHED',
  }
}

function tryOwner(scene: Scene, step: StepOf<'owner'>): Hit | Miss {
  const { owner, atMs } = scene.question
  if (!owner) return { hit: null, why: 'not_given' }
  const { max_age_days = Number.POSITIVE_INFINITY } = step
  if (atMs - owner.sinceMs > max_age_days * 86_400_000) return { hit: null, why: 'OWNER_EXPIRED' }
  const guideId = step.follow_cover ? coverOf(scene, owner.guideId, step.if) : owner.guideId
  return tryNamed(scene, guideId, guideId === owner.guideId ? 'OWNER' : 'OWNER_COVER', step)
}

/** Who stands in for a guide who is away or has left, to the end of the chain; a chain that runs in a circle ends at its first guide. */
function coverOf(
  { rules: { crew }, moment }: Scene,
  guideId: string,
  condition: Condition,
): string {
  const seen = new Set<string>()
  let at = guideId
  for (;;) {
    const cover = absenceFor(at, condition, crew, moment)?.cover ?? null
    if (cover === null) return at
    if (seen.has(cover)) return guideId
    seen.add(at)
    at = cover
  }
}

function tryRotation(scene: Scene, step: StepOf<'rotate'>): Hit | Miss {
  const pool = rotationPool(scene, step.among)
  const [first] = pool
  if (!first) return { hit: null, why: 'nobody_eligible' }
  switch (step.by) {
    case 'listed':
      return { hit: first, reason: 'LISTED', turn: null, passedOver: 'LISTED_LATER' }
    case 'random': {
      const hit = drawn(pool, scene.question.outTradeNo)
      return { hit, reason: 'RANDOM', turn: null, passedOver: 'NOT_DRAWN' }
    }
    case 'fair': {
      const turn = fairTurn(scene, pool, step)
      const hit = pool[turn.chosen] ?? first
      const reason = pool.length === 1 ? 'ONLY_ONE' : 'FAIR_TURN'
      return { hit, reason, turn, passedOver: 'NOT_IN_POOL' }
    }
  }
}

function rotationPool(scene: Scene, among: StepOf<'rotate'>['among']): Member[] {
  const { crew } = scene.rules
  return crew.members.filter((member, index) => {
    if (!mayRotate(member, among)) return false
    return (among.on_shift ? scene.onShift[index] : member.barred) === null
  })
}

function mayRotate({ rotates, tags }: Member, { tag }: StepOf<'rotate'>['among']): boolean {
  return rotates && (tag === undefined || tags.includes(tag))
}

function fairTurn(scene: Scene, pool: readonly Member[], step: StepOf<'rotate'>): Turn {
  const { book, handedOn } = settleBook(scene, bookOf(step, scene.rules.plan))
  const candidates = pool.map(member => candidate(member, member.weight, book))
  const units = worth(scene)
  const split = shares(candidates, units)
  const chosen = nextTurn(candidates, split)
  const changes = turnChanges(split, chosen)
  return { book: book.name, units, handedOn, candidates, chosen, changes }
}

/** The book as it stands once those who are no longer on the staff have handed their balances on. */
function settleBook(
  { rules: { crew, plan }, question }: Scene,
  name: string,
): { book: BookView; handedOn: HandedOn[] } {
  const book = question.openBook(name)
  const gone: { id: string; balance: number }[] = []
  for (const id of book.holders()) {
    if (crew.byId.has(id)) continue
    const { balance } = book.standing(id)
    if (balance !== 0) gone.push({ id, balance })
  }
  if (gone.length === 0) return { book, handedOn: [] }
  const pools = poolsOf(name, plan)
  const heirs = crew.members.filter(
    one => one.barred === null && pools.some(among => mayRotate(one, among)),
  )
  const handedOn = handOn(gone, heirs)
  const moved = new Map(handedOn.map(([id, , change]) => [id, change]))
  const standing = (id: string) => {
    const { balance, lastServed } = book.standing(id)
    return { balance: balance + (moved.get(id) ?? 0), lastServed }
  }
  return { book: { ...book, standing }, handedOn }
}

// A book holds one unit: orders and fen do not add up.
function bookOf({ book }: StepOf<'rotate'>, { fair_by }: Plan): string {
  return book === undefined ? fair_by : `${fair_by}/${book}`
}

/** Who may come to stand in the book by any step of the plan: which of them is asked first is chance. */
function poolsOf(name: string, plan: Plan): StepOf<'rotate'>['among'][] {
  return plan.steps.flatMap(step => {
    if (step.use === 'rotate') {
      return step.by === 'fair' && bookOf(step, plan) === name ? [step.among] : []
    }
    const isCharged = step.use !== 'none' && step.counts !== 'none' && plan.fair_by === name
    return isCharged ? [allOnShift] : []
  })
}

const allOnShift: StepOf<'rotate'>['among'] = { on_shift: true }

function candidate({ id }: Member, weight: number, book: BookView): Candidate {
  const { balance, lastServed } = book.standing(id)
  return { id, weight, balance, lastServed }
}

/** What the order is worth in the book. */
function worth({ rules, question }: Scene): number {
  return rules.plan.fair_by === 'amount' ? (question.amountFen ?? 0) * unitsPerFen : unitsPerOrder
}

/** What a hit that is not a turn costs its guide in the plan's book, to the good of all who could have served. */
function chargeFor(scene: Scene, member: Member, counts: Named['counts']): Turn | null {
  if (counts === 'none') return null
  const pool = rotationPool(scene, allOnShift)
  const { book, handedOn } = settleBook(scene, scene.rules.plan.fair_by)
  const candidates = pool.map(one => candidate(one, one.weight, book))
  // Who serves out of turn without standing in the pool has no share of the order.
  if (!pool.includes(member)) candidates.push(candidate(member, 0, book))
  const chosen = candidates.findIndex(({ id }) => id === member.id)
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0)
  const { balance = 0, weight = 0 } = candidates[chosen] ?? {}
  const full = worth(scene)
  const units = counts === 'full' ? full : clampedUnits(balance, weight, total, full)
  if (total === 0 || units === 0) return null
  return {
    book: book.name,
    units,
    handedOn,
    candidates,
    chosen,
    changes: turnChanges(shares(candidates, units), chosen),
  }
}

function answer(scene: Scene, hit: Hit | null, steps: StepVerdict[]): Decision {
  const { crew, plan } = scene.rules
  while (steps.length < plan.steps.length) steps.push('not_reached')
  return {
    guideId: hit?.hit.id ?? null,
    reason: hit?.reason ?? 'NO_STEP_MATCHED',
    turn: hit?.turn ?? null,
    steps,
    blocked: crew.members.flatMap((member, index): Decision['blocked'] => {
      if (member === hit?.hit) return []
      const inTurn = hit?.turn?.candidates.some(({ id }) => id === member.id)
      if (inTurn) return []
      return [[member.id, scene.onShift[index] ?? passedOver(member, scene, steps, hit)]]
    }),
  }
}

/** Of a guide who could have served: why another did. */
function passedOver(
  member: Member,
  { question }: Scene,
  steps: readonly StepVerdict[],
  hit: Hit | null,
): NotChosen {
  const isOldOwner = question.owner?.guideId === member.id && steps.includes('OWNER_EXPIRED')
  if (isOldOwner) return 'OWNER_EXPIRED'
  if (hit === null || !member.rotates) return 'NOT_IN_POOL'
  return hit.passedOver
}
