import { verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { keep } from './keep.ts'
import {
  aClient,
  anAssign,
  mchid,
  merchant,
  platformSerial,
  type Received,
  serialNo,
  signedHeaders,
  startUpstream,
  type Upstream,
} from './upstream.ts'

async function accepting(received: Received[] = []): Promise<Upstream> {
  return keep(
    await startUpstream((request, response) => {
      received.push(request)
      response.writeHead(204, signedHeaders()).end()
    }),
  )
}

// The upstream's half of the protocol, written from its documentation alone.
function holdsSignature(request: Received): boolean {
  const value = request.headers.authorization ?? ''
  const part = (name: string) => new RegExp(`[ ,]${name}="([^"]*)"`).exec(value)?.[1] ?? ''
  expect(value.startsWith('WECHATPAY2-SHA256-RSA2048 ')).toBe(true)
  expect(part('mchid')).toBe(mchid)
  expect(part('serial_no')).toBe(serialNo)
  expect(Math.abs(Date.now() / 1000 - Number(part('timestamp')))).toBeLessThan(5)
  const lines = [request.method, request.url, part('timestamp'), part('nonce_str'), request.text]
  const text = lines.map(line => `${line}\n`).join('')
  const signature = Buffer.from(part('signature'), 'base64')
  return verify('sha256', Buffer.from(text), merchant.publicKey, signature)
}

describe('an assign', () => {
  it('is one signed POST with the order in the body, and a signed 204 is accepted', async () => {
    const received: Received[] = []
    const client = keep(aClient((await accepting(received)).url))
    const outcome = await client.assign(anAssign)
    expect(outcome).toEqual({ kind: 'accepted', requestId: '08F3B5A1C10610B4' })
    expect(received).toHaveLength(1)
    const [request] = received
    if (request === undefined) throw new Error('nothing arrived')
    expect(request.method).toBe('POST')
    expect(request.url).toBe(`/v3/smartguide/guides/${anAssign.guideId}/assign`)
    expect(request.text).toBe('{"out_trade_no":"20150806125346"}')
    expect(request.headers).toMatchObject({
      accept: 'application/json',
      'content-type': 'application/json',
      'user-agent': 'smartguide-assign',
      'wechatpay-serial': platformSerial,
    })
    expect(holdsSignature(request)).toBe(true)
  })

  it('names the sub-merchant in partner mode', async () => {
    const received: Received[] = []
    const client = keep(aClient((await accepting(received)).url))
    await client.assign({ ...anAssign, subMchid: '1900000110' })
    expect(received[0]?.text).toBe('{"out_trade_no":"20150806125346","sub_mchid":"1900000110"}')
    expect(received.every(holdsSignature)).toBe(true)
  })

  it.each(['a/b', 'a?b=c', 'a%2Fb', 'a b', 'a#b', '导购', '../../v3', 'a"b\r\nc', '😀'])(
    'signs the path exactly as it is sent, for guide %j',
    async guideId => {
      const received: Received[] = []
      const client = keep(aClient((await accepting(received)).url))
      expect((await client.assign({ ...anAssign, guideId })).kind).toBe('accepted')
      expect(received.every(holdsSignature)).toBe(true)
      const [, segment = ''] = /guides\/([^/]+)\/assign$/.exec(received[0]?.url ?? '') ?? []
      expect(decodeURIComponent(segment)).toBe(guideId)
    },
  )

  it.each(['', '.', '..', 'x'.repeat(65), '\ud800'])(
    'for the impossible guide %j is our own defect, and nothing is sent',
    async guideId => {
      const received: Received[] = []
      const client = keep(aClient((await accepting(received)).url))
      await expect(client.assign({ ...anAssign, guideId })).rejects.toThrow()
      expect(received).toEqual([])
    },
  )

  it('goes to the host that was asked for', async () => {
    const first: Received[] = []
    const second: Received[] = []
    const urls = [(await accepting(first)).url, (await accepting(second)).url]
    const client = keep(aClient(urls))
    expect(client.hosts).toEqual(urls)
    await client.assign({ ...anAssign, host: 1 })
    expect([first.length, second.length]).toEqual([0, 1])
    await expect(client.assign({ ...anAssign, host: 2 })).rejects.toThrow('no host 2')
  })

  it('repeated, is signed afresh', async () => {
    const received: Received[] = []
    const client = keep(aClient((await accepting(received)).url))
    for (let n = 0; n < 3; n++) await client.assign(anAssign)
    expect(new Set(received.map(request => request.headers.authorization)).size).toBe(3)
    expect(received.every(holdsSignature)).toBe(true)
  })

  it('opens no more connections than allowed for 300 calls at once, and loses none', async () => {
    let most = 0
    const upstream: Upstream = keep(
      await startUpstream((_, response) => {
        most = Math.max(most, upstream.sockets.size)
        setTimeout(() => response.writeHead(204, signedHeaders()).end(), 2)
      }),
    )
    const client = keep(aClient(upstream.url, { connections: 8 }))
    const calls = Array.from({ length: 300 }, (_, n) =>
      client.assign({ ...anAssign, outTradeNo: `order-${n}`, timeoutMs: 10_000 }),
    )
    const outcomes = await Promise.all(calls)
    expect(outcomes.filter(outcome => outcome.kind !== 'accepted')).toEqual([])
    expect(most).toBe(8)
  })

  it('tells, at SIGN_ERROR, what they read beside what we signed', async () => {
    const detail = {
      sign_information: {
        method: 'POST',
        url: '/v3/other',
        sign_message_length: 99,
        truncated_sign_message: 'POST\n/v3/other\n',
      },
    }
    const body = JSON.stringify({ code: 'SIGN_ERROR', message: '签名错误', detail })
    const upstream = keep(await startUpstream((_, response) => response.writeHead(401).end(body)))
    const outcome = await keep(aClient(upstream.url)).assign(anAssign)
    const bytes = Buffer.byteLength(
      `POST\n/v3/smartguide/guides/${anAssign.guideId}/assign\n1554208460\n` +
        `593BEC0C930BF1AFEB40B4A08C8FB242\n{"out_trade_no":"20150806125346"}\n`,
    )
    expect(outcome).toMatchObject({
      blames: 'account',
      message:
        '签名错误 (they read POST /v3/other, 99 bytes to sign: "POST\\n/v3/other\\n")' +
        ` (we signed POST /v3/smartguide/guides/${anAssign.guideId}/assign, ${bytes} bytes)`,
    })
  })
})

describe('a probe', () => {
  async function probing(status: number, body: string, signed: boolean) {
    const received: Received[] = []
    const upstream = keep(
      await startUpstream((request, response) => {
        received.push(request)
        response.writeHead(status, signed ? signedHeaders({ body }) : {}).end(body)
      }),
    )
    const client = keep(aClient(upstream.url))
    return { received, outcome: await client.probe({ host: 0, timeoutMs: 2_000 }) }
  }

  it('is one signed GET without a body', async () => {
    const { received, outcome } = await probing(200, '{"data":[]}', true)
    expect(outcome.kind).toBe('accepted')
    expect(received).toHaveLength(1)
    expect(received[0]).toMatchObject({ method: 'GET', url: '/v3/certificates', text: '' })
    expect(received[0]?.headers).not.toHaveProperty('content-type')
    expect(received.every(holdsSignature)).toBe(true)
  })

  it('is accepted where a 公钥 merchant has no certificates: the signature passed', async () => {
    const { outcome } = await probing(404, '{"code":"RESOURCE_NOT_EXISTS","message":"无"}', false)
    expect(outcome.kind).toBe('accepted')
  })

  it.each([
    [401, '{"code":"SIGN_ERROR","message":"签名错误"}'],
    [403, '{"code":"NO_AUTH","message":"x"}'],
    [404, ''],
    [400, '{"code":"PARAM_ERROR","message":"guide"}'],
  ])('blames the account for a refusal: %d %s', async (status, body) => {
    const { outcome } = await probing(status, body, false)
    expect(outcome).toMatchObject({ kind: 'rejected', blames: 'account', status })
  })

  it('is not accepted when the certificates come unsigned', async () => {
    const { outcome } = await probing(200, '{"data":[]}', false)
    expect(outcome).toMatchObject({ kind: 'unknown', reason: 'unverified' })
  })
})
