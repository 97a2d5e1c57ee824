import { dateOf, weekdayOf } from './names.ts'

const quarterMs = 15 * 60_000
const minuteMs = 60_000
const dayMs = 86_400_000
const maxQuartersKept = 1024

/** An offset such as +08:00, which the platform would take too, is no IANA zone. */
export function isTimezone(name: string): boolean {
  if (/^[+-]/.test(name)) return false
  if (calendars.has(name)) return true
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** An instant on a store's wall: its local day (days since 1970-01-01) and the minute of that day. */
export type Moment = { atMs: number; day: number; minute: number }

export type Calendar = {
  momentAt(atMs: number): Moment
  /** The instant when the wall shows that minute of that day; of two, the first; of none, the end of the gap. */
  instantOf(day: number, minute: number): number
}

const maxCalendars = 1000
const calendars = new Map<string, Calendar>()

/** The wall clock of a zone, one for all its stores: the platform's formatter is large, and slow to make. */
export function calendarOf(timezone: string): Calendar {
  const known = calendars.get(timezone)
  if (known) return known
  if (calendars.size >= maxCalendars) calendars.clear()
  const made = createCalendar(timezone)
  calendars.set(timezone, made)
  return made
}

/** Zones change their offset at whole quarters of an hour only, so one formatted date serves a quarter. */
function createCalendar(timezone: string): Calendar {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  const offsets = new Map<number, number>()

  function readOffset(atMs: number): number {
    const part = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]))
    const field = (name: Intl.DateTimeFormatPartTypes) => part.get(name) ?? 0
    const wallMs = Date.UTC(
      field('year'),
      field('month') - 1,
      field('day'),
      field('hour'),
      field('minute'),
      field('second'),
    )
    return wallMs - Math.floor(atMs / 1000) * 1000
  }

  function offsetAt(atMs: number): number {
    const quarter = Math.floor(atMs / quarterMs)
    const known = offsets.get(quarter)
    if (known !== undefined) return known
    if (offsets.size >= maxQuartersKept) offsets.clear()
    const offsetMs = readOffset(quarter * quarterMs)
    offsets.set(quarter, offsetMs)
    return offsetMs
  }

  function endOfGap(early: number, late: number, offsetMs: number): number {
    let atMs = Math.floor(early / quarterMs) * quarterMs
    while (atMs < late && offsetAt(atMs) !== offsetMs) atMs += quarterMs
    return atMs
  }

  return {
    momentAt(atMs) {
      const wallMs = atMs + offsetAt(atMs)
      const day = Math.floor(wallMs / dayMs)
      return { atMs, day, minute: Math.floor((wallMs - day * dayMs) / minuteMs) }
    },

    instantOf(day, minute) {
      const wallMs = day * dayMs + minute * minuteMs
      // The offset before and after any change of that day; the earlier instant is the first of two.
      const [before, after] = [offsetAt(wallMs - dayMs), offsetAt(wallMs + dayMs)]
      const [less, more] = [Math.min(before, after), Math.max(before, after)]
      const early = wallMs - more
      const late = wallMs - less
      if (offsetAt(early) === more) return early
      return offsetAt(late) === less ? late : endOfGap(early, late, more)
    },
  }
}

const weekdayNames = {
  mon: { en: 'Mon', zh: '周一' },
  tue: { en: 'Tue', zh: '周二' },
  wed: { en: 'Wed', zh: '周三' },
  thu: { en: 'Thu', zh: '周四' },
  fri: { en: 'Fri', zh: '周五' },
  sat: { en: 'Sat', zh: '周六' },
  sun: { en: 'Sun', zh: '周日' },
}

/** `Sat 2026-11-28 22:00`, as the wall shows it. */
export function sayInstant(atMs: number, calendar: Calendar): { en: string; zh: string } {
  const { day, minute } = calendar.momentAt(atMs)
  const padded = (number: number) => String(number).padStart(2, '0')
  const time = `${dateOf(day)} ${padded(Math.floor(minute / 60))}:${padded(minute % 60)}`
  const { en, zh } = weekdayNames[weekdayOf(day)]
  return { en: `${en} ${time}`, zh: `${zh} ${time}` }
}
