import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Aes, Rsa, Wechatpay } from 'wechatpay-axios-plugin'
import { type Merchant, openMerchant } from './merchant.ts'

let merchant: Merchant

beforeEach(async () => {
  merchant = await openMerchant()
  await merchant.control('PUT', '/stores/1234', { name: '深圳南山店' })
})

afterEach(() => merchant.close())

/** wechatpay-axios-plugin: somebody else's reading of the same documents. */
function clientWith(certs: Record<string, string>) {
  return new Wechatpay({
    baseURL: merchant.url,
    mchid: merchant.keys.mchid,
    serial: merchant.keys.merchantSerialNo,
    privateKey: merchant.keys.merchantPrivateKeyPem,
    certs,
    proxy: false,
  })
}

function publicKeyClient() {
  return clientWith({ [merchant.keys.platformKeyId]: merchant.keys.platformPublicKeyPem })
}

async function makeAllCalls(client: Wechatpay, serial: string, key: string) {
  const headers = { 'Wechatpay-Serial': serial }
  const sealed = (text: string) => Rsa.encrypt(text, Rsa.from(key, 'public'))
  const opened = (text: string) =>
    Rsa.decrypt(text, Rsa.from(merchant.keys.merchantPrivateKeyPem, 'private'))
  const guides = client.chain('v3/smartguide/guides')
  const guide = client.chain('v3/smartguide/guides/{guide_id}')
  const assign = client.chain('v3/smartguide/guides/{guide_id}/assign')

  const registered = await guides.post<Record<string, unknown>>(
    {
      corpid: 'ww1234',
      store_id: 1234,
      userid: 'chenxw',
      name: sealed('陈晓雯'),
      mobile: sealed('13800000000'),
      qr_code: 'https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=1',
      avatar: 'https://example.com/a.png',
    },
    { headers },
  )
  const guide_id = registered.data['guide_id']
  const assigned = await assign.post({ out_trade_no: 'ORDER_1' }, { guide_id, headers })
  const updated = await guide.patch({ name: sealed('陈小雯') }, { guide_id, headers })
  const found = await guides.get({
    params: { store_id: 1234, mobile: sealed('13800000000') },
    headers,
  })

  expect([registered.status, assigned.status, updated.status, found.status]).toEqual([
    200, 204, 204, 200,
  ])
  expect(found.data).toMatchObject({ total_count: 1, limit: 10, offset: 0 })
  const [row] = found.data.data
  expect(row).toMatchObject({ guide_id, store_id: 1234, userid: 'chenxw' })
  expect([opened(row.name), opened(row.mobile)]).toEqual(['陈小雯', '13800000000'])
  const { json } = await merchant.control('POST', '/pay/ORDER_1')
  expect(json.card).toMatchObject({ guide_id, name: '陈小雯' })
}

describe("a third party's client", () => {
  test('makes all four calls in public-key mode, encrypting and decrypting by itself', async () => {
    const { platformKeyId, platformPublicKeyPem } = merchant.keys
    await makeAllCalls(publicKeyClient(), platformKeyId, platformPublicKeyPem)
  })

  test('downloads the platform certificates and makes all four calls with them', async () => {
    await merchant.control('PUT', '/policies', { key_mode: 'certificate' })
    const certificates = await download()
    expect(certificates).toHaveLength(1)
    const [certificate] = certificates
    if (!certificate) throw new Error('no certificate')
    expect(new X509Certificate(certificate.pem).serialNumber).toBe(certificate.serialNo)
    await makeAllCalls(
      clientWith({ [certificate.serialNo]: certificate.pem }),
      certificate.serialNo,
      certificate.pem,
    )
  })

  test.each([
    ['unsigned', 'EV3_RES_HEADERS_INCOMPLATE'],
    ['wrong_signature', 'EV3_RES_HEADER_SIGNATURE_DIGEST'],
    ['signtest', 'EV3_RES_HEADER_SIGNATURE_DIGEST'],
    ['clock_skew', 'EV3_RES_HEADER_TIMESTAMP_OFFSET'],
  ])('refuses our %s answer', async (fault, code) => {
    const guide_id = await merchant.withGuide()
    const assign = publicKeyClient().chain('v3/smartguide/guides/{guide_id}/assign')
    await merchant.control('PUT', '/faults', { script: [{ do: fault }] })

    await expect(assign.post({ out_trade_no: 'A1' }, { guide_id })).rejects.toMatchObject({ code })
    expect(await assign.post({ out_trade_no: 'A1' }, { guide_id })).toMatchObject({ status: 204 })
  })

  test('refuses an answer signed by a certificate that it does not have', async () => {
    const guide_id = await merchant.withGuide()
    await merchant.control('PUT', '/policies', { key_mode: 'certificate' })
    const assign = publicKeyClient().chain('v3/smartguide/guides/{guide_id}/assign')
    await expect(assign.post({ out_trade_no: 'A1' }, { guide_id })).rejects.toMatchObject({
      code: 'EV3_RES_HEADER_PLATFORM_SERIAL',
    })
  })
})

interface CertificateRow {
  serial_no: string
  encrypt_certificate: { ciphertext: string; nonce: string; associated_data: string }
}

/** The first download has nothing to be verified with; the second is, with what the first carried. */
async function download(): Promise<{ serialNo: string; pem: string }[]> {
  const certs: Record<string, string> = { any: '' }
  function collect(text: string): string {
    const rows: CertificateRow[] = JSON.parse(text).data
    for (const { serial_no, encrypt_certificate: sealed } of rows) {
      certs[serial_no] = Aes.AesGcm.decrypt(
        sealed.ciphertext,
        merchant.keys.apiv3Key,
        sealed.nonce,
        sealed.associated_data,
      )
    }
    return text
  }
  await clientWith(certs)
    .chain('v3/certificates')
    .get({ transformResponse: [collect] })
  delete certs['any']
  await clientWith({ ...certs })
    .chain('v3/certificates')
    .get()
  return Object.entries(certs).map(([serialNo, pem]) => ({ serialNo, pem }))
}
