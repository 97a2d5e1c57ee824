/**
 * One of them, by weight, as the order's number has it: any node and any replay draws the same.
 */
export function drawn<T extends { weight: number }>(pool: readonly T[], seed: string): T {
  const total = pool.reduce((sum, { weight }) => sum + weight, 0)
  let left = (hash(seed) / 2 ** 32) * total
  for (const one of pool) {
    left -= one.weight
    if (left < 0) return one
  }
  const [first] = pool
  if (!first) throw new Error('nobody to draw from')
  return pool.at(-1) ?? first
}

/** FNV-1a over UTF-16 units with a final mix (Murmur3's): numbers in a row must not draw in a row. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  value ^= value >>> 16
  value = Math.imul(value, 0x85ebca6b)
  value ^= value >>> 13
  value = Math.imul(value, 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
