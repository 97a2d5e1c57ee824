import { createBreather } from '../clock.ts'
import { type Generation, generationsOf } from '../ledger/generations.ts'
import type { PastRow, Snapshot } from '../ledger/history.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import type { DocumentVersions, Rules, Standing } from '../rules/decide.ts'
import type { Member } from '../rules/eligibility.ts'
import { createReplay, type PastOrder, type ReplayReport } from '../rules/replay.ts'
import { defaultStaff } from '../rules/staff.ts'
import type { Draft } from './simulate.ts'

type Barred = NonNullable<Member['barred']>

const neverAsked = ['PLATFORM_AUTO_ASSIGN', 'CHANNEL_UNSUPPORTED', 'WINDOW_OVER', 'RESTORED']
const barredReasons = ['WRONG_STORE', 'QUARANTINED', 'UNREGISTERED']
/** The longest business day: caps and most carts reach back no further. */
const warmUpMs = 25 * 3_600_000

/** What the orders of [from, to) would have been with the draft; a document that the draft lacks is the one then in force. */
export async function replayPeriod(
  mirror: Mirror,
  snapshot: Snapshot,
  store: Store,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  draft: Draft,
): Promise<ReplayReport> {
  const rulesOf = createRulesOf(mirror, store, draft)
  const staff = draft.staff ?? mirror.documentsAt(store, fromMs).staff.body
  const ids = staff.guides.map(({ id }) => id)
  const startMs = fromMs - warmUpMs
  const starts = await findStarts(snapshot.orders(store.storeId, startMs, toMs), ids)
  const replay = createReplay(starts)
  const breathe = createBreather()
  for await (const slice of snapshot.orders(store.storeId, startMs, toMs)) {
    for (const row of slice) {
      if (row.facts.test) continue
      // A draft of a thousand guides and fifty steps takes milliseconds for each.
      await breathe()
      const isWarm = row.decidedAtMs < fromMs
      const past = pastOf(row, isWarm ? null : rulesOf)
      if (isWarm) replay.warmUp(past)
      else replay.next(past, rulesOf(firstOf(row)))
    }
  }
  return replay.end()
}

/** How each guide stood in each book when the log first names them. */
async function findStarts(slices: AsyncIterable<PastRow[]>, ids: readonly string[]) {
  const starts = new Map<string, Map<string, Standing>>()
  // Handed on before the log names the heir; and who was named because they are gone, and brings what is logged then.
  const handedOn = new Map<string, number>()
  const gone = new Set<string>()
  const read = ({ turn, inherited }: Generation['trace']) => {
    if (!turn || turn.number === 0 || inherited) return
    const book = starts.get(turn.book) ?? new Map<string, Standing>()
    starts.set(turn.book, book)
    const inBook = (id: string) => `${id}/${turn.book}`
    for (const [id, weight, change] of turn.handedOn ?? []) {
      if (book.has(id)) continue
      if (weight === 0) gone.add(inBook(id))
      else handedOn.set(inBook(id), (handedOn.get(inBook(id)) ?? 0) + change)
    }
    for (const [id, , balance, lastServed] of turn.candidates) {
      if (book.has(id) || gone.has(inBook(id))) continue
      book.set(id, { balance: balance - (handedOn.get(inBook(id)) ?? 0), lastServed })
    }
  }
  // Generations that came after later orders.
  let late: { after: number; seq: number; trace: Generation['trace'] }[] = []
  for await (const slice of slices) {
    for (const row of slice) {
      const due = late.filter(({ after }) => after < row.id)
      if (due.length > 0) late = late.filter(({ after }) => after >= row.id)
      for (const { trace } of due.sort((a, b) => a.after - b.after || a.seq - b.seq)) read(trace)
      const [first, ...others] = generationsOf(row)
      if (first) read(first.trace)
      let before = first
      for (const one of others) {
        const { after = row.id, seq = 0 } = before?.trace.returned ?? {}
        late.push({ after, seq, trace: one.trace })
        before = one
      }
    }
    const books = [...starts.values()]
    if (books.length > 0 && books.every(book => ids.every(id => book.has(id)))) break
  }
  return starts
}

function firstOf(row: PastRow): Generation {
  return present(generationsOf(row)[0] ?? null)
}

