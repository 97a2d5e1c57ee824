export interface RecentMap<V> {
  get(key: string): V | undefined
  set(key: string, value: V): void
}

/** Keeps at least the last `atLeast` keys set and never more than twice as many, at constant cost. */
export function createRecentMap<V>(atLeast: number): RecentMap<V> {
  let young = new Map<string, V>()
  let old = new Map<string, V>()
  return {
    get: key => young.get(key) ?? old.get(key),
    set(key, value) {
      if (young.size >= atLeast && !young.has(key)) {
        old = young
        young = new Map()
      }
      young.set(key, value)
    },
  }
}
