import type { Moment } from './calendar.ts'
import { minutesOf, weekdayOf } from './names.ts'
import type { When } from './plan.ts'

export type Circumstance = {
  channel: string | null
  amountFen: number | null
  memberLevel: string | null
}

/** Whether all that is given holds. An order that does not say its amount, channel or level meets no condition on it. */
export function holdsWhen(when: When | undefined, order: Circumstance, moment: Moment): boolean {
  if (!when) return true
  const { amountFen } = order
  if (when.channel && !when.channel.some(channel => channel === order.channel)) return false
  if (when.min_amount !== undefined && (amountFen ?? -1) < when.min_amount) return false
  if (when.max_amount !== undefined && (amountFen ?? Number.POSITIVE_INFINITY) > when.max_amount)
    return false
  if (when.member_level && !when.member_level.some(level => level === order.memberLevel))
    return false
  if (when.between && !isBetween(moment.minute, when.between)) return false
  return !when.days || when.days.includes(weekdayOf(moment.day))
}

/** Half-open; an end not after its start lies on the next day. */
function isBetween(minute: number, [start, end]: readonly [string, string]): boolean {
  const [from, to] = [minutesOf(start), minutesOf(end)]
  return to > from ? minute >= from && minute < to : minute >= from || minute < to
}
