import { afterAll, beforeAll, expect, it } from 'vitest'
import { openKeys } from '../../src/access/keys.ts'
import { createManager } from '../support/manage.ts'
import { openRig, type Rig } from '../support/rig.ts'

let rig: Rig
let ask: ReturnType<typeof createManager>

beforeAll(async () => {
  rig = await openRig()
  ask = createManager(rig)
})
afterAll(() => rig.close())

it('says when a key was last let in, and not when somebody only tried', async () => {
  const made = await ask('POST', '/keys', { scope: 'admin', body: { scope: 'manage', name: 'm' } })
  const { id, key } = made.json
  expect(made.json.last_used_at).toBe(null)
  const lastUsed = async () => {
    const { keys } = (await ask('GET', '/keys', { scope: 'admin' })).json
    return keys.find((one: { id: string }) => one.id === id).last_used_at
  }
  const authorization = `Bearer ${key}`
  const wrong = authorization.replace(/_[0-9a-f]{8}$/, '_00000000')
  await rig.app.request('/stores', { headers: { authorization: wrong } })
  expect(await lastUsed()).toBe(null)
  rig.skew.ms = 60_000
  const beforeMs = Date.now() + rig.skew.ms
  await rig.app.request('/stores', { headers: { authorization } })
  const used = Date.parse(await lastUsed())
  expect(used).toBeGreaterThanOrEqual(beforeMs)
  expect(used).toBeLessThanOrEqual(Date.now() + rig.skew.ms)
})

it('keeps when a key was last used across a restart, in one write that is nobody’s change', async () => {
  const key = rig.mint({ scope: 'manage' })
  const id = key.split('_')[1] ?? ''
  const authorization = `Bearer ${key}`
  await rig.app.request('/stores', { headers: { authorization } })
  const counts = () =>
    rig.db.$client
      .prepare('SELECT (SELECT count(*) FROM audit) AS records, total_changes() AS changes')
      .get()
  const before = counts()
  const restarted = () => openKeys(rig.db).list()
  const usedOf = (list: ReturnType<typeof restarted>) => list.find(one => one.id === id)?.lastUsedMs
  const used = usedOf(rig.keys.list())
  expect([typeof used, usedOf(restarted())]).toEqual(['number', null])
  expect(counts()).toEqual(before)
  rig.keys.keepUsed()
  expect([usedOf(rig.keys.list()), usedOf(restarted())]).toEqual([used, used])
  const kept = counts()
  expect(kept).toMatchObject({ records: (before as { records: number }).records })
  rig.keys.keepUsed()
  expect(counts()).toEqual(kept)
})

it.each([
  { scope: 'assign', name: 'a\u0000b' },
  { scope: 'assign', name: '\ud800' },
  { scope: 'assign', name: 'demo' },
  { scope: 'admin', stores: [1] },
  { scope: 'assign', expires_at: '2020-01-01T00:00:00Z' },
])('makes no key of %j', async body => {
  await ask('GET', '/keys', { scope: 'admin' })
  const before = rig.keys.list().length
  const answer = await ask('POST', '/keys', { scope: 'admin', body })
  expect([answer.status, answer.json.errors?.length]).toEqual([400, 1])
  expect(rig.keys.list().length).toBe(before)
})
