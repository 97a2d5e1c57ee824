import type { Standing, Turn } from './decide.ts'
import { type HandedOn, shares, turnChanges } from './fairness.ts'

/**
 * A turn as an order's trace keeps it: enough to recompute the choice, and to give the turn back.
 *
 * Turns and refunds of a book are numbered together from 1; 0 is the turn of a test order, which nobody took.
 */
export type LoggedTurn = {
  book: string
  units: number
  number: number
  chosen: number
  /** What was moved in the book before; the candidates stand as they did after that. */
  handedOn?: HandedOn[]
  candidates: [guideId: string, weight: number, balance: number, lastServed: number][]
}

export type Standings = Map<string, Standing>

const nobody: Standing = { balance: 0, lastServed: 0 }

export function logTurn(
  { book, units, handedOn, chosen, candidates }: Turn,
  number: number,
): LoggedTurn {
  return {
    book,
    units,
    number,
    chosen,
    ...(handedOn.length > 0 ? { handedOn } : {}),
    candidates: candidates.map(({ id, weight, balance, lastServed }) => [
      id,
      weight,
      balance,
      lastServed,
    ]),
  }
}

/** What the turn adds to each candidate's balance, index by index. */
export function changesOf({ candidates, units, chosen }: LoggedTurn): number[] {
  return turnChanges(sharesOf({ candidates, units }), chosen)
}

export function sharesOf({ candidates, units }: Pick<LoggedTurn, 'candidates' | 'units'>) {
  return shares(
    candidates.map(([id, weight]) => ({ id, weight })),
    units,
  )
}

/** What comes before the charge of a turn that hands balances on. */
export function moveHandedOn(standings: Standings, { handedOn = [] }: LoggedTurn): void {
  for (const [id, , change] of handedOn) move(standings, id, change)
}

export function move(standings: Standings, guideId: string, change: number): void {
  const { balance, lastServed } = standings.get(guideId) ?? nobody
  standings.set(guideId, { balance: balance + change, lastServed })
}

export function charge(standings: Standings, turn: LoggedTurn, changes = changesOf(turn)): void {
  for (const [index, [id]] of turn.candidates.entries()) {
    const { balance, lastServed } = standings.get(id) ?? nobody
    standings.set(id, {
      balance: balance + (changes[index] ?? 0),
      lastServed: index === turn.chosen ? turn.number : lastServed,
    })
  }
}

/**
 * The inverse of the turn: each balance, of those `whom` it concerns, is as if it had never been taken. What was handed
 * on before it stays so.
 */
export function refund(
  standings: Standings,
  turn: LoggedTurn,
  whom: (guideId: string) => boolean = () => true,
): void {
  const changes = changesOf(turn)
  for (const [index, [id, , , lastServed]] of turn.candidates.entries()) {
    if (!whom(id)) continue
    const now = standings.get(id) ?? nobody
    standings.set(id, {
      balance: now.balance - (changes[index] ?? 0),
      lastServed: now.lastServed === turn.number ? lastServed : now.lastServed,
    })
  }
}

/** The same turn with the candidates as they stand now, under a new number: its order gave it back, and its cart goes on. */
export function retaken(turn: LoggedTurn, standings: Standings, number: number): LoggedTurn {
  const { book, units, chosen } = turn
  return {
    book,
    units,
    number,
    chosen,
    candidates: turn.candidates.map(([id, weight]) => {
      const { balance, lastServed } = standings.get(id) ?? nobody
      return [id, weight, balance, lastServed]
    }),
  }
}

/** How long after its decision an order lends its guide to the next of its cart. */
export const cartLendsMs = 24 * 3_600_000