/** The order as its first generation was, the others behind it; without `rulesOf`, none is asked again. */
function pastOf(row: PastRow, rulesOf: ((generation: Generation) => Rules) | null): PastOrder {
  const [first, ...others] = generationsOf(row)
  const chain = (one: Generation, [next, ...rest]: Generation[]): PastOrder => {
    const past = readGeneration(row, one)
    if (!next) return past
    const following = chain(next, rest)
    const rules = following.isDecided && rulesOf ? rulesOf(next) : null
    return { ...past, next: { past: following, rules } }
  }
  return chain(present(first ?? null), others)
}

function readGeneration(row: PastRow, generation: Generation): PastOrder {
  const { facts } = row
  const { guideId, reason, decidedAtMs, trace, wasAccepted } = generation
  const paused = trace.blocked.filter(([, why]) => why === 'PAUSED').map(([id]) => id)
  const isNamed = trace.named !== undefined
  return {
    id: row.id,
    outTradeNo: row.outTradeNo,
    atMs: decidedAtMs,
    firstAtMs: row.decidedAtMs,
    channel: facts.channel ?? null,
    memberLevel: facts.member_level ?? null,
    amountFen: facts.amount ?? null,
    hint: facts.guide_id ?? null,
    owner: trace.asked.owner,
    sticky: trace.asked.sticky,
    cartId: row.cartId,
    paused: new Set([...paused, ...(trace.asked.paused ?? [])]),
    isDecided: !neverAsked.includes(reason) && !isNamed,
    wasAccepted,
    guideId,
    reason,
    turn: trace.turn,
    isInherited: trace.inherited === true,
    returned: trace.returned ?? null,
    next: null,
  }
}

/**
 * The rules for each order. Who was quarantined, unregistered or of another merchant then is so in the replay too;
 * of a guide whom the order does not name, the present state counts.
 */
function createRulesOf(mirror: Mirror, store: Store, draft: Draft): (one: Generation) => Rules {
  const readings = new Map<string, Rules>()
  const made = new Map<string, Rules>()

  function read({ staff, roster, plan }: DocumentVersions, ids: readonly string[]): Rules {
    const written = staff === 0 ? null : mirror.version(store, 'staff', staff)
    const ofThen = staff === 0 ? defaultStaff(store.timezone, ids) : present(written).body
    return mirror.rulesFor(store, {
      staff: draft.staff ?? ofThen,
      roster: draft.roster ?? present(mirror.version(store, 'roster', roster)).body,
      plan: draft.plan ?? present(mirror.version(store, 'plan', plan)).body,
    })
  }

  return one => {
    const { staff, roster, plan } = one.versions
    const named = namedIn(one)
    // A version names its staff, unless the rules were never asked; the default staff is whoever was registered then.
    const ids = staff === 0 ? [...named.keys()].sort() : []
    const who = [staff, named.size, ...ids].join(' ')
    const written = [draft.staff ? '' : who, draft.roster ? '' : roster, draft.plan ? '' : plan]
    const reading = written.join(' ')
    const barred = [...named].filter(([, why]) => why !== null)
    return keptIn(made, [reading, who, ...barred].join(' '), () => {
      const rules = keptIn(readings, reading, () => read(one.versions, ids))
      return asThen(rules, named)
    })
  }
}

function keptIn<T>(known: Map<string, T>, key: string, make: () => T): T {
  const kept = known.get(key) ?? make()
  known.set(key, kept)
  return kept
}

function asThen({ crew, ...rules }: Rules, named: ReadonlyMap<string, Barred | null>): Rules {
  const members = crew.members.map(member => {
    const then = named.get(member.id)
    return then === undefined ? member : { ...member, barred: then }
  })
  return { ...rules, crew: { ...crew, members, byId: new Map(members.map(one => [one.id, one])) } }
}

/** All whom the order names, with what barred them. */
function namedIn({ guideId, trace, reason }: Generation): Map<string, Barred | null> {
  const named = new Map<string, Barred | null>()
  if (guideId !== null) named.set(guideId, null)
  // A cart's turn may be of other staff.
  const candidates = reason === 'STICKY_CART' ? [] : (trace.turn?.candidates ?? [])
  for (const [id] of candidates) named.set(id, null)
  for (const [id, why] of trace.blocked) named.set(id, isBarred(why) ? why : null)
  return named
}

function isBarred(why: string): why is Barred {
  return barredReasons.includes(why)
}

function present<T>(version: T | null): T {
  if (version === null) throw new Error('a version that an order names is gone')
  return version
}
