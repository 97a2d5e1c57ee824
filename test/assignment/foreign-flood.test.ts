import { afterEach, expect, it } from 'vitest'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import { openRig, type Rig } from '../support/rig.ts'

const [flooding, good, third] = ['1900000101', '1900000102', '1900000103']

let rig: Rig | undefined
let release = () => {}
afterEach(async () => {
  release()
  await rig?.close()
})

/** A service of three merchants whose WeChat Pay is silent until the end, and that bears twelve orders in hand. */
async function openPartner(): Promise<Rig> {
  const silence = new Promise<void>(done => {
    release = done
  })
  const client = {
    hosts: ['http://upstream'],
    presign: () => {},
    assign: async (_: AssignRequest) => {
      await silence
      return { kind: 'accepted', requestId: null } as const
    },
  }
  rig = await openRig({ mode: 'partner', client, maxInFlight: 12 })
  for (const [index, merchant] of [flooding, good, third].entries()) {
    await rig.openStore(1001 + index, 2, merchant)
  }
  return rig
}

async function statuses(shop: Rig, merchant: string, count: number): Promise<number[]> {
  const store_id = 1001 + [flooding, good, third].indexOf(merchant)
  const body = { store_id, sub_mchid: merchant }
  const answers: number[] = []
  for (let n = 0; n < count; n++) {
    const no = `${merchant}-${n}`
    const { status } = await shop.assign(no, body, { prefer: 'respond-async' })
    answers.push(status)
  }
  return answers
}

const taken = (all: number[]) => all.filter(status => status === 202).length

it("takes a merchant's orders though the flood of another has taken all that is to be had", async () => {
  const shop = await openPartner()
  expect(taken(await statuses(shop, flooding, 30))).toBe(12)
  expect(taken(await statuses(shop, good, 3))).toBe(3)
  expect(taken(await statuses(shop, third, 2))).toBe(2)
})

it('refuses the one who floods, and whoever comes to have a large part, so that it ends', async () => {
  const shop = await openPartner()
  await statuses(shop, flooding, 12)
  const second = taken(await statuses(shop, good, 40))
  expect(second).toBeGreaterThanOrEqual(3)
  expect(second).toBeLessThan(8)
  expect(taken(await statuses(shop, third, 40))).toBeLessThan(8)
  expect(shop.assignments.counts().inFlight).toBeLessThanOrEqual(24)
  expect(taken(await statuses(shop, flooding, 1))).toBe(1)
  expect(await shop.assign('X', { store_id: 1001, sub_mchid: flooding })).toMatchObject({
    status: 503,
  })
})

it('refuses a merchant who is alone as before', async () => {
  const shop = await openPartner()
  expect(await statuses(shop, good, 14)).toEqual([...Array(12).fill(202), 503, 503])
})
