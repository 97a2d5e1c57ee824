import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { decide, type Question, type Rules, type Standing } from '../src/rules/decide.ts'
import { gatherCrew } from '../src/rules/eligibility.ts'
import type { Candidate } from '../src/rules/fairness.ts'
import { dateOf, dayNumber, weekdays } from '../src/rules/names.ts'
import { planSchema } from '../src/rules/plan.ts'
import { rosterSchema } from '../src/rules/roster.ts'
import { staffSchema } from '../src/rules/staff.ts'
import { aQuestion } from '../test/support/rules.ts'

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const firstDay = dayNumber('2026-11-01')
const days = 30

const staff = staffSchema.parse({
  timezone: 'Asia/Shanghai',
  day_starts_at: '04:00',
  guides: [2, 1, 3, 1, 2, 1].map((weight, index) => ({ id: `G${index + 1}`, weight })),
})

const weightOf = new Map(staff.guides.map(({ id, weight }) => [id, weight]))

const roster = rosterSchema.parse({
  weekly: [
    { shift: '早班', days: [...weekdays], from: '09:00', to: '15:00', guides: ['G1', 'G2', 'G3'] },
    { shift: '晚班', days: [...weekdays], from: '14:00', to: '22:00', guides: ['G3', 'G4', 'G5'] },
    { shift: '周末', days: ['sat', 'sun'], from: '10:00', to: '20:00', guides: ['G2', 'G6'] },
    { shift: '机动', days: ['mon', 'wed', 'fri'], from: '12:00', to: '18:00', guides: ['G6'] },
  ],
  dates: [
    {
      date: '2026-11-11',
      mode: 'replace',
      shifts: [{ shift: '双十一', from: '09:00', to: '23:00', guides: ['*'] }],
    },
    {
      date: '2026-11-21',
      mode: 'add',
      shifts: [{ shift: '店庆', from: '12:00', to: '21:00', guides: ['G1', 'G4'] }],
    },
  ],
  away: [
    { guide: 'G1', from: '2026-11-05', to: '2026-11-08', why: '年假' },
    { guide: 'G3', from: '2026-11-14', to: '2026-11-14', why: '病假' },
    { guide: 'G5', from: '2026-11-17', to: '2026-11-23', why: '年假' },
    { guide: 'G2', from: '2026-11-27', to: '2026-11-28' },
  ],
})

const plan = planSchema.parse({ steps: [{ use: 'rotate' }, { use: 'none' }] })

/** Who takes an order: the index of one of the candidates. Each keeps its own memory. */
type Rotation = (candidates: readonly Candidate[]) => number

export type Month = {
  orders: number
  fairShares: ReadonlyMap<string, number>
  policies: { name: string; worst: ReadonlyMap<string, number>; max: number }[]
}

/** A month of one store, the same in every run of a seed: who could serve each order is what `decide` says. */
export function fairnessMonth(seed = 20_261_101): Month {
  const rules = readyStore()
  const random = mulberry32(seed)
  // What `decide` chose is the carpool's turn; the others are asked about the same candidates.
  const policies = [
    { name: 'carpool', choose: null },
    { name: 'least count', choose: leastCount() },
    { name: 'least recently used', choose: leastRecentlyUsed() },
    { name: 'smooth weighted', choose: smoothWeighted() },
  ].map(({ name, choose }) => ({ name, choose, ...aDrift() }))
  const fairShares = new Map<string, number>()
  const book = new Map<string, Standing>()
  let orders = 0

  for (const atMs of instants(random)) {
    const { turn } = decide(rules, question(atMs, book))
    if (!turn) continue
    orders += 1
    for (const [id, share] of sharesOf(turn.candidates)) {
      fairShares.set(id, (fairShares.get(id) ?? 0) + share)
    }
    for (const [index, { id, balance, lastServed }] of turn.candidates.entries()) {
      book.set(id, {
        balance: balance + (turn.changes[index] ?? 0),
        lastServed: index === turn.chosen ? orders : lastServed,
      })
    }
    for (const { choose, enter } of policies) {
      enter(turn.candidates, choose ? choose(turn.candidates) : turn.chosen)
    }
  }
  return {
    orders,
    fairShares,
    policies: policies.map(({ name, worst }) => ({
      name,
      worst,
      max: Math.max(...worst.values()),
    })),
  }
}

/** What of the order is each one's, by the staff document and in fractions: no arithmetic of the ledger's. */
function sharesOf(candidates: readonly Candidate[]): [id: string, share: number][] {
  const weights = candidates.map(({ id }) => weightOf.get(id) ?? Number.NaN)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return candidates.map(({ id }, index) => [id, (weights[index] ?? Number.NaN) / total])
}

