import type { Order } from './order.ts'

/** How an order ended: its status, but `closed` when its till closed it first, and `too_late` when it was paid first. */
export type SettledAs = Exclude<Order['status'], 'pending'> | 'closed' | 'too_late'

/** `foundTooLate`: settled before, and too late by what its till told after that. */
export type OutcomeCounts = {
  readonly settled: Readonly<Record<SettledAs, number>>
  readonly foundTooLate: number
  /** New orders, by what the rules made of them. */
  readonly decided: readonly DecidedCount[]
}

export type DecidedCount = Readonly<Pick<Order, 'status' | 'reason'> & { count: number }>

/** What a job of the ledger adds to the counts. */
export type Ending = SettledAs | 'found_too_late'

/** Paid before WeChat Pay had accepted the guide. */
export function isTooLate({
  paidAtMs,
  guideId,
  status,
  settledAtMs,
}: Pick<Order, 'paidAtMs' | 'guideId' | 'status' | 'settledAtMs'>): boolean {
  if (paidAtMs === null || guideId === null || status === 'rejected') return false
  return status !== 'assigned' || latestMs(paidAtMs) < (settledAtMs ?? Number.POSITIVE_INFINITY)
}

/** WeChat Pay tells the time of a payment (`success_time`) in whole seconds: it was somewhen in that one. */
function latestMs(paidAtMs: number): number {
  return paidAtMs % 1000 === 0 ? paidAtMs + 999 : paidAtMs
}

/** Null while the order is pending. */
export function settledAs(order: Order): SettledAs | null {
  if (order.status === 'pending') return null
  if (isTooLate(order)) return 'too_late'
  return order.status === 'expired' && order.closedAtMs !== null ? 'closed' : order.status
}

export function createOutcomeCounts() {
  const settled = {
    assigned: 0,
    unassigned: 0,
    skipped: 0,
    rejected: 0,
    expired: 0,
    closed: 0,
    too_late: 0,
  } satisfies Record<SettledAs, number>
  let foundTooLate = 0
  const decided = new Map<string, { status: Order['status']; reason: string; count: number }>()

  return {
    decided({ status, reason }: Pick<Order, 'status' | 'reason'>): void {
      const known = decided.get(reason)
      if (known) known.count += 1
      else decided.set(reason, { status, reason, count: 1 })
    },
    add(endings: readonly Ending[]): void {
      for (const ending of endings) {
        if (ending === 'found_too_late') foundTooLate += 1
        else settled[ending] += 1
      }
    },
    read: (): OutcomeCounts => ({
      settled: { ...settled },
      foundTooLate,
      decided: [...decided.values()],
    }),
  }
}
