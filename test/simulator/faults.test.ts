import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Merchant, openMerchant, type Reply } from './merchant.ts'

let merchant: Merchant
let guideId: string

beforeEach(async () => {
  merchant = await openMerchant()
  guideId = await merchant.withGuide()
})

afterEach(() => merchant.close())

const script = (...steps: object[]) => merchant.control('PUT', '/faults', { script: steps })

async function cardOf(outTradeNo: string) {
  const { json } = await merchant.control('POST', `/pay/${outTradeNo}`)
  return json.card
}

interface Wire {
  error?: string
  status?: number
  code?: string
  verified?: boolean
}

function wireOf(reply: Reply): Wire {
  const json = reply.headers['content-type']?.startsWith('application/json') && reply.status >= 400
  return {
    status: reply.status,
    ...(json && { code: JSON.parse(reply.body).code }),
    ...(reply.status < 300 && {
      verified: reply.headers['wechatpay-signature'] !== undefined && merchant.verifies(reply),
    }),
  }
}

async function assign(outTradeNo: string): Promise<Wire> {
  return merchant.assign(guideId, outTradeNo).then(wireOf, error => ({ error: error.code }))
}

describe('each fault shows this on the wire, and the call was carried out or not', () => {
  test.each<[string, Wire, boolean]>([
    ['refuse', { error: 'ECONNRESET' }, false],
    ['reset_before', { error: 'ECONNRESET' }, false],
    ['reset_after', { error: 'ECONNRESET' }, true],
    ['status_429', { status: 429, code: 'RATELIMIT_EXCEEDED' }, false],
    ['status_500', { status: 500, code: 'SYSTEM_ERROR' }, false],
    ['status_502', { status: 502 }, false],
    ['sign_error', { status: 401, code: 'SIGN_ERROR' }, false],
    ['unsigned', { status: 204, verified: false }, true],
    ['wrong_signature', { status: 204, verified: false }, true],
    ['signtest', { status: 204, verified: false }, true],
    ['clock_skew', { status: 204, verified: true }, true],
    ['garbage_body', { status: 200, verified: false }, true],
    ['param_error_guide', { status: 400, code: 'PARAM_ERROR' }, false],
    ['param_error_order', { status: 400, code: 'PARAM_ERROR' }, false],
    ['no_auth', { status: 403, code: 'NO_AUTH' }, false],
    ['mch_punished', { status: 400, code: 'INVALID_REQUEST' }, false],
  ])('%s', async (fault, wire, carriedOut) => {
    await script({ on: 'assign', do: fault })
    expect(await assign('A1')).toEqual(wire)

    const entry = await merchant.lastEntry()
    expect(entry).toMatchObject({ fault, carried_out: carriedOut })
    expect(entry.answer).toEqual({ status: wire.status ?? null, code: wire.code ?? null })
    expect((await cardOf('A1')) !== null).toBe(carriedOut)
    expect(await assign('A2')).toEqual({ status: 204, verified: true })
  })

  test('hang: carried out, the connection stays open, no byte comes', async () => {
    await script({ do: 'hang' })
    const outcome = await Promise.race([assign('A1'), lateness(150)])
    expect(outcome).toBe('late')
    expect(await merchant.lastEntry()).toMatchObject({
      fault: 'hang',
      carried_out: true,
      answer: { status: null, code: null },
    })
    expect(await cardOf('A1')).toMatchObject({ guide_id: guideId })
  })

  test('slow_body: carried out, the answer comes whole and signed, late', async () => {
    await merchant.control('PUT', '/faults', {
      script: [{ do: 'slow_body', times: 2 }],
      slow_body_ms: 200,
    })
    const startedMs = performance.now()
    expect(await assign('A1')).toEqual({ status: 204, verified: true })
    expect(performance.now() - startedMs).toBeGreaterThan(190)

    const reply = await merchant.call('GET', '/v3/smartguide/guides?store_id=1')
    expect(merchant.verifies(reply)).toBe(true)
    expect(JSON.parse(reply.body).total_count).toBe(1)
    expect(performance.now() - startedMs).toBeGreaterThan(380)
  })

  test('refuse: broken before the body was read', async () => {
    await script({ do: 'refuse' })
    const target = `/v3/smartguide/guides/${guideId}/assign`
    const head = `POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n`
    const error = await new Promise(resolve => {
      const socket = connect(merchant.simulator.port, '127.0.0.1', () => socket.write(head))
      socket.on('error', resolve)
    })
    expect(error).toMatchObject({ code: 'ECONNRESET' })
    expect(await merchant.lastEntry()).toMatchObject({ body: '', signature_valid: null })
  })

  test('status_429 says when to come back', async () => {
    await script({ do: 'status_429' })
    expect((await merchant.assign(guideId, 'A1')).headers['retry-after']).toBe('1')
  })

  test('signtest and clock_skew are what they are called', async () => {
    await script({ do: 'signtest' }, { do: 'clock_skew' })
    const probe = await merchant.assign(guideId, 'A1')
    expect(probe.headers['wechatpay-signature']).toMatch(/^WECHATPAY\/SIGNTEST\//)
    const skewed = await merchant.assign(guideId, 'A1')
    const offSeconds = Math.abs(Date.now() / 1000 - Number(skewed.headers['wechatpay-timestamp']))
    expect(offSeconds).toBeGreaterThan(300)
  })

  test('unsigned and garbage_body: no header to believe, no body to read', async () => {
    await script({ do: 'unsigned' }, { do: 'garbage_body' })
    const unsigned = await merchant.assign(guideId, 'A1')
    expect(Object.keys(unsigned.headers).filter(name => name.startsWith('wechatpay-'))).toEqual([])
    const garbage = await merchant.assign(guideId, 'A1')
    expect(() => JSON.parse(garbage.body)).toThrow()
  })

  test('the refusals name the guide, the order and the punished merchant', async () => {
    await script({ do: 'param_error_guide' }, { do: 'param_error_order' }, { do: 'mch_punished' })
    const messages: string[] = []
    for (const no of ['A1', 'A2', 'A3']) {
      messages.push(JSON.parse((await merchant.assign(guideId, no)).body).message)
    }
    expect(messages).toEqual([
      expect.stringContaining('guide_id'),
      expect.stringContaining('out_trade_no'),
      'mch punished',
    ])
  })

  test('an answer that would be a refusal anyway is no less one for the fault', async () => {
    await script({ do: 'unsigned' }, { do: 'reset_after' })
    const bad = { body: { out_trade_no: 'A 1' } }
    expect((await merchant.assign(guideId, 'A1', bad)).status).toBe(400)
    await expect(merchant.assign(guideId, 'A1', bad)).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(await merchant.lastEntry()).toMatchObject({ carried_out: false })
  })
})

describe('the plan of faults', () => {
  test('the script goes first, in order, each step for its call and as often as it says', async () => {
    await script(
      { on: 'query', do: 'status_500' },
      { on: 'assign', do: 'no_auth', times: 2 },
      { do: 'status_502' },
    )
    const seen: number[] = []
    for (const no of ['A1', 'A2', 'A3', 'A4'])
      seen.push((await merchant.assign(guideId, no)).status)
    expect(seen).toEqual([403, 403, 502, 204])
    const query = () => merchant.call('GET', '/v3/smartguide/guides?store_id=1')
    expect([(await query()).status, (await query()).status]).toEqual([500, 200])
  })

  test('rates are drawn with a seed: the same seed, the same faults', async () => {
    async function run(seed: number): Promise<number[]> {
      await merchant.control('PUT', '/faults', { seed, rates: { status_500: 0.3, no_auth: 0.2 } })
      const seen: number[] = []
      for (let each = 0; each < 60; each += 1) {
        seen.push((await merchant.assign(guideId, `A${each}`)).status)
      }
      return seen
    }
    const first = await run(7)
    expect(await run(7)).toEqual(first)
    expect(await run(8)).not.toEqual(first)
    expect(new Set(first)).toEqual(new Set([204, 403, 500]))
  })

  test('latency is drawn around its median', async () => {
    await merchant.control('PUT', '/faults', { seed: 1, latency_ms: { p50: 40, p99: 60 } })
    const tookMs: number[] = []
    for (const no of ['A1', 'A2', 'A3']) {
      const startedMs = performance.now()
      await merchant.assign(guideId, no)
      tookMs.push(performance.now() - startedMs)
    }
    expect(Math.min(...tookMs)).toBeGreaterThan(20)
  })

  test('an outage refuses connections, for real, and ends', async () => {
    await merchant.control('POST', '/outage', { for_ms: 300 })
    await lateness(80)
    expect(await assign('A1')).toEqual({ error: 'ECONNREFUSED' })
    await lateness(350)
    expect(await assign('A1')).toEqual({ status: 204, verified: true })
  })
})

test('the rate limit is a bucket of one second, and lets calls through again as time goes by', async () => {
  let nowMs = Date.now()
  const limited = await openMerchant({ clock: () => nowMs })
  const guide = await limited.withGuide()
  await limited.control('PUT', '/faults', { rate_limit_per_second: 3 })
  const statuses = async (count: number) => {
    const seen: number[] = []
    for (let each = 0; each < count; each += 1)
      seen.push((await limited.assign(guide, 'A1')).status)
    return seen
  }
  expect(await statuses(5)).toEqual([204, 204, 204, 429, 429])
  nowMs += 667
  expect(await statuses(3)).toEqual([204, 204, 429])
  await limited.close()
})

function lateness(ms: number): Promise<'late'> {
  return new Promise(resolve => setTimeout(resolve, ms, 'late'))
}
