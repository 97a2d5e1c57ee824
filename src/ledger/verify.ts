import type { Standing } from '../rules/decide.ts'
import { followsFromNumbers } from '../rules/explain.ts'
import {
  clampedUnits,
  type HandedOn,
  handOn,
  unitsPerFen,
  unitsPerOrder,
} from '../rules/fairness.ts'
import { changesOf, type LoggedTurn, type Standings } from '../rules/logged.ts'
import { type Generation, generationsOf } from './generations.ts'
import type { PastRow, Snapshot, StoredBook } from './history.ts'
import type { Returned } from './ledger.ts'

/** What does not hold, and of which order; null when it is the book itself, or an order that is gone. */
export type Fault = { out_trade_no: string | null; what: string }
export type Verified = { ok: boolean; checked: number; faults: Fault[] }

/** The weights of a staff version; null when it cannot be known any more. */
export type WeightsOf = (staffVersion: number) => Staff | null
type Staff = ReadonlyMap<string, number>

/** What stands in a book beside the turns of first generations: it may come long after its order. */
type Late = {
  kind: 'turn' | 'heir' | 'refund'
  number: number
  turn: LoggedTurn
  /** Who was on the staff when the turn was decided; null when that cannot be known. */
  staff: Staff | null
  isHeld: boolean
  row: Pick<PastRow, 'outTradeNo' | 'cartId'>
  isInRange: boolean
}
type Report = (outTradeNo: string | null, what: string) => void

const maxFaults = 100

/**
 * Recomputes the books of a store from its orders, from the first on: each choice from its own numbers, each balance
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
  const ahead = await lookAhead(snapshot, storeId, isInRange, weightsOf)
  const chains = new Map<string, Chain>()
  const chainOf = (book: string) => {
    const known = chains.get(book)
    if (known) return known
    const made = createChain(book, ahead.get(book) ?? { late: [], heirs: new Map() }, tell)
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
  for (const chain of chains.values()) {
    chain.end(pages.find(({ book }) => book === chain.book) ?? null)
  }
  return { ok: faults.length === 0, checked, faults }
}

/** What must be known of a book's orders before their turn comes. */
type Ahead = {
  /** By number. */
  late: Late[]
  /** How many have inherited a turn, by the turn's number. */
  heirs: Map<number, number>
}

async function lookAhead(
  snapshot: Snapshot,
  storeId: number,
  isInRange: (row: PastRow) => boolean,
  weightsOf: WeightsOf,
): Promise<Map<string, Ahead>> {
  const books = new Map<string, Ahead>()
  const aheadIn = (book: string) => {
    const known = books.get(book)
    if (known) return known
    const made: Ahead = { late: [], heirs: new Map() }
    books.set(book, made)
    return made
  }
  for await (const slice of snapshot.orders(storeId, 0, Number.MAX_SAFE_INTEGER)) {
    for (const row of slice) {
      for (const one of generationsOf(row)) {
        const turn = turnOf(one)
        if (!turn) continue
        const { inherited, returned } = one.trace
        const { late, heirs } = aheadIn(turn.book)
        const { outTradeNo, cartId } = row
        const told = {
          turn,
          staff: null,
          isHeld: isHeld(row, one),
          row: { outTradeNo, cartId },
          isInRange: isInRange(row),
        }
        if (inherited) heirs.set(turn.number, (heirs.get(turn.number) ?? 0) + 1)
        if (one.generation > 1)
          late.push({
            ...told,
            kind: inherited ? 'heir' : 'turn',
            number: turn.number,
            staff: deciders(one, weightsOf),
          })
        const refund = returned?.number ?? null
        if (refund !== null) late.push({ ...told, kind: 'refund', number: refund })
      }
    }
  }
  // Whoever inherits a turn comes after it.
  const rank = { turn: 0, heir: 1, refund: 2 }
  for (const { late } of books.values())
    late.sort((a, b) => a.number - b.number || rank[a.kind] - rank[b.kind])
  return books
}

/** The turn that a generation took or inherited; a test took none. */
function turnOf({ trace: { turn } }: Generation): LoggedTurn | null {
  return turn && turn.number !== 0 ? turn : null
}

/** Whether the generation holds its turn, or gave it back itself. */
function isHeld(row: PastRow, { isNewest, trace }: Generation): boolean {
  return isNewest ? row.turn !== null : (trace.returned?.number ?? null) !== null
}

