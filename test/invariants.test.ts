import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  brokenBooks,
  brokenInvariants,
  type SentAssign,
  sentTo,
  type Told,
  toldOf,
} from './support/invariants.ts'
import { openRig, type Rig, readJson } from './support/rig.ts'

let rig: Rig
let sent: SentAssign[]
let told: Told[]
let guides: string[]

beforeEach(async () => {
  rig = await openRig()
  guides = await rig.openStore(1001, 3)
  told = []
  for (const no of ['A', 'B', 'A']) told.push(await read(await rig.assign(no, { store_id: 1001 })))
  sent = await sentTo(rig)
})
afterEach(() => rig.close())

const read = async (answer: Response) => toldOf(await readJson(answer))
const nowMs = () => Date.now()

function broken(ahead = 0): string[] {
  return brokenInvariants({ db: rig.db.$client, sent, told, nowMs: nowMs() + ahead })
}

function change(sql: string): void {
  rig.db.$client.exec(sql)
}

function guideOf(no: string): string {
  return told.find(({ outTradeNo }) => outTradeNo === no)?.guideId ?? ''
}

function stranger(): string {
  return guides.find(id => id !== guideOf('A')) ?? ''
}

function sendAgain(changes: Partial<SentAssign>): void {
  const last = sent.find(({ outTradeNo }) => outTradeNo === 'A')
  if (last) sent.push({ ...last, ...changes })
}

it('has nothing to say of a sound service, replays and another generation included', async () => {
  const order = await rig.order('A')
  const named = { guide_id: stranger(), why: 'the member asked' }
  const headers = { 'if-match': `"${order['generation']}"` }
  told.push(await read(await rig.request('POST', '/orders/A/reassign', { body: named, headers })))
  sent = await sentTo(rig)
  expect(new Set(sent.map(({ guideId }) => guideId)).size).toBeGreaterThan(1)
  expect(broken()).toEqual([])
  expect(await brokenBooks(rig.db)).toEqual([])
})

