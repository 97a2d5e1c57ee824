import { minutesPerWeek } from './roster.ts'

const quarterMs = 15 * 60_000
const minuteMs = 60_000

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

/**
 * Minutes since Monday 00:00 on the store's wall, for an instant in epoch milliseconds.
 *
 * Zones change their offset at whole quarters of an hour only, so one formatted date serves a
 * quarter; the hot path formats none.
 */
export function createStoreTime(timezone: string): (atMs: number) => number {
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
  let offsetMs = 0

  function offsetAt(atMs: number): number {
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

  return function minuteOfWeek(atMs) {
    const now = Math.floor(atMs / quarterMs)
    if (now !== quarter) {
      offsetMs = offsetAt(atMs)
      quarter = now
    }
    // The epoch was a Thursday: three days after its Monday.
    const minutes = Math.floor((atMs + offsetMs) / minuteMs) + 3 * 24 * 60
    return ((minutes % minutesPerWeek) + minutesPerWeek) % minutesPerWeek
  }
}
