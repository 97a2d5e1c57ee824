import { type BookView, decide, type Owner, type Rules, type Standing } from './decide.ts'
import type { CountingFrom } from './eligibility.ts'
import {
  cartLendsMs,
  charge,
  type LoggedTurn,
  logTurn,
  move,
  moveHandedOn,
  refund,
  retaken,
  type Standings,
} from './logged.ts'

/**
 * An order as it was asked and decided, in one of its generations. `isDecided`: the rules were asked, which they are not
 * of a skipped order, of one that a manager gave to somebody, or of one that went back to whom it had been with.
 */
export type PastOrder = {
  id: number
  outTradeNo: string
  atMs: number
  /** When its first generation was decided: caps and carts count from there. */
  firstAtMs: number
  channel: string | null
  memberLevel: string | null
  amountFen: number | null
  hint: string | null
  owner: Owner | null
  sticky: string | null
  cartId: string | null
  paused: ReadonlySet<string>
  isDecided: boolean
  /** WeChat Pay had accepted the guide when another followed. */
  wasAccepted: boolean
  guideId: string | null
  reason: string
  turn: LoggedTurn | null
  /** The turn was taken for an earlier order of the cart. */
  isInherited: boolean
  /**
   * After that order it was refused or closed, gave its turn back and counted no more; or it was paid, and its cart over;
   * or it was given to the `next`.
   */
  returned: {
    by: 'rejected' | 'closed' | 'paid' | 'refused' | 'reassigned'
    after: number
    seq: number
    number: number | null
  } | null
  /** The generation that followed, and the rules that it is asked of; no rules where none are asked. */
  next: { past: PastOrder; rules: Rules | null } | null
}

export type ReplayReport = {
  orders: number
  changed: number
  uncovered_before: number
  uncovered_after: number
  guides: { guide_id: string; count_before: number; count_after: number; share_after: number }[]
  /** The furthest that a guide ever was from the share, in orders, counting rotated orders alone. */
  worst_deviation: number
  sample: ChangedOrder[]
}

export type ChangedOrder = {
  out_trade_no: string
  decided_at_ms: number
  before: { guide_id: string | null; reason: string }
  after: { guide_id: string | null; reason: string }
}

type Choice = { guideId: string | null; reason: string; turn: LoggedTurn | null }
type Entry = Choice & {
  past: PastOrder
  /** Before the period. */
  isWarm: boolean
  /** What WeChat Pay had accepted when a manager took it away. */
  before: Choice | null
  ended: 'rejected' | 'closed' | 'paid' | null
}
/** `holders`: who has been named in it so far; a guide of `starts` may come later. */
type Book = { turn: number; standings: Standings; holders: Set<string> }
type Tally = { before: number; after: number; turns: number; share: number }

export type Starts = ReadonlyMap<string, ReadonlyMap<string, Standing>>

const sampleSize = 20
const nobody: Standing = { balance: 0, lastServed: 0 }

/**
 * Asks what happened again, of other rules, order by order in the order of their ids.
 *
 * Turns advance in books of its own, which begin as `starts` says; caps are counted in the replay itself; refusals and
 * closings happen where they happened. Where the recorded books moved for a reason outside the period (the refund of an
 * older order), the replay's books move alike. With the rules that were in force it decides what was decided.
 */
