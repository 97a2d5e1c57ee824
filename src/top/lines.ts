import { cut, padEnd } from '../width.ts'
import type { Count, Frame } from './frame.ts'
import type { Shares } from './shares.ts'

export type Size = { columns: number; rows: number }

/** What is known at this moment: the last frame may be of before the service went away. */
export type View = {
  url: string
  time: string
  frame: Frame | null
  /** Why there is no newer one, in a sentence. */
  trouble: string | null
  shares: readonly Shares[]
  /** Why there are no shares, or none newer. */
  sharesNote: string | null
}

/** The lines of a screen of that size: what does not fit is cut off at the right and at the end. */
export function linesOf(view: View, { columns, rows }: Size): string[] {
  const all = [
    `smartguide-assign  ${view.url}  ${view.time}`,
    ...(view.trouble ? [`!! ${view.trouble}`] : []),
    ...(view.frame ? frameLines(view.frame, view.trouble !== null) : []),
    ...shareLines(view.shares, view.sharesNote),
  ]
  const fitting =
    all.length > rows ? [...all.slice(0, rows - 1), `… ${all.length - rows + 1} more lines`] : all
  return fitting.map(text => cut(harmless(text), columns))
}

/** What a name brings along must not steer the terminal. */
function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '�')
}

function frameLines(frame: Frame, isOld: boolean): string[] {
  const { accepted, nearestExpirySeconds: expiry, lagMs } = frame
  const warnings = [
    frame.isReady ? '' : 'NOT READY',
    frame.isStorageFull ? 'DISK FULL' : '',
    frame.refusedAccounts > 0
      ? `WeChat Pay refuses ${frame.refusedAccounts} merchant(s): npm run doctor`
      : '',
    frame.autoAssigning > 0
      ? `自动分配 is on at ${frame.autoAssigning} merchant(s): orders are skipped`
      : '',
    frame.restarted ? 'restarted just now' : '',
  ].filter(text => text !== '')
  return [
    row(isOld ? 'last seen' : 'service', [
      `up ${duration(frame.upSeconds)}`,
      `cpu ${frame.cpuShare === null ? '–' : `${Math.round(frame.cpuShare * 100)} %`}`,
      `memory ${megabytes(frame.memoryBytes)}`,
      `WAL ${megabytes(frame.walBytes)}`,
      `loop lag p50 ${ms(lagMs.p50)} p99 ${ms(lagMs.p99)} max ${ms(lagMs.most)}`,
    ]),
    ...warnings.map(text => `!! ${text}`),
    row('orders', [
      `${rate(frame.ordersPerSecond)} new`,
      `accepted in p50 ${ms(accepted?.p50Ms)} p99 ${ms(accepted?.p99Ms)}`,
    ]),
    row('in hand', [
      `${frame.inFlight} in flight`,
      `${frame.waiting} waiting`,
      `${frame.pending} pending`,
      expiry === null
        ? 'none near expiry'
        : `next expires in ${duration(expiry)}${expiry < 60 ? ' !!' : ''}`,
    ]),
    row('decided', frame.decided.map(counted)),
    row('settled', frame.settled.map(counted)),
    ...frame.hosts.map(({ host, isOpen, attempts }) =>
      row(`host ${host}`, [
        isOpen ? 'BREAKER OPEN' : 'breaker closed',
        ...attempts.filter(({ name, total }) => total > 0 || name === 'accepted').map(counted),
      ]),
    ),
    row('repeats', [
      `${frame.repeatsLeft === null ? '–' : Math.floor(frame.repeatsLeft)} left in the budget`,
    ]),
    row('shed', frame.shed.map(counted)),
  ]
}

function shareLines(shares: readonly Shares[], note: string | null): string[] {
  return [
    ...shares.flatMap(({ storeId, name, orders, guides }) => [
      '',
      `store ${storeId} ${name}: ${orders} orders in 24 h`,
      ...guides.map(
        guide =>
          `  ${padEnd(cut(guide.name, 36), 38)}${guide.count.toFixed(0).padStart(7)} turns  due ${guide.share.toFixed(1).padStart(8)}  ${signed(guide.deviation).padStart(6)}`,
      ),
    ]),
    ...(note ? ['', note] : []),
  ]
}

const row = (name: string, parts: readonly string[]) =>
  `${name.padEnd(10)}${parts.length > 0 ? parts.join('  ') : 'none'}`

function counted({ name, total, perSecond }: Count): string {
  return perSecond ? `${name} ${total} (+${rate(perSecond)})` : `${name} ${total}`
}

function rate(perSecond: number | null): string {
  return perSecond === null ? '–/s' : `${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s`
}

function ms(value: number | null | undefined): string {
  return value == null ? '–' : `${value.toFixed(value < 10 ? 1 : 0)} ms`
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`

const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)}`

/** In the two largest units. */
function duration(seconds: number | null): string {
  if (seconds === null) return '–'
  if (seconds < 0) return 'no time'
  const whole = Math.floor(seconds)
  const units = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ] as const
  const first = units.findIndex(([count]) => count > 0)
  return first < 0
    ? '0 s'
    : units
        .slice(first, first + 2)
        .map(([count, unit]) => `${count} ${unit}`)
        .join(' ')
}
