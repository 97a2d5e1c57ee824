import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { z } from 'zod'
import { channel } from './bill.ts'
import { billPage } from './bill-page.ts'
import { type FaultSource, faultPlan } from './faults.ts'
import { newGuideId } from './guide-id.ts'
import type { Platform } from './platform.ts'
import { policies } from './policies.ts'
import { present } from './present.ts'
import type { RequestLog } from './request-log.ts'
import { cardSettings, type Guide, type World } from './world.ts'

const MAX_CONTROL_BYTES = 4 * 1024 * 1024
const DEFAULT_OVERLAP_SECONDS = 86_400

const words = (maxChars: number) => z.string().min(1).max(maxChars)
const subMchid = z.string().regex(/^\d{1,32}$/, 'sub_mchid is 1 to 32 digits')
const orderNo = z
  .string()
  .regex(/^[0-9A-Za-z_\-|*!@]{1,32}$/, 'out_trade_no is 1 to 32 of 0-9 A-Z a-z _ - | * ! @')

const storeBody = z.strictObject({ name: words(64), sub_mchid: subMchid.optional() })
const payBody = z.strictObject({ channel: channel.optional(), sub_mchid: subMchid.optional() })
const guideChanges = z.strictObject({ name: z.string().optional(), mobile: z.string().optional() })
const rotateBody = z.strictObject({ overlap_seconds: z.int().min(0).max(31_536_000).optional() })
const outageBody = z.strictObject({ for_ms: z.int().min(100).max(600_000) })
const personalGuide = z.strictObject({
  store_id: z.int(),
  name: words(64),
  mobile: words(32),
  work_id: words(64).optional(),
  avatar: words(1024).optional(),
  qr_code: words(1024).optional(),
})

const abouts: Record<string, string> = {
  'GET /_sim': 'this list',
  'GET /_sim/log': '?since=SEQ: the calls that came, as they came, with our answers',
  'DELETE /_sim/log': 'forgets them',
  'GET /_sim/faults': 'what goes wrong on purpose',
  'PUT /_sim/faults':
    '{script?: [{on?, do, times?}], rates?: {FAULT: 0..1}, latency_ms?: {p50, p99}, rate_limit_per_second?}; {} ends them',
  'GET /_sim/policies': 'how the undocumented is answered',
  'PUT /_sim/policies': 'any of what GET says: auto_assign, edition, key_mode, after_payment …',
  'GET /_sim/card': 'what the card on the bill shows',
  'PUT /_sim/card': 'any of what GET says',
  'GET /_sim/stores': 'the stores of the merchant platform',
  'PUT /_sim/stores/:store_id': '{name, sub_mchid?}: a store that the platform has verified',
  'GET /_sim/guides': 'who is registered, decrypted',
  'POST /_sim/guides':
    '{store_id, name, mobile, work_id?, avatar?, qr_code?}: a guide of personal WeChat, invited and approved',
  'PATCH /_sim/guides/:guide_id': '{name?, mobile?}: changed at the platform',
  'DELETE /_sim/guides/:guide_id': 'gone at the platform',
  'POST /_sim/pay/:out_trade_no':
    '{channel?, sub_mchid?}: the payer pays; the card of the bill, or why there is none',
  'GET /_sim/bills/:out_trade_no':
    '?pay=now&channel=CHANNEL&sub_mchid=NUMBER: the bill as a page, paid first if so asked',
  'POST /_sim/rotate': '{overlap_seconds?}: a new platform certificate',
  'POST /_sim/merchant-key': '{overlap_seconds?}: a new merchant.{key,serial,cert}',
  'POST /_sim/outage': '{for_ms}: the port is closed for so long',
}

const about = (method: string, path: string) => abouts[`${method} ${path}`]

export interface Listener {
  /** Closes the port and every connection, and opens the port again afterwards. */
  outage(forMs: number): void
}