type Chain = ReturnType<typeof createChain>
type CartTurn = {
  print: string
  holders: number
  heirsLeft: number
  outTradeNo: string
  say: Report
}

/** One book, event by event: turns as their first order logs them, refunds by their numbers between them. */
function createChain(book: string, { late, heirs }: Ahead, tell: Report) {
  const running: Standings = new Map()
  /** Until the last of the cart has inherited: however long the log, few carts are being made anew at a time. */
  const inCarts = new Map<number, CartTurn>()
  let last = 0
  let nextLate = 0
  // After a hole in the numbers a balance is known only once an order has logged it anew.
  let known: Set<string> | null = null

  function standing(id: string): Standing {
    return running.get(id) ?? { balance: 0, lastServed: 0 }
  }

  function move(id: string, by: number, lastServed: number): void {
    running.set(id, { balance: standing(id).balance + by, lastServed })
  }

  function step(number: number, outTradeNo: string, say: Report): void {
    if (number === last + 1) last = number
    else if (number <= last) say(outTradeNo, `number ${number} of book ${book} comes twice`)
    else {
      const missing = number === last + 2 ? `${last + 1} is` : `${last + 1} to ${number - 1} are`
      say(outTradeNo, `comes as number ${number} of book ${book}, and ${missing} missing before it`)
      last = number
      known = new Set()
    }
  }

  function catchUp(number: number): void {
    for (;;) {
      const due = late[nextLate]
      if (!due || due.number >= number) return
      nextLate += 1
      const say: Report = due.isInRange ? tell : () => {}
      if (due.kind === 'refund') giveBack(due, say)
      else if (due.kind === 'turn') charge(due.row, due.turn, due.staff, due.isHeld, say)
      else inherit(due.row, due.turn, due.isHeld, say)
    }
  }

  function giveBack({ number, turn, row }: Late, say: Report): void {
    step(number, row.outTradeNo, say)
    const changes = changesOf(turn)
    for (const [index, [id, , , lastServed]] of turn.candidates.entries()) {
      const now = standing(id)
      const isLast = now.lastServed === turn.number
      move(id, -(changes[index] ?? 0), isLast ? lastServed : now.lastServed)
    }
  }

  function inherit({ outTradeNo }: Late['row'], turn: LoggedTurn, held: boolean, say: Report) {
    const cart = inCarts.get(turn.number)
    if (!cart) {
      say(outTradeNo, `inherited turn ${turn.number}, which no order of its cart took`)
      return
    }
    if (cart.print !== JSON.stringify(turn)) {
      say(outTradeNo, `its turn is not as ${cart.outTradeNo}, of the same cart, has it`)
    }
    if (held) cart.holders += 1
    cart.heirsLeft -= 1
    leaveCart(turn.number)
  }

  function charge(
    { outTradeNo, cartId }: Late['row'],
    turn: LoggedTurn,
    staff: Staff | null,
    held: boolean,
    say: Report,
  ): void {
    if (cartId === null && !held) say(outTradeNo, `logs turn ${turn.number} and does not hold it`)
    step(turn.number, outTradeNo, say)
    if (cartId !== null) {
      inCarts.set(turn.number, {
        print: JSON.stringify(turn),
        holders: held ? 1 : 0,
        heirsLeft: heirs.get(turn.number) ?? 0,
        outTradeNo,
        say,
      })
      leaveCart(turn.number)
    }
    const { handedOn = [] } = turn
    for (const what of compareGone(handedOn, staff)) say(outTradeNo, what)
    for (const [id, , change] of handedOn) {
      if (!known || known.has(id)) move(id, change, standing(id).lastServed)
    }
    const changes = changesOf(turn)
    for (const [index, candidate] of turn.candidates.entries()) {
      for (const what of compare(candidate)) say(outTradeNo, what)
      const [id] = candidate
      const lastServed = index === turn.chosen ? turn.number : standing(id).lastServed
      move(id, changes[index] ?? 0, lastServed)
    }
  }

  function compare([id, , balance, lastServed]: LoggedTurn['candidates'][number]): string[] {
    if (known && !known.has(id)) {
      known.add(id)
      running.set(id, { balance, lastServed })
      return []
    }
    const now = standing(id)
    const found: string[] = []
    if (now.balance !== balance) {
      found.push(
        `balance of ${id} before it is ${balance}; the log up to there says ${now.balance}`,
      )
    }
    if (now.lastServed !== lastServed) {
      found.push(`last turn of ${id} is ${lastServed}; the log up to there says ${now.lastServed}`)
    }
    return found
  }

  /** All that those stood at who are not on the staff is handed on, but for what is too much at once. */
  function compareGone(handedOn: readonly HandedOn[], staff: Staff | null): string[] {
    const { gone, heirs } = partsOf(handedOn)
    for (const [id, , change] of gone) {
      if (!known || known.has(id)) continue
      known.add(id)
      running.set(id, { balance: -change, lastServed: standing(id).lastServed })
    }
    const due = handOn(
      gone.map(([id]) => ({ id, balance: standing(id).balance })),
      heirs.map(([id, weight]) => ({ id, weight })),
    )
    const found = gone.flatMap(([id, , change], index) =>
      due[index]?.[2] === change
        ? []
        : [`hands on ${-change} of ${id}; the log up to there says ${standing(id).balance}`],
    )
    if (staff === null) return found
    for (const [id, { balance }] of running) {
      const isForgotten = balance !== 0 && !staff.has(id) && !gone.some(([one]) => one === id)
      if (isForgotten && (!known || known.has(id)))
        found.push(`does not hand on ${balance} of ${id}, who is not on its staff`)
    }
    return found
  }

  /** Done with the turn once nobody else inherits it. */
  function leaveCart(number: number): void {
    const cart = inCarts.get(number)
    if (!cart || cart.heirsLeft > 0) return
    inCarts.delete(number)
    if (cart.holders === 1) return
    cart.say(cart.outTradeNo, `turn ${number} of its cart is held by ${cart.holders} orders`)
  }

  return {
    book,

    /** The first generation of an order, which took or inherited the turn when it was recorded. */
    take(
      row: PastRow,
      first: Generation,
      turn: LoggedTurn,
      staff: Staff | null,
      say: Report,
    ): void {
      const held = isHeld(row, first)
      if (!first.trace.inherited) {
        catchUp(turn.number)
        charge(row, turn, staff, held, say)
        return
      }
      catchUp(turn.number + 1)
      inherit(row, turn, held, say)
    },

    end(page: StoredBook | null): void {
      catchUp(Number.POSITIVE_INFINITY)
      const turn = page?.turn ?? 0
      if (turn !== last) tell(null, `book ${book} counts ${turn}, its orders ${last}`)
      const standings = page?.standings ?? new Map<string, Standing>()
      for (const id of new Set([...running.keys(), ...standings.keys()])) {
        if (known && !known.has(id)) continue
        const stored = standings.get(id) ?? { balance: 0, lastServed: 0 }
        const { balance, lastServed } = standing(id)
        if (stored.balance === balance && stored.lastServed === lastServed) continue
        tell(
          null,
          `book ${book} has ${id} at ${stored.balance}, last turn ${stored.lastServed}; its orders say ${balance}, ${lastServed}`,
        )
      }
      const sum = [...standings.values()].reduce((total, { balance }) => total + balance, 0)
      if (sum !== 0) tell(null, `book ${book} sums to ${sum}, not to 0`)
    },
  }
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

/** Who was on the staff, with their weights; null when that cannot be known. The default staff is whoever the trace names. */
function staffOf({ versions, guideId, trace }: Generation, weightsOf: WeightsOf): Staff | null {
  if (versions.staff !== 0) return weightsOf(versions.staff)
  const named = [...(trace.turn?.candidates ?? []), ...trace.blocked].map(([id]) => id)
  if (guideId !== null) named.push(guideId)
  return new Map(named.map(id => [id, 1]))
}

/** The staff that a turn was decided with: one that is taken anew is of the staff of then. */
function deciders(one: Generation, weightsOf: WeightsOf): Staff | null {
  return isTakenOver(one.reason) ? null : staffOf(one, weightsOf)
}

/** The turn, if there is one, was decided for another order or an earlier generation. */
function isTakenOver(reason: string): boolean {
  return reason === 'STICKY_CART' || reason === 'RESTORED'
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

function partsOf(handedOn: readonly HandedOn[]): { gone: HandedOn[]; heirs: HandedOn[] } {
  return {
    gone: handedOn.filter(([, weight]) => weight === 0),
    heirs: handedOn.filter(([, weight]) => weight > 0),
  }
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
