import { z } from 'zod'
import { guideIdSchema, localTimeSchema, minutesOf, weekdays } from './names.ts'

const namedGuide = guideIdSchema.refine(id => id !== '*', '`*` must stand alone')

const shiftSchema = z.strictObject({
  shift: z.string().min(1).max(64),
  days: z.array(z.enum(weekdays)).min(1).max(7),
  from: localTimeSchema,
  to: localTimeSchema,
  guides: z.union([z.tuple([z.literal('*')]), z.array(namedGuide).max(1000)]),
})

/**
 * Who is on when, in the store's own time. Shifts are half-open: `from` is in, `to` is out;
 * a `to` not after its `from` lies on the next day, and the shift belongs to the day it starts.
 * `["*"]` means all on the staff.
 */
export const rosterSchema = z.strictObject({ weekly: z.array(shiftSchema).max(1000) })

export type Roster = z.infer<typeof rosterSchema>

/** A new store's roster: all on the staff, at all hours. */
export const defaultRoster: Roster = {
  weekly: [{ shift: 'all', days: [...weekdays], from: '00:00', to: '00:00', guides: ['*'] }],
}

const minutesPerDay = 24 * 60
export const minutesPerWeek = 7 * minutesPerDay

/** Minutes since Monday 00:00 store time; `to` may pass the end of the week. */
export type WeekSpan = { from: number; to: number }

/** The weekly spans of each guide that the roster names. */
export function weekSpans(
  roster: Roster,
  staffIds: readonly string[],
): ReadonlyMap<string, readonly WeekSpan[]> {
  const spans = new Map<string, WeekSpan[]>()
  for (const shift of roster.weekly) {
    const from = minutesOf(shift.from)
    const to = minutesOf(shift.to)
    const length = to > from ? to - from : to + minutesPerDay - from
    const guides = shift.guides[0] === '*' ? staffIds : shift.guides
    for (const day of shift.days) {
      const start = weekdays.indexOf(day) * minutesPerDay + from
      for (const guide of guides) {
        const own = spans.get(guide) ?? []
        own.push({ from: start, to: start + length })
        spans.set(guide, own)
      }
    }
  }
  return spans
}

export function isWithin(spans: readonly WeekSpan[], minuteOfWeek: number): boolean {
  for (const { from, to } of spans) {
    if (minuteOfWeek >= from && minuteOfWeek < to) return true
    if (minuteOfWeek + minutesPerWeek < to) return true
  }
  return false
}
