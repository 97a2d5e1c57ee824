import type { DocumentVersions } from '../rules/decide.ts'
import type { NotChosen } from '../rules/eligibility.ts'
import type { PastRow } from './history.ts'
import type { Attempt, Order, OrderTrace, Returned, Upstream } from './order.ts'

/**
 * A generation of an order that is over: its guide was refused, or another was named in their place. `settledAtMs` is
 * when WeChat Pay had accepted it, if `status` says so.
 */
export type Earlier = Omit<OrderTrace, 'earlier' | 'returned' | 'decidedAtMs'> & {
  generation: number
  status: 'assigned' | 'pending' | 'unassigned' | 'rejected'
  guideId: string | null
  reason: string
  versions: DocumentVersions
  decidedAtMs: number
  settledAtMs: number | null
  upstream: Upstream | null
  returned: Returned
}

/** One generation of an order of the past; the newest is the order as it stands. */
export type Generation = Pick<PastRow, 'guideId' | 'reason' | 'versions'> & {
  generation: number
  isNewest: boolean
  /** WeChat Pay had accepted its guide when another followed. */
  wasAccepted: boolean
  decidedAtMs: number
  trace: Omit<OrderTrace, 'earlier'>
}

/** So many are decided by the rules: an order whose guides are all refused ends as refused. */
export const maxDecided = 5
/** So many an order has in all, those that managers name included. */
export const maxGenerations = 20

/** Attempts that have certainly left nothing behind at WeChat Pay. */
const withoutEffect = ['not_sent', 'throttled', 'rejected']

/** All generations of an order, the first first. */
export function generationsOf(row: PastRow): Generation[] {
  const { guideId, reason, versions } = row
  const { earlier = [], ...trace } = row.trace
  return [
    ...earlier.map(one => ({
      generation: one.generation,
      isNewest: false,
      wasAccepted: one.status === 'assigned',
      decidedAtMs: one.decidedAtMs,
      guideId: one.guideId,
      reason: one.reason,
      versions: one.versions,
      trace: one,
    })),
    {
      generation: row.generation,
      isNewest: true,
      wasAccepted: false,
      decidedAtMs: trace.decidedAtMs ?? row.decidedAtMs,
      guideId,
      reason,
      versions,
      trace,
    },
  ]
}

export function earlierOf({ generation, trace }: Order): Earlier[] {
  if (generation === 1) return []
  const { earlier = [] }: OrderTrace = JSON.parse(trace ?? '{}')
  return earlier
}

/** When the newest generation was decided; `decidedAtMs` of the row is when the first was. */
export function decidedAtOf({ generation, trace, decidedAtMs }: Order): number {
  if (generation === 1) return decidedAtMs
  const { decidedAtMs: newest }: OrderTrace = JSON.parse(trace ?? '{}')
  return newest ?? decidedAtMs
}

/** The earlier generation whose guide WeChat Pay still has while a later one has not been accepted. */
export function standingOf(order: Order): Earlier | null {
  return earlierOf(order).findLast(({ status }) => status === 'assigned') ?? null
}

/** Attempts of the present generation. */
export function attemptsMade(order: Order): number {
  if (order.generation === 1 || order.attemptCount === 0) return order.attemptCount
  return ownAttempts(order).length
}

/** Whether a call with the guide of a pending order may be under way, or be carried out yet. */
export function mayYetTakeEffect(order: Order): boolean {
  const { interrupted }: OrderTrace = JSON.parse(order.trace ?? '{}')
  if (interrupted) return true
  const kept: Attempt[] = JSON.parse(order.attempts)
  if (order.attemptCount > kept.length) return true
  return ownAttempts(order).some(({ outcome }) => !withoutEffect.includes(outcome))
}

function ownAttempts({ generation, attempts }: Order): Attempt[] {
  const kept: Attempt[] = JSON.parse(attempts)
  return kept.filter(one => (one.generation ?? 1) === generation)
}

/** A generation as it is kept once another follows. */
export function earlierFrom(order: Order, returned: Returned): Earlier {
  const { earlier: _, returned: __, ...trace }: OrderTrace = JSON.parse(order.trace ?? '{}')
  const { generation, guideId, reason, staffVersion, rosterVersion, planVersion, upstream } = order
  return {
    ...trace,
    generation,
    status: returned.by === 'refused' ? 'rejected' : statusBefore(order),
    guideId,
    reason,
    versions: { staff: staffVersion, roster: rosterVersion, plan: planVersion },
    decidedAtMs: trace.decidedAtMs ?? order.decidedAtMs,
    settledAtMs: order.settledAtMs,
    upstream: upstream === null ? null : JSON.parse(upstream),
    returned,
  }
}

/** Of the candidates of its turn that the rules would not say again why they did not serve. */
export function withoutTurn({ guideId, blocked, turn }: Earlier): Earlier['blocked'] {
  const named = new Set([guideId, ...blocked.map(([id]) => id)])
  const others = (turn?.candidates ?? []).map(([id]) => id).filter(id => !named.has(id))
  return [...blocked, ...others.map((id): [string, NotChosen] => [id, 'STEP_NOT_REACHED'])]
}

function statusBefore({ id, status }: Order): Earlier['status'] {
  if (status === 'assigned' || status === 'pending' || status === 'unassigned') return status
  throw new Error(`order ${id} is ${status}, and has no next generation`)
}
