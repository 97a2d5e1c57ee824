import type { Standing } from '../rules/decide.ts'
import { type HandedOn, handOn } from '../rules/fairness.ts'
import { changesOf, type LoggedTurn, type Standings } from '../rules/logged.ts'
import { type Generation, generationsOf } from './generations.ts'
import type { PastRow, StoredBook } from './history.ts'
import { type Carried, type Late, type LateRefund, refundOf } from './late.ts'

/** The weights of a staff version; null when it cannot be known any more. */
export type WeightsOf = (staffVersion: number) => Staff | null
export type Staff = ReadonlyMap<string, number>

type LateRow = Pick<PastRow, 'outTradeNo' | 'cartId'>
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

const newBook: ChainState = { last: 0, standings: [], known: null, carts: [] }

export function stateIn(purged: Purged | null, book: string): ChainState {
  return purged?.books.find(([name]) => name === book)?.[1] ?? newBook
}

/** What stands in the books beside the first turns, to be noted before the chains are walked; from the purged orders too. */
export function createAhead(weightsOf: WeightsOf, carried: readonly Omit<Carried, 'id'>[]) {
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
  for (const { book, late } of carried) {
    if (late.kind === 'heir') inherit(aheadIn(book), late.number)
    aheadIn(book).late.push(late)
  }

  return {
    note(row: PastRow, isInRange: boolean): void {
      for (const one of generationsOf(row)) {
        const turn = turnOf(one)
        if (!turn) continue
        const { inherited, returned } = one.trace
        const ahead = aheadIn(turn.book)
        const { outTradeNo, cartId } = row
        if (inherited) inherit(ahead, turn.number)
        if (one.generation > 1)
          ahead.late.push({
            kind: inherited ? 'heir' : 'turn',
            number: turn.number,
            turn,
            staff: deciders(one, weightsOf),
            isHeld: isHeld(row, one),
            row: { outTradeNo, cartId },
            isInRange,
          })
        const number = returned?.number ?? null
        if (number !== null) ahead.late.push({ ...refundOf(turn, outTradeNo), number, isInRange })
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

  function giveBack({ number, of, outTradeNo, changes }: Extract<Late, LateRefund>, say: Report) {
    step(number, outTradeNo, say)
    for (const [id, change, lastServed] of changes) {
      const now = standing(id)
      move(id, -change, now.lastServed === of ? lastServed : now.lastServed)
    }
  }

  function inherit({ outTradeNo }: LateRow, turn: LoggedTurn, held: boolean, say: Report) {
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
    { outTradeNo, cartId }: LateRow,
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

    /** All that is known to come beside the first turns. */
    takeLate: (): void => catchUp(Number.POSITIVE_INFINITY),

    /**
     * As far as it is told, to go on from, and what stands behind that; `isOver` says of a cart, and of its turn, that
     * no order is left to inherit.
     */
    rest(isOver: (cartId: string, number: number) => boolean): {
      state: ChainState
      late: readonly Late[]
    } {
      catchUp(last + 1)
      const behind = late.slice(nextLate)
      const awaited = new Set(behind.filter(({ kind }) => kind === 'heir').map(one => one.number))
      const carts: ChainState['carts'] = []
      for (const [number, { print, holders, outTradeNo, cartId, say }] of inCarts) {
        if (awaited.has(number) || !isOver(cartId, number))
          carts.push({ number, print, holders, outTradeNo, cartId })
        else if (holders !== 1) say(outTradeNo, heldBy(number, holders))
      }
      const standings = [...running].map(
        ([id, { balance, lastServed }]): [string, number, number] => [id, balance, lastServed],
      )
      return { state: { last, standings, known: known && [...known], carts }, late: behind }
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
