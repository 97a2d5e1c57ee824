import { followsFromNumbers } from '../rules/explain.ts'
import {
  clampedUnits,
  type HandedOn,
  handOn,
  unitsPerFen,
  unitsPerOrder,
} from '../rules/fairness.ts'
import type { LoggedTurn } from '../rules/logged.ts'
import {
  type Chain,
  createAhead,
  createChain,
  deciders,
  isTakenOver,
  partsOf,
  type Report,
  type Staff,
  staffOf,
  stateIn,
  turnOf,
  type WeightsOf,
} from './chain.ts'
import { type Generation, generationsOf } from './generations.ts'
import type { PastRow, Snapshot } from './history.ts'
import type { Returned } from './order.ts'

/** What does not hold, and of which order; null when it is the book itself, or an order that is gone. */
export type Fault = { out_trade_no: string | null; what: string }
export type Verified = {
  ok: boolean
  checked: number
  faults: Fault[]
  /** Orders that were purged: of them the books remain as they left them, and nothing can be checked any more. */
  purged?: { orders: number; until: string }
}

export type { WeightsOf }

const maxFaults = 100

/**
 * Recomputes the books of a store from its orders, from the first on, or from where those stood that were purged: each choice from its own numbers, each balance
 * from the turns and refunds before it, each number once, and the stored page at the end. Faults are told of orders
 * decided in [from, to).
 */
export async function verify(
  snapshot: Snapshot,
  storeId: number,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  weightsOf: WeightsOf,
): Promise<Verified> {
  const faults: Fault[] = []
  let checked = 0
  const tell: Report = (out_trade_no, what) => {
    if (faults.length < maxFaults) faults.push({ out_trade_no, what })
  }
  const isInRange = ({ decidedAtMs }: PastRow) => decidedAtMs >= fromMs && decidedAtMs < toMs
  const purged = snapshot.purged(storeId)
  for (const what of purged?.faults ?? []) tell(null, `of the purged orders: ${what}`)
  const ahead = await lookAhead(snapshot, storeId, isInRange, weightsOf)
  const chains = new Map<string, Chain>()
  const chainOf = (book: string) => {
    const known = chains.get(book)
    if (known) return known
    const made = createChain(
      book,
      ahead.get(book) ?? { late: [], heirs: new Map() },
      tell,
      stateIn(purged, book),
    )
    chains.set(book, made)
    return made
  }

  for await (const slice of snapshot.orders(storeId, 0, Number.MAX_SAFE_INTEGER)) {
    for (const row of slice) {
      const say: Report = isInRange(row) ? tell : () => {}
      if (isInRange(row)) {
        checked += 1
        for (const what of faultsOf(row, weightsOf)) tell(row.outTradeNo, what)
      }
      const [first] = generationsOf(row)
      const turn = first && turnOf(first)
      if (first && turn) chainOf(turn.book).take(row, first, turn, deciders(first, weightsOf), say)
      if (row.turn !== null && !row.trace.turn?.number)
        say(row.outTradeNo, 'holds a turn that its trace does not have')
    }
  }
  const pages = snapshot.books(storeId)
  for (const { book } of pages) chainOf(book)
  for (const [book] of purged?.books ?? []) chainOf(book)
  for (const chain of chains.values()) {
    chain.end(pages.find(({ book }) => book === chain.book) ?? null)
  }
  return {
    ok: faults.length === 0,
    checked,
    faults,
    ...(purged
      ? { purged: { orders: purged.orders, until: new Date(purged.untilMs).toISOString() } }
      : {}),
  }
}

async function lookAhead(
  snapshot: Snapshot,
  storeId: number,
  isInRange: (row: PastRow) => boolean,
  weightsOf: WeightsOf,
) {
  const ahead = createAhead(weightsOf, snapshot.carried(storeId))
  for await (const slice of snapshot.orders(storeId, 0, Number.MAX_SAFE_INTEGER)) {
    for (const row of slice) ahead.note(row, isInRange(row))
  }
  return ahead.read()
}

/** What an order's own row tells against itself. */
function faultsOf(row: PastRow, weightsOf: WeightsOf): string[] {
  const faults: string[] = []
  const { guideId, trace } = row
  const isRefused = row.status === 'rejected' || row.closedAtMs !== null
  const number = trace.returned?.number ?? null
  if (row.turn === 'taken' && number !== null) faults.push('has a refund, and holds its turn still')
  if (row.turn === 'taken' && isRefused)
    faults.push('was refused or closed, and holds its turn still')
  if (row.turn === 'refunded' && number === null)
    faults.push('gave its turn back, and no refund says when')
  if (row.turn === null && number !== null) faults.push('has a refund, and no turn that it was of')
  if (trace.returned && !hasEnded(row, trace.returned.by))
    faults.push(`ended as ${trace.returned.by}, and its row does not say so`)
  if (guideId === null) {
    if (row.status === 'pending' || row.status === 'assigned') faults.push('has no guide')
  } else if (row.status === 'unassigned' || row.status === 'skipped') {
    faults.push(`is ${row.status}, and has a guide`)
  }
  const generations = generationsOf(row)
  faults.push(...faultsOfSuccession(row, generations))
  for (const one of generations) faults.push(...faultsOfGeneration(row, one, weightsOf))
  return faults
}

