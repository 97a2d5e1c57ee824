import { expect, it } from 'vitest'
import { fairnessMonth } from '../../bench/fairness-month.ts'

it.each([20_261_101, 1, 2, 3])(
  'a month of six guides with shifts, leave and weights strays 1.5 orders at most from the fair share, and less than any other rotation (seed %d)',
  seed => {
    const { orders, fairShares, policies } = fairnessMonth(seed)
    const [carpool, ...others] = policies
    expect(orders).toBeGreaterThan(2500)
    expect([...fairShares.values()].reduce((sum, share) => sum + share, 0)).toBeCloseTo(orders, 6)
    expect(carpool?.name).toBe('carpool')
    expect(carpool?.max).toBeLessThanOrEqual(1.5)
    expect(carpool?.worst.size).toBe(6)
    expect(others).toHaveLength(3)
    for (const other of others) expect(other.max).toBeGreaterThan(carpool?.max ?? 0)
  },
)
