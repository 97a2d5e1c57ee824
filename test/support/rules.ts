import type { BookView, Decision, Question, Rules, Standing } from '../../src/rules/decide.ts'
import { gatherCrew, type KnownGuide } from '../../src/rules/eligibility.ts'
import { dayNumber, minutesOf } from '../../src/rules/names.ts'
import { defaultPlan, type Plan, planSchema } from '../../src/rules/plan.ts'
import { defaultRoster, type Roster, rosterSchema } from '../../src/rules/roster.ts'
import { type Staff, type StaffMember, staffSchema } from '../../src/rules/staff.ts'

/** Monday 23 November 2026, 00:00 in Shanghai. */
export const mondayMs = Date.UTC(2026, 10, 22, 16)
export const minuteMs = 60_000
export const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

type Guide = string | (Partial<StaffMember> & { id: string })

export function aStaff(guides: readonly Guide[], timezone = 'Asia/Shanghai'): Staff {
  return {
    timezone,
    day_starts_at: '00:00',
    guides: guides.map(guide => ({
      weight: 1,
      rotates: true,
      ...(typeof guide === 'string' ? { id: guide } : guide),
    })),
  }
}

/** A plan with its `none`, checked and filled in as if it came over the wire. */
export function aPlan(steps: readonly object[], facts: object = {}): Plan {
  return planSchema.parse({ ...facts, steps: [...steps, { use: 'none' }] })
}

/** The rules of store 1 of merchant m: three guides, always on, the default plan. */
export function aStore({
  guides = ['A', 'B', 'C'],
  timezone = 'Asia/Shanghai',
  dayStartsAt = '00:00',
  roster = defaultRoster,
  plan = defaultPlan,
  known = {},
}: {
  guides?: readonly Guide[]
  timezone?: string
  dayStartsAt?: string
  roster?: Roster
  plan?: Plan
  known?: Record<string, Partial<KnownGuide> | null>
} = {}): Rules {
  const staff = staffSchema.parse({ ...aStaff(guides, timezone), day_starts_at: dayStartsAt })
  const mirrored = new Map<string, KnownGuide>()
  for (const { id } of staff.guides) {
    const told = known[id]
    if (told === null) continue
    mirrored.set(id, { id, storeId: 1, merchant: 'm', state: 'registered', ...told })
  }
  return {
    crew: gatherCrew('m', staff, rosterSchema.parse(roster), mirrored),
    plan,
    versions: { staff: 0, roster: 0, plan: 0 },
  }
}

export function aBook(standings: Record<string, Standing> = {}, name = 'orders'): BookView {
  const kept = new Map(Object.entries(standings))
  return {
    name,
    standing: id => kept.get(id) ?? { balance: 0, lastServed: 0 },
    holders: () => kept.keys(),
  }
}

export function aQuestion(facts: Partial<Question> = {}): Question {
  return {
    atMs: mondayMs,
    outTradeNo: 'order-1',
    channel: null,
    memberLevel: null,
    amountFen: null,
    hint: null,
    owner: null,
    sticky: null,
    isPaused: () => false,
    openBook: name => aBook({}, name),
    tally: () => ({ hour: 0, day: 0 }),
    ...facts,
  }
}

/** Books kept by hand, as the ledger keeps them: each turn is entered before the next question. */
export function aLedger() {
  const books = new Map<string, Map<string, Standing>>()
  const turns = new Map<string, number>()

  function pageOf(name: string): Map<string, Standing> {
    const page = books.get(name) ?? new Map<string, Standing>()
    books.set(name, page)
    return page
  }

  return {
    openBook: (name: string): BookView => ({
      name,
      standing: id => pageOf(name).get(id) ?? { balance: 0, lastServed: 0 },
      holders: () => pageOf(name).keys(),
    }),
    enter({ turn }: Decision): void {
      if (!turn) return
      const number = (turns.get(turn.book) ?? 0) + 1
      turns.set(turn.book, number)
      for (const [id, , change] of turn.handedOn) {
        const { balance, lastServed } = pageOf(turn.book).get(id) ?? { balance: 0, lastServed: 0 }
        pageOf(turn.book).set(id, { balance: balance + change, lastServed })
      }
      for (const [index, { id, balance, lastServed }] of turn.candidates.entries()) {
        pageOf(turn.book).set(id, {
          balance: balance + (turn.changes[index] ?? 0),
          lastServed: index === turn.chosen ? number : lastServed,
        })
      }
    },
    balances: (name = 'orders') => new Map([...pageOf(name)].map(([id, now]) => [id, now.balance])),
    names: () => [...books.keys()],
    /** What is stored, as text, and back: a restart. */
    reload(): void {
      const stored = JSON.stringify([...books].map(([name, page]) => [name, [...page]]))
      books.clear()
      const read: [string, [string, Standing][]][] = JSON.parse(stored)
      for (const [name, page] of read) books.set(name, new Map(page))
    },
  }
}

export function shift(
  days: Roster['weekly'][number]['days'],
  from: string,
  to: string,
  guides: string[],
): Roster['weekly'][number] {
  const [first, ...others] = guides
  return {
    shift: `${from}-${to}`,
    days,
    from,
    to,
    guides: first === '*' && others.length === 0 ? ['*'] : guides,
  }
}

/** The instant of a wall time in Shanghai, which knows no summer time. */
export function shanghai(date: string, time = '00:00'): number {
  return dayNumber(date) * dayMs + minutesOf(time) * minuteMs - 8 * hourMs
}

/** Mulberry32: the same numbers in every run. */
export function aRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function at<T>(list: readonly T[], index: number): T {
  const found = list[index]
  if (found === undefined) throw new Error(`nothing at ${index}`)
  return found
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
