import { z } from 'zod'
import {
  dayNumber,
  guideIdSchema,
  localDateSchema,
  localTimeSchema,
  minutesOf,
  say,
  weekdayOf,
  weekdays,
} from './names.ts'
import { type Stretch, union } from './stretches.ts'

const namedGuide = guideIdSchema.refine(
  id => id !== '*',
  say('`*` must stand alone', '“*”表示全体，必须单独出现'),
)

const shift = {
  shift: z.string().min(1).max(64),
  from: localTimeSchema.describe('The first minute, store time; 00:00 is midnight.'),
  to: localTimeSchema.describe(
    'The first minute after it; 00:00 is midnight. Not after `from`: on the next day; the shift belongs to the day it starts.',
  ),
  guides: z
    .union([z.tuple([z.literal('*')]), z.array(namedGuide).max(1000)])
    .describe('guide_ids; `["*"]` is all on the staff.'),
}

const weeklySchema = z.strictObject({ ...shift, days: z.array(z.enum(weekdays)).min(1).max(7) })

const dateSchema = z
  .strictObject({
    date: localDateSchema,
    mode: z
      .enum(['replace', 'add', 'closed'])
      .describe(
        'replace: the shifts here in the place of the weekly ones; add: beside them; closed: no shift starts that day.',
      ),
    shifts: z.array(z.strictObject(shift)).max(100).optional(),
  })
  .superRefine(({ mode, shifts }, context) => {
    if ((mode === 'closed') === (shifts === undefined)) return
    context.addIssue({
      code: 'custom',
      path: ['shifts'],
      ...(mode === 'closed'
        ? say('a closed day has no shifts', '休业日不能有班次')
        : say('says which shifts there are', '须写明当日班次')),
    })
  })

const awaySchema = z
  .strictObject({
    guide: guideIdSchema,
    from: localDateSchema
      .optional()
      .describe('The first day of leave: whole local days, by the day on which a shift starts.'),
    to: localDateSchema.optional().describe('The last day of leave, inclusive.'),
    left: localDateSchema
      .optional()
      .describe(
        'The first day on which the guide works here no more; in the place of from and to.',
      ),
    cover: guideIdSchema
      .optional()
      .describe(
        'Gets the customers whose own guide is the one away, and is not put on the shift: for that, write a shift.',
      ),
    why: z.string().max(200).optional(),
  })
  .superRefine(({ guide, from, to, left, cover }, context) => {
    const issue = (path: string, text: ReturnType<typeof say>) =>
      context.addIssue({ code: 'custom', path: [path], ...text })
    const isLeave = from !== undefined && to !== undefined && left === undefined
    const hasLeft = left !== undefined && from === undefined && to === undefined
    if (!isLeave && !hasLeft) {
      issue('from', say('needs from and to, or left alone', '须填 from 和 to，或只填 left'))
    }
    if (from !== undefined && to !== undefined && to < from) {
      issue('to', say('is before from', '早于 from'))
    }
    if (cover === guide) issue('cover', say('must be somebody else', '必须是另一位'))
  })

/** Guides named in shifts, each on each day; `*` is one. */
const maxPlaces = 50_000

/**
 * Who is on when, in the store's own time. Shifts are half-open: `from` is in, `to` is out; a `to` not after its `from`
 * lies on the next day, and the shift belongs to the day it starts. `["*"]` means all on the staff. Leave is inclusive in
 * local days; `left` is the first day on which the guide is no longer there.
 */
export const rosterSchema = z
  .strictObject({
    weekly: z.array(weeklySchema).max(1000),
    dates: z.array(dateSchema).max(1000).optional(),
    away: z.array(awaySchema).max(5000).optional(),
  })
  .refine(
    ({ weekly, dates = [] }) => {
      const special = dates.flatMap(({ shifts }) => shifts ?? [])
      const onDates = special.reduce((sum, { guides }) => sum + guides.length, 0)
      const places = weekly.reduce((sum, { guides, days }) => sum + guides.length * days.length, 0)
      return places + onDates <= maxPlaces
    },
    say(
      `names guides more than ${maxPlaces} times, each day of a shift counted`,
      `排入的服务人员超过 ${maxPlaces} 人次（班次的每一天各计一次）`,
    ),
  )

export type Roster = z.infer<typeof rosterSchema>
type Shift = Pick<Roster['weekly'][number], 'shift' | 'from' | 'to' | 'guides'>

/** A new store's roster: all on the staff, at all hours. */
export const defaultRoster: Roster = {
  weekly: [{ shift: 'all', days: [...weekdays], from: '00:00', to: '00:00', guides: ['*'] }],
}

export const minutesPerDay = 24 * 60

/**
 * When a guide is on, in minutes of the day on which the shift starts; `to` may pass the end of that day. In lists, since
 * the shifts of `*` are one that all on the staff share, beside what each has alone.
 */
export type Spans = readonly (readonly Stretch[])[]

export type Absence = { kind: 'AWAY' | 'LEFT'; cover: string | null }