/** Each generation is there once, ended as one that another follows, and is not with the guide who was just refused. */
function faultsOfSuccession(row: PastRow, generations: readonly Generation[]): string[] {
  const faults: string[] = []
  const numbers = generations.map(({ generation }) => generation)
  if (numbers.some((number, index) => number !== index + 1))
    faults.push(`is generation ${row.generation}, and its trace has ${numbers.join(', ')}`)
  for (const [index, { guideId, reason }] of generations.entries()) {
    const before = generations[index - 1]
    if (!before) continue
    const by = before.trace.returned?.by
    if (by !== 'refused' && by !== 'reassigned')
      faults.push(`generation ${before.generation} does not say how it ended`)
    if (by === 'refused' && before.guideId === guideId && reason !== 'RESTORED')
      faults.push(`is with ${guideId} again, who had just been refused`)
    const isStanding = (row.trace.earlier ?? [])
      .slice(0, index)
      .some(one => one.status === 'assigned' && one.guideId === guideId)
    if (reason === 'RESTORED' && !isStanding)
      faults.push(`went back to ${guideId}, whom WeChat Pay had not accepted`)
  }
  return faults
}

function faultsOfGeneration(row: PastRow, one: Generation, weightsOf: WeightsOf): string[] {
  const faults: string[] = []
  const { guideId, reason, trace } = one
  const { turn, asked, blocked } = trace
  const { facts } = row
  if (trace.inherited && !turn) faults.push('inherited a turn that its trace does not have')
  if (turn?.number === 0 && !facts.test) faults.push('has the turn of a test, and is none')
  if (guideId === null) return turn ? [...faults, 'has a turn and no guide'] : faults
  if (blocked.some(([id]) => id === guideId))
    faults.push(`says why ${guideId}, who serves it, could not`)
  if (reason === 'HINT' && facts.guide_id !== guideId)
    faults.push('is not with the guide whom the cashier named')
  if (reason === 'OWNER' && asked.owner?.guideId !== guideId)
    faults.push("is not with the member's own guide")
  if (reason === 'STICKY_CART' && asked.sticky !== guideId)
    faults.push('is not with the guide of its cart')
  if (turn) faults.push(...faultsOfTurn(row, one, turn))
  // A turn that was taken before may be of an earlier version, of other staff.
  if (isTakenOver(reason)) return faults
  const staff = staffOf(one, weightsOf)
  return staff ? [...faults, ...faultsOfStaff(one, turn, staff)] : faults
}

function hasEnded({ status, closedAtMs, paidAtMs }: PastRow, by: Returned['by']): boolean {
  switch (by) {
    case 'rejected':
      return status === 'rejected'
    case 'closed':
      return closedAtMs !== null
    case 'paid':
      return paidAtMs !== null
    case 'refused':
    case 'reassigned':
      return false
  }
}

function faultsOfTurn(
  { facts }: PastRow,
  { guideId, reason }: Generation,
  turn: LoggedTurn,
): string[] {
  const faults = turn.handedOn ? faultsOfHandingOn(turn.handedOn) : []
  const chosen = turn.candidates[turn.chosen]
  if (chosen?.[0] !== guideId)
    faults.push(`its turn is ${chosen?.[0] ?? 'nobody'}'s, and ${guideId} serves it`)
  if (isTakenOver(reason)) return faults
  const full = [unitsPerOrder, (facts.amount ?? 0) * unitsPerFen]
  const isRotated = reason === 'FAIR_TURN' || reason === 'ONLY_ONE'
  if (isRotated && !followsFromNumbers(turn))
    faults.push('the one who serves does not follow from its numbers')
  if (reason === 'ONLY_ONE' && turn.candidates.length !== 1)
    faults.push('had more candidates than one')
  const total = turn.candidates.reduce((sum, [, weight]) => sum + weight, 0)
  const [, weight = 0, balance = 0] = chosen ?? []
  const allowed = isRotated
    ? full
    : [...full, ...full.map(units => clampedUnits(balance, weight, total, units))]
  if (!allowed.includes(turn.units))
    faults.push(`is worth ${turn.units} units in its turn, not ${full.join(' or ')}`)
  return faults
}

function faultsOfHandingOn(handedOn: readonly HandedOn[]): string[] {
  const { gone, heirs } = partsOf(handedOn)
  if (new Set(handedOn.map(([id]) => id)).size < handedOn.length)
    return ['hands on to or from a guide twice']
  const due = handOn(
    gone.map(([id, , change]) => ({ id, balance: -change })),
    heirs.map(([id, weight]) => ({ id, weight })),
  )
  const isDue = due.length === handedOn.length && String(due) === String([...gone, ...heirs])
  return isDue ? [] : ['hands balances on otherwise than pro rata']
}

function faultsOfStaff(
  { guideId, trace }: Generation,
  turn: LoggedTurn | null,
  weights: Staff,
): string[] {
  const faults: string[] = []
  const candidates = turn?.candidates ?? []
  for (const [index, [id, weight]] of candidates.entries()) {
    // Who serves out of turn stands with weight 0.
    const isExtra = weight === 0 && index === turn?.chosen
    if (weight !== weights.get(id) && !isExtra) {
      faults.push(
        `weighs ${id} with ${weight}; its staff version says ${weights.get(id) ?? 'nothing'}`,
      )
    }
  }
  for (const [id, weight] of turn?.handedOn ?? []) {
    if (weight === (weights.get(id) ?? 0)) continue
    faults.push(`hands on to or from ${id} with ${weight}, against its staff version`)
  }
  const named = [
    ...new Set([...(guideId === null ? [] : [guideId]), ...candidates.map(([id]) => id)]),
    ...trace.blocked.map(([id]) => id),
  ]
  const distinct = new Set(named)
  if (distinct.size !== named.length) faults.push('names a guide twice')
  for (const id of distinct)
    if (!weights.has(id)) faults.push(`names ${id}, who is not on its staff version`)
  for (const id of weights.keys())
    if (!distinct.has(id)) faults.push(`does not name ${id}, who is on its staff version`)
  return faults
}
