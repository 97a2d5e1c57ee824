import { describe, expect, it } from 'vitest'
import { isTooLate } from '../../src/ledger/outcomes.ts'

const second = 1_795_435_200_000
const assigned = { guideId: 'G1', status: 'assigned', settledAtMs: second + 350 } as const

describe('an order is too late', () => {
  it.each([
    ['paid a millisecond before it was accepted', { paidAtMs: second + 349 }, true],
    ['paid in that millisecond', { paidAtMs: second + 350 }, false],
    ['paid after', { paidAtMs: second + 351 }, false],
    // As WeChat Pay tells it, and most tills after it.
    ['paid in the same second, told without a fraction', { paidAtMs: second }, false],
    ['paid in the second before, told so', { paidAtMs: second - 1000 }, true],
    ['not paid', { paidAtMs: null }, false],
    ['paid and never accepted', { paidAtMs: second, status: 'expired' as const }, true],
    ['paid and refused for good', { paidAtMs: second, status: 'rejected' as const }, false],
    ['paid, with nobody to show', { paidAtMs: second, guideId: null }, false],
  ])('%s: %o → %s', (_, order, isLate) => {
    expect(isTooLate({ ...assigned, ...order })).toBe(isLate)
  })
})
