import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openDatabase } from '../../src/db/open.ts'
import { openCertificates } from '../../src/mirror/certificates.ts'
import { scratchDir } from '../support/rig.ts'

const dayMs = 86_400_000
const aCertificate = (serial: string, day: number) => ({
  serial,
  pem: `pem of ${serial}`,
  effectiveAtMs: day * dayMs,
  expiresAtMs: (day + 30) * dayMs,
})

let dir: string
beforeEach(() => {
  dir = scratchDir()
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

it('what was kept last is there after a restart, newest first, and nothing of before', () => {
  const path = join(dir, 'smartguide.db')
  const first = openDatabase(path)
  const store = openCertificates(first)
  expect(store.kept()).toEqual([])
  store.keep([aCertificate('A', 1)])
  store.keep([aCertificate('B', 2), aCertificate('C', 3)])
  first.$client.close()

  const second = openDatabase(path)
  const again = openCertificates(second)
  expect(again.kept()).toEqual([aCertificate('C', 3), aCertificate('B', 2)])
  // All or nothing.
  expect(() => again.keep([aCertificate('D', 4), aCertificate('D', 4)])).toThrow()
  expect(again.kept()).toHaveLength(2)
  again.keep([])
  expect(again.kept()).toEqual([])
  second.$client.close()
})
