import { getEventListeners, once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readCollector } from '../../src/collector.ts'
import { checkOthers } from '../../src/doctor/settings.ts'
import type { Order } from '../../src/ledger/order.ts'
import type { Mirror } from '../../src/mirror/mirror.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { openExporter } from '../../src/telemetry/exporter.ts'
import { type Span, spansOf } from '../../src/telemetry/spans.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { readMetrics } from '../support/scrape.ts'
import { type Env, prepareData, settingsFor, startProcess } from '../support/service-process.ts'

const traceId = 'a'.repeat(32)
const spanId = 'b'.repeat(16)
const decidedAtMs = 1_795_000_000_000

const attempts = [
  { at_ms: decidedAtMs + 2, host: 'one', ms: 10.5, outcome: 'server_error', request_id: null },
  { at_ms: decidedAtMs + 20, host: 'two', ms: 5, outcome: 'accepted', request_id: 'R' },
]

function anOrder(change: Partial<Order> = {}): Order {
  const order: Partial<Order> = {
    merchant: '1',
    outTradeNo: 'A1',
    storeId: 1,
    facts: '{"member_id":"oSECRET"}',
    status: 'assigned',
    reason: 'turn',
    guideId: 'G',
    generation: 1,
    decidedAtMs,
    settledAtMs: decidedAtMs + 25,
    attempts: JSON.stringify(attempts),
    attemptCount: 2,
    ...change,
  }
  return order as Order
}

const aTrace = (isSampled: boolean) => ({
  origin: { requestId: 'req', trace: { traceId, spanId, isSampled } },
  recordedMs: 1.25,
})
const attributesOf = (span: Span | undefined) =>
  Object.fromEntries(span?.attributes.map(({ key, value }) => [key, Object.values(value)[0]]) ?? [])
const lengthMs = (span: Span | undefined) =>
  Number(BigInt(span?.endTimeUnixNano ?? 0) - BigInt(span?.startTimeUnixNano ?? 0)) / 1e6

describe('the spans of an order', () => {
  const seed = Buffer.alloc(16, 1)
  const statuses = new Map([[`${decidedAtMs + 2} one`, 500]])

  it("are one below the caller's, with its recording and its attempts below that, as long as they took", () => {
    const spans = spansOf({ ...anOrder(), inHand: aTrace(true), statuses }, seed)
    const [order, recording, first, second] = spans
    expect(spans.map(({ name }) => name)).toEqual([
      'assign order',
      'decide and record',
      'POST assign',
      'POST assign',
    ])
    expect(new Set(spans.map(span => span.traceId))).toEqual(new Set([traceId]))
    expect(order?.parentSpanId).toBe(spanId)
    expect([recording, first, second].map(span => span?.parentSpanId)).toEqual(
      Array(3).fill(order?.spanId),
    )
    expect(new Set(spans.map(span => span.spanId)).size).toBe(4)
    expect(spans.map(lengthMs)).toEqual([25, 1.25, 10.5, 5])
    expect(order?.startTimeUnixNano).toBe(`${decidedAtMs}000000`)
    expect(attributesOf(first)).toMatchObject({
      'http.response.status_code': '500',
      'error.type': 'server_error',
      'server.address': 'one',
    })
    expect(attributesOf(second)).not.toHaveProperty('http.response.status_code')
    expect([order, first, second].map(span => span?.status.code)).toEqual([0, 2, 0])
    expect(JSON.stringify(spans)).not.toContain('SECRET')
  })

  it('begin a trace of their own without a caller, another for each seed', () => {
    const idsOf = (seed: Buffer) =>
      spansOf({ ...anOrder(), inHand: null, statuses }, seed).map(span => span.traceId)
    expect(new Set(idsOf(seed)).size).toBe(1)
    expect(idsOf(seed)[0]).toMatch(/^[0-9a-f]{32}$/)
    expect(idsOf(seed)[0]).not.toBe(idsOf(Buffer.alloc(16, 2))[0])
    const [order] = spansOf({ ...anOrder(), inHand: null, statuses }, seed)
    expect(order).not.toHaveProperty('parentSpanId')
  })

  it('of a later generation are of its own attempts, and never end before they began', () => {
    const later = [...attempts, { ...attempts[1], at_ms: decidedAtMs + 900, generation: 2 }]
    const settledAtMs = decidedAtMs - 5000
    const order = anOrder({
      generation: 2,
      attempts: JSON.stringify(later),
      attemptCount: 3,
      settledAtMs,
      status: 'rejected',
    })
    const spans = spansOf({ ...order, inHand: null, statuses }, seed)
    expect(spans.map(lengthMs)).toEqual([5, 5])
    expect(spans[0]?.startTimeUnixNano).toBe(`${decidedAtMs + 900}000000`)
    expect(spans[0]?.status.code).toBe(2)
  })
})