/** A roster made ready: what each local day holds. */
export type Presence = {
  /** The shifts that belong to a day, by guide; absences not looked at. */
  spansOn(day: number): ReadonlyMap<string, Spans>
  absenceOn(guideId: string, day: number): Absence | null
}

const maxDaysKept = 64
const nobody: ReadonlyMap<string, Spans> = new Map()

export function readRoster(roster: Roster, staffIds: readonly string[]): Presence {
  const byWeekday = new Map(weekdays.map(day => [day, spansOf(weeklyOn(roster, day), staffIds)]))
  const overrides = new Map<number, NonNullable<Roster['dates']>>()
  for (const override of roster.dates ?? []) {
    const day = dayNumber(override.date)
    overrides.set(day, [...(overrides.get(day) ?? []), override])
  }
  const absences = absencesByGuide(roster)
  const overridden = new Map<number, ReadonlyMap<string, Spans>>()

  function overriddenDay(day: number): ReadonlyMap<string, Spans> {
    const known = overridden.get(day)
    if (known) return known
    const made = spansOf(shiftsOn(roster, overrides.get(day) ?? [], day), staffIds)
    if (overridden.size >= maxDaysKept) overridden.clear()
    overridden.set(day, made)
    return made
  }

  return {
    spansOn: day =>
      overrides.has(day) ? overriddenDay(day) : (byWeekday.get(weekdayOf(day)) ?? nobody),

    absenceOn(guideId, day) {
      for (const { from, to, absence } of absences.get(guideId) ?? []) {
        if (day >= from && day <= to) return absence
      }
      return null
    },
  }
}

function weeklyOn(roster: Roster, day: (typeof weekdays)[number]): Shift[] {
  return roster.weekly.filter(({ days }) => days.includes(day))
}

function shiftsOn(roster: Roster, overrides: NonNullable<Roster['dates']>, day: number): Shift[] {
  if (overrides.some(({ mode }) => mode === 'closed')) return []
  const replaced = overrides.some(({ mode }) => mode === 'replace')
  const base = replaced ? [] : weeklyOn(roster, weekdayOf(day))
  return [...base, ...overrides.flatMap(({ shifts }) => shifts ?? [])]
}

/** However many shifts are of `*`, they are one list of stretches apart, and no guide has a copy of it. */
function spansOf(shifts: readonly Shift[], staffIds: readonly string[]): Map<string, Spans> {
  const everybody: Stretch[] = []
  const named = new Map<string, Stretch[]>()
  for (const shift of shifts) {
    const from = minutesOf(shift.from)
    const to = minutesOf(shift.to)
    const span = { from, to: to > from ? to : to + minutesPerDay }
    if (shift.guides[0] === '*') {
      everybody.push(span)
      continue
    }
    for (const guide of shift.guides) {
      const own = named.get(guide)
      if (own) own.push(span)
      else named.set(guide, [span])
    }
  }
  const spans = new Map<string, Spans>([...named].map(([id, own]) => [id, [own]]))
  if (everybody.length === 0) return spans
  const shared = union(everybody)
  const alone: Spans = [shared]
  for (const id of staffIds) {
    const own = named.get(id)
    spans.set(id, own ? [shared, own] : alone)
  }
  return spans
}

function absencesByGuide(roster: Roster) {
  const absences = new Map<string, { from: number; to: number; absence: Absence }[]>()
  for (const { guide, from, to, left, cover } of roster.away ?? []) {
    const kind = left === undefined ? 'AWAY' : 'LEFT'
    const first = dayNumber(left ?? from ?? '')
    const last = left === undefined ? dayNumber(to ?? '') : Number.POSITIVE_INFINITY
    const own = absences.get(guide) ?? []
    own.push({ from: first, to: last, absence: { kind, cover: cover ?? null } })
    absences.set(guide, own)
  }
  // Who has left is gone, whatever leave they had asked for.
  for (const own of absences.values()) {
    own.sort((a, b) => Number(b.absence.kind === 'LEFT') - Number(a.absence.kind === 'LEFT'))
  }
  return absences
}

type WallTime = { day: number; minute: number }

/** Whether a shift of that day, or one of the day before that runs past midnight, holds the minute. */
export function isOnShift(presence: Presence, guideId: string, { day, minute }: WallTime): boolean {
  return (
    (holds(presence, guideId, day, minute) && presence.absenceOn(guideId, day) === null) ||
    (holds(presence, guideId, day - 1, minute + minutesPerDay) &&
      presence.absenceOn(guideId, day - 1) === null)
  )
}

/** The absence on the day before that empties the part of its shift which runs past midnight. */
export function missedNight(
  presence: Presence,
  guideId: string,
  { day, minute }: WallTime,
): Absence | null {
  const isNight = holds(presence, guideId, day - 1, minute + minutesPerDay)
  return isNight ? presence.absenceOn(guideId, day - 1) : null
}

/** Whether a shift that belongs to the day holds the minute, which may pass the end of that day. */
function holds(presence: Presence, guideId: string, day: number, minute: number): boolean {
  for (const list of presence.spansOn(day).get(guideId) ?? []) {
    for (const { from, to } of list) if (minute >= from && minute < to) return true
  }
  return false
}
