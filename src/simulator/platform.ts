import type { KeyRing } from './key-ring.ts'
import type { Keys } from './keys.ts'
import type { MerchantKeys } from './merchant-keys.ts'
import type { Orders } from './orders.ts'
import type { World } from './world.ts'

/** All that the calls work on. */
export interface Platform {
  keys: Keys
  merchantKeys: MerchantKeys
  keyRing: KeyRing
  world: World
  orders: Orders
  clock: () => number
}
