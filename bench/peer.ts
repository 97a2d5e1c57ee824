import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { Wechatpay } from 'wechatpay-axios-plugin'

/**
 * The peer: what a competent developer writes in an afternoon from packages that exist. Fastify with a schema, one
 * table of guides and one of orders in SQLite, least recently served, the community's WeChat Pay client. It knows
 * stores and takes turns; no shifts, caps, owners, explanations, retries or resumption.
 */
const env = (name: string): string => process.env[name] ?? ''
const db = new Database(env('DATA_FILE'))
db.pragma('journal_mode = WAL')
db.exec(`
  CREATE TABLE guides (guide_id TEXT PRIMARY KEY, store_id INTEGER NOT NULL, last_served INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX guides_turn ON guides (store_id, last_served);
  CREATE TABLE orders (
    out_trade_no TEXT PRIMARY KEY, store_id INTEGER NOT NULL, guide_id TEXT NOT NULL, status TEXT NOT NULL,
    created_at TEXT NOT NULL, assigned_at TEXT
  )`)
const addGuide = db.prepare('INSERT INTO guides (guide_id, store_id) VALUES (?, ?)')
for (const { id, storeId } of JSON.parse(env('GUIDES'))) addGuide.run(id, storeId)

const findOrder = db.prepare<[string], { guide_id: string; status: string }>(
  'SELECT guide_id, status FROM orders WHERE out_trade_no = ?',
)
const nextGuide = db
  .prepare<[number], string>(
    'SELECT guide_id FROM guides WHERE store_id = ? ORDER BY last_served, guide_id LIMIT 1',
  )
  .pluck()
const served = db.prepare(
  'UPDATE guides SET last_served = (SELECT max(last_served) FROM guides WHERE store_id = ?) + 1 WHERE guide_id = ?',
)
const addOrder = db.prepare(
  "INSERT INTO orders (out_trade_no, store_id, guide_id, status, created_at) VALUES (?, ?, ?, 'pending', ?)",
)
const assigned = db.prepare(
  "UPDATE orders SET status = 'assigned', assigned_at = ? WHERE out_trade_no = ?",
)

const decide = db.transaction((outTradeNo: string, storeId: number): string => {
  const known = findOrder.get(outTradeNo)
  if (known) return known.guide_id
  const guideId = nextGuide.get(storeId)
  if (guideId === undefined) throw new Error('no guide')
  served.run(storeId, guideId)
  addOrder.run(outTradeNo, storeId, guideId, new Date().toISOString())
  return guideId
})

const wxpay = new Wechatpay({
  mchid: env('WECHATPAY_MCHID'),
  serial: env('WECHATPAY_SERIAL_NO'),
  privateKey: `file://${env('WECHATPAY_PRIVATE_KEY_FILE')}`,
  certs: { [env('WECHATPAY_PUBLIC_KEY_ID')]: `file://${env('WECHATPAY_PUBLIC_KEY_FILE')}` },
  baseURL: env('WECHATPAY_BASE_URLS'),
  proxy: false,
})
const assign = wxpay.chain('v3/smartguide/guides/{guide_id}/assign')

const app = Fastify()
app.post<{ Params: { no: string }; Body: { store_id: number } }>(
  '/orders/:no/assign',
  {
    schema: {
      body: {
        type: 'object',
        required: ['store_id'],
        properties: {
          store_id: { type: 'integer' },
          member_id: { type: 'string' },
          amount: { type: 'integer' },
        },
      },
    },
  },
  async (request, reply) => {
    if (request.headers.authorization !== `Bearer ${env('API_KEY')}`) return reply.code(401).send()
    const outTradeNo = request.params.no
    const guide_id = decide.immediate(outTradeNo, request.body.store_id)
    const headers = { 'Wechatpay-Serial': env('WECHATPAY_PUBLIC_KEY_ID') }
    await assign.post({ out_trade_no: outTradeNo }, { guide_id, headers })
    const assigned_at = new Date().toISOString()
    assigned.run(assigned_at, outTradeNo)
    return { out_trade_no: outTradeNo, status: 'assigned', guide_id, assigned_at }
  },
)
process.stdout.write(`"url":"${await app.listen({ port: 0, host: '127.0.0.1' })}"\n`)
process.once('SIGTERM', () => process.exit(0))
