/**
 * The carpool ledger (R. Fagin, J. Williams: A fair carpool scheduling algorithm, 1983).
 *
 * One order is worth `unitsPerOrder`. It is credited to all who could have served it, by weight,
 * and charged to the one who does, so that the balances of a book always sum to zero and a
 * positive balance means "the shop owes this guide orders".
 */

/** lcm(1..16): equal shares among up to 16 guides are whole numbers. */
export const unitsPerOrder = 720_720

/** A guide who could serve the order. `lastServed` is the turn of the book that they last took, 0 for never. */
export type Candidate = { id: string; weight: number; balance: number; lastServed: number }

/** `fair_by: amount`: what a fen is worth. A balance stays a safe integer for 1,000 guides and 10^10 fen an order. */
export const unitsPerFen = 720

/** What `units` are worth to each; sums to them exactly (largest remainder, then smaller id). All weights 0: nobody has a share. */
export function shares(
  candidates: readonly Pick<Candidate, 'id' | 'weight'>[],
  units = unitsPerOrder,
): number[] {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0)
  if (total === 0) return candidates.map(() => 0)
  const split = candidates.map(({ weight }) => Math.floor((units * weight) / total))
  const left = units - split.reduce((sum, share) => sum + share, 0)
  if (left === 0) return split

  const remainder = (index: number) => (units * (candidates[index]?.weight ?? 0)) % total
  const order = candidates
    .map(({ id }, index) => ({ id, index, remainder: remainder(index) }))
    .sort((a, b) => b.remainder - a.remainder || (a.id < b.id ? -1 : 1))
  for (const { index } of order.slice(0, left)) split[index] = (split[index] ?? 0) + 1
  return split
}

/** Whose turn it is among the candidates once each has their share: the index of the one who serves. */
export function nextTurn(candidates: readonly Candidate[], split: readonly number[]): number {
  let chosen = 0
  for (let index = 1; index < candidates.length; index++) {
    if (goesBefore(index, chosen)) chosen = index
  }
  return chosen

  function goesBefore(a: number, b: number): boolean {
    const [one, other] = [candidates[a], candidates[b]]
    if (!one || !other) return false
    const lead = one.balance + (split[a] ?? 0) - (other.balance + (split[b] ?? 0))
    if (lead !== 0) return lead > 0
    if (one.lastServed !== other.lastServed) return one.lastServed < other.lastServed
    return one.id < other.id
  }
}

/** What a guide's balance is moved by, and the weight that they have in it: 0 for who is no longer on the staff. */
export type HandedOn = [guideId: string, weight: number, change: number]

/**
 * Balances of guides who are no longer on the staff, handed on to the others pro rata; sums to zero. What is too much
 * to be reckoned in safe integers is left for the next time.
 */
export function handOn(
  gone: readonly Pick<Candidate, 'id' | 'balance'>[],
  heirs: readonly Pick<Candidate, 'id' | 'weight'>[],
): HandedOn[] {
  const total = heirs.reduce((sum, { weight }) => sum + weight, 0)
  if (gone.length === 0 || total === 0) return []
  const most = Math.floor(Number.MAX_SAFE_INTEGER / total / gone.length)
  const parts = gone.map(({ balance }) => Math.max(-most, Math.min(most, balance)))
  const sum = parts.reduce((all, part) => all + part, 0)
  const sign = sum < 0 ? -1 : 1
  const split = shares(heirs, Math.abs(sum))
  return [
    ...gone.map(({ id }, index): HandedOn => [id, 0, -(parts[index] ?? 0)]),
    ...heirs.map(({ id, weight }, index): HandedOn => [id, weight, sign * (split[index] ?? 0)]),
  ]
}

/** What a turn adds to each balance, summing to zero; the negative of it is the refund. */
export function turnChanges(split: readonly number[], chosen: number): number[] {
  const units = split.reduce((sum, share) => sum + share, 0)
  return split.map((share, index) => (index === chosen ? share - units : share))
}

/**
 * The most that a guide can be charged and still stand at −2 orders or above, given what the share of it adds: what
 * a hit that is not a turn (`counts: clamped`) costs.
 */
export function clampedUnits(
  balance: number,
  weight: number,
  totalWeight: number,
  units: number,
): number {
  const room = balance + 2 * unitsPerOrder
  if (room <= 0) return 0
  const others = totalWeight - weight
  if (others <= 0 || room >= units) return units
  // room · totalWeight / others, in products that stay safe integers.
  return Math.min(units, room + Math.floor((room * weight) / others))
}