export function createReplay(starts: Starts) {
  const recorded = new Map<string, Book>()
  const books = new Map<string, Book>()
  const carts = new Map<string, Entry[]>()
  const counts = createCounts()
  const report = createReport()
  /** Turns of the period that were rotated, which count; and turns of orders before all that the replay has seen. */
  const rotated = new WeakSet<LoggedTurn>()
  const foreign = new WeakSet<LoggedTurn>()
  const adopted = new Map<string, LoggedTurn>()
  /** Who holds a turn that was not given back, and the orders of its cart that had it, oldest first. */
  const holders = new WeakMap<LoggedTurn, Entry>()
  const sharers = new WeakMap<LoggedTurn, Entry[]>()
  /** Those that end, the next one last. */
  const leaving: Entry[] = []

  function bookIn(all: Map<string, Book>, name: string): Book {
    const known = all.get(name)
    if (known) return known
    const first = all === books ? starts.get(name) : undefined
    const made: Book = { turn: 0, standings: new Map(first), holders: new Set() }
    all.set(name, made)
    return made
  }

  function view(name: string): BookView {
    const { standings, holders } = bookIn(books, name)
    return { name, standing: id => standings.get(id) ?? nobody, holders: () => holders }
  }

  /** Brings both books to where the log says that they were before the order's turn, if it took one. */
  function meet({ turn, isInherited }: PastOrder): LoggedTurn | null {
    if (!turn || turn.number === 0 || isInherited) return null
    const log = bookIn(recorded, turn.book)
    const own = bookIn(books, turn.book)
    const stands = (id: string, { balance, lastServed }: Standing) => {
      const known = log.standings.get(id)
      if (known || !starts.get(turn.book)?.has(id)) {
        const was = known ?? nobody
        const now = own.standings.get(id) ?? nobody
        own.standings.set(id, {
          balance: now.balance + balance - was.balance,
          lastServed: now.lastServed === was.lastServed ? lastServed : now.lastServed,
        })
      }
      own.holders.add(id)
      log.standings.set(id, { balance, lastServed })
    }
    // The replay hands on by itself what its own books hold.
    for (const [id, weight, change] of turn.handedOn ?? []) {
      const known = log.standings.get(id)
      if (weight === 0) stands(id, { balance: -change, lastServed: known?.lastServed ?? 0 })
      // Of an heir who comes later the start is known, and holds this already.
      if (weight === 0 || known || !starts.get(turn.book)?.has(id)) move(log.standings, id, change)
    }
    for (const [id, , balance, lastServed] of turn.candidates) stands(id, { balance, lastServed })
    log.turn = turn.number
    own.turn = Math.max(own.turn, turn.number - 1)
    return turn
  }

  function take(turn: LoggedTurn): LoggedTurn {
    const book = bookIn(books, turn.book)
    book.turn += 1
    const logged = retaken(turn, book.standings, book.turn)
    charge(book.standings, logged)
    return logged
  }

  function endUntil(id: number): void {
    for (;;) {
      const next = leaving.at(-1)
      if (!next?.past.returned || next.past.returned.after >= id) return
      leaving.pop()
      end(next, next.past.returned)
    }
  }

  function end(entry: Entry, { by, number }: NonNullable<PastOrder['returned']>): void {
    const { past } = entry
    if (by !== 'refused' && by !== 'reassigned') entry.ended = by
    if (by === 'paid') return
    if (number !== null && past.turn) {
      const log = bookIn(recorded, past.turn.book)
      refund(log.standings, past.turn, seenIn(past.turn.book))
      log.turn = Math.max(log.turn, number)
    }
    // Whom the draft chose instead was not the one who was refused, and keeps the order.
    const stays = by === 'refused' && entry.guideId !== past.guideId
    if (!stays) giveBack(entry, number)
    if (past.next) goOn(entry, past.next.past, past.next.rules, stays)
  }

  function giveBack(entry: Entry, number: number | null): void {
    const { past, turn } = entry
    counts.add(entry, past.firstAtMs, -1)
    if (!turn || holders.get(turn) !== entry || passOn(turn, entry)) return
    holders.delete(turn)
    const book = bookIn(books, turn.book)
    book.turn = Math.max(book.turn + 1, number ?? 0)
    refund(book.standings, turn, foreign.has(turn) ? seenIn(turn.book) : undefined)
    if (rotated.has(turn)) report.rotated(turn, -1)
  }

  /** The next generation of an order whose turn was given back. */
  function goOn(entry: Entry, past: PastOrder, rules: Rules | null, stays: boolean): void {
    const fresh = meet(past)
    const warm = entry.isWarm && fresh
    if (warm) moveHandedOn(bookIn(books, warm.book).standings, warm)
    const before = { guideId: entry.guideId, reason: entry.reason, turn: entry.turn }
    const { wasAccepted } = entry.past
    if (stays) {
      entry.past = past
      if (past.returned) insertLeaving(leaving, entry)
      if (!entry.isWarm) tell(entry)
    } else if (past.isDecided && rules && !entry.isWarm) decideAnew(past, rules, entry)
    else keep(past, afterAll(entry, past), entry)
    if (wasAccepted) entry.before = before
    if (fresh) logRecorded(fresh)
  }

  /** A generation that nobody is asked of. */
  function afterAll(entry: Entry, past: PastOrder): Choice {
    const { guideId, reason } = past
    if (entry.isWarm) {
      return { guideId, reason, turn: past.turn?.number ? warmTurn(past, past.turn, entry) : null }
    }
    if (reason !== 'RESTORED' || !entry.before) return { guideId, reason, turn: null }
    const { turn } = entry.before
    return { ...entry.before, reason, turn: turn && lend(turn) }
  }

  /** Who has not been seen in the log yet begins as they will be seen first, and that is after this refund. */
  function seenIn(name: string): (guideId: string) => boolean {
    const { standings } = bookIn(recorded, name)
    return id => standings.has(id)
  }

  /** A turn goes back to the newest order that had it and is still open or paid; false when there is none. */
  function passOn(turn: LoggedTurn, from: Entry): boolean {
    const had = sharers.get(turn) ?? []
    while (isGone(had.at(-1), turn, from)) had.pop()
    const heir = had.at(-1)
    if (heir) holders.set(turn, heir)
    return heir !== undefined
  }

  /**
   * The order of the cart whose guide this one is lent: none; one of the replay; or one before all that it has seen.
   * An order that lent nothing though it was newer than the lender had been refused.
   */
  function lenderTo(
    { cartId, sticky, atMs }: PastOrder,
    self: Entry | null,
  ): Entry | 'older' | null {
    const before = (cartId === null ? undefined : carts.get(cartId)) ?? []
    while (before.at(-1)?.ended === 'rejected') before.pop()
    let hasLender = sticky === null
    for (let index = before.length - 1; index >= 0; index--) {
      const entry = before[index]
      if (!entry || entry === self || entry.ended === 'rejected') continue
      const was = entry.past.guideId
      if (was !== null && was === sticky) hasLender = true
      else if (was !== null && !hasLender) continue
      if (entry.guideId === null) continue
      const isOver = entry.ended === 'paid' || atMs - entry.past.firstAtMs > cartLendsMs
      if (isOver) return null
      if (was === null || sticky !== null) return entry
    }
    return hasLender ? null : 'older'
  }

  function turnOf(past: PastOrder, lender: Entry | 'older'): LoggedTurn | null {
    if (lender === 'older')
      return past.turn && past.reason === 'STICKY_CART' ? adopt(past, past.turn) : null
    return lender.turn && lend(lender.turn)
  }

  /** The turn itself while somebody holds it; else it is taken anew. */
  function lend(turn: LoggedTurn): LoggedTurn {
    if (isHeld(turn)) return turn
    const anew = take(turn)
    if (rotated.has(turn)) countRotated(anew)
    return anew
  }

  /** A paid order does not hand its turn over. */
  function isHeld(turn: LoggedTurn): boolean {
    const holder = holders.get(turn)
    return holder !== undefined && holder.ended !== 'paid'
  }

  /** The turn of an order as it was logged: taken then, or taken before all that the replay has seen. */
  function adopt({ isInherited }: PastOrder, turn: LoggedTurn): LoggedTurn {
    if (!isInherited) return take(turn)
    const name = `${turn.number}/${turn.book}`
    const known = adopted.get(name)
    if (known) return known
    adopted.set(name, turn)
    foreign.add(turn)
    return turn
  }

  function countRotated(turn: LoggedTurn): void {
    rotated.add(turn)
    report.rotated(turn, 1)
  }

  /** The order as it is now: a new one, or the next generation of `known`, in whose place it stands. */
  function keep(past: PastOrder, choice: Choice, known: Entry | null, isWarm = false): Entry {
    const entry: Entry = known ?? { past, ...choice, isWarm, before: null, ended: null }
    Object.assign(entry, choice, { past })
    counts.add(entry, past.firstAtMs, 1)
    if (!known && past.cartId !== null) pushTo(carts, past.cartId, entry)
    const { turn } = choice
    if (turn) {
      holders.set(turn, entry)
      const had = sharers.get(turn)
      // The newest last, as the ledger asks for them.
      if (known && had) had.splice(had.filter(one => one.past.id < past.id).length, 0, entry)
      else pushTo(sharers, turn, entry)
    }
    if (past.returned) insertLeaving(leaving, entry)
    if (!entry.isWarm) tell(entry)
    return entry
  }

  /** What became of an order is told once its last generation is decided. */
  function tell({ past, guideId, reason }: Entry): void {
    if (!past.next) report.add(past, guideId, reason)
  }

  function logRecorded(turn: LoggedTurn): void {
    charge(bookIn(recorded, turn.book).standings, turn)
  }

  return {
    /** An order before the period: it happens as it happened, and counts in nothing but caps, carts and books. */
    warmUp(past: PastOrder): void {
      endUntil(past.id)
      const fresh = meet(past)
      if (fresh) {
        moveHandedOn(bookIn(books, fresh.book).standings, fresh)
        logRecorded(fresh)
      }
      const turn = past.turn?.number ? warmTurn(past, past.turn, null) : null
      keep(past, { guideId: past.guideId, reason: past.reason, turn }, null, true)
    },

    next(past: PastOrder, rules: Rules): void {
      endUntil(past.id)
      const fresh = meet(past)
      if (past.isDecided) decideAnew(past, rules, null)
      else if (!past.next) report.add(past, past.guideId, past.reason)
      else keep(past, { guideId: past.guideId, reason: past.reason, turn: null }, null)
      if (fresh) logRecorded(fresh)
    },

    end(): ReplayReport {
      for (const entry of leaving) if (!entry.isWarm && entry.past.next) finish(entry)
      return report.end()
    },
  }

  /** What follows lies beyond the last order of the period: it happens as it happened. */
  function finish(entry: Entry): void {
    let { past } = entry
    let choice: Choice = entry
    let before = entry.before
    for (let { next } = past; next; { next } = past) {
      const stays = past.returned?.by === 'refused' && choice.guideId !== past.guideId
      const { wasAccepted } = past
      past = next.past
      if (stays) continue
      const held = wasAccepted ? choice : before
      choice =
        past.reason === 'RESTORED' && before
          ? before
          : { guideId: past.guideId, reason: past.reason, turn: null }
      before = held
    }
    report.add(past, choice.guideId, choice.reason)
  }

  function warmTurn(past: PastOrder, turn: LoggedTurn, self: Entry | null): LoggedTurn {
    const lender = past.isInherited ? lenderTo(past, self) : null
    return lender === null || lender === 'older' || !lender.turn ? adopt(past, turn) : lender.turn
  }

  function decideAnew(past: PastOrder, rules: Rules, known: Entry | null): void {
    const lender = lenderTo(past, known)
    const { guideId, reason, turn } = decide(rules, {
      ...past,
      sticky: lender === 'older' ? past.sticky : (lender?.guideId ?? null),
      isPaused: id => past.paused.has(id),
      openBook: view,
      tally: counts.of,
    })
    let logged = reason === 'STICKY_CART' && lender ? turnOf(past, lender) : null
    if (turn) {
      const book = bookIn(books, turn.book)
      book.turn += 1
      logged = logTurn(turn, book.turn)
      moveHandedOn(book.standings, logged)
      for (const { id } of turn.candidates) book.holders.add(id)
      charge(book.standings, logged, turn.changes)
      if (reason === 'FAIR_TURN' || reason === 'ONLY_ONE') countRotated(logged)
    }
    keep(past, { guideId, reason, turn: logged }, known)
  }
}

