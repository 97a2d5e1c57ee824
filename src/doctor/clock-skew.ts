import { type Check, fail, ok, warn } from './check.ts'

const warnAboveMs = 60_000
/** From here on WeChat Pay refuses our calls, and we its answers. */
const failFromMs = 300_000

const todo =
  'Set this machine’s clock by NTP (timedatectl set-ntp true; in a container: on its host), then run again: nothing else is worth mending before.'

/**
 * Our clock beside what one answer says of its own. `dateMs` is the Date header, which names a whole second that has
 * begun; `timestampMs` is Wechatpay-Timestamp, absent from most refusals.
 */
export function checkClock(answer: {
  atMs: number
  dateMs: number | null
  timestampMs: number | null
}): Check {
  const { atMs, dateMs, timestampMs } = answer
  const byDate = dateMs === null ? null : atMs - (dateMs + 500)
  const bySignature = timestampMs === null ? null : atMs - (timestampMs + 500)
  if (byDate === null && bySignature === null) {
    return warn('clock', 'the answer says no time', 'A proxy in between strips the Date header.')
  }
  if (bySignature !== null && byDate !== null && Math.abs(bySignature - byDate) > warnAboveMs) {
    return fail(
      'clock',
      `${ahead(byDate)} by the Date header and ${ahead(bySignature)} by Wechatpay-Timestamp: the answer was not signed when it was sent`,
      'Something between repeats old answers or changes headers (a cache, a proxy, a recording): take it out of the way.',
    )
  }
  const skewMs = byDate ?? bySignature ?? 0
  const found = `this machine’s clock is ${ahead(skewMs)}`
  if (Math.abs(skewMs) >= failFromMs) {
    return fail('clock', `${found}; WeChat Pay refuses calls that are 300 s off`, todo)
  }
  if (Math.abs(skewMs) > warnAboveMs)
    return warn('clock', `${found}; from 300 s on all fails`, todo)
  return ok('clock', found)
}

function ahead(skewMs: number): string {
  const seconds = Math.round(Math.abs(skewMs) / 1000)
  if (seconds <= 1) return 'right to a second'
  return `${seconds} s ${skewMs > 0 ? 'ahead' : 'behind'}`
}