async function openCollector(listener: RequestListener = (_, response) => response.end('{}')) {
  const posts: { url: string; headers: IncomingHttpHeaders; spans: Span[]; json: unknown }[] = []
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray()
    const json = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    const { spans } = json.resourceSpans[0].scopeSpans[0]
    posts.push({ url: request.url ?? '', headers: request.headers, spans, json })
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    posts,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe('an exporter', () => {
  const limits = { maxQueued: 100, everyMs: 5, timeoutMs: 20_000, pauseMs: 10 }
  const open = (url: string, change = {}) => {
    const said: boolean[] = []
    const tell = (isWell: boolean) => said.push(isWell)
    const collector = { url, headers: { 'x-team': 'a b' }, serviceName: 'till' }
    return { said, ...openExporter(collector, { tell, limits: { ...limits, ...change } }) }
  }
  const sumOf = ({ dropped, exported, queued }: ReturnType<ReturnType<typeof open>['counts']>) =>
    Object.values(dropped).reduce((sum, count) => sum + count, exported + queued)

  it('posts what the collector takes, 64 orders at a time, and says which service it is', async () => {
    const collector = await openCollector()
    const exporter = open(collector.url)
    for (let n = 0; n < 100; n++) exporter.take(anOrder({ outTradeNo: `A${n}` }), null)
    await eventually(async () => exporter.counts().exported === 100)
    expect(collector.posts.map(({ spans }) => spans.length)).toEqual([64 * 3, 36 * 3])
    const [first] = collector.posts
    expect(first?.headers).toMatchObject({ 'content-type': 'application/json', 'x-team': 'a b' })
    expect(JSON.stringify(first?.json)).toContain(
      '{"key":"service.name","value":{"stringValue":"till"}}',
    )
    await exporter.close(100)
    collector.close()
  })

  it('leaves out what its caller does not sample', async () => {
    const collector = await openCollector()
    const exporter = open(collector.url)
    exporter.take(anOrder(), aTrace(false))
    exporter.take(anOrder(), aTrace(true))
    await exporter.close(500)
    expect(collector.posts.flatMap(({ spans }) => spans)).toHaveLength(4)
    expect(exporter.counts()).toMatchObject({ exported: 1, queued: 0 })
    collector.close()
  })

  const hang: RequestListener = () => {}
  const endless: RequestListener = (_, response) => {
    const pour = () => {
      while (response.write('x'.repeat(65_536)));
    }
    response.on('drain', pour)
    pour()
  }
  const answers =
    (...statuses: number[]): RequestListener =>
    (_, response) => {
      const [status = 200] = statuses.splice(0, 1)
      response.writeHead(status, { location: '/elsewhere' }).end('{}')
    }

  it.each([
    ['is silent', hang, 'unreachable', 3],
    ['answers 500', answers(500), 'refused', 1],
    ['answers 400', answers(400), 'refused', 1],
    ['sends elsewhere', answers(307), 'refused', 1],
    ['answers 503 for ever', answers(503, 503, 503), 'unreachable', 3],
    ['answers 503 twice', answers(503, 429), null, 3],
    ['answers without end', endless, null, 1],
  ] as const)(
    'tries again only what it may when the collector %s, and counts what it gives up',
    async (_, listener, why, posts) => {
      const collector = await openCollector(listener)
      const exporter = open(collector.url, listener === hang ? { timeoutMs: 100 } : {})
      exporter.take(anOrder(), null)
      await eventually(async () => exporter.counts().queued === 0)
      const { dropped, exported } = exporter.counts()
      expect(why === null ? exported : dropped[why]).toBe(1)
      expect(collector.posts).toHaveLength(posts)
      expect(sumOf(exporter.counts())).toBe(1)
      await exporter.close(100)
      collector.close()
    },
  )

  it('keeps no more than it may while nobody takes it, says so once, and ends in time', async () => {
    const collector = await openCollector(hang)
    const exporter = open(collector.url, { timeoutMs: 60_000 })
    for (let n = 0; n < 1000; n++) exporter.take(anOrder(), null)
    await eventually(async () => collector.posts.length > 0)
    for (let n = 0; n < 1000; n++) exporter.take(anOrder(), null)
    expect(exporter.counts().queued).toBeLessThanOrEqual(164)
    expect(exporter.counts().dropped.queue_full).toBeGreaterThan(1800)
    const startMs = performance.now()
    await exporter.close(200)
    expect(performance.now() - startMs).toBeLessThan(1000)
    expect(exporter.counts().queued).toBe(0)
    expect(sumOf(exporter.counts())).toBe(2000)
    exporter.take(anOrder(), null)
    expect(exporter.counts().queued).toBe(0)
    collector.close()
  })

  it('keeps nothing of its pauses, however long the collector is down', async () => {
    const collector = await openCollector((_, response) => response.writeHead(503).end())
    const made: AbortSignal[] = []
    const Real = globalThis.AbortController
    globalThis.AbortController = class extends Real {
      constructor() {
        super()
        made.push(this.signal)
      }
    }
    const exporter = open(collector.url)
    globalThis.AbortController = Real
    const listening = () => made.flatMap(signal => getEventListeners(signal, 'abort')).length
    for (let n = 1; n <= 10; n++) {
      exporter.take(anOrder(), null)
      await eventually(async () => exporter.counts().dropped.unreachable === n)
    }
    expect(made.length).toBeGreaterThan(0)
    expect(listening()).toBe(0)
    await exporter.close(100)
    const patient = open(collector.url, { pauseMs: 20_000 })
    patient.take(anOrder(), null)
    await eventually(async () => patient.said.length > 0)
    const startMs = performance.now()
    await patient.close(1000)
    expect(performance.now() - startMs).toBeLessThan(2000)
    expect(patient.counts().dropped.stopped).toBe(1)
    collector.close()
  })

  it('says once that the collector is gone, and once that it is back', async () => {
    const collector = await openCollector(answers(400, 400, 400))
    const exporter = open(collector.url)
    for (let n = 1; n <= 5; n++) {
      exporter.take(anOrder(), null)
      await eventually(async () => collector.posts.length === n && exporter.counts().queued === 0)
    }
    expect(exporter.said).toEqual([false, true])
    await exporter.close(100)
    collector.close()
  })
})

describe('the settings', () => {
  const endpoint = 'OTEL_EXPORTER_OTLP_ENDPOINT'
  it.each([
    [{}, null],
    [{ [endpoint]: '' }, null],
    [{ [endpoint]: 'http://c:4318', OTEL_SDK_DISABLED: 'true' }, null],
    [{ [endpoint]: 'http://c:4318' }, { url: 'http://c:4318/v1/traces' }],
    [{ [endpoint]: 'https://c/otlp/' }, { url: 'https://c/otlp/v1/traces' }],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c/x' }, { url: 'http://c/x' }],
    [
      {
        [endpoint]: 'http://c',
        OTEL_EXPORTER_OTLP_HEADERS: 'a=all,b=all',
        OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'B=traces',
      },
      { url: 'http://c/v1/traces', headers: { b: 'traces' } },
    ],
    [
      {
        [endpoint]: 'http://c',
        OTEL_EXPORTER_OTLP_HEADERS: 'a=all',
        OTEL_EXPORTER_OTLP_TRACES_HEADERS: '',
      },
      { headers: { a: 'all' } },
    ],
    [
      {
        [endpoint]: 'http://c',
        OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Bearer%20k%3D, x=y',
        OTEL_SERVICE_NAME: 'n',
      },
      { headers: { authorization: 'Bearer k=', x: 'y' }, serviceName: 'n' },
    ],
  ])('%j are read as OpenTelemetry says', (env, is) => {
    const read = readCollector(env)
    if (is === null) expect(read).toBeNull()
    else expect(read).toMatchObject(is)
    if (is && 'headers' in is) expect(read?.headers).toEqual(is.headers)
  })

  it.each([
    [{ [endpoint]: 'collector:4318' }, /must be an http or https address/],
    [{ [endpoint]: 'http://u:secret@c' }, /must be an http or https address/],
    [{ [endpoint]: 'http://c', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /speaks http\/json alone/],
    [{ [endpoint]: 'http://c', OTEL_EXPORTER_OTLP_HEADERS: 'secret' }, /name=value pairs/],
    [{ [endpoint]: 'http://c', OTEL_EXPORTER_OTLP_HEADERS: 'a=%0d%0asecret' }, /name=value pairs/],
    [
      { [endpoint]: 'http://c', OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'secret' },
      /TRACES_HEADERS must be name=value pairs/,
    ],
  ])('%j are refused, and no secret is said', (env, why) => {
    expect(() => readCollector(env)).toThrow(why)
    expect(() => readCollector(env)).not.toThrow(/secret/)
    expect(checkOthers(env)).toMatchObject([{ status: 'fail', found: expect.stringMatching(why) }])
  })
})

describe('the service', () => {
  let dir: string
  let simulator: Simulator
  let env: Env
  let till: string
  let fill: (mirror: Mirror) => void

  beforeAll(async () => {
    dir = scratchDir()
    simulator = await startSimulator({ stateDir: join(dir, 'sim') })
    env = settingsFor(simulator, join(dir, 'data'))
    const merchant = env['WECHATPAY_MCHID'] ?? ''
    await control('PUT', '/stores/1', { name: 'store' })
    const made = await control('POST', '/guides', {
      store_id: 1,
      name: '张三',
      mobile: '13900000001',
    })
    const { guide_id } = JSON.parse(await made.text())
    fill = mirror => {
      mirror.putStore({ storeId: 1, merchant, name: 'store', timezone: 'Asia/Shanghai' })
      mirror.putGuide({ id: guide_id, storeId: 1, state: 'registered' })
    }
    till = prepareData(join(dir, 'data'), fill)
    mkdirSync(join(dir, 'hook'))
    writeFileSync(
      join(dir, 'hook', 'loads.mjs'),
      `import { registerHooks } from 'node:module'
registerHooks({ load(url, context, next) {
  if (url.includes('/src/')) process.stderr.write('LOADS ' + url + '\\n')
  return next(url, context)
} })`,
    )
  })
  afterAll(async () => {
    await simulator.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const control = (method: string, path: string, body: object) =>
    fetch(`${simulator.url}/_sim${path}`, {
      method,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  const assign = (url: string, no: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/orders/${no}/assign`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${till}`,
        'content-type': 'application/json',
        prefer: 'wait=5',
        ...headers,
      },
      body: JSON.stringify({ store_id: 1, member_id: 'oSECRET', amount: 777_777 }),
    })
  const loads = () => ({
    NODE_OPTIONS: `--import=${pathToFileURL(join(dir, 'hook', 'loads.mjs'))}`,
  })

  it('tells the collector of each order once it is settled, those of the last moment before it ends', async () => {
    const collector = await openCollector()
    const service = await startProcess({
      ...env,
      ...loads(),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-team=till',
    })
    expect(service.output()).toContain('/src/telemetry/exporter.ts')
    await control('PUT', '/faults', { script: [{ on: 'assign', do: 'status_500' }] })
    await assign(service.url, 'B1', { traceparent: `00-${traceId}-${spanId}-01` })
    await assign(service.url, 'B2', { traceparent: `00-${traceId}-${spanId}-00` })
    await assign(service.url, 'B3')
    expect(await service.end('SIGTERM')).toBe(0)
    expect(collector.posts[0]?.url).toBe('/v1/traces')
    expect(collector.posts[0]?.headers['x-team']).toBe('till')
    const spans = collector.posts.flatMap(post => post.spans)
    const roots = spans.filter(({ kind }) => kind === 2)
    expect(roots.map(root => attributesOf(root)['smartguide.out_trade_no']).sort()).toEqual([
      'B1',
      'B3',
    ])
    const [traced] = roots.filter(root => root.traceId === traceId)
    expect(traced?.parentSpanId).toBe(spanId)
    const calls = spans.filter(span => span.kind === 3 && span.parentSpanId === traced?.spanId)
    expect(calls.map(call => attributesOf(call)['http.response.status_code'])).toEqual([
      '500',
      '204',
    ])
    const all = JSON.stringify(collector.posts.map(({ json }) => json))
    for (const private_ of ['SECRET', '777777', '张三', '1390000', till]) {
      expect(all).not.toContain(private_)
    }
    collector.close()
  })

  it.concurrent('assigns orders as ever when the collector is silent, counts, and stops in time', async () => {
    const collector = await openCollector(() => {})
    const service = await startProcess({ ...env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) => assign(service.url, `C${n}`)),
    )
    expect(answers.every(({ status }) => status === 200)).toBe(true)
    const metrics = readMetrics(await (await fetch(`${service.url}/metrics`)).text())
    expect(metrics.value('smartguide_traces_queued')).toBe(40)
    expect(metrics.get('smartguide_traces_dropped_total', 'why').size).toBe(4)
    const startMs = performance.now()
    expect(await service.end('SIGTERM')).toBe(0)
    expect(performance.now() - startMs).toBeLessThan(5000)
    collector.close()
  })

  it.concurrent('loads nothing of it, and counts nothing, when no collector is named', async () => {
    const DATA_DIR = join(dir, 'other')
    const key = prepareData(DATA_DIR, fill)
    const service = await startProcess({ ...env, DATA_DIR, ...loads() })
    await assign(service.url, 'D1', { authorization: `Bearer ${key}` })
    expect(await (await fetch(`${service.url}/metrics`)).text()).not.toContain('smartguide_traces')
    await service.end('SIGTERM')
    expect(service.output()).toContain('/src/service.ts')
    expect(service.output()).not.toContain('/src/telemetry/')
  })
})
