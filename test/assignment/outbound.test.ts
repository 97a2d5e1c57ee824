import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createBreaker } from '../../src/assignment/breaker.ts'
import { createBudget } from '../../src/assignment/budget.ts'
import { createDepartures } from '../../src/assignment/departures.ts'
import { createLatency } from '../../src/assignment/latency.ts'
import { createMeter } from '../../src/assignment/meter.ts'
import { createOutbound } from '../../src/assignment/outbound.ts'
import { createPace } from '../../src/assignment/pace.ts'
import type { Outcome, UnknownReason } from '../../src/wechatpay/outcome.ts'

const accepted: Outcome = { kind: 'accepted', requestId: null }
const unknown = (reason: UnknownReason, retryAfterMs: number | null = null): Outcome => ({
  kind: 'unknown',
  reason,
  retryAfterMs,
  requestId: null,
  status: null,
  detail: '',
})
const rejected = (blames: 'guide' | 'order' | 'account'): Outcome => ({
  kind: 'rejected',
  blames,
  status: 400,
  code: 'X',
  message: '',
  requestId: null,
})

describe('the latency of a host', () => {
  it('is known once enough answers came, within a tenth of the truth', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 20, maxLength: 800 }),
        fc.constantFrom(0.5, 0.95, 0.99),
        (samples, q) => {
          const latency = createLatency()
          for (const ms of samples.slice(0, 19)) latency.record(ms)
          expect(latency.quantile(q)).toBeNull()
          for (const ms of samples.slice(19)) latency.record(ms)
          const sorted = samples.toSorted((a, b) => a - b)
          const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0
          const told = latency.quantile(q) ?? 0
          expect(told).toBeGreaterThanOrEqual(exact * 0.999)
          expect(told).toBeLessThanOrEqual(exact * 1.1001)
        },
      ),
    )
  })

  it('follows what changes: the old fades', () => {
    const latency = createLatency()
    for (let n = 0; n < 3000; n++) latency.record(50)
    for (let n = 0; n < 2000; n++) latency.record(500)
    expect(latency.quantile(0.5)).toBeGreaterThan(450)
  })
})

describe('a breaker', () => {
  const make = () => createBreaker({ afterFailures: 3, firstPauseMs: 100, longestPauseMs: 300 })

  it('opens after failures in a row, and not before', () => {
    const breaker = make()
    for (const ok of [false, false, true, false, false]) {
      if (ok) breaker.succeeded()
      else expect(breaker.failed(0)).toBe(false)
      expect(breaker.pass(0)).toBe(true)
    }
    expect(breaker.failed(0)).toBe(true)
    expect([breaker.pass(0), breaker.pass(99), breaker.opensAtMs(50)]).toEqual([false, false, 100])
  })

  it('lets one through after its pause, which doubles up to the longest, and closes when that one succeeds', () => {
    const breaker = make()
    for (let n = 0; n < 3; n++) breaker.failed(0)
    expect([breaker.pass(100), breaker.pass(100), breaker.pass(150)]).toEqual([true, false, false])
    breaker.failed(150)
    expect([breaker.opensAtMs(151), breaker.pass(349), breaker.pass(350)]).toEqual([
      350,
      false,
      true,
    ])
    breaker.failed(360)
    expect(breaker.opensAtMs(361)).toBe(660)
    expect(breaker.pass(660)).toBe(true)
    expect(breaker.succeeded()).toBe(true)
    expect([breaker.pass(661), breaker.pass(661), breaker.opensAtMs(661)]).toEqual([true, true, 0])
    expect(breaker.succeeded()).toBe(false)
  })

  it('is not held up by one that was let through and never reported', () => {
    const breaker = make()
    for (let n = 0; n < 3; n++) breaker.failed(0)
    expect(breaker.pass(100)).toBe(true)
    expect([breaker.pass(199), breaker.pass(200)]).toEqual([false, true])
  })

  it('counts failures of calls that left before it opened only once', () => {
    const breaker = make()
    for (let n = 0; n < 20; n++) breaker.failed(n)
    expect(breaker.opensAtMs(20)).toBe(102)
  })
})

