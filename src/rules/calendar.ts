const quarterMs = 15 * 60_000
const minuteMs = 60_000
const dayMs = 86_400_000

/** An offset such as +08:00, which the platform would take too, is no IANA zone. */
export function isTimezone(name: string): boolean {
  if (/^[+-]/.test(name)) return false
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

/**
 * A store's wall clock.
 *
 * Zones change their offset at whole quarters of an hour only, so one formatted date serves a
 * quarter; the hot path formats none.
 */
export function createCalendar(timezone: string): Calendar {
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
  let quarter = Number.NaN
  let cachedMs = 0

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
    const now = Math.floor(atMs / quarterMs)
    if (now !== quarter) {
      cachedMs = readOffset(atMs)
      quarter = now
    }
    return cachedMs
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
      const [before, after] = [readOffset(wallMs - dayMs), readOffset(wallMs + dayMs)]
      const early = wallMs - Math.max(before, after)
      const late = wallMs - Math.min(before, after)
      if (readOffset(early) === Math.max(before, after)) return early
      if (readOffset(late) === Math.min(before, after)) return late
      return late
    },
  }
}