const plants: [what: string, plant: () => void, says: RegExp][] = [
  [
    'a second guide sent in one generation',
    () => sendAgain({ guideId: stranger() }),
    /^order A was sent with \S+, and its generations had \S+$/,
  ],
  [
    'a guide whom the order has left, sent again',
    () => {
      const [left, now] = [guideOf('A'), stranger()]
      const earlier = { generation: 1, guideId: left, status: 'rejected' }
      change(`UPDATE orders SET generation = 2, guide_id = '${now}',
        trace = json_set(trace, '$.earlier', json('[${JSON.stringify(earlier)}]')) WHERE out_trade_no = 'A'`)
      told = told.filter(({ outTradeNo }) => outTradeNo !== 'A')
      sendAgain({ guideId: now })
      sendAgain({ guideId: left })
    },
    /^order A was sent with \S+, and its generations had \S+, \S+$/,
  ],
  [
    'an order sent before it was recorded',
    () => sendAgain({ outTradeNo: 'GHOST' }),
    /^order GHOST was sent and is not in the database$/,
  ],
  [
    'an order answered and lost',
    () => {
      told.push({ outTradeNo: 'LOST', status: 'pending', guideId: 'G', generation: 1 })
    },
    /^order LOST was answered and is not in the database$/,
  ],
  [
    'an order kept with another guide than the one answered',
    () => {
      change(`UPDATE orders SET guide_id = '${stranger()}' WHERE out_trade_no = 'A'`)
      sent = sent.map(one => (one.outTradeNo === 'A' ? { ...one, guideId: stranger() } : one))
    },
    /^order A was answered with \S+, and the database has \S+$/,
  ],
  [
    'an acceptance answered and forgotten',
    () => change("UPDATE orders SET status = 'pending', due_at_ms = 1 WHERE out_trade_no = 'A'"),
    /^order A was answered as assigned, and the database has pending$/,
  ],
  [
    'a generation answered and lost',
    () => {
      told.push({ outTradeNo: 'A', status: 'pending', guideId: guideOf('A'), generation: 2 })
    },
    /^order A was answered in generation 2, which is not in the database$/,
  ],
  [
    'a payment answered and lost',
    () => {
      const [first] = told
      if (first) told.push({ ...first, ended: { by: 'paid', atMs: nowMs() } })
    },
    /^order A was answered as paid, and the database knows nothing of it$/,
  ],
  [
    'assigned by an answer that was not validly signed',
    () => {
      sent = sent.map(one => ({ ...one, accepted: one.outTradeNo !== 'A' }))
    },
    /^order A is assigned to \S+, whom WeChat Pay never accepted$/,
  ],
  [
    'a call that came after the window',
    () => sendAgain({ atMs: nowMs() + 70_000 }),
    /^order A was sent \d+ ms after its window$/,
  ],
  [
    'a call that left after the window',
    () =>
      change(`UPDATE orders SET attempts = json_set(attempts, '$[0].at_ms', expires_at_ms + 5)
        WHERE out_trade_no = 'A'`),
    /^order A left 5 ms after its window$/,
  ],
  [
    'a call after the answer to the payment',
    () => {
      change("UPDATE orders SET paid_at_ms = decided_at_ms WHERE out_trade_no = 'A'")
      const [first] = told
      if (first) told.push({ ...first, ended: { by: 'paid', atMs: nowMs() } })
      sendAgain({ atMs: nowMs() + 2000 })
    },
    /^order A was sent \d+ ms after its window$/,
  ],
  [
    'an order that expired long after its window',
    () => {
      change(`UPDATE orders SET status = 'expired', settled_at_ms = expires_at_ms + 1500
        WHERE out_trade_no = 'A'`)
      told = told.filter(({ outTradeNo }) => outTradeNo !== 'A')
    },
    /^order A was pending 1500 ms after its window$/,
  ],
  [
    'a pending order that nobody will take up',
    () => {
      change("UPDATE orders SET status = 'pending' WHERE out_trade_no = 'A'")
      told = told.filter(({ outTradeNo }) => outTradeNo !== 'A')
    },
    /^order A is pending and not due$/,
  ],
  [
    'a balance out of nowhere',
    () =>
      change(
        `UPDATE books SET page = json_set(page, '$.standings."${guideOf('A')}"', json('[7, 1]'))`,
      ),
    /^book orders of store 1001 sums to -?\d+, not to 0$/,
  ],
  [
    'a replay with another guide',
    () => {
      const [first] = told
      if (first) told.push({ ...first, guideId: stranger() })
    },
    /^order A was answered with \S+ and with \S+ in one generation$/,
  ],
  [
    'a replay with another end',
    () => {
      const [first] = told
      if (first) told.push({ ...first, status: 'expired' })
    },
    /^order A was answered with assigned and with expired in one generation$/,
  ],
]

it.each(plants)('finds %s', (_, plant, says) => {
  expect(broken()).toEqual([])
  plant()
  const found = broken()
  expect(found).toContainEqual(expect.stringMatching(says))
  // Whatever else it says is of the same order, or of the book.
  const about = found.map(sentence => sentence.split(' ').slice(0, 2).join(' '))
  expect(new Set(about).size).toBe(1)
})

it('finds an order that is still pending after its window', () => {
  change(`UPDATE orders SET status = 'pending', due_at_ms = expires_at_ms WHERE out_trade_no = 'A'`)
  told = []
  expect(broken(59_000)).toEqual([])
  expect(broken(70_000)).toEqual([expect.stringMatching(/^order A is pending \d+ ms after its/)])
})

it('finds a turn that no order has, and one that a duplicate took', async () => {
  const page = (set: string) => change(`UPDATE books SET page = json_set(page, ${set})`)
  page(`'$.turn', 3`)
  expect(broken()).toEqual([])
  expect(await brokenBooks(rig.db)).toEqual(['store 1001: book orders counts 3, its orders 2'])
  page(`'$.turn', 2, '$.standings."${guideOf('A')}"', json('[0, 9]')`)
  expect((await brokenBooks(rig.db)).join()).toMatch(/book orders has \S+ at 0, last turn 9/)
})

it('believes no answer of WeChat Pay whose signature does not hold', async () => {
  for (const fault of ['unsigned', 'wrong_signature', 'signtest', 'clock_skew', 'garbage_body'])
    await expectUnbelieved(fault)

  async function expectUnbelieved(fault: string) {
    await rig.faults(fault)
    await rig.assign(`F-${fault}`, { store_id: 1001 })
    const calls = (await sentTo(rig)).filter(({ outTradeNo }) => outTradeNo === `F-${fault}`)
    expect([fault, ...calls.map(({ accepted }) => accepted)]).toEqual([fault, false, true])
  }
})
