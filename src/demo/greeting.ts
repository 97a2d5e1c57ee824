import type { Scope } from '../access/keys.ts'
import { demoStores, regular } from './shop.ts'

/** What the demo says once it is up: everything in it works as printed. */
export function greeting({
  url,
  simulatorUrl,
  keys,
  dataDir,
  atMs,
}: {
  url: string
  simulatorUrl: string
  keys: Record<Scope, string>
  dataDir: string
  atMs: number
}): string {
  const order = `DEMO-${atMs.toString(36).toUpperCase()}`
  const [first, second] = demoStores
  const stores = [first, second].map(
    store =>
      `${store?.storeId} ${store?.name} (${store?.guides.map(({ name }) => name).join(' ')})`,
  )
  return `
smartguide-assign, demo: the service and a simulated WeChat Pay. No real payment is touched.

  service     ${url}   (what it can do: ${url}/openapi.json)
  WeChat Pay  ${simulatorUrl}   (simulator)
  stores      ${stores.join('\n              ')}
  keys        assign  ${keys.assign}
              manage  ${keys.manage}
              admin   ${keys.admin}
  data        ${dataDir}

1. A till posts an order, and it gets its guide:

curl -sS -X POST ${url}/orders/${order}/assign \\
  -H 'Authorization: Bearer ${keys.assign}' \\
  -H 'Content-Type: application/json' \\
  -d '{"store_id": ${first?.storeId}, "member_id": "member-li", "amount": 12900, "channel": "mini_program"}'

2. The customer pays, and sees the guide's card on the bill. Open:

${simulatorUrl}/_sim/bills/${order}?pay=now

Post it again: the same answer. Send "member_id": "${regular}" with another order number: that customer has a
guide of her own. For a stream of orders run npm run demo in another terminal. Ctrl-C stops everything.

`
}
