/** A timestamp may be so far from the server's clock, in either direction. */
export const toleranceSeconds = 300

const mostOfKey = 50_000
const mostOfAll = 200_000
const sweepEverySeconds = 10

/** `floor`: what was signed before it can no longer be told from a replay, and is refused. */
type Seen = { bySecond: Map<number, Set<string>>; count: number; floor: number }

/**
 * The nonces that were used, for as long as their timestamps are taken.
 *
 * Where there are too many, those of the oldest second are forgotten and that second is closed: the window of a key that
 * signs a great deal becomes shorter, and nothing that was taken is ever taken again. What is forgotten with its time is
 * closed too, for the clock may be set back; what nobody used is not, or a clock that was ahead would shut out all tills.
 */
export function createNonces(limits: { ofKey?: number; ofAll?: number } = {}) {
  const { ofKey = mostOfKey, ofAll = mostOfAll } = limits
  const byKey = new Map<string, Seen>()
  let total = 0
  let sweptAt = 0
  /** Of all keys. */
  let floor = 0

  function forget(seen: Seen, second: number): void {
    const size = seen.bySecond.get(second)?.size ?? 0
    seen.bySecond.delete(second)
    seen.count -= size
    total -= size
  }

  function sweep(nowSeconds: number): void {
    if (Math.abs(nowSeconds - sweptAt) < sweepEverySeconds) return
    sweptAt = nowSeconds
    const oldest = nowSeconds - toleranceSeconds
    for (const [keyId, seen] of byKey) {
      for (const second of seen.bySecond.keys()) {
        if (second >= oldest) continue
        forget(seen, second)
        floor = Math.max(floor, second + 1)
      }
      if (seen.count > 0 || seen.floor >= oldest) continue
      floor = Math.max(floor, seen.floor)
      byKey.delete(keyId)
    }
  }

  function closeOldest(seen: Seen): void {
    const oldest = Math.min(...seen.bySecond.keys())
    forget(seen, oldest)
    seen.floor = oldest + 1
  }

  function largest(): Seen | undefined {
    let most: Seen | undefined
    for (const seen of byKey.values()) if (seen.count > (most?.count ?? 0)) most = seen
    return most
  }

  return {
    /** Takes a nonce that was not used; `late` when that can no longer be known. */
    use(keyId: string, nonce: string, second: number, nowSeconds: number): 'new' | 'used' | 'late' {
      sweep(nowSeconds)
      const seen = byKey.get(keyId) ?? { bySecond: new Map(), count: 0, floor: 0 }
      if (second < Math.max(floor, seen.floor)) return 'late'
      const used = seen.bySecond.get(second) ?? new Set()
      if (used.has(nonce)) return 'used'
      seen.bySecond.set(second, used.add(flat(nonce)))
      seen.count += 1
      total += 1
      if (!byKey.has(keyId)) byKey.set(flat(keyId), seen)
      if (seen.count > ofKey) closeOldest(seen)
      const fullest = total > ofAll ? largest() : undefined
      if (fullest) closeOldest(fullest)
      return 'new'
    },

    size: () => total,
  }
}

/** A text cut out of another keeps all of that alive: here, the whole header. */
function flat(text: string): string {
  return Buffer.from(text).toString()
}