/** Everything under /_sim: what a merchant platform, a payer and a tester can do. */
export function createControl(
  platform: Platform,
  faults: FaultSource,
  log: RequestLog,
  listener: Listener,
) {
  const { world, orders, keys, merchantKeys, keyRing, clock } = platform
  const app = new Hono().basePath('/_sim')
  app.use(
    bodyLimit({
      maxSize: MAX_CONTROL_BYTES,
      onError: c => fault(c, 413, 'the body is over 4 MiB'),
    }),
  )

  app.get('/', c => {
    const calls = app.routes.filter(({ method }) => method !== 'ALL')
    return c.json({
      calls: calls.map(({ method, path }) => ({ method, path, about: about(method, path) })),
    })
  })

  app.get('/log', c => {
    const since = z.coerce.number().int().min(0).default(0).safeParse(c.req.query('since'))
    if (!since.success) return fault(c, 400, 'since must be a whole number, 0 or more')
    return c.json({ entries: log.since(since.data) })
  })
  app.delete('/log', c => {
    log.clear()
    return c.body(null, 204)
  })

  app.get('/faults', c => c.json(faults.plan()))
  app.put('/faults', c =>
    withBody(c, faultPlan, plan => {
      faults.replace(plan)
      return c.json(faults.plan())
    }),
  )

  app.get('/policies', c => c.json(world.policies()))
  app.put('/policies', c =>
    withBody(c, policies.partial(), changes => c.json(world.setPolicies(present(changes)))),
  )

  app.get('/card', c => c.json(world.card()))
  app.put('/card', c =>
    withBody(c, cardSettings.partial(), changes => c.json(world.setCard(present(changes)))),
  )

  app.get('/stores', c => c.json({ stores: world.stores() }))
  app.put('/stores/:store_id', c =>
    withBody(c, storeBody, ({ name, sub_mchid }) => {
      const storeId = z.coerce.number().int().min(0).safeParse(c.req.param('store_id'))
      if (!storeId.success) return fault(c, 400, 'store_id must be a whole number, 0 or more')
      const store = { store_id: storeId.data, name, sub_mchid: sub_mchid ?? null }
      world.putStore(store)
      return c.json(store)
    }),
  )

  app.get('/guides', c => c.json({ guides: world.guides().map(guide => listed(guide, world)) }))
  app.post('/guides', c =>
    withBody(c, personalGuide, fields => {
      if (!world.store(fields.store_id))
        return fault(c, 400, `there is no store ${fields.store_id}`)
      const guideId = newGuideId()
      const guide: Guide = {
        ...present(fields),
        store_id: fields.store_id,
        name: fields.name,
        mobile: fields.mobile,
        guide_id: guideId,
        kind: 'personal',
        work_id: fields.work_id ?? `W${guideId.slice(-8)}`,
      }
      world.addGuide(guide)
      return c.json(listed(guide, world), 201)
    }),
  )

  app.patch('/guides/:guide_id', c =>
    withBody(c, guideChanges, changes => {
      const guide = world.guides().find(({ guide_id }) => guide_id === c.req.param('guide_id'))
      if (!guide) return fault(c, 404, 'there is no such guide')
      world.changeGuide(guide, present(changes))
      return c.json(listed(guide, world))
    }),
  )
  app.delete('/guides/:guide_id', c => {
    const guide = world.guides().find(({ guide_id }) => guide_id === c.req.param('guide_id'))
    if (!guide) return fault(c, 404, 'there is no such guide')
    world.removeGuide(guide)
    return c.body(null, 204)
  })

  app.post('/pay/:out_trade_no', c =>
    withBody(c, payBody, body => {
      const outTradeNo = orderNo.safeParse(c.req.param('out_trade_no'))
      if (!outTradeNo.success) return fault(c, 400, sentence(outTradeNo.error))
      return c.json(
        orders.pay({
          outTradeNo: outTradeNo.data,
          subMchid: body.sub_mchid ?? null,
          channel: body.channel ?? 'payment_code',
          paidAtMs: clock(),
        }),
      )
    }),
  )
  // `?pay=now` is the payer's thumb: a link that a person can open, for people without the pay call.
  app.get('/bills/:out_trade_no', c => {
    const outTradeNo = orderNo.safeParse(c.req.param('out_trade_no'))
    if (!outTradeNo.success) return fault(c, 400, sentence(outTradeNo.error))
    const order = { outTradeNo: outTradeNo.data, subMchid: c.req.query('sub_mchid') ?? null }
    const paidBy = channel.default('payment_code').safeParse(c.req.query('channel'))
    if (!paidBy.success) return fault(c, 400, `channel: ${sentence(paidBy.error)}`)
    const bill =
      c.req.query('pay') === 'now'
        ? orders.pay({ ...order, channel: paidBy.data, paidAtMs: clock() })
        : orders.bill(order.outTradeNo, order.subMchid)
    c.header(
      'Content-Security-Policy',
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    )
    return c.html(billPage(order, bill, world), bill ? 200 : 404)
  })

  app.post('/rotate', c =>
    withBody(c, rotateBody, async ({ overlap_seconds = DEFAULT_OVERLAP_SECONDS }) => {
      const inForce = await keyRing.rotate(overlap_seconds * 1000)
      return c.json({ serial_nos: inForce.map(({ serialNo }) => serialNo) })
    }),
  )
  app.post('/merchant-key', c =>
    withBody(c, rotateBody, async ({ overlap_seconds = DEFAULT_OVERLAP_SECONDS }) => {
      await merchantKeys.renew(overlap_seconds * 1000)
      return c.json({ serial_no: keys.merchantSerialNo })
    }),
  )
  app.post('/outage', c =>
    withBody(c, outageBody, ({ for_ms }) => {
      listener.outage(for_ms)
      return c.json({ for_ms }, 202)
    }),
  )

  app.notFound(c => fault(c, 404, `the simulator has no ${c.req.method} ${c.req.path}`))
  return app
}

/** An empty body stands for {}. */
async function withBody<T extends z.ZodType>(
  c: Context,
  schema: T,
  answer: (body: z.infer<T>) => Response | Promise<Response>,
): Promise<Response> {
  const text = await c.req.text()
  const json = parseJson(text === '' ? '{}' : text)
  if (json === undefined) return fault(c, 400, 'the body is not JSON')
  const body = schema.safeParse(json)
  return body.success ? answer(body.data) : fault(c, 400, sentence(body.error))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function sentence({ issues }: z.ZodError): string {
  return issues
    .map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
    .join('; ')
}

function fault(c: Context, status: 400 | 404 | 413, message: string): Response {
  return c.json({ message }, status)
}

function listed(guide: Guide, world: World) {
  return { ...guide, sub_mchid: world.store(guide.store_id)?.sub_mchid ?? null }
}
