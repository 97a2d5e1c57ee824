import { openCarpool, type Sharer, type Turn } from './carpool.ts'
import type { Call } from './counterpart.ts'
import { guideIds, type OrderRow, windowMs } from './life.ts'

export type Posted = {
  hint: string | null
  cart: string | null
  test: boolean
  amount: number | null
  /** How long before the post it was created. */
  ageMs: number
}

export type Member = {
  id: string
  weight: number
  rotates: boolean
  perDay: number | null
  perHour: number | null
}
/** `hint`: whether the cashier's word counts, and whether it is a turn. */
export type Plan = { hint: 'not_asked' | 'none' | 'full'; named: string | null; rotates: boolean }

type Generation = {
  guideId: string | null
  reason: string
  turn: Turn | null
  wasAccepted: boolean
}

export type Kept = {
  no: string
  posted: Posted
  decidedAtMs: number
  expiresAtMs: number
  status: OrderRow['status']
  /** The newest last. */
  generations: Generation[]
  holds: 'taken' | 'refunded' | null
  isPaid: boolean
  isClosed: boolean
  /** A call may have been under way when the process ended. */
  mayBeInterrupted: boolean
}

type Decided = { guideId: string; reason: string; take(): Turn | null } | null

const dayMs = 86_400_000
const hourMs = 3_600_000
const inShanghaiMs = 8 * hourMs
const dayStartsMs = 4 * hourMs
const mostDecided = 5

/**
 * What the service must know and have done, told a second time: a store with its documents, the orders with whoever
 * serves them, and the book. It follows what was posted and what WeChat Pay answered, and nothing that the service says.
 */
