import type { Standing } from '../rules/decide.ts'
import { type HandedOn, handOn } from '../rules/fairness.ts'
import { changesOf, type LoggedTurn, type Standings } from '../rules/logged.ts'
import { type Generation, generationsOf } from './generations.ts'
import type { PastRow, StoredBook } from './history.ts'

/** The weights of a staff version; null when it cannot be known any more. */
export type WeightsOf = (staffVersion: number) => Staff | null
export type Staff = ReadonlyMap<string, number>

/** What stands in a book beside the turns of first generations: it may come long after its order. */
export type Late = {
  kind: 'turn' | 'heir' | 'refund'
  number: number
  turn: LoggedTurn
  /** Who was on the staff when the turn was decided; null when that cannot be known. */
  staff: Staff | null
  isHeld: boolean
  row: Pick<PastRow, 'outTradeNo' | 'cartId'>
  isInRange: boolean
}
export type Report = (outTradeNo: string | null, what: string) => void

/** What must be known of a book's orders before their turn comes. */
export type Ahead = {
  /** By number, once sorted. */
  late: Late[]
  /** How many have inherited a turn, by the turn's number. */
  heirs: Pick<Map<number, number>, 'get'>
}

/** A book as far as the orders go that are no longer there: the chain goes on from here. */
export type ChainState = {
  /** The number up to which it is told. */
  last: number
  standings: [guideId: string, balance: number, lastServed: number][]
  known: string[] | null
  /** Turns of carts that have other orders still. */
  carts: ({ number: number } & KeptCart)[]
  /** What stands behind `last` of those orders. */
  late: (Omit<Late, 'staff' | 'isInRange'> & {
    staff: [guideId: string, weight: number][] | null
  })[]
}
type KeptCart = { print: string; holders: number; outTradeNo: string; cartId: string }

/**
 * What the orders that were purged have left of a store: how many they were, when the last of them was decided, what was
 * found wrong with them, and the books up to there.
 */
export type Purged = {
  orders: number
  untilMs: number
  faults: string[]
  books: [book: string, state: ChainState][]
}

const newBook: ChainState = { last: 0, standings: [], known: null, carts: [], late: [] }

export function stateIn(purged: Purged | null, book: string): ChainState {
  return purged?.books.find(([name]) => name === book)?.[1] ?? newBook
}

/** What stands in the books beside the first turns, to be noted before the chains are walked; from the purged orders too. */
export function createAhead(weightsOf: WeightsOf, purged: Purged | null) {
  const books = new Map<string, { late: Late[]; heirs: Map<number, number> }>()
  const aheadIn = (book: string) => {
    const known = books.get(book)
    if (known) return known
    const made = { late: [] as Late[], heirs: new Map<number, number>() }
    books.set(book, made)
    return made
  }
  const inherit = ({ heirs }: { heirs: Map<number, number> }, number: number) =>
    heirs.set(number, (heirs.get(number) ?? 0) + 1)
  for (const [book, { late }] of purged?.books ?? []) {
    for (const one of late) {
      if (one.kind === 'heir') inherit(aheadIn(book), one.number)
      aheadIn(book).late.push({ ...one, staff: one.staff && new Map(one.staff), isInRange: true })
    }
  }

  return {
    note(row: PastRow, isInRange: boolean): void {
      for (const one of generationsOf(row)) {
        const turn = turnOf(one)
        if (!turn) continue
        const { inherited, returned } = one.trace
        const ahead = aheadIn(turn.book)
        const { outTradeNo, cartId } = row
        const told = {
          turn,
          staff: null,
          isHeld: isHeld(row, one),
          row: { outTradeNo, cartId },
          isInRange,
        }
        if (inherited) inherit(ahead, turn.number)
        if (one.generation > 1)
          ahead.late.push({
            ...told,
            kind: inherited ? 'heir' : 'turn',
            number: turn.number,
            staff: deciders(one, weightsOf),
          })
        const refund = returned?.number ?? null
        if (refund !== null) ahead.late.push({ ...told, kind: 'refund', number: refund })
      }
    },

    read(): Map<string, Ahead> {
      // Whoever inherits a turn comes after it.
      const rank = { turn: 0, heir: 1, refund: 2 }
      for (const { late } of books.values())
        late.sort((a, b) => a.number - b.number || rank[a.kind] - rank[b.kind])
      return books
    },
  }
}

