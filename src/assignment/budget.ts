/** So many repeats may be made as were earned: an outage makes no storm. */
export type Budget = {
  /** A new order, or an answer that shows that calls come through. */
  earn(repeats: number): void
  /** False when nothing is left. */
  spend(nowMs: number): boolean
  left(nowMs: number): number
}

/** `floorPerSecond` trickles in whatever happens, so that a shop with few orders is not left without. */
export function createBudget({
  most,
  floorPerSecond,
}: {
  most: number
  floorPerSecond: number
}): Budget {
  let left = most
  let trickledMs = Number.NaN

  function trickle(nowMs: number): void {
    if (nowMs > trickledMs) {
      left = Math.min(most, left + ((nowMs - trickledMs) / 1000) * floorPerSecond)
    }
    trickledMs = nowMs
  }

  return {
    earn(repeats) {
      left = Math.min(most, left + repeats)
    },
    spend(nowMs) {
      trickle(nowMs)
      if (left < 1) return false
      left -= 1
      return true
    },
    left(nowMs) {
      trickle(nowMs)
      return left
    },
  }
}