/** Of those who had the turn: refused or closed, or gone on without it. */
function isGone(entry: Entry | undefined, turn: LoggedTurn, from: Entry): boolean {
  if (entry === undefined) return false
  if (entry === from || entry.turn !== turn) return true
  return entry.ended === 'rejected' || entry.ended === 'closed'
}

function pushTo<Key>(
  lists: { get(key: Key): Entry[] | undefined; set(key: Key, list: Entry[]): unknown },
  key: Key,
  entry: Entry,
): void {
  const list = lists.get(key)
  if (list) list.push(entry)
  else lists.set(key, [entry])
}

function insertLeaving(leaving: Entry[], entry: Entry): void {
  let [low, high] = [0, leaving.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (endsBefore(entry, leaving[middle])) low = middle + 1
    else high = middle
  }
  leaving.splice(low, 0, entry)
}

function endsBefore({ past: { returned: one } }: Entry, other: Entry | undefined): boolean {
  const two = other?.past.returned
  if (!one || !two) return false
  return one.after === two.after ? one.seq < two.seq : one.after < two.after
}

/** Orders a guide had since the hour and the business day began; days are never asked for twice once they are over. */
function createCounts() {
  let at: CountingFrom = { hourMs: Number.NaN, dayMs: Number.NaN }
  const entries: { guideId: string; atMs: number; by: number }[] = []
  let hour = new Map<string, number>()
  let day = new Map<string, number>()

  function countFrom(fromMs: number): Map<string, number> {
    const counts = new Map<string, number>()
    for (let index = entries.length - 1; index >= 0; index--) {
      const entry = entries[index]
      if (!entry) continue
      if (entry.atMs >= fromMs)
        counts.set(entry.guideId, (counts.get(entry.guideId) ?? 0) + entry.by)
    }
    return counts
  }

  return {
    add({ guideId }: { guideId: string | null }, atMs: number, by: 1 | -1): void {
      if (guideId === null) return
      entries.push({ guideId, atMs, by })
      if (atMs >= at.dayMs) day.set(guideId, (day.get(guideId) ?? 0) + by)
      if (atMs >= at.hourMs) hour.set(guideId, (hour.get(guideId) ?? 0) + by)
    },

    of(guideId: string, from: CountingFrom): { hour: number; day: number } {
      if (from.dayMs !== at.dayMs || from.hourMs !== at.hourMs) {
        // What lies two days back is in no business day any more.
        const keptMs = from.dayMs - 2 * 86_400_000
        let kept = 0
        for (const entry of entries) if (entry.atMs >= keptMs) entries[kept++] = entry
        entries.length = kept
        hour = countFrom(from.hourMs)
        day = countFrom(from.dayMs)
        at = { ...from }
      }
      return { hour: hour.get(guideId) ?? 0, day: day.get(guideId) ?? 0 }
    },
  }
}

