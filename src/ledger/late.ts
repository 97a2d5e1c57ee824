import { changesOf, type LoggedTurn } from '../rules/logged.ts'
import type { Staff } from './chain.ts'
import type { PastRow } from './history.ts'

/** What stands in a book beside the turns of first generations: it may come long after its order. */
export type Late = (LateTurn | LateRefund) & { number: number; isInRange: boolean }

type LateTurn = {
  kind: 'turn' | 'heir'
  turn: LoggedTurn
  /** Who was on the staff when the turn was decided; null when that cannot be known. */
  staff: Staff | null
  isHeld: boolean
  row: Pick<PastRow, 'outTradeNo' | 'cartId'>
}

export type LateRefund = {
  kind: 'refund'
  outTradeNo: string
  /** The number of the turn that is given back. */
  of: number
  /** What the turn added to the balance, and the last turn of each before it. */
  changes: [guideId: string, change: number, lastServed: number][]
}

/** A late one of a purged order, as the row `id` of the database has it. */
export type Carried = { id: number; book: string; late: Late }

export function refundOf(turn: LoggedTurn, outTradeNo: string): LateRefund {
  const changes = changesOf(turn)
  return {
    kind: 'refund',
    outTradeNo,
    of: turn.number,
    changes: turn.candidates.map(([id, , , lastServed], index) => [
      id,
      changes[index] ?? 0,
      lastServed,
    ]),
  }
}

export function printLate({ isInRange: _, ...late }: Late): string {
  return JSON.stringify(
    late.kind === 'refund' ? late : { ...late, staff: late.staff && [...late.staff] },
  )
}

type Printed =
  | (LateRefund & { number: number; turn?: undefined })
  // As the first version of the retention had it.
  | (Pick<LateTurn, 'turn' | 'row'> & { kind: 'refund'; number: number })
  | (Omit<LateTurn, 'staff'> & { number: number; staff: [string, number][] | null })

export function parseLate(text: string): Late {
  const late: Printed = JSON.parse(text)
  if (late.kind !== 'refund')
    return { ...late, staff: late.staff && new Map(late.staff), isInRange: true }
  const { number } = late
  const refund = late.turn === undefined ? late : refundOf(late.turn, late.row.outTradeNo)
  return { ...refund, number, isInRange: true }
}
