import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { Pool } from 'undici'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { brokenIn, type Told, toldOf } from '../support/invariants.ts'
import { openRig, type Rig } from '../support/rig.ts'
import { atLength } from '../support/thorough.ts'

const orders = atLength(160, 1000)
const [copies, wave] = [50, 20]

let rig: Rig
let pool: Pool
let server: ReturnType<typeof createAdaptorServer>

beforeEach(async () => {
  rig = await openRig({ waitMs: 10_000 })
  server = createAdaptorServer({ fetch: rig.app.fetch })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  pool = new Pool(`http://127.0.0.1:${port}`, { connections: 200 })
})
afterEach(async () => {
  await pool.close()
  await new Promise(done => server.close(done))
  await rig.close()
})

async function post(no: string, body: string, key: string) {
  const answer = await pool.request({
    method: 'POST',
    path: `/orders/${no}/assign`,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body,
  })
  return { status: answer.statusCode, text: await answer.body.text() }
}

it(`decides and sends ${orders} orders once each when every one is posted 50 times at once`, async () => {
  await rig.openStore(1001, 6)
  const key = rig.mint({ scope: 'assign' })
  const body = JSON.stringify({ store_id: 1001, amount: 12900 })

  const told: Told[] = []
  for (let from = 0; from < orders; from += wave) {
    const nos = Array.from({ length: wave }, (_, index) => `S${from + index}`)
    await Promise.all(
      nos.map(async no => {
        const answers = await Promise.all(Array.from({ length: copies }, () => post(no, body, key)))
        const texts = new Set(answers.map(({ text }) => text))
        expect(texts.size, [...texts].join('\n')).toBe(1)
        expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
        expect(answers[0]?.text).toContain('"status":"assigned"')
        told.push(toldOf(JSON.parse(answers[0]?.text ?? '')))
      }),
    )
  }

  const sent = await rig.sent()
  expect(sent).toHaveLength(orders)
  expect(new Set(sent.map(({ outTradeNo }) => outTradeNo)).size).toBe(orders)
  const rows = rig.db.$client
    .prepare<[], { guide_id: string; n: number }>(
      'SELECT guide_id, count(*) AS n FROM orders GROUP BY guide_id',
    )
    .all()
  expect(rows.reduce((sum, { n }) => sum + n, 0)).toBe(orders)
  for (const { n } of rows) expect(Math.abs(n - orders / 6)).toBeLessThanOrEqual(2.5)
  expect(await brokenIn(rig, told)).toEqual([])
}, 120_000)
