import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readSources, violations } from './support/rooms.ts'

const sources = readSources(fileURLToPath(new URL('../src', import.meta.url)))

describe('the house', () => {
  it('keeps every import on the arrows of the map', () => {
    expect(sources.size).toBeGreaterThan(40)
    expect(violations(sources)).toEqual([])
  })

  it.each([
    [
      'ledger/planted.ts',
      "import { openMirror } from '../mirror/mirror.ts'",
      'ledger may not import mirror',
    ],
    [
      'mirror/planted.ts',
      "import type { Order } from '../ledger/ledger.ts'",
      'mirror may not import ledger',
    ],
    [
      'wechatpay/planted.ts',
      "import { openDatabase } from '../db/open.ts'",
      'wechatpay may not import db',
    ],
    [
      'wechatpay/planted.ts',
      "import { startSimulator } from '../simulator/simulator.ts'",
      'wechatpay may not import simulator',
    ],
    [
      'simulator/planted.ts',
      "import { signRsa } from '../wechatpay/sign.ts'",
      'simulator may not import wechatpay',
    ],
    [
      'simulator/deep/planted.ts',
      "export { nowMs } from '../../clock.ts'",
      'simulator may not import clock.ts',
    ],
    ['rules/planted.ts', "import { readFileSync } from 'node:fs'", 'rules is pure'],
    [
      'rules/planted.ts',
      "import Database from 'better-sqlite3'",
      'rules may not import the package better-sqlite3',
    ],
    [
      'assignment/planted.ts',
      "import { Hono } from 'hono'",
      'assignment may not import the package hono',
    ],
    [
      'http/planted.ts',
      "const x = await import('../wechatpay/client.ts')",
      'http may not import wechatpay',
    ],
    ['app.ts', "import { openDatabase } from './db/open.ts'", 'app.ts may not import db'],
    ['utils/planted.ts', '', 'there is no room utils'],
  ])('refuses a planted %s with %s', (path, text, says) => {
    expect(violations(new Map([[path, text]])).join()).toContain(says)
  })

  it('reads the environment in config.ts and in the entry points of its processes alone', () => {
    const readers = [...sources]
      .filter(([, text]) => /process\.env/.test(text))
      .map(([path]) => path)
    expect(readers.sort()).toEqual([
      'backup/main.ts',
      'demo/simulator-process.ts',
      'doctor/main.ts',
      'keys/main.ts',
      'locked.ts',
      'main.ts',
      'simulator/main.ts',
      'top/main.ts',
    ])
  })

  it("keeps WeChat Pay's wire names inside wechatpay and the simulator", () => {
    const elsewhere = [...sources].filter(
      ([path, text]) =>
        !/^(wechatpay|simulator)\//.test(path) &&
        /Wechatpay-(Signature|Serial|Nonce)|\/v3\//i.test(text),
    )
    expect(elsewhere.map(([path]) => path)).toEqual([])
  })
})
