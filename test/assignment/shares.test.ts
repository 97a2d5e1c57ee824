import { expect, it } from 'vitest'
import { createShares } from '../../src/assignment/shares.ts'

/** Who has how many in hand. */
function sharesOf(inHand: Record<string, number>) {
  const shares = createShares()
  for (const [merchant, count] of Object.entries(inHand)) {
    for (let n = 0; n < count; n++) shares.take(merchant)
  }
  return shares
}

it.each<[merchant: string, inHand: Record<string, number>, hasLittle: boolean]>([
  ['A', {}, false],
  ['A', { A: 10 }, false],
  ['B', { A: 10 }, true],
  ['B', { A: 10, B: 3 }, true],
  ['B', { A: 10, B: 4 }, false],
  ['A', { A: 10, B: 3 }, false],
  ['C', { A: 10, B: 10, C: 3 }, true],
  ['C', { A: 10, B: 10, C: 4 }, false],
])('says of %s beside %o: %s', (merchant, inHand, hasLittle) => {
  expect(sharesOf(inHand).hasLittle(merchant)).toBe(hasLittle)
})

it('forgets a merchant whose orders have all landed', () => {
  const shares = sharesOf({ A: 10, B: 3, C: 2 })
  for (let n = 0; n < 2; n++) shares.leave('C')
  expect(shares.hasLittle('B')).toBe(true)
  for (let n = 0; n < 10; n++) shares.leave('A')
  expect(shares.hasLittle('B')).toBe(false)
})
