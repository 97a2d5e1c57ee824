import { afterEach } from 'vitest'
import type { Client } from '../../src/wechatpay/client.ts'
import type { Upstream } from './upstream.ts'

const open: Array<Client | Upstream> = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await ('close' in each ? each.close() : each.stop())
})

/** Closes it when the test is over, the last one opened first. */
export function keep<T extends Client | Upstream>(each: T): T {
  open.push(each)
  return each
}
