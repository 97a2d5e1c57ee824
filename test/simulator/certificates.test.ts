import { createDecipheriv, X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Merchant, openMerchant, type Reply } from './merchant.ts'

const DAY_MS = 86_400_000

let merchant: Merchant
let nowMs: number

beforeEach(async () => {
  nowMs = Date.now()
  merchant = await openMerchant({ clock: () => nowMs })
  await merchant.control('PUT', '/policies', { key_mode: 'certificate' })
  await merchant.control('PUT', '/stores/1', { name: '一店' })
})

afterEach(() => merchant.close())

interface Row {
  serial_no: string
  effective_time: string
  expire_time: string
  encrypt_certificate: {
    algorithm: string
    nonce: string
    associated_data: string
    ciphertext: string
  }
}

function open({ encrypt_certificate: sealed }: Row): X509Certificate {
  const bytes = Buffer.from(sealed.ciphertext, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', merchant.keys.apiv3Key, sealed.nonce)
  decipher.setAAD(Buffer.from(sealed.associated_data)).setAuthTag(bytes.subarray(-16))
  const pem = Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()])
  return new X509Certificate(pem)
}

async function download(): Promise<{ reply: Reply; certificates: X509Certificate[] }> {
  const reply = await merchant.call('GET', '/v3/certificates')
  const rows: Row[] = JSON.parse(reply.body).data
  const certificates = rows.map(row => {
    const certificate = open(row)
    expect(certificate.serialNumber).toBe(row.serial_no)
    expect(row.encrypt_certificate.algorithm).toBe('AEAD_AES_256_GCM')
    expect(Date.parse(row.effective_time)).toBe(Date.parse(certificate.validFrom))
    expect(Date.parse(row.expire_time)).toBe(Date.parse(certificate.validTo))
    expect(row.expire_time).toMatch(/\+08:00$/)
    return certificate
  })
  return { reply, certificates }
}

function register(userid: string, certificate: X509Certificate): Promise<Reply> {
  const body = {
    corpid: 'ww1',
    store_id: 1,
    userid,
    name: merchant.seal('陈晓雯', certificate.publicKey),
    mobile: merchant.seal('13800000000', certificate.publicKey),
    qr_code: 'https://q/1',
    avatar: 'https://a/1',
  }
  const headers = { 'Wechatpay-Serial': certificate.serialNumber }
  return merchant.call('POST', '/v3/smartguide/guides', { body, headers })
}

test('platform certificates are X.509, self-signed, and sign every answer', async () => {
  const { reply, certificates } = await download()
  const [certificate] = certificates
  if (!certificate) throw new Error('no certificate')
  expect(certificates).toHaveLength(1)
  expect(certificate.serialNumber).toMatch(/^[0-9A-F]{40}$/)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(reply.headers['wechatpay-serial']).toBe(certificate.serialNumber)
  expect(merchant.verifies(reply, certificate.publicKey)).toBe(true)
})

test('during a rotation both are served, both decrypt, and the new one signs; then the old is gone', async () => {
  const [old] = (await download()).certificates
  if (!old) throw new Error('no certificate')
  await merchant.control('POST', '/rotate', { overlap_seconds: DAY_MS / 1000 })

  const during = await download()
  const [fresh] = during.certificates
  if (!fresh) throw new Error('no certificate')
  expect(during.certificates.map(each => each.serialNumber)).toEqual([
    fresh.serialNumber,
    old.serialNumber,
  ])
  expect(fresh.serialNumber).not.toBe(old.serialNumber)
  expect(during.reply.headers['wechatpay-serial']).toBe(fresh.serialNumber)
  expect(merchant.verifies(during.reply, fresh.publicKey)).toBe(true)
  expect([(await register('u1', old)).status, (await register('u2', fresh)).status]).toEqual([
    200, 200,
  ])

  nowMs += DAY_MS + 1
  expect((await download()).certificates.map(each => each.serialNumber)).toEqual([
    fresh.serialNumber,
  ])
  const late = await register('u3', old)
  expect([late.status, JSON.parse(late.body).code]).toEqual([400, 'PARAM_ERROR'])
  expect((await register('u3', fresh)).status).toBe(200)
})

test('the public key goes on decrypting in certificate mode, so that a merchant can switch', async () => {
  const body = {
    corpid: 'ww1',
    store_id: 1,
    userid: 'u1',
    name: merchant.seal('陈晓雯'),
    mobile: merchant.seal('138'),
    qr_code: 'https://q/1',
    avatar: 'https://a/1',
  }
  expect((await merchant.call('POST', '/v3/smartguide/guides', { body })).status).toBe(200)
})
