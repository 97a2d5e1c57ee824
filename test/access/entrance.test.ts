import { expect, it } from 'vitest'
import { createEntrance } from '../../src/access/entrance.ts'
import { openKeys } from '../../src/access/keys.ts'
import { createVault } from '../../src/mirror/vault.ts'
import { aDatabase } from '../support/ledger.ts'
import { sign } from '../support/signing.ts'

it('a start with a clock that is ahead refuses what is signed right for twice the tolerance, and no longer', async () => {
  const { db, close } = aDatabase()
  const keys = openKeys(db, createVault([{ id: 'k', secret: Buffer.alloc(32) }]))
  const admin = { scope: 'admin', stores: null, name: null, expiresAtMs: null } as const
  const { key } = keys.create({ ...admin, signed: true }, 0)
  const rightMs = 1_795_435_200_000
  const time = { aheadMs: 3_600_000, sinceMs: 0 }
  const entrance = createEntrance({
    keys,
    clock: {
      nowMs: () => rightMs + time.sinceMs + time.aheadMs,
      monotonicMs: () => 5000 + time.sinceMs,
    },
  })
  const enter = (awaySeconds = 0) => {
    const timestamp = Math.floor((rightMs + time.sinceMs) / 1000) + awaySeconds
    const asked = { operation: 'GET /stores', method: 'GET', target: '/stores' }
    const authorization = sign({ key, ...asked, timestamp })
    return entrance
      .enter({ ...asked, authorization, peer: {}, body: async () => Buffer.of() })
      .then(
        () => 'heard',
        ({ code }) => code,
      )
  }
  time.aheadMs = 0
  for (const [sinceMs, told] of [
    [1000, 'clock_skew'],
    [599_999, 'clock_skew'],
    [600_000, 'heard'],
  ] as const) {
    time.sinceMs = sinceMs
    expect(await enter()).toBe(told)
  }
  // What could have been signed before the start, by a clock as far ahead as is taken, is too old by then.
  time.sinceMs = 601_000
  expect(await enter(300 - 601)).toBe('clock_skew')
  close()
})
