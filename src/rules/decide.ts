import { type Crew, type Member, type NotChosen, whyNot } from './eligibility.ts'
import { type Candidate, nextTurn, shares, turnChanges } from './fairness.ts'
import type { Plan, Step } from './plan.ts'

export const hitReasons = ['HINT', 'OWNER', 'FAIR_TURN', 'ONLY_ONE', 'STICKY_CART'] as const
export type HitReason = (typeof hitReasons)[number]

/** A store's documents made ready: what `decide` needs and nothing that changes between orders. */
export type Rules = { crew: Crew; plan: Plan; versions: DocumentVersions }
export type DocumentVersions = { staff: number; roster: number; plan: number }

/** What stands in the book for one guide. */
export type Standing = { balance: number; lastServed: number }
export type BookView = { name: string; standing(guideId: string): Standing }

export type Question = {
  atMs: number
  hint: string | null
  owner: string | null
  /** The guide of an earlier order of the same cart. */
  sticky: string | null
  openBook(name: string): BookView
}

/** A turn in a book: what it adds to each candidate's balance, index by index. */
export type Turn = {
  book: string
  candidates: Candidate[]
  chosen: number
  changes: number[]
}

export type StepVerdict =
  | 'hit'
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

type Verdict =
  | { hit: string; reason: HitReason; turn: Turn | null }
  | { hit: null; why: StepVerdict }

/** The guide for one order. Pure: the same rules, question and standings give the same decision. */
export function decide(rules: Rules, question: Question): Decision {
  const minute = rules.crew.minuteOfWeek(question.atMs)
  const { steps } = rules.plan
  const sticky = question.sticky === null ? null : rules.crew.byId.get(question.sticky)
  if (sticky && whyNot(sticky, 'always', minute) === null) {
    return answer(rules, minute, { hit: sticky.id, reason: 'STICKY_CART', turn: null }, [])
  }

  const verdicts: StepVerdict[] = []
  for (const step of steps) {
    const verdict = tryStep(step, rules.crew, question, minute)
    if (verdict.hit !== null) return answer(rules, minute, verdict, [...verdicts, 'hit'])
    verdicts.push(verdict.why)
  }
  return answer(rules, minute, null, verdicts)
}

function tryStep(step: Step, crew: Crew, question: Question, minute: number): Verdict {
  switch (step.use) {
    case 'hint':
      return tryNamed(crew, question.hint, step.if, minute, 'HINT')
    case 'owner':
      return tryNamed(crew, question.owner, step.if, minute, 'OWNER')
    case 'rotate':
      return tryRotation(crew, question.openBook('orders'), minute)
    case 'none':
      return { hit: null, why: 'nobody' }
  }
}

function tryNamed(
  crew: Crew,
  guideId: string | null,
  condition: 'on_shift' | 'always',
  minute: number,
  reason: HitReason,
): Verdict {
  if (guideId === null) return { hit: null, why: 'not_given' }
  const member = crew.byId.get(guideId)
  if (!member) return { hit: null, why: 'not_on_staff' }
  const why = whyNot(member, condition, minute)
  return why === null ? { hit: guideId, reason, turn: null } : { hit: null, why }
}

function tryRotation(crew: Crew, book: BookView, minute: number): Verdict {
  const candidates: Candidate[] = []
  for (const member of crew.members) {
    if (!member.rotates || whyNot(member, 'on_shift', minute) !== null) continue
    const { balance, lastServed } = book.standing(member.id)
    candidates.push({ id: member.id, weight: member.weight, balance, lastServed })
  }
  if (candidates.length === 0) return { hit: null, why: 'nobody_eligible' }

  const split = shares(candidates)
  const chosen = nextTurn(candidates, split)
  const hit = candidates[chosen]?.id ?? null
  if (hit === null) return { hit, why: 'nobody_eligible' }
  return {
    hit,
    reason: candidates.length === 1 ? 'ONLY_ONE' : 'FAIR_TURN',
    turn: { book: book.name, candidates, chosen, changes: turnChanges(split, chosen) },
  }
}

function answer(
  { crew, plan }: Rules,
  minute: number,
  hit: Extract<Verdict, { hit: string }> | null,
  steps: StepVerdict[],
): Decision {
  const blocked: Decision['blocked'] = []
  for (const member of crew.members) {
    if (member.id === hit?.hit) continue
    const why = whyNot(member, 'on_shift', minute) ?? whyNoCandidate(member, hit)
    if (why !== null) blocked.push([member.id, why])
  }
  while (steps.length < plan.steps.length) steps.push('not_reached')
  return {
    guideId: hit?.hit ?? null,
    reason: hit?.reason ?? 'NO_STEP_MATCHED',
    turn: hit?.turn ?? null,
    steps,
    blocked,
  }
}

/** Of a guide on shift: null when they stand in the turn. */
function whyNoCandidate(
  { rotates }: Member,
  hit: Extract<Verdict, { hit: string }> | null,
): NotChosen | null {
  if (!rotates || hit === null) return 'NOT_IN_POOL'
  return hit.turn ? null : 'STEP_NOT_REACHED'
}