function createReport() {
  const guides = new Map<string, Tally>()
  const total = { orders: 0, changed: 0, uncovered_before: 0, uncovered_after: 0 }
  const sample: ChangedOrder[] = []
  const ids: number[] = []
  let worst = 0

  function tallyOf(guideId: string): Tally {
    const known = guides.get(guideId)
    if (known) return known
    const made = { before: 0, after: 0, turns: 0, share: 0 }
    guides.set(guideId, made)
    return made
  }

  return {
    add(past: PastOrder, guideId: string | null, reason: string): void {
      total.orders += 1
      if (past.guideId !== null) tallyOf(past.guideId).before += 1
      if (guideId !== null) tallyOf(guideId).after += 1
      if (past.isDecided && past.guideId === null) total.uncovered_before += 1
      if (past.isDecided && guideId === null) total.uncovered_after += 1
      if (past.guideId === guideId) return
      total.changed += 1
      // One that was decided more than once is told later than it came.
      if (sample.length >= sampleSize && past.id > (ids.at(-1) ?? 0)) return
      const place = ids.filter(id => id < past.id).length
      ids.splice(place, 0, past.id)
      sample.splice(place, 0, {
        out_trade_no: past.outTradeNo,
        decided_at_ms: past.firstAtMs,
        before: { guide_id: past.guideId, reason: past.reason },
        after: { guide_id: guideId, reason },
      })
      ids.length = Math.min(ids.length, sampleSize)
      sample.length = ids.length
    },

    /** A turn was rotated, or (`by` −1) given back. */
    rotated(turn: LoggedTurn, by: 1 | -1): void {
      const weights = turn.candidates.reduce((sum, [, weight]) => sum + weight, 0)
      for (const [index, [id, weight]] of turn.candidates.entries()) {
        const tally = tallyOf(id)
        if (index === turn.chosen) tally.turns += by
        tally.share += (by * weight) / weights
        worst = Math.max(worst, Math.abs(tally.turns - tally.share))
      }
    },

    end(): ReplayReport {
      return {
        ...total,
        guides: [...guides]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([guide_id, { before, after, share }]) => ({
            guide_id,
            count_before: before,
            count_after: after,
            share_after: rounded(share),
          })),
        worst_deviation: rounded(worst),
        sample,
      }
    },
  }
}

function rounded(orders: number): number {
  return Math.round(orders * 10_000) / 10_000 + 0
}
