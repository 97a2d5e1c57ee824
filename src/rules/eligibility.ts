import { isWithin, type Roster, type WeekSpan, weekSpans } from './roster.ts'
import type { Staff } from './staff.ts'
import { createStoreTime } from './store-time.ts'

/** Why a guide could not serve an order, or was passed over. */
export const notChosenReasons = [
  'OFF_SHIFT',
  'NOT_IN_POOL',
  'WRONG_STORE',
  'QUARANTINED',
  'UNREGISTERED',
  'LOWER_BALANCE',
  'TIE_SERVED_LATER',
  'STEP_NOT_REACHED',
] as const
export type NotChosen = (typeof notChosenReasons)[number]

/** A guide as the mirror knows them. */
export type KnownGuide = { id: string; storeId: number; state: 'registered' | 'quarantined' }

/** One of the staff, with all that does not change between two versions of the documents. */
export type Member = {
  id: string
  weight: number
  rotates: boolean
  barred: Extract<NotChosen, 'WRONG_STORE' | 'QUARANTINED' | 'UNREGISTERED'> | null
  spans: readonly WeekSpan[]
}

export type Crew = {
  members: readonly Member[]
  byId: ReadonlyMap<string, Member>
  minuteOfWeek: (atMs: number) => number
}

/** Staff and roster made ready for many decisions; `guides` is every guide that the mirror knows of those named. */
export function gatherCrew(
  storeId: number,
  staff: Staff,
  roster: Roster,
  guides: ReadonlyMap<string, KnownGuide>,
): Crew {
  const spans = weekSpans(
    roster,
    staff.guides.map(({ id }) => id),
  )
  const members = staff.guides.map(({ id, weight, rotates }) => ({
    id,
    weight,
    rotates,
    barred: barredReason(storeId, guides.get(id)),
    spans: spans.get(id) ?? [],
  }))
  return {
    members,
    byId: new Map(members.map(member => [member.id, member])),
    minuteOfWeek: createStoreTime(staff.timezone),
  }
}

function barredReason(storeId: number, guide: KnownGuide | undefined): Member['barred'] {
  if (!guide) return 'UNREGISTERED'
  if (guide.state === 'quarantined') return 'QUARANTINED'
  return guide.storeId === storeId ? null : 'WRONG_STORE'
}

/** Null when the member may serve now; `always` asks only that the guide can be assigned at all. */
export function whyNot(
  member: Member,
  condition: 'on_shift' | 'always',
  minuteOfWeek: number,
): NotChosen | null {
  if (member.barred) return member.barred
  if (condition === 'always') return null
  return isWithin(member.spans, minuteOfWeek) ? null : 'OFF_SHIFT'
}
