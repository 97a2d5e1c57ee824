/** How much of what is in hand is whose. */
export function createShares() {
  const inHand = new Map<string, number>()
  let total = 0

  return {
    take(merchant: string): void {
      inHand.set(merchant, (inHand.get(merchant) ?? 0) + 1)
      total += 1
    },

    leave(merchant: string): void {
      const left = (inHand.get(merchant) ?? 1) - 1
      if (left > 0) inHand.set(merchant, left)
      else inHand.delete(merchant)
      total -= 1
    },

    /** Less than half of what would be theirs if all who have any had as much: somebody alone never has. */
    hasLittle(merchant: string): boolean {
      const own = inHand.get(merchant) ?? 0
      const others = inHand.size - (own > 0 ? 1 : 0)
      return 2 * own * (others + 1) < total
    },
  }
}
