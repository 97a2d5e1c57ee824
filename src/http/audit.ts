import { createRoute, z } from '@hono/zod-openapi'
import { type Audit, type AuditRow, changeKinds } from '../access/audit.ts'
import {
  bearer,
  createRouter,
  instantQuery,
  isoOf,
  json,
  type Merchant,
  matching,
  mchidSchema,
  merchantOf,
  storeIdText,
} from './edge.ts'
import { memberIdSchema } from './owner-file.ts'
import { problems, refusal } from './problem.ts'

const standingSchema = z.record(z.string(), z.unknown()).nullable().openapi({
  description:
    'Null where there was nothing. Names, mobiles, links, reasons and secrets stand in no record: `known` names those that were there, `changed` those that became others. A document is told by its version and the SHA-256 of its text.',
})

const recordSchema = z
  .object({
    seq: z.int(),
    at: z.string(),
    key_id: z.string().nullable().openapi({ description: 'Null: the service itself.' }),
    key_name: z.string().nullable(),
    request_id: z.string().nullable(),
    kind: z.enum(changeKinds),
    action: z.enum(['created', 'changed', 'removed']),
    subject: z.string().openapi({
      description:
        'store_id, guide_id, id of the key or merchant; of an owner a pseudonym of the member: ask with `member_id`.',
    }),
    store_id: z.int().nullable(),
    before: standingSchema,
    after: standingSchema,
    hash: z.string(),
  })
  .openapi('AuditRecord')

const verifiedSchema = z
  .object({
    ok: z.boolean(),
    checked: z.int().openapi({ description: 'So many records are what was written.' }),
    first_bad: z.int().nullable().openapi({
      description: 'The number of the first that was altered, removed, moved or put in.',
    }),
    count: z.int(),
    hash: z.string(),
  })
  .openapi('VerifiedAudit')

const seqText = matching(/^[1-9]\d{0,14}$/, 'must be a number', '应为数字').transform(Number)
const inQuery = { param: { in: 'query' } } as const

const listQuery = z.strictObject({
  store_id: storeIdText.optional().openapi({ ...inQuery, type: 'integer' }),
  kind: z.enum(changeKinds).optional().openapi(inQuery),
  subject: z.string().min(1).max(128).optional().openapi(inQuery),
  member_id: memberIdSchema.optional().openapi(inQuery),
  sub_mchid: mchidSchema
    .optional()
    .openapi({ ...inQuery, description: 'In partner mode, with member_id.' }),
  key_id: z.string().min(1).max(64).optional().openapi(inQuery),
  from: instantQuery.optional(),
  to: instantQuery.optional(),
  cursor: seqText.optional().openapi({ ...inQuery, type: 'integer' }),
  limit: matching(/^([1-9]\d?|[1-4]\d\d|500)$/, 'must be 1 to 500', '应为 1 到 500')
    .default('100')
    .transform(Number)
    .openapi({ ...inQuery, type: 'integer' }),
})

const verifyQuery = z.strictObject({
  count: seqText.optional().openapi({ ...inQuery, type: 'integer' }),
  hash: matching(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex', '应为十六进制的 SHA-256')
    .optional()
    .openapi(inQuery),
})

/** Who changed what, for the administrators. */
export function createAuditRoutes({ audit, merchant }: { audit: Audit; merchant: Merchant }) {
  const common = { security: bearer, method: 'get' } as const
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden')

  /** What a record of the member's owner is about. */
  function memberOf({ member_id, sub_mchid, kind, subject }: z.infer<typeof listQuery>) {
    if (member_id === undefined) return { kind, subject }
    if (subject !== undefined || (kind !== undefined && kind !== 'owner')) {
      throw refusal(['member_id'], 'stands alone', '不能与 subject 或其他 kind 同时使用')
    }
    const of = merchantOf(merchant, sub_mchid)
    return { kind: 'owner' as const, subject: audit.pseudonym(of, member_id) }
  }

  return createRouter()
    .openapi(
      createRoute({
        ...common,
        path: '/audit',
        summary: 'Who changed what: documents, stores, guides, pauses, owners, settings, keys',
        request: { query: listQuery },
        responses: {
          200: {
            description: 'Newest first; `cursor` leads to the older ones, and is null at the end',
            content: json(
              z.object({ records: z.array(recordSchema), cursor: z.string().nullable() }),
            ),
          },
          ...refusals,
        },
      }),
      context => {
        const query = context.req.valid('query')
        const { store_id, key_id, from, to, cursor, limit } = query
        const found = audit.list({
          ...memberOf(query),
          storeId: store_id,
          keyId: key_id,
          fromMs: from === undefined ? undefined : Date.parse(from),
          toMs: to === undefined ? undefined : Date.parse(to),
          beforeSeq: cursor,
          limit: limit + 1,
        })
        const rows = found.slice(0, limit)
        const oldest = rows.at(-1)
        const next = found.length > limit && oldest ? String(oldest.seq) : null
        return context.json({ records: rows.map(viewRecord), cursor: next }, 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        path: '/audit/verify',
        summary: 'Whether each record is what was written, and none is missing',
        description:
          'Keep `count` and `hash` of an answer elsewhere, and send them with a later question: then a chain that was written anew as a whole is found too.',
        request: { query: verifyQuery },
        responses: {
          200: { description: 'What was found', content: json(verifiedSchema) },
          ...refusals,
        },
      }),
      async context => {
        const { count, hash } = context.req.valid('query')
        if ((count === undefined) !== (hash === undefined)) {
          const missing = count === undefined ? 'count' : 'hash'
          throw refusal([missing], 'goes with the other one', '须与另一项同时给出')
        }
        const known = count === undefined || hash === undefined ? null : { count, hash }
        const { checked, firstBad, head } = await audit.verify(known)
        const told = { ok: firstBad === null, checked, first_bad: firstBad }
        return context.json({ ...told, ...(head ?? { count: 0, hash: '' }) }, 200)
      },
    )
}

function viewRecord(row: AuditRow): z.infer<typeof recordSchema> {
  const [before, after] = [row.before, row.after].map(text =>
    text === null ? null : JSON.parse(text),
  )
  return {
    seq: row.seq,
    at: isoOf(row.atMs),
    key_id: row.keyId,
    key_name: row.keyName,
    request_id: row.requestId,
    kind: row.kind,
    action: before === null ? 'created' : after === null ? 'removed' : 'changed',
    subject: row.subject,
    store_id: row.storeId,
    before,
    after,
    hash: row.hash,
  }
}
