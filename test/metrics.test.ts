import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Resolution } from '../src/ledger/order.ts'
import { planSchema } from '../src/rules/plan.ts'
import type { Outcome } from '../src/wechatpay/outcome.ts'
import { eventually, openRig, type Rig, readJson } from './support/rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await openRig({ windowMs: 60_000, waitMs: 3000 })
  await rig.openStore(1001, 8)
  await rig.openStore(1002, 0)
})
afterEach(async () => {
  await rig.close()
  expect(rig.failures).toEqual([])
})

const at = (ms: number) => new Date(Date.now() + ms).toISOString()

const assign = (no: string, facts: object = {}) => rig.assign(no, { store_id: 1001, ...facts })
const end = (no: string, by: 'paid' | 'closed', ms = 0) =>
  rig.request('POST', `/orders/${no}/${by}`, { body: { [`${by}_at`]: at(ms) } })
const status = async (no: string) => (await rig.order(no)).status
const isSettled = (...nos: string[]) =>
  eventually(async () => (await Promise.all(nos.map(status))).every(one => one !== 'pending'))

async function counted(): Promise<{ settled: Record<string, number>; foundTooLate: number }> {
  const text = await (await rig.app.request('/metrics')).text()
  const settled: Record<string, number> = {}
  for (const [, outcome = '', count] of text.matchAll(/settled_total\{outcome="(\w+)"\} (\d+)/g))
    settled[outcome] = Number(count)
  return { settled, foundTooLate: Number(/found_too_late_total (\d+)/.exec(text)?.[1]) }
}

/** The rows by what came of them, as their own words say. */
async function recorded() {
  const rows = rig.db.$client
    .prepare<[], { no: string }>('SELECT out_trade_no AS no FROM orders')
    .all()
  const orders = await Promise.all(rows.map(({ no }) => rig.order(no)))
  const settled = orders.filter(one => one.status !== 'pending')
  return { settled: settled.length, tooLate: settled.filter(one => one['too_late']).length }
}

it('counts each settled order once, by what came of it, and those that were paid too early', async () => {
  await Promise.all(Array.from({ length: 20 }, (_, n) => assign(`A${n}`)))
  // A duplicate settles nothing.
  await Promise.all(Array.from({ length: 20 }, (_, n) => assign(`A${n}`)))
  await rig.assign('NOBODY', { store_id: 1002 })
  await assign('OLD', { created_at: at(-120_000) })
  await rig.faults('param_error_order')
  await assign('REFUSED')
  // Paid after it was accepted, and before: the till says so only now.
  await end('A0', 'paid', 500)
  await end('A1', 'paid', -30_000)
  await end('A1', 'paid', -30_000)

  await rig.control('PUT', '/faults', { rates: { status_500: 1 } })
  for (const no of ['PAID1', 'PAID2', 'CLOSED', 'OVER']) await assign(no)
  await end('PAID1', 'paid')
  await end('PAID2', 'paid')
  await end('CLOSED', 'closed')
  await isSettled('PAID1', 'PAID2', 'CLOSED')
  expect(await status('OVER')).toBe('pending')

  await rig.control('PUT', '/faults', {})
  await isSettled('OVER')

  const { settled, foundTooLate } = await counted()
  const rows = await recorded()
  expect(settled).toEqual({
    assigned: 21,
    unassigned: 1,
    skipped: 0,
    rejected: 1,
    expired: 1,
    closed: 1,
    too_late: 2,
  })
  expect(foundTooLate).toBe(1)
  expect(Object.values(settled).reduce((sum, count) => sum + count)).toBe(rows.settled)
  expect(settled['too_late'] ?? 0).toBe(rows.tooLate - foundTooLate)
}, 30_000)

it('counts an order that was paid while its guide was on the way as too late, accepted though it was', async () => {
  let accept = (_: Outcome) => {}
  const answer = new Promise<Outcome>(done => {
    accept = done
  })
  await rig.close()
  rig = await openRig({ client: { hosts: ['http://one'], assign: () => answer } })
  await rig.openStore(1001, 2)
  await rig.assign('LATE', { store_id: 1001 }, { prefer: 'respond-async' })
  await end('LATE', 'paid', -1)
  // An answer that is on its way is heard to its end.
  await new Promise(done => setTimeout(done, 100))
  accept({ kind: 'accepted', requestId: null })
  await isSettled('LATE')
  expect(await rig.order('LATE')).toMatchObject({ status: 'assigned', too_late: true })
  expect(await counted()).toMatchObject({
    settled: { assigned: 0, too_late: 1 },
    foundTooLate: 0,
  })
})

it('tells each publication of a rule document, and no version 0', async () => {
  const published = async () =>
    [
      ...(await (await rig.request('GET', '/metrics')).text()).matchAll(
        /^smartguide_document_versions{kind="(\w+)"} (\d+)$/gm,
      ),
    ].map(([, kind, count]) => [kind, Number(count)])
  const before = await published()
  expect(before.map(([kind]) => kind)).toEqual(['staff', 'roster', 'plan'])
  const written = { author: 'test', atMs: Date.now() }
  for (const steps of [['rotate', 'none'], ['none']]) {
    const plan = planSchema.parse({ steps: steps.map(use => ({ use })) })
    rig.mirror.putDocument(1001, 'plan', plan, written)
  }
  const expected = before.map(([kind, count]) => [kind, Number(count) + (kind === 'plan' ? 2 : 0)])
  expect(await published()).toEqual(expected)
})

const nobody = (): Resolution => ({
  status: 'unassigned',
  guideId: null,
  reason: 'NOBODY',
  turn: null,
  steps: [],
  blocked: [],
  asked: { owner: null, sticky: null },
  versions: { staff: 0, roster: 0, plan: 0 },
  decidedAtMs: Date.now(),
  expiresAtMs: Date.now() + 60_000,
})

it('counts what is on the disk: a job that is rolled back and run again counts once, one that fails not at all', async () => {
  const { ledger, merchant } = rig
  const record = (outTradeNo: string, resolve: () => Resolution) =>
    ledger.record(
      { merchant, outTradeNo, storeId: 1002, facts: '{}', cartId: null, test: false },
      resolve,
    )
  // All in one commit: the last takes the others back with it, and they run again.
  const good = [record('G1', nobody), record('G2', nobody)]
  const bad = record('BAD', () => {
    throw new Error('no decision')
  })
  await expect(bad).rejects.toThrow('no decision')
  await Promise.all(good)
  expect((await counted()).settled).toMatchObject({ unassigned: 2, assigned: 0 })
})

it('counts an order anew when its next generation is settled', async () => {
  const guides = await rig.openStore(1003, 2)
  const { guide_id } = await readJson(await rig.assign('R', { store_id: 1003 }))
  const body = { guide_id: guides.find(id => id !== guide_id), why: 'asked for' }
  await rig.request('POST', '/orders/R/reassign', { body, headers: { 'if-match': '"1"' } })
  expect(await rig.order('R')).toMatchObject({ status: 'assigned', generation: 2 })
  expect((await counted()).settled).toMatchObject({ assigned: 2 })
})
