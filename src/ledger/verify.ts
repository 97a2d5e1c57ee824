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
import type { PastRow, Snapshot, StoredBook } from './history.ts'
import type { Returned } from './ledger.ts'

/** What does not hold, and of which order; null when it is the book itself, or an order that is gone. */
export type Fault = { out_trade_no: string | null; what: string }
export type Verified = { ok: boolean; checked: number; faults: Fault[] }

/** The weights of a staff version; null when it cannot be known any more. */
export type WeightsOf = (staffVersion: number) => Staff | null
type Staff = ReadonlyMap<string, number>

type Refund = { number: number; turn: LoggedTurn; outTradeNo: string; isInRange: boolean }
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
  const ahead = await lookAhead(snapshot, storeId, isInRange)
  const chains = new Map<string, Chain>()
  const chainOf = (book: string) => {
    const known = chains.get(book)
    if (known) return known
    const made = createChain(book, ahead.get(book) ?? { refunds: [], lastHeirs: new Map() }, tell)
    chains.set(book, made)
    return made
  }

  for await (const slice of snapshot.orders(storeId, 0, Number.MAX_SAFE_INTEGER)) {
    for (const row of slice) {
      const say: Report = isInRange(row) ? tell : () => {}
      const staff = staffOf(row, weightsOf)
      if (isInRange(row)) {
        checked += 1
        for (const what of faultsOf(row, staff)) tell(row.outTradeNo, what)
      }
      const { turn } = row.trace
      if (turn && turn.number !== 0) chainOf(turn.book).take(row, turn, staff, say)
      else if (row.turn !== null) say(row.outTradeNo, 'holds a turn that its trace does not have')
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
  refunds: Refund[]
  /** Which order (its id) is the last to inherit a turn, by the turn's number. */
  lastHeirs: Map<number, number>
}

async function lookAhead(
  snapshot: Snapshot,
  storeId: number,
  isInRange: (row: PastRow) => boolean,
): Promise<Map<string, Ahead>> {
  const books = new Map<string, Ahead>()
  const aheadIn = (book: string) => {
    const known = books.get(book)
    if (known) return known
    const made: Ahead = { refunds: [], lastHeirs: new Map() }
    books.set(book, made)
    return made
  }
  for await (const slice of snapshot.orders(storeId, 0, Number.MAX_SAFE_INTEGER)) {
    for (const row of slice) {
      const { turn, returned, inherited } = row.trace
      if (!turn || turn.number === 0) continue
      if (inherited) aheadIn(turn.book).lastHeirs.set(turn.number, row.id)
      if (!returned || returned.number === null) continue
      const { outTradeNo } = row
      const refund = { number: returned.number, turn, outTradeNo, isInRange: isInRange(row) }
      aheadIn(turn.book).refunds.push(refund)
    }
  }
  for (const { refunds } of books.values()) refunds.sort((a, b) => a.number - b.number)
  return books
}

type Chain = ReturnType<typeof createChain>
type CartTurn = { print: string; holders: number; outTradeNo: string; say: Report }

/** One book, event by event: turns as their first order logs them, refunds by their numbers between them. */
function createChain(book: string, { refunds, lastHeirs }: Ahead, tell: Report) {
  const running: Standings = new Map()
  /** Until the last of the cart has inherited: however long the log, few carts are being made anew at a time. */
  const inCarts = new Map<number, CartTurn>()
  let last = 0
  let nextRefund = 0
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

  function refundUntil(number: number): void {
    for (;;) {
      const due = refunds[nextRefund]
      if (!due || due.number >= number) return
      nextRefund += 1
      step(due.number, due.outTradeNo, due.isInRange ? tell : () => {})
      const changes = changesOf(due.turn)
      for (const [index, [id, , , lastServed]] of due.turn.candidates.entries()) {
        const now = standing(id)
        const isLast = now.lastServed === due.turn.number
        move(id, -(changes[index] ?? 0), isLast ? lastServed : now.lastServed)
      }
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

  /** Done with the turn once no order after this one inherits it. */
  function leaveCart(number: number, id: number): void {
    if ((lastHeirs.get(number) ?? 0) > id) return
    const cart = inCarts.get(number)
    inCarts.delete(number)
    if (!cart || cart.holders === 1) return
    const { outTradeNo, holders, say } = cart
    say(outTradeNo, `turn ${number} of its cart is held by ${holders} orders`)
  }

  return {
    book,

    take(row: PastRow, turn: LoggedTurn, staff: Staff | null, say: Report): void {
      const { outTradeNo } = row
      if (row.trace.inherited) {
        const before = inCarts.get(turn.number)
        if (!before) {
          say(outTradeNo, `inherited turn ${turn.number}, which no order of its cart took`)
          return
        }
        if (before.print !== JSON.stringify(turn)) {
          say(outTradeNo, `its turn is not as ${before.outTradeNo}, of the same cart, has it`)
        }
        if (row.turn !== null) before.holders += 1
        leaveCart(turn.number, row.id)
        return
      }
      if (row.cartId === null && row.turn === null) {
        say(outTradeNo, `logs turn ${turn.number} and does not hold it`)
      }
      refundUntil(turn.number)
      step(turn.number, outTradeNo, say)
      if (row.cartId !== null) {
        const holders = row.turn === null ? 0 : 1
        inCarts.set(turn.number, { print: JSON.stringify(turn), holders, outTradeNo, say })
        leaveCart(turn.number, row.id)
      }
      const { handedOn = [] } = turn
      // A turn that is taken anew is of the staff of its cart's first order.
      const present = row.reason === 'STICKY_CART' ? null : staff
      for (const what of compareGone(handedOn, present)) say(outTradeNo, what)
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
    },

    end(page: StoredBook | null): void {
      refundUntil(Number.POSITIVE_INFINITY)
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

/** Who was on the staff for an order, with their weights; null when that cannot be known. The default staff is whoever it names. */
function staffOf({ versions, guideId, trace }: PastRow, weightsOf: WeightsOf): Staff | null {
  if (versions.staff !== 0) return weightsOf(versions.staff)
  const named = [...(trace.turn?.candidates ?? []), ...trace.blocked].map(([id]) => id)
  if (guideId !== null) named.push(guideId)
  return new Map(named.map(id => [id, 1]))
}

/** What an order's own row tells against itself. */
function faultsOf(row: PastRow, staff: Staff | null): string[] {
  const faults: string[] = []
  const { guideId, reason, facts, trace } = row
  const { turn, asked, blocked } = trace
  const isRefused = row.status === 'rejected' || row.closedAtMs !== null
  const number = trace.returned?.number ?? null
  if (row.turn === 'taken' && number !== null) faults.push('has a refund, and holds its turn still')
  if (row.turn === 'taken' && isRefused)
    faults.push('was refused or closed, and holds its turn still')
  if (row.turn === 'refunded' && number === null)
    faults.push('gave its turn back, and no refund says when')
  if (row.turn === null && number !== null) faults.push('has a refund, and no turn that it was of')
  if (trace.inherited && !turn) faults.push('inherited a turn that its trace does not have')
  if (turn?.number === 0 && !facts.test) faults.push('has the turn of a test, and is none')
  if (trace.returned && !hasEnded(row, trace.returned.by))
    faults.push(`ended as ${trace.returned.by}, and its row does not say so`)
  if (guideId === null) {
    if (turn) faults.push('has a turn and no guide')
    if (row.status === 'pending' || row.status === 'assigned') faults.push('has no guide')
    return faults
  }
  if (row.status === 'unassigned' || row.status === 'skipped')
    faults.push(`is ${row.status}, and has a guide`)
  if (blocked.some(([id]) => id === guideId))
    faults.push(`says why ${guideId}, who serves it, could not`)
  if (reason === 'HINT' && facts.guide_id !== guideId)
    faults.push('is not with the guide whom the cashier named')
  if (reason === 'OWNER' && asked.owner?.guideId !== guideId)
    faults.push("is not with the member's own guide")
  if (reason === 'STICKY_CART' && asked.sticky !== guideId)
    faults.push('is not with the guide of its cart')
  if (turn) faults.push(...faultsOfTurn(row, turn))
  // A cart's turn may be of an earlier version, of other staff.
  if (reason === 'STICKY_CART') return faults
  return staff ? [...faults, ...faultsOfStaff(row, turn, staff)] : faults
}

function hasEnded({ status, closedAtMs, paidAtMs }: PastRow, by: Returned['by']): boolean {
  switch (by) {
    case 'rejected':
      return status === 'rejected'
    case 'closed':
      return closedAtMs !== null
    case 'paid':
      return paidAtMs !== null
  }
}

function faultsOfTurn({ guideId, reason, facts }: PastRow, turn: LoggedTurn): string[] {
  const faults = turn.handedOn ? faultsOfHandingOn(turn.handedOn) : []
  const chosen = turn.candidates[turn.chosen]
  if (chosen?.[0] !== guideId)
    faults.push(`its turn is ${chosen?.[0] ?? 'nobody'}'s, and ${guideId} serves it`)
  if (reason === 'STICKY_CART') return faults
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
  { guideId, trace }: PastRow,
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