describe('the budget of repeats', () => {
  it('spends what was earned and what trickles in, and never more than the most', () => {
    const budget = createBudget({ most: 3, floorPerSecond: 1 })
    const spend = (nowMs: number) => budget.spend(nowMs)
    expect([spend(0), spend(0), spend(0), spend(0)]).toEqual([true, true, true, false])
    expect([spend(900), spend(1000), spend(1000)]).toEqual([false, true, false])
    for (let n = 0; n < 20; n++) budget.earn(0.1)
    expect([spend(1000), spend(1000), spend(1000)]).toEqual([true, true, false])
    expect([...Array(5)].map(() => spend(1_000_000))).toEqual([true, true, true, false, false])
  })
})

describe('the pace of a merchant', () => {
  it('allows its rate over any time, and a short burst', () => {
    const pace = createPace(100)
    let starts = 0
    for (let nowMs = 0; nowMs < 10_000; nowMs++) {
      while (pace.take(nowMs) === 0) starts += 1
    }
    expect(starts).toBeGreaterThan(990)
    expect(starts).toBeLessThanOrEqual(1000 + 20)
  })

  it('comes down to what was accepted after a 429, and back by itself', () => {
    const pace = createPace(100)
    let nowMs = 0
    for (; nowMs < 1000; nowMs += 50) {
      pace.take(nowMs)
      pace.taken(nowMs)
    }
    for (let n = 0; n < 10; n++) pace.throttled(nowMs, null)
    expect(pace.perSecond).toBeGreaterThanOrEqual(17)
    expect(pace.perSecond).toBeLessThanOrEqual(20)
    pace.take(nowMs + 30_000)
    expect(pace.perSecond).toBe(100)
  })

  it('is not slowed by a 429 here and there', () => {
    const pace = createPace(100)
    for (let nowMs = 0; nowMs < 5000; nowMs += 10) {
      pace.take(nowMs)
      if (nowMs > 1000 && nowMs % 500 === 0) pace.throttled(nowMs, 60_000)
      else pace.taken(nowMs)
    }
    expect(pace.perSecond).toBe(100)
    expect(pace.take(5000)).toBe(0)
  })

  it('finds the rate that WeChat Pay takes, and is refused seldom from then on', () => {
    const pace = createPace(200)
    let [accepted, throttled, tokens] = [0, 0, 50]
    for (let nowMs = 0; nowMs < 20_000; nowMs++) {
      tokens = Math.min(50, tokens + 0.05)
      while (pace.take(nowMs) === 0) {
        const isTaken = tokens >= 1
        if (isTaken) {
          tokens -= 1
          pace.taken(nowMs)
          accepted += 1
        } else {
          pace.throttled(nowMs, null)
          if (nowMs > 2000) throttled += 1
        }
      }
    }
    expect(accepted / 20).toBeGreaterThan(45)
    expect(throttled / (accepted + throttled)).toBeLessThan(0.15)
  })

  it('honours Retry-After, and is never slower than two a second', () => {
    const pace = createPace(100)
    for (let n = 0; n < 3; n++) pace.throttled(0, 1000)
    expect(pace.take(1)).toBe(999)
    expect(pace.take(1000)).toBe(0)
    for (let nowMs = 1000; nowMs < 60_000; nowMs += 100) pace.throttled(nowMs, null)
    expect(pace.perSecond).toBeGreaterThanOrEqual(2)
    expect(pace.take(60_000)).toBeLessThanOrEqual(500)
  })
})