/** The turn that a generation took or inherited; a test took none. */
export function turnOf({ trace: { turn } }: Generation): LoggedTurn | null {
  return turn && turn.number !== 0 ? turn : null
}

/** Whether the generation holds its turn, or gave it back itself. */
export function isHeld(row: PastRow, { isNewest, trace }: Generation): boolean {
  return isNewest ? row.turn !== null : (trace.returned?.number ?? null) !== null
}

export type Chain = ReturnType<typeof createChain>
type CartTurn = {
  print: string
  holders: number
  heirsLeft: number
  outTradeNo: string
  cartId: string
  say: Report
}

/** One book, event by event: turns as their first order logs them, refunds by their numbers between them. */
export function createChain(
  book: string,
  { late, heirs }: Ahead,
  tell: Report,
  from: ChainState = newBook,
) {
  const running: Standings = new Map(
    from.standings.map(([id, balance, lastServed]) => [id, { balance, lastServed }]),
  )
  /** Until the last of the cart has inherited: however long the log, few carts are being made anew at a time. */
  const inCarts = new Map<number, CartTurn>()
  let last = from.last
  let nextLate = 0
  // After a hole in the numbers a balance is known only once an order has logged it anew.
  let known: Set<string> | null = from.known && new Set(from.known)
  for (const { number, ...cart } of from.carts) {
    inCarts.set(number, { ...cart, heirsLeft: heirs.get(number) ?? 0, say: tell })
    leaveCart(number)
  }

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
        cartId,
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
    cart.say(cart.outTradeNo, heldBy(number, cart.holders))
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

    /** As far as it is told, to go on from; `isOver` says of a cart that no order of it is left to inherit. */
    rest(isOver: (cartId: string) => boolean): ChainState {
      catchUp(last + 1)
      const carts: ChainState['carts'] = []
      for (const [number, { print, holders, outTradeNo, cartId, say }] of inCarts) {
        const isAwaited = late
          .slice(nextLate)
          .some(one => one.kind === 'heir' && one.number === number)
        if (isAwaited || !isOver(cartId)) carts.push({ number, print, holders, outTradeNo, cartId })
        else if (holders !== 1) say(outTradeNo, heldBy(number, holders))
      }
      return {
        last,
        standings: [...running].map(([id, { balance, lastServed }]) => [id, balance, lastServed]),
        known: known && [...known],
        carts,
        late: late.slice(nextLate).map(({ isInRange, staff, ...one }) => ({
          ...one,
          staff: staff && [...staff],
        })),
      }
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

function heldBy(number: number, holders: number): string {
  return `turn ${number} of its cart is held by ${holders} orders`
}

/** Who was on the staff, with their weights; null when that cannot be known. The default staff is whoever the trace names. */
export function staffOf(
  { versions, guideId, trace }: Generation,
  weightsOf: WeightsOf,
): Staff | null {
  if (versions.staff !== 0) return weightsOf(versions.staff)
  const named = [...(trace.turn?.candidates ?? []), ...trace.blocked].map(([id]) => id)
  if (guideId !== null) named.push(guideId)
  return new Map(named.map(id => [id, 1]))
}

/** The staff that a turn was decided with: one that is taken anew is of the staff of then. */
export function deciders(one: Generation, weightsOf: WeightsOf): Staff | null {
  return isTakenOver(one.reason) ? null : staffOf(one, weightsOf)
}

/** The turn, if there is one, was decided for another order or an earlier generation. */
export function isTakenOver(reason: string): boolean {
  return reason === 'STICKY_CART' || reason === 'RESTORED'
}

export function partsOf(handedOn: readonly HandedOn[]): { gone: HandedOn[]; heirs: HandedOn[] } {
  return {
    gone: handedOn.filter(([, weight]) => weight === 0),
    heirs: handedOn.filter(([, weight]) => weight > 0),
  }
}
