/** `most`: of so many names one is kept; the one that was quiet for longest is forgotten first. */
export type Allowance = { burst: number; perSecond: number; most: number }

type Bucket = { left: number; atMs: number }

export type Buckets = ReturnType<typeof createBuckets>

/** Token buckets by name, in bounded memory. */
export function createBuckets({ burst, perSecond, most }: Allowance) {
  const buckets = new Map<string, Bucket>()

  function leftOf(name: string, nowMs: number): number {
    const bucket = buckets.get(name)
    if (!bucket) return burst
    const seconds = Math.max(0, nowMs - bucket.atMs) / 1000
    return Math.min(burst, bucket.left + seconds * perSecond)
  }

  return {
    isEmpty: (name: string, nowMs: number): boolean => leftOf(name, nowMs) < 1,

    /** Seconds until there is one to take; 0 when one was taken. */
    take(name: string, nowMs: number): number {
      const left = leftOf(name, nowMs)
      const isThere = left >= 1
      buckets.delete(name)
      buckets.set(name, { left: isThere ? left - 1 : left, atMs: nowMs })
      const [quietest] = buckets.keys()
      if (buckets.size > most && quietest !== undefined) buckets.delete(quietest)
      return isThere ? 0 : Math.ceil((1 - left) / perSecond)
    },

    size: () => buckets.size,
  }
}

/** Where a request came from; a socket that is gone no longer tells. */
export type Peer = { readonly remoteAddress?: string | undefined }

/** Generous, for a whole shop may stand behind one address. */
const perAddress: Allowance = { burst: 1000, perSecond: 10, most: 10_000 }
const perKeyId: Allowance = { burst: 100, perSecond: 1, most: 10_000 }

/** Counts the wrong keys of an address, and those that were tried for one key. What is right is never asked about. */
export function createThrottle() {
  const addresses = createBuckets(perAddress)
  const keyIds = createBuckets(perKeyId)

  return {
    isOver: (peer: Peer, keyId: string, nowMs: number): boolean =>
      addresses.isEmpty(networkOf(peer.remoteAddress), nowMs) || keyIds.isEmpty(keyId, nowMs),

    /** Seconds until another wrong key is heard; 0 while they still are. `keyId` null: the key named none. */
    count(peer: Peer, keyId: string | null, nowMs: number): number {
      const ofAddress = addresses.take(networkOf(peer.remoteAddress), nowMs)
      return Math.max(ofAddress, keyId === null ? 0 : keyIds.take(keyId, nowMs))
    },

    size: () => addresses.size() + keyIds.size(),
  }
}

/** IPv6 is given out by /64: whoever has one address there has them all. */
export function networkOf(address = ''): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!address.includes(':')) return address
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const gap = Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0')
  return [...before, ...gap, ...after].slice(0, 4).join(':')
}
