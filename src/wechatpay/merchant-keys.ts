import type { KeyObject } from 'node:crypto'

/** A private key of the merchant, and the serial number of the certificate that belongs to it. */
export type MerchantKey = { serialNo: string; privateKey: KeyObject }

export type MerchantKeys = {
  /** The one that signs. */
  current(): MerchantKey
  /** Those that decrypt, the one that signs first. */
  all(): readonly MerchantKey[]
  replace(next: MerchantKey): void
}

/**
 * The merchant's key, which may be replaced while calls are under way: each call signs with the one of its beginning.
 *
 * The one before is kept, because WeChat Pay may encrypt for it a while longer.
 */
export function createMerchantKeys(first: MerchantKey): MerchantKeys {
  let keys: readonly [MerchantKey, ...MerchantKey[]] = [first]
  return {
    current: () => keys[0],
    all: () => keys,
    replace(next) {
      if (!isSameKey(next, keys[0])) keys = [next, keys[0]]
    },
  }
}

export function isSameKey(one: MerchantKey, other: MerchantKey): boolean {
  return one.serialNo === other.serialNo && one.privateKey.equals(other.privateKey)
}
