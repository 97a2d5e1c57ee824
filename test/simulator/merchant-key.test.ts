import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { type Merchant, openMerchant } from './merchant.ts'

let nowMs = Date.now()
let merchant: Merchant

beforeEach(async () => {
  nowMs = Date.now()
  merchant = await openMerchant({ clock: () => nowMs })
})
afterEach(() => merchant.close())

const file = (name: string) => readFile(join(merchant.simulator.stateDir, name), 'utf8')

async function files() {
  const certificate = new X509Certificate(await file('merchant.cert'))
  return {
    serial: await file('merchant.serial'),
    key: createPrivateKey(await file('merchant.key')),
    certificate,
  }
}

test('the merchant certificate has the serial number and belongs to the key', async () => {
  const { serial, key, certificate } = await files()
  expect(certificate.serialNumber).toBe(serial)
  expect(certificate.checkPrivateKey(key)).toBe(true)
})

test('a state directory of before, without a certificate, gets one for the key that it has', async () => {
  const { stateDir, keys } = merchant.simulator
  await writeFile(join(stateDir, 'merchant.cert'), 'damaged')
  const again = await startSimulator({ stateDir })
  await again.stop()
  expect((await files()).certificate.serialNumber).toBe(keys.merchantSerialNo)
})

test('a renewal writes a new key, serial number and certificate, and the old pass until the overlap is over', async () => {
  const guideId = await merchant.withGuide()
  const old = await files()
  const reply = await merchant.control('POST', '/merchant-key', { overlap_seconds: 60 })
  const fresh = await files()
  expect(reply).toEqual({ status: 200, json: { serial_no: fresh.serial } })
  expect(fresh.serial).toMatch(/^[4-7][0-9A-F]{39}$/)
  expect(fresh.serial).not.toBe(old.serial)
  expect(fresh.certificate.checkPrivateKey(fresh.key)).toBe(true)
  expect((await stat(join(merchant.simulator.stateDir, 'merchant.key'))).mode & 0o777).toBe(0o600)

  const assign = async ({ serial, key }: { serial: string; key: typeof old.key }) =>
    (await merchant.assign(guideId, 'M1', { serialNo: serial, key })).status
  expect(await assign(fresh)).toBe(204)
  expect(await assign(old)).toBe(204)
  expect(await assign({ serial: fresh.serial, key: old.key })).toBe(401)
  expect(await assign({ serial: old.serial, key: fresh.key })).toBe(401)
  nowMs += 60_000
  expect(await assign(old)).toBe(401)
  expect(await assign(fresh)).toBe(204)
})
