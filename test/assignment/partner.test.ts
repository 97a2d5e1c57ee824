import { afterEach, beforeEach, expect, it } from 'vitest'
import { openRig, type Rig, readJson } from '../support/rig.ts'

let rig: Rig

beforeEach(async () => {
  rig = await openRig({ mode: 'partner' })
  await rig.openStore(1, 2, '1900000101')
  await rig.openStore(2, 2, '1900000102')
})
afterEach(() => rig.close())

it('sends the sub-merchant of each order, and takes the same number at two sub-merchants for two orders', async () => {
  for (const [store_id, sub_mchid] of [
    [1, '1900000101'],
    [2, '1900000102'],
  ] as const) {
    const answer = await rig.assign('SAME', { store_id, sub_mchid })
    expect(await readJson(answer)).toMatchObject({ status: 'assigned', store_id })
    expect(await rig.order('SAME', `?sub_mchid=${sub_mchid}`)).toMatchObject({ store_id })
  }
  expect((await rig.sent('SAME')).map(({ subMchid }) => subMchid)).toEqual([
    '1900000101',
    '1900000102',
  ])
})

it('asks for the sub-merchant, and knows a store only under its own', async () => {
  const missing = await rig.assign('P1', { store_id: 1 })
  expect(missing.status).toBe(400)
  expect(await missing.json()).toMatchObject({ errors: [{ pointer: '/sub_mchid' }] })
  const foreign = await rig.assign('P2', { store_id: 1, sub_mchid: '1900000102' })
  expect(foreign.status).toBe(404)
  expect(await foreign.json()).toMatchObject({ code: 'store_not_found' })
})

it('says where a pending order is read, sub-merchant included', async () => {
  const answer = await rig.assign(
    'P3',
    { store_id: 1, sub_mchid: '1900000101' },
    { prefer: 'respond-async' },
  )
  expect(answer.headers.get('location')).toBe('/orders/P3?sub_mchid=1900000101')
})
