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
  const curl = (no: string, memberId: string) => `curl -sS -X POST ${url}/orders/${no}/assign \\
  -H 'Authorization: Bearer ${keys.assign}' \\
  -H 'Content-Type: application/json' \\
  -d '{"store_id": ${first?.storeId}, "member_id": "${memberId}", "amount": 12900, "channel": "mini_program"}'`
  return `
smartguide-assign, demo: the service and a simulated WeChat Pay. No real payment is touched.

  service     ${url}   (what it can do: ${url}/docs)
  WeChat Pay  ${simulatorUrl}   (simulator)
  stores      ${stores.join('\n              ')}
  keys        assign  ${keys.assign}
              manage  ${keys.manage}
              admin   ${keys.admin}
  data        ${dataDir} (stays; keys and the simulator's port are new at each start)

1. A till posts an order, and it gets its guide. Paste it twice: the same answer, and nothing is sent twice.

${curl(order, 'member-li')}

2. Then the customer pays, and sees the guide's card on the bill. Open:

${simulatorUrl}/_sim/bills/${order}?pay=now&channel=mini_program

3. A customer who has a guide of her own, ${first?.guides[1]?.name}, always gets that guide:

${curl(`${order}-B`, regular)}

npm run demo shows a stream of orders, with a service of its own. Ctrl-C stops everything.

`
}
