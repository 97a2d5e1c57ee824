import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createEntrance } from '../../src/access/entrance.ts'
import { newKeyText, openKeys } from '../../src/access/keys.ts'
import { systemClock } from '../../src/clock.ts'
import { createVault } from '../../src/mirror/vault.ts'
import { aDatabase } from '../support/ledger.ts'
import { sign } from '../support/signing.ts'

const { timingSafeEqual } = crypto
let compared: [number, number][]

beforeEach(() => {
  compared = []
  crypto.timingSafeEqual = (one, other) => {
    compared.push([one.byteLength, other.byteLength])
    return timingSafeEqual(one, other)
  }
  syncBuiltinESMExports()
})
afterEach(() => {
  crypto.timingSafeEqual = timingSafeEqual
  syncBuiltinESMExports()
})

it('a key is compared whole and in constant time, the right one, a wrong one and one that nobody has', () => {
  const { db, close } = aDatabase()
  const keys = openKeys(db)
  const made = keys.create({ scope: 'assign', stores: null, name: null, expiresAtMs: null }, 0)
  const [, id = ''] = made.key.split('_')
  // Of the same id, with a secret and a check of its own.
  const wrong = aKeyOf(id)
  for (const [text, isRight] of [
    [made.key, true],
    [wrong, false],
    [newKeyText(), false],
  ] as const) {
    compared = []
    expect(keys.authenticate(`Bearer ${text}`, 1) !== null).toBe(isRight)
    expect(compared).toEqual([[32, 32]])
  }
  close()
})

it('so is a signature, the right one and a wrong one', async () => {
  const { db, close } = aDatabase()
  const vault = createVault([{ id: 'k', secret: Buffer.alloc(32) }])
  const keys = openKeys(db, vault)
  const nobody = { scope: 'assign', stores: null, name: null, expiresAtMs: null } as const
  const { key } = keys.create({ ...nobody, signed: true }, 0)
  const entrance = createEntrance({ keys, clock: systemClock })
  const operation = 'GET /orders/{out_trade_no}'
  const asked = {
    operation,
    method: 'GET',
    target: '/orders/A',
    peer: {},
    body: async () => Buffer.of(),
  }
  for (const isRight of [true, false]) {
    compared = []
    const authorization = sign({ key, method: 'GET', target: isRight ? '/orders/A' : '/orders/B' })
    const entered = entrance.enter({ ...asked, authorization }).then(
      () => true,
      () => false,
    )
    expect(await entered).toBe(isRight)
    expect(compared).toEqual([[32, 32]])
  }
  close()
})

function aKeyOf(id: string): string {
  const body = `spa_${id}_${'5'.repeat(64)}`
  return `${body}_${crc32(body).toString(16).padStart(8, '0')}`
}
