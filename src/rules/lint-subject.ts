import type { Calendar } from './calendar.ts'
import { type Crew, gatherCrew, type KnownGuide } from './eligibility.ts'
import { dayNumber, type NameOf } from './names.ts'
import type { Plan } from './plan.ts'
import type { Roster } from './roster.ts'
import type { Staff } from './staff.ts'

export const warningCodes = [
  'COVERAGE_HOLE',
  'UNREACHABLE_STEP',
  'EMPTY_POOL',
  'UNKNOWN_GUIDE',
  'WRONG_MERCHANT',
  'QUARANTINED_GUIDE',
  'FOREIGN_GUIDE',
  'NOT_ON_STAFF',
  'MISSING_FROM_STAFF',
  'UNUSED_GUIDE',
  'CAP_CANNOT_HOLD',
  'COVER_CYCLE',
  'COVER_AWAY_TOO',
  'OVERLAPPING_OVERRIDE',
  'PAST_DATES',
] as const
export type WarningCode = (typeof warningCodes)[number]

/**
 * What a store manager should look at, in one sentence for each language.
 *
 * `pointer` is a JSON pointer into `{ staff, roster, plan }`; `guide` is whom it is about, if it is about one. A hole has `witness`, its first instant, and `until`, the
 * first instant after it, both in RFC 3339 in UTC.
 */
export type Warning = {
  code: WarningCode
  pointer: string
  guide?: string
  en: string
  zh: string
  witness?: string
  until?: string
}

export type Documents = { staff: Staff; roster: Roster; plan: Plan }

/**
 * `guides` is what the mirror knows of all whom the documents name, not of the staff alone; `registered` are those of the
 * store itself. `nameOf` says how a guide is called in a sentence.
 */
export type World = {
  storeId: number
  merchant: string
  guides: ReadonlyMap<string, KnownGuide>
  registered?: readonly string[]
  nameOf?: NameOf
}

export type Override = NonNullable<Roster['dates']>[number]
/** Local days, both inclusive; who has left stays away for ever. */
export type Leave = {
  index: number
  guide: string
  from: number
  to: number
  cover: string | null
  hasLeft: boolean
}

/** The documents made ready for the checks. */
export type Subject = Documents & {
  world: World
  nameOf: NameOf
  crew: Crew
  calendar: Calendar
  fromMs: number
  untilMs: number
  /** The local day of `fromMs`. */
  today: number
  overrides: readonly { index: number; day: number; override: Override }[]
  leaves: readonly Leave[]
}

const minuteMs = 60_000
const dayMs = 86_400_000

export function readSubject(
  { staff, roster, plan }: Documents,
  world: World,
  { fromMs, days }: { fromMs: number; days: number },
): Subject {
  const crew = gatherCrew(world.merchant, staff, roster, world.guides)
  return {
    staff,
    roster,
    plan,
    world,
    nameOf: world.nameOf ?? (id => id),
    crew,
    calendar: crew.calendar,
    fromMs,
    untilMs: fromMs + days * dayMs,
    today: crew.calendar.momentAt(fromMs).day,
    overrides: (roster.dates ?? []).map((override, index) => ({
      index,
      day: dayNumber(override.date),
      override,
    })),
    leaves: (roster.away ?? []).map(({ guide, from, to, left, cover }, index) => ({
      index,
      guide,
      from: dayNumber(left ?? from ?? ''),
      to: left === undefined ? dayNumber(to ?? '') : Number.POSITIVE_INFINITY,
      cover: cover ?? null,
      hasLeft: left !== undefined,
    })),
  }
}

/** What the wall is ahead of UTC. */
export function offsetAt(calendar: Calendar, atMs: number): number {
  const { day, minute } = calendar.momentAt(atMs)
  return day * dayMs + minute * minuteMs - Math.floor(atMs / minuteMs) * minuteMs
}

/** Yesterday is not past: a night shift, or the business day, may still run. */
export function isPast({ today }: Pick<Subject, 'today'>, day: number): boolean {
  return day < today - 1
}

/** Who stands in a shift that may still come. */
export function rosteredGuides(subject: Subject): Set<string> {
  const shifts = [
    ...subject.roster.weekly,
    ...subject.overrides
      .filter(({ day }) => !isPast(subject, day))
      .flatMap(({ override }) => override.shifts ?? []),
  ]
  const named = new Set(shifts.flatMap(({ guides }): string[] => guides))
  const everybody = named.delete('*') ? subject.crew.members.map(({ id }) => id) : []
  const { absenceOn } = subject.crew.presence
  return new Set(
    [...named, ...everybody].filter(id => absenceOn(id, subject.today - 1)?.kind !== 'LEFT'),
  )
}