/** The furthest that each guide ever was from the fair share, after any order of the month. */
function aDrift() {
  const drift = new Map<string, number>()
  const worst = new Map<string, number>()
  return {
    worst,
    enter(candidates: readonly Candidate[], chosen: number): void {
      const served = candidates[chosen]?.id
      for (const [id, share] of sharesOf(candidates)) {
        const now = (drift.get(id) ?? 0) + (id === served ? 1 : 0) - share
        drift.set(id, now)
        worst.set(id, Math.max(worst.get(id) ?? 0, Math.abs(now)))
      }
    },
  }
}

/** Fewest orders for their weight, then the smaller id. */
function leastCount(): Rotation {
  const counts = new Map<string, number>()
  return candidates =>
    take(
      candidates,
      ({ id, weight }) => (counts.get(id) ?? 0) / weight,
      id => counts.set(id, (counts.get(id) ?? 0) + 1),
    )
}

/** Whose last order is longest ago. */
function leastRecentlyUsed(): Rotation {
  const last = new Map<string, number>()
  let now = 0
  return candidates =>
    take(
      candidates,
      ({ id }) => last.get(id) ?? 0,
      id => {
        now += 1
        last.set(id, now)
      },
    )
}

/** As nginx does it, over the peers that are up: each gains its weight, the highest serves and pays the total. */
function smoothWeighted(): Rotation {
  const current = new Map<string, number>()
  return candidates => {
    let total = 0
    for (const { id, weight } of candidates) {
      current.set(id, (current.get(id) ?? 0) + weight)
      total += weight
    }
    return take(
      candidates,
      ({ id }) => -(current.get(id) ?? 0),
      id => current.set(id, (current.get(id) ?? 0) - total),
    )
  }
}

function take(
  candidates: readonly Candidate[],
  rank: (candidate: Candidate) => number,
  enter: (id: string) => void,
): number {
  const ranks = candidates.map(rank)
  const chosen = ranks.indexOf(Math.min(...ranks))
  enter(candidates[chosen]?.id ?? '')
  return chosen
}

function readyStore(): Rules {
  const known = staff.guides.map(
    ({ id }) => [id, { id, storeId: 1, merchant: 'm', state: 'registered' as const }] as const,
  )
  return {
    crew: gatherCrew('m', staff, roster, new Map(known)),
    plan,
    versions: { staff: 1, roster: 1, plan: 1 },
  }
}

function question(atMs: number, book: ReadonlyMap<string, Standing>): Question {
  return aQuestion({
    atMs,
    outTradeNo: String(atMs),
    openBook: name => ({
      name,
      standing: id => book.get(id) ?? { balance: 0, lastServed: 0 },
      holders: () => book.keys(),
    }),
  })
}

/** Ninety orders a day, more at noon and in the evening, from 09:00 to 22:00 in Shanghai. */
function instants(random: () => number): number[] {
  const all: number[] = []
  for (let day = firstDay; day < firstDay + days; day++) {
    for (let order = 0; order < 90; order++) {
      const peak = random() < 0.5 ? (random() < 0.4 ? 12 : 18) + random() * 2 : 9 + random() * 13
      all.push(day * dayMs - 8 * 60 * minuteMs + Math.floor(peak * 60 * minuteMs))
    }
  }
  return all.sort((a, b) => a - b)
}

function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function print({ orders, fairShares, policies }: Month): string {
  const guides = staff.guides.map(({ id, weight }) => ({ id, weight }))
  const row = (head: string, cells: string[]) =>
    `${head.padEnd(22)}${cells.map(cell => cell.padStart(9)).join('')}\n`
  const fixed = (value = 0) => value.toFixed(2)
  return [
    `${dateOf(firstDay)} to ${dateOf(firstDay + days - 1)}, ${orders} orders; worst |count − fair share| after any order\n`,
    `node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, commit ${commit()}\n\n`,
    row('', [...guides.map(({ id }) => id), 'max']),
    row(
      'weight',
      guides.map(({ weight }) => String(weight)),
    ),
    row(
      'fair share',
      guides.map(({ id }) => (fairShares.get(id) ?? 0).toFixed(1)),
    ),
    ...policies.map(({ name, worst, max }) =>
      row(name, [...guides.map(({ id }) => fixed(worst.get(id))), fixed(max)]),
    ),
  ].join('')
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const month = fairnessMonth()
  process.stdout.write(print(month))
  const carpoolMax = month.policies[0]?.max ?? Number.POSITIVE_INFINITY
  if (carpoolMax > 1.5) {
    process.stderr.write(`carpool strays ${carpoolMax} orders, more than 1.5\n`)
    process.exitCode = 1
  }
}
