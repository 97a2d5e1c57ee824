import { generateKeyPairSync } from 'node:crypto'
import { expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openAccount } from '../../src/wechatpay/account.ts'
import { keep } from './keep.ts'
import { mchid, merchant, platform, platformSerial, serialNo, startUpstream } from './upstream.ts'

const publicKey = { serial: platformSerial, key: platform.publicKey }
const next = {
  merchantKey: {
    serialNo: '6'.repeat(40),
    privateKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  },
  publicKey,
  apiv3Key: null,
}

/** An account whose WeChat Pay answers every call alike. */
async function anAccount(status: number, body: string) {
  const signers: string[] = []
  const upstream = keep(
    await startUpstream(({ headers }, response) => {
      signers.push(/serial_no="(\w+)"/.exec(headers.authorization ?? '')?.[1] ?? '')
      response.writeHead(status).end(body)
    }),
  )
  const told: string[] = []
  const opened = openAccount(
    {
      mode: 'direct',
      mchid,
      merchantKey: { serialNo, privateKey: merchant.privateKey },
      publicKey,
      apiv3Key: null,
      baseUrls: [upstream.url],
    },
    {
      clock: systemClock,
      store: { kept: () => [], keep: () => {} },
      tell: (level, _, sentence) => told.push(`${level} ${sentence}`),
    },
  )
  return { ...opened, told, signers }
}

const refusal = (code: string) => JSON.stringify({ code, message: 'because' })

it.each([
  ['404 RESOURCE_NOT_EXISTS', 404, refusal('RESOURCE_NOT_EXISTS')],
  ['403 NO_AUTH, which comes after the signature', 403, refusal('NO_AUTH')],
])('changes over to keys that WeChat Pay answers with %s', async (_, status, body) => {
  const account = await anAccount(status, body)
  await account.change(next)
  await account.client.probe({ host: 0, timeoutMs: 2000 })
  expect(account.signers.at(-1)).toBe(next.merchantKey.serialNo)
  await account.close()
})

it.each([
  ['403 and nothing', 403, '', /could not be asked .* status 403/],
  ['404 and nothing', 404, '', /could not be asked .* status 404/],
  ['a page', 403, '<html>', /could not be asked/],
  ['400 SIGN_ERROR', 400, refusal('SIGN_ERROR'), /do not belong together.* 400 SIGN_ERROR/],
])('stays with the keys in use when the answer is %s', async (_, status, body, says) => {
  const account = await anAccount(status, body)
  await expect(account.change(next)).rejects.toThrow(says)
  await account.client.probe({ host: 0, timeoutMs: 2000 })
  expect(account.signers.at(-1)).toBe(serialNo)
  await account.close()
})