describe('a meter', () => {
  it('tells how often something happened in the last second', () => {
    const meter = createMeter()
    expect(meter.perSecond(0)).toBe(0)
    let nowMs = 0
    for (; nowMs < 3000; nowMs += 10) meter.count(nowMs)
    expect(meter.perSecond(nowMs)).toBeGreaterThanOrEqual(90)
    expect(meter.perSecond(nowMs)).toBeLessThanOrEqual(100)
    expect(meter.perSecond(nowMs + 500)).toBeLessThanOrEqual(50)
    expect(meter.perSecond(nowMs + 5000)).toBe(0)
  })
})

describe('departures', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const clock = { nowMs: () => Date.now(), monotonicMs: () => Date.now() }
  const ignore = () => {}

  function anAirfield({ places = 1, pace = (_: string): number => 0 } = {}) {
    const departures = createDepartures({ clock, places, pace })
    const left: string[] = []
    return {
      departures,
      left,
      enter(name: string, expiresInMs = 10_000, waits: (giveUp: () => void) => void = ignore) {
        const [merchant = ''] = name.split('/')
        const entered = departures.enter(merchant, Date.now() + expiresInMs, waits)
        void Promise.resolve(entered).then(granted => left.push(granted ? name : `not ${name}`))
      },
    }
  }
  const settle = () => vi.advanceTimersByTimeAsync(0)

  it('lets the order go first that expires first, and of two alike the one that came first', async () => {
    const { departures, left, enter } = anAirfield()
    enter('m/first')
    enter('m/late', 9000)
    enter('m/soon', 1000)
    enter('m/middle', 5000)
    enter('m/middle again', 5000)
    for (let n = 0; n < 5; n++) {
      await settle()
      departures.leave()
    }
    expect(left).toEqual(['m/first', 'm/soon', 'm/middle', 'm/middle again', 'm/late'])
  })

  it("gives each merchant a turn: one's flood does not delay another's order", async () => {
    const { departures, left, enter } = anAirfield()
    for (let n = 0; n < 1000; n++) enter(`flood/${n}`, 1000)
    enter('small/1', 9000)
    enter('other/1', 9000)
    for (let n = 0; n < 4; n++) {
      await settle()
      departures.leave()
    }
    expect(left.indexOf('small/1')).toBeLessThan(4)
    expect(left.indexOf('other/1')).toBeLessThan(5)
  })

  it('passes a merchant over whose pace is slow, and comes back when it may start', async () => {
    let slowUntilMs = Date.now() + 100
    const pace = (merchant: string) => (merchant === 'slow' ? slowUntilMs - Date.now() : 0)
    const { departures, left, enter } = anAirfield({
      places: 2,
      pace: merchant => Math.max(0, pace(merchant)),
    })
    enter('slow/1')
    enter('fast/1')
    await settle()
    expect(left).toEqual(['fast/1'])
    await vi.advanceTimersByTimeAsync(101)
    expect(left).toEqual(['fast/1', 'slow/1'])
    slowUntilMs = 0
    expect(departures.waiting).toBe(0)
  })

  it('tells those whose time is over within a quarter of a second, though no place becomes free', async () => {
    const { left, enter } = anAirfield()
    enter('m/1')
    enter('m/2', 300)
    enter('m/3', 5000)
    await vi.advanceTimersByTimeAsync(299)
    expect(left).toEqual(['m/1'])
    await vi.advanceTimersByTimeAsync(260)
    expect(left).toEqual(['m/1', 'not m/2'])
  })

  it('lets those go who give up, and everybody at the end', async () => {
    const { departures, left, enter } = anAirfield()
    let giveUp = ignore
    enter('m/1')
    enter('m/2', 9000, told => {
      giveUp = told
    })
    enter('m/3')
    giveUp()
    giveUp()
    await settle()
    expect(left).toEqual(['m/1', 'not m/2'])
    expect(departures.waiting).toBe(1)
    departures.close()
    await settle()
    expect(left).toEqual(['m/1', 'not m/2', 'not m/3'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('never has more in the air than there are places, whatever comes and goes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.record({ merchant: fc.constantFrom('a', 'b', 'c'), in: fc.nat(2000) }),
            fc.constant('leave' as const),
            fc.record({ wait: fc.nat(500) }),
          ),
          { maxLength: 120 },
        ),
        fc.integer({ min: 1, max: 4 }),
        async (events, places) => {
          const departures = createDepartures({ clock, places, pace: () => 0 })
          let inAir = 0
          let answered = 0
          let entered = 0
          for (const event of events) {
            if (event === 'leave') {
              if (inAir === 0) continue
              inAir -= 1
              departures.leave()
            } else if ('wait' in event) await vi.advanceTimersByTimeAsync(event.wait)
            else {
              entered += 1
              const granted = departures.enter(event.merchant, Date.now() + event.in, ignore)
              const count = (isGranted: boolean) => {
                answered += 1
                if (isGranted) inAir += 1
                expect(inAir).toBeLessThanOrEqual(places)
              }
              if (granted === true) count(true)
              else void granted.then(count)
            }
            await settle()
            expect(departures.waiting).toBe(entered - answered)
            if (departures.waiting > 0) expect(inAir).toBe(places)
          }
          departures.close()
          await settle()
          expect(answered).toBe(entered)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('outbound', () => {
  function anOutbound(options: Partial<Parameters<typeof createOutbound>[0]> = {}) {
    const now = { ms: 1000 }
    const recovered: number[] = []
    const outbound = createOutbound({
      hosts: 2,
      clock: { nowMs: () => now.ms, monotonicMs: () => now.ms },
      ratePerSecond: 1000,
      longestTimeoutMs: 2000,
      random: () => 0,
      recovered: () => recovered.push(now.ms),
      ...options,
    })
    const enter = (isRepeat = false, merchant = 'm') => {
      const entry = outbound.enter({ merchant, endsAtMs: now.ms + 60_000, isRepeat }, () => {})
      if (entry instanceof Promise) throw new Error('has to wait')
      if (entry.kind === 'go') outbound.leave()
      return entry
    }
    return { outbound, now, recovered, enter }
  }
  const times = (count: number, act: () => void) => {
    for (let n = 0; n < count; n++) act()
  }

  it('leaves a dead host, asks it now and then, and comes back to it', () => {
    const { outbound, now, recovered } = anOutbound()
    times(8, () => outbound.learn('m', 0, unknown('not_sent'), 1))
    expect(outbound.pickHost(0)).toBe(1)
    now.ms += 250
    expect([outbound.pickHost(0), outbound.pickHost(0)]).toEqual([0, 1])
    expect(recovered).toEqual([])
    outbound.learn('m', 0, accepted, 5)
    expect(outbound.pickHost(0)).toBe(0)
    expect(recovered).toEqual([now.ms])
  })

  it('keeps the orders when no host works, until the next may be tried', () => {
    const { outbound, now, enter } = anOutbound()
    for (const host of [0, 1]) times(8, () => outbound.learn('m', host, unknown('timeout'), 2000))
    expect(enter()).toEqual({ kind: 'later', delayMs: 250 })
    expect(outbound.opensAtMs()).toBe(now.ms + 250)
    now.ms += 250
    expect([outbound.opensAtMs(), enter().kind]).toEqual([0, 'go'])
  })

  it.each(['throttled', 'unverified'] as const)(
    'blames no host for an answer that is %s',
    reason => {
      const { outbound } = anOutbound()
      times(50, () => outbound.learn('m', 0, unknown(reason), 5))
      expect(outbound.pickHost(0)).toBe(0)
    },
  )

  it('stops the calls of a merchant whose account is refused, of no other, and resumes by itself', () => {
    const { outbound, now, recovered, enter } = anOutbound()
    times(3, () => outbound.learn('bad', 0, rejected('account'), 5))
    expect(enter(false, 'bad')).toEqual({ kind: 'later', delayMs: 2000 })
    expect(enter(false, 'good').kind).toBe('go')
    expect(outbound.refusedAccounts()).toEqual(['bad'])
    now.ms += 2000
    expect(enter(false, 'bad').kind).toBe('go')
    expect(enter(false, 'bad').kind).toBe('later')
    outbound.learn('bad', 0, rejected('account'), 5)
    expect(enter(false, 'bad')).toEqual({ kind: 'later', delayMs: 4000 })
    now.ms += 4000
    expect(enter(false, 'bad').kind).toBe('go')
    outbound.learn('bad', 0, accepted, 5)
    expect([outbound.refusedAccounts(), recovered]).toEqual([[], [now.ms]])
  })

  it('makes no storm of repeats while nothing comes through, and repeats freely where most does', () => {
    const { outbound, now, enter } = anOutbound()
    const repeatsOf = (orders: number, isDead: boolean) => {
      let repeats = 0
      for (let order = 0; order < orders; order++) {
        now.ms += 10
        outbound.welcome('m')
        if (!isDead) outbound.learn('m', 0, accepted, 5)
        if (enter(true).kind === 'go') repeats += 1
      }
      return repeats
    }
    repeatsOf(300, true)
    const dead = repeatsOf(1000, true)
    expect(dead).toBeLessThanOrEqual(1000 * 0.1 + 11)
    expect(dead).toBeGreaterThan(90)
    expect(repeatsOf(1000, false)).toBe(1000)
  })

  it('waits three times the usual for an answer, between a second and the longest', () => {
    const { outbound } = anOutbound()
    expect(outbound.timeoutMs(0)).toBe(2000)
    times(100, () => outbound.learn('m', 0, accepted, 20))
    expect(outbound.timeoutMs(0)).toBe(1000)
    times(1000, () => outbound.learn('m', 0, accepted, 400))
    expect(outbound.timeoutMs(0)).toBeGreaterThan(1000)
    times(1000, () => outbound.learn('m', 0, accepted, 1500))
    expect(outbound.timeoutMs(0)).toBe(2000)
  })

  it('hedges one order in twenty at most, to a host that works, and only beside a host whose pace is known', () => {
    const { outbound } = anOutbound()
    expect(outbound.hedgeAfterMs(0)).toBeNull()
    times(100, () => outbound.learn('m', 0, accepted, 20))
    expect(outbound.hedgeAfterMs(0)).toBeGreaterThan(20)
    let hedges = 0
    times(20, () => outbound.pickHedge(0))
    for (let order = 0; order < 1000; order++) {
      outbound.welcome('m')
      if (outbound.pickHedge(0) === 1) hedges += 1
    }
    expect(hedges).toBeGreaterThanOrEqual(49)
    expect(hedges).toBeLessThanOrEqual(50)
    times(100, () => outbound.welcome('m'))
    times(8, () => outbound.learn('m', 1, unknown('server_error'), 5))
    expect(outbound.pickHedge(0)).toBeNull()
  })

  it('hedges the order that tries a dead host soon, whatever the budget, so that nobody pays for the trial', () => {
    const { outbound, now } = anOutbound()
    times(20, () => outbound.pickHedge(0))
    expect(outbound.pickHedge(0)).toBeNull()
    times(30, () => outbound.learn('m', 0, unknown('timeout'), 2000))
    now.ms += 250
    expect([outbound.pickHost(0), outbound.hedgeAfterMs(0), outbound.pickHedge(0)]).toEqual([
      0, 25, 1,
    ])
    outbound.learn('m', 0, accepted, 5)
    expect(outbound.hedgeAfterMs(0)).toBeGreaterThan(25)
    expect(outbound.pickHedge(0)).toBeNull()
  })

  it('sends nothing any more once it is closed', () => {
    const { outbound, enter } = anOutbound()
    outbound.close()
    expect(enter().kind).toBe('later')
  })
})
