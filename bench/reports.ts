import { cpus } from 'node:os'
import { aDirectory } from '../test/support/ledger.ts'
import { aPlan, openPast } from '../test/support/past.ts'

/** What replay, verify, fairness and simulate cost over 100,000 orders of one store: wall time, and the longest hold of the event loop. */
const orderCount = 100_000
const ids = ['A', 'B', 'C', 'D', 'E', 'F']

type Measured<T> = { result: T; ms: number; longestHoldMs: number }

async function measure<T>(run: () => Promise<T>): Promise<Measured<T>> {
  let running = true
  let last = performance.now()
  let longestHoldMs = 0
  const look = () => {
    const now = performance.now()
    longestHoldMs = Math.max(longestHoldMs, now - last)
    last = now
    if (running) setImmediate(look)
  }
  setImmediate(look)
  const startMs = performance.now()
  const result = await run()
  running = false
  return { result, ms: performance.now() - startMs, longestHoldMs }
}

function print(name: string, { ms, longestHoldMs }: Measured<unknown>): void {
  process.stdout.write(
    `${name.padEnd(28)} ${ms.toFixed(0).padStart(6)} ms   longest hold ${longestHoldMs.toFixed(1)} ms\n`,
  )
}

const directory = aDirectory()
const past = openPast(`${directory.path}/past.db`)
// The orders are only made here: nothing of the figures below writes.
past.db.$client.pragma('synchronous = OFF')
const store = past.openStore(1, ids, {
  plan: aPlan({ use: 'hint' }, { use: 'owner', counts: 'full' }, { use: 'rotate' }),
  staff: {
    timezone: 'Asia/Shanghai',
    day_starts_at: '04:00',
    guides: ids.map((id, index) => ({
      id,
      weight: (index % 2) + 1,
      rotates: true,
      caps: { per_day: 5000 },
    })),
  },
})
const fromMs = past.clock.ms
for (let made = 0; made < orderCount; made += 250) {
  past.clock.ms += Math.floor((30 * 86_400_000 * 250) / orderCount)
  const orders = await Promise.all(
    Array.from({ length: 250 }, (_, index) =>
      past.order(1, {
        amountFen: index,
        memberId: `m${index % 50}`,
        cartId: index % 5 === 0 ? `c${made + index}` : null,
      }),
    ),
  )
  for (const order of orders.slice(0, 10)) await past.close(order)
}
const toMs = past.clock.ms + 1
const [cpu] = cpus()
process.stdout.write(`${orderCount} orders of 30 days; node ${process.version}, ${cpu?.model}\n`)

const same = await measure(() => past.reports.replay(store, { fromMs, toMs }, {}))
print('replay, same documents', same)
const draft = { plan: aPlan({ use: 'rotate', book: 'new' }) }
print(
  'replay, another plan',
  await measure(() => past.reports.replay(store, { fromMs, toMs }, draft)),
)
const verified = await measure(() => past.reports.verify(store, { fromMs: 0, toMs }))
print('fairness/verify', verified)
print('fairness', await measure(() => past.reports.fairness(store, { fromMs, toMs })))
const posted = Array.from({ length: 1000 }, () => past.factsOf(1, { memberId: 'm1', amountFen: 5 }))
print('simulate, 1,000 orders', await measure(() => past.reports.simulate(store, posted, {})))

past.db.$client.close()
directory.remove()
if (same.result?.changed !== 0 || !verified.result?.ok) {
  process.stderr.write(
    'The replay of the same documents changed orders, or the books do not recompute.\n',
  )
  process.exit(1)
}
