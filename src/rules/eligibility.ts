import { type Calendar, calendarOf, type Moment } from './calendar.ts'
import { minutesOf } from './names.ts'
import type { Condition } from './plan.ts'
import {
  type Absence,
  isOnShift,
  missedNight,
  type Presence,
  type Roster,
  readRoster,
} from './roster.ts'
import type { Staff } from './staff.ts'

/** Why a guide could not serve an order, or was passed over. */
export const notChosenReasons = [
  'OFF_SHIFT',
  'AWAY',
  'LEFT',
  'PAUSED',
  'CAP_DAY',
  'CAP_HOUR',
  'NOT_IN_POOL',
  'WRONG_STORE',
  'QUARANTINED',
  'UNREGISTERED',
  'LOWER_BALANCE',
  'TIE_SERVED_LATER',
  'LISTED_LATER',
  'NOT_DRAWN',
  'OWNER_EXPIRED',
  'STEP_NOT_REACHED',
] as const
export type NotChosen = (typeof notChosenReasons)[number]

/** A guide as the mirror knows them. */
export type KnownGuide = {
  id: string
  storeId: number
  merchant: string
  state: 'registered' | 'quarantined'
}

/** One of the staff, with all that does not change between two versions of the documents. */
export type Member = {
  id: string
  weight: number
  rotates: boolean
  tags: readonly string[]
  caps: { perDay: number; perHour: number } | null
  barred: Extract<NotChosen, 'WRONG_STORE' | 'QUARANTINED' | 'UNREGISTERED'> | null
}

/** Staff and roster made ready for many decisions. */
export type Crew = {
  members: readonly Member[]
  byId: ReadonlyMap<string, Member>
  hasCaps: boolean
  presence: Presence
  calendar: Calendar
  dayStartsAtMinute: number
}

/** `guides` is what the mirror knows of those whom staff names; `merchant` is the store's. */
export function gatherCrew(
  merchant: string,
  staff: Staff,
  roster: Roster,
  guides: ReadonlyMap<string, KnownGuide>,
): Crew {
  const members = staff.guides.map(({ id, weight, rotates, tags, caps }) => ({
    id,
    weight,
    rotates,
    tags: tags ?? [],
    caps: caps
      ? {
          perDay: caps.per_day ?? Number.POSITIVE_INFINITY,
          perHour: caps.per_hour ?? Number.POSITIVE_INFINITY,
        }
      : null,
    barred: barredReason(merchant, guides.get(id)),
  }))
  return {
    members,
    byId: new Map(members.map(member => [member.id, member])),
    hasCaps: members.some(({ caps }) => caps !== null),
    presence: readRoster(
      roster,
      members.map(({ id }) => id),
    ),
    calendar: calendarOf(staff.timezone),
    dayStartsAtMinute: minutesOf(staff.day_starts_at),
  }
}

// A guide of another store of the merchant is borrowed; WeChat Pay knows no guide of another merchant.
function barredReason(merchant: string, guide: KnownGuide | undefined): Member['barred'] {
  if (!guide) return 'UNREGISTERED'
  if (guide.state === 'quarantined') return 'QUARANTINED'
  return guide.merchant === merchant ? null : 'WRONG_STORE'
}

/** When the present clock hour and business day began, in epoch milliseconds: caps count from there. */
export type CountingFrom = { hourMs: number; dayMs: number }

export function countingFrom(crew: Crew, moment: Moment): CountingFrom {
  const { calendar, dayStartsAtMinute } = crew
  // By the instant and not by the wall: a business day that has begun goes on when the clocks go back.
  const todayMs = calendar.instantOf(moment.day, dayStartsAtMinute)
  return {
    hourMs: hourOf(calendar, moment),
    dayMs: todayMs <= moment.atMs ? todayMs : calendar.instantOf(moment.day - 1, dayStartsAtMinute),
  }
}

/** When the wall last showed the full hour: an hour that the clocks repeat is an hour of its own. */
function hourOf({ momentAt, instantOf }: Calendar, { atMs, day, minute }: Moment): number {
  const past = minute % 60
  const full = momentAt((Math.floor(atMs / 60_000) - past) * 60_000)
  return full.minute === minute - past ? full.atMs : instantOf(day, minute - past)
}

/** The day that the shop is in: until `day_starts_at` it is still yesterday. */
export function businessDay({ day, minute }: Moment, dayStartsAtMinute: number): number {
  return minute >= dayStartsAtMinute ? day : day - 1
}

/** What changes from order to order: who is paused, and how many orders each has had. */
export type State = {
  isPaused(guideId: string): boolean
  tally(guideId: string): { hour: number; day: number }
}

/** Null when the member may serve at that moment. */
export function whyNot(
  member: Member,
  condition: Condition,
  crew: Crew,
  moment: Moment,
  state: State,
): NotChosen | null {
  if (member.barred) return member.barred
  if (condition === 'always') return null
  const { presence, dayStartsAtMinute } = crew
  if (!isOnShift(presence, member.id, moment)) {
    const absence = absenceFor(member.id, condition, crew, moment)
    if (absence) return absence.kind
    if (condition === 'on_shift') return 'OFF_SHIFT'
    const today = businessDay(moment, dayStartsAtMinute)
    return presence.spansOn(today).has(member.id) ? null : 'OFF_SHIFT'
  }
  if (condition === 'on_roster_today') return null
  if (state.isPaused(member.id)) return 'PAUSED'
  return member.caps ? overCap(member.caps, state.tally(member.id)) : null
}

/**
 * The absence that keeps a guide from an order at that moment; who covers it stands in. There is none while on shift: a
 * night that began before the leave is worked to its end.
 */
export function absenceFor(
  guideId: string,
  condition: Condition,
  { presence, dayStartsAtMinute }: Crew,
  moment: Moment,
): Absence | null {
  if (isOnShift(presence, guideId, moment)) return null
  if (condition === 'on_roster_today') {
    return presence.absenceOn(guideId, businessDay(moment, dayStartsAtMinute))
  }
  return presence.absenceOn(guideId, moment.day) ?? missedNight(presence, guideId, moment)
}

function overCap(
  { perDay, perHour }: NonNullable<Member['caps']>,
  { day, hour }: { day: number; hour: number },
): NotChosen | null {
  if (day >= perDay) return 'CAP_DAY'
  return hour >= perHour ? 'CAP_HOUR' : null
}