export function openShop() {
  const orders: Kept[] = []
  const book = openCarpool()
  const quarantined = new Set<string>()
  const pausedUntilMs = new Map<string, number>()
  let staff: Member[] = [...guideIds].map(id => aMember(id))
  let onShift: ReadonlySet<string> | null = null
  let plan: Plan = { hint: 'not_asked', named: null, rotates: true }

  const newestOf = (order: Kept): Generation => {
    const newest = order.generations.at(-1)
    if (!newest) throw new Error(`${order.no} has no generation`)
    return newest
  }
  const isBarred = (id: string) => !guideIds.includes(id) || quarantined.has(id)
  const memberOf = (id: string) => staff.find(one => one.id === id)

  function countOf(id: string, fromMs: number, but: Kept | null): number {
    return orders.filter(
      one =>
        one !== but &&
        newestOf(one).guideId === id &&
        one.decidedAtMs >= fromMs &&
        one.status !== 'rejected' &&
        !one.isClosed &&
        !one.posted.test,
    ).length
  }

  function isThere(one: Member, atMs: number, but: Kept | null): boolean {
    if (isBarred(one.id) || (onShift !== null && !onShift.has(one.id))) return false
    if ((pausedUntilMs.get(one.id) ?? 0) > atMs) return false
    const today = Math.floor((atMs + inShanghaiMs - dayStartsMs) / dayMs) * dayMs
    if (one.perDay !== null) {
      const dayFromMs = today - inShanghaiMs + dayStartsMs
      if (countOf(one.id, dayFromMs, but) >= one.perDay) return false
    }
    const hourFromMs = Math.floor(atMs / hourMs) * hourMs
    return one.perHour === null || countOf(one.id, hourFromMs, but) < one.perHour
  }

  /** The order of the cart that lends its guide: the newest that has one and was not refused, unless that is paid. */
  function lenderTo(cart: string | null, atMs: number, but: Kept | null): Kept | null {
    if (cart === null) return null
    const newest = orders.findLast(
      one =>
        one !== but &&
        cartOf(one) === cart &&
        newestOf(one).guideId !== null &&
        one.status !== 'rejected',
    )
    return newest && !newest.isPaid && atMs - newest.decidedAtMs <= dayMs ? newest : null
  }

  function decide(posted: Posted, atMs: number, self: Kept | null): Decided {
    const lender = lenderTo(posted.test && self ? null : posted.cart, atMs, self)
    const lent = lender && newestOf(lender).guideId
    if (lender && lent && memberOf(lent) && !isBarred(lent)) {
      const { turn } = newestOf(lender)
      const take = () => (turn ? borrow(cartOf(lender), turn) : null)
      return { guideId: lent, reason: 'STICKY_CART', take }
    }
    const pool = staff.filter(one => one.rotates && isThere(one, atMs, self))
    const onStaff = new Set(staff.map(({ id }) => id))
    const heirs = staff.filter(one => one.rotates && !isBarred(one.id))
    const hinted = plan.hint === 'not_asked' || !posted.hint ? null : memberOf(posted.hint)
    if (hinted && isThere(hinted, atMs, self)) {
      const take = () => {
        const sharers: Sharer[] = pool.includes(hinted)
          ? pool
          : [...pool, { id: hinted.id, weight: 0 }]
        if (plan.hint === 'none' || pool.length === 0) return null
        return book.take(sharers, hinted.id, onStaff, heirs)
      }
      return { guideId: hinted.id, reason: 'HINT', take }
    }
    if (plan.rotates && pool.length > 0) {
      const guideId = book.next(pool, onStaff, heirs)
      const reason = pool.length === 1 ? 'ONLY_ONE' : 'FAIR_TURN'
      return { guideId, reason, take: () => book.take(pool, guideId, onStaff, heirs) }
    }
    if (plan.named !== null && memberOf(plan.named) && !isBarred(plan.named))
      return { guideId: plan.named, reason: 'NAMED', take: () => null }
    return null
  }

  /** A cart has one turn: from whoever holds it, or taken anew when it was given back. */
  function borrow(cart: string | null, turn: Turn): Turn {
    const holder = orders.findLast(
      one =>
        cart !== null &&
        cartOf(one) === cart &&
        newestOf(one).turn === turn &&
        one.holds === 'taken' &&
        !one.isPaid,
    )
    if (!holder) return book.takeAnew(turn)
    holder.holds = null
    return turn
  }

  function giveBack(order: Kept): void {
    const { turn } = newestOf(order)
    if (order.holds !== 'taken' || !turn) return
    const heir = orders.findLast(
      one =>
        one !== order &&
        cartOf(order) !== null &&
        cartOf(one) === cartOf(order) &&
        newestOf(one).turn === turn &&
        one.holds === null &&
        one.status !== 'rejected' &&
        !one.isClosed,
    )
    if (heir) {
      heir.holds = 'taken'
      order.holds = null
      return
    }
    book.giveBack(turn)
    order.holds = 'refunded'
  }

  function succeed(order: Kept, guideId: string, reason: string, turn: Turn | null): void {
    newestOf(order).wasAccepted = order.status === 'assigned'
    order.generations.push({ guideId, reason, turn, wasAccepted: false })
    order.status = 'pending'
    order.holds = turn && !order.posted.test ? 'taken' : null
  }

  function refused(order: Kept, atMs: number, mayFollow: boolean): void {
    if (order.isClosed) {
      order.status = 'rejected'
      return
    }
    giveBack(order)
    const standing = order.generations.findLast(({ wasAccepted }) => wasAccepted)
    if (standing) {
      const { guideId, turn } = standing
      succeed(order, guideId ?? '', 'RESTORED', turn ? borrow(cartOf(order), turn) : null)
      order.status = 'assigned'
      return
    }
    const isOver =
      order.isPaid || order.expiresAtMs <= atMs || order.generations.length >= mostDecided
    const next = mayFollow && !isOver ? decide(order.posted, atMs, order) : null
    if (next) succeed(order, next.guideId, next.reason, order.posted.test ? null : next.take())
    else order.status = 'rejected'
  }

  return {
    orders,
    newestOf,
    book,
    find: (no: string) => orders.find(one => one.no === no) ?? null,
    isOnStaff: (id: string) => memberOf(id) !== undefined,
    isBarred,
    isQuarantined: (id: string) => quarantined.has(id),

    publish(next: { staff?: Member[]; onShift?: readonly string[] | null; plan?: Plan }): void {
      if (next.staff) staff = next.staff
      if (next.onShift !== undefined) onShift = next.onShift && new Set(next.onShift)
      if (next.plan) plan = next.plan
    },
    pause: (id: string, untilMs: number) => pausedUntilMs.set(id, untilMs),
    register: (id: string) => quarantined.delete(id),

    record(no: string, posted: Posted, { decidedAtMs }: Pick<OrderRow, 'decidedAtMs'>): void {
      const expiresAtMs = decidedAtMs - posted.ageMs + windowMs
      const isOver = expiresAtMs <= decidedAtMs
      const decided = isOver ? null : decide(posted, decidedAtMs, null)
      const turn = decided && !posted.test ? decided.take() : null
      const nobody = isOver ? 'WINDOW_OVER' : 'NO_STEP_MATCHED'
      const { guideId = null, reason = nobody } = decided ?? {}
      orders.push({
        no,
        posted,
        decidedAtMs,
        expiresAtMs,
        status: decided ? 'pending' : isOver ? 'expired' : 'unassigned',
        generations: [{ guideId, reason, turn, wasAccepted: false }],
        holds: turn ? 'taken' : null,
        isPaid: false,
        isClosed: false,
        mayBeInterrupted: false,
      })
    },

    /** WeChat Pay answered a call. */
    learn({ no, generation, guideId, outcome }: Call, atMs: number): void {
      const order = orders.find(one => one.no === no)
      if (!order || outcome === null || outcome.kind === 'unknown') return
      const blamesGuide = outcome.kind === 'rejected' && outcome.blames === 'guide'
      if (blamesGuide) quarantined.add(guideId)
      if (order.status !== 'pending' || order.generations.length !== generation) return
      if (outcome.kind === 'accepted') order.status = 'assigned'
      else if (outcome.blames !== 'account') refused(order, atMs, blamesGuide)
    },

    reassign(order: Kept, guideId: string): void {
      giveBack(order)
      succeed(order, guideId, 'NAMED', null)
      order.mayBeInterrupted = false
    },

    pay(order: Kept, atMs: number): void {
      order.isPaid = true
      order.expiresAtMs = Math.min(order.expiresAtMs, Math.max(atMs, order.decidedAtMs))
    },

    close(order: Kept, atMs: number): void {
      order.isClosed = true
      order.expiresAtMs = Math.min(order.expiresAtMs, Math.max(atMs, order.decidedAtMs))
      if (order.status !== 'rejected') giveBack(order)
    },
  }
}

export type Shop = ReturnType<typeof openShop>

export function aMember(id: string, more: Partial<Member> = {}): Member {
  return { id, weight: 1, rotates: true, perDay: null, perHour: null, ...more }
}

/** A test scan lends nothing and is lent nothing afterwards. */
function cartOf({ posted }: Kept): string | null {
  return posted.test ? null : posted.cart
}
