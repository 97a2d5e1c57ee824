import { describe, expect, it } from 'vitest'
import { afterAttempt, type Tried } from '../../src/assignment/retry.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'

const first: Tried = { inFlight: 1, maxInFlight: 3, inAll: 1, leftMs: 600_000, host: 0, hosts: 2 }
const last: Tried = { ...first, inFlight: 3, inAll: 3 }

const unknown = (
  reason: Extract<Outcome, { kind: 'unknown' }>['reason'],
  retryAfterMs: number | null = null,
): Outcome => ({ kind: 'unknown', reason, retryAfterMs, requestId: null, status: null, detail: '' })

const rejected = (blames: 'guide' | 'order' | 'account'): Outcome => ({
  kind: 'rejected',
  blames,
  status: 400,
  code: 'X',
  message: '',
  requestId: null,
})

describe('after an attempt', () => {
  it.each([
    [
      { kind: 'accepted', requestId: null } as Outcome,
      first,
      { kind: 'settle', status: 'assigned' },
    ],
    [rejected('order'), first, { kind: 'settle', status: 'rejected' }],
    [rejected('guide'), first, { kind: 'next_guide' }],
    [rejected('account'), first, { kind: 'defer', delayMs: 10_000 }],
    [unknown('not_sent'), first, { kind: 'again', delayMs: 0, host: 1 }],
    [unknown('not_sent'), { ...first, host: 1 }, { kind: 'again', delayMs: 20, host: 0 }],
    [unknown('not_sent'), { ...first, hosts: 1 }, { kind: 'again', delayMs: 20, host: 0 }],
    [unknown('timeout'), first, { kind: 'again', delayMs: 0, host: 1 }],
    [unknown('network'), { ...first, inFlight: 2 }, { kind: 'again', delayMs: 60, host: 0 }],
    [unknown('server_error'), first, { kind: 'again', delayMs: 20, host: 0 }],
    [unknown('unverified'), first, { kind: 'again', delayMs: 20, host: 0 }],
    [unknown('unverified'), last, { kind: 'defer', delayMs: 800 }],
    [unknown('not_sent'), last, { kind: 'defer', delayMs: 800 }],
    [unknown('throttled'), first, { kind: 'defer', delayMs: 200 }],
    [unknown('throttled', 7000), first, { kind: 'defer', delayMs: 7000 }],
    [unknown('server_error', 9000), last, { kind: 'defer', delayMs: 9000 }],
  ] as const)('%j of %j leads to %j', (outcome, tried, next) => {
    expect(afterAttempt(outcome, tried, 0.5)).toEqual(next)
  })

  it('waits longer and longer, 5 s at most, and anywhere from nothing (full jitter)', () => {
    const delay = (inAll: number, random: number) => {
      const next = afterAttempt(unknown('timeout'), { ...last, inAll }, random)
      return next.kind === 'defer' ? next.delayMs : Number.NaN
    }
    expect([1, 2, 3, 4, 5, 6, 50].map(inAll => delay(inAll, 1))).toEqual([
      400, 800, 1600, 3200, 5000, 5000, 5000,
    ])
    expect(delay(50, 0)).toBe(0)
  })

  it('waits for no more than a quarter of what is left of the window, unless it was asked to', () => {
    const late = { ...last, inAll: 9, leftMs: 8000 }
    expect(afterAttempt(unknown('timeout'), late, 1)).toEqual({ kind: 'defer', delayMs: 2000 })
    expect(afterAttempt(unknown('timeout'), { ...late, leftMs: 100 }, 1)).toEqual({
      kind: 'defer',
      delayMs: 200,
    })
    expect(afterAttempt(unknown('throttled', 7000), late, 1)).toEqual({
      kind: 'defer',
      delayMs: 7000,
    })
  })
})
