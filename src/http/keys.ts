import { createRoute, z } from '@hono/zod-openapi'
import { type Key, type Keys, type NewKey, refuseKey, scopes } from '../access/keys.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { bearer, createRouter, instantSchema, isoOf, opaque, storeIdSchema } from './edge.ts'
import { problems, refusal } from './problem.ts'

const newKeySchema = z
  .strictObject({
    scope: z.enum(scopes),
    stores: z
      .array(storeIdSchema)
      .min(1)
      .max(1000)
      .optional()
      .openapi({ description: 'The stores that the key is for; absent: every store.' }),
    expires_at: instantSchema.optional(),
    name: opaque(64).optional(),
    signed: z.boolean().optional().openapi({
      description: 'The key is never sent: each request is signed with it.',
    }),
  })
  .openapi('NewKey')

const keySchema = z
  .object({
    id: z.string(),
    scope: z.enum(scopes),
    stores: z.array(z.int()).nullable(),
    name: z.string().nullable(),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    signed: z.boolean(),
    last_used_at: z
      .string()
      .nullable()
      .openapi({ description: 'Null: never. Of before the last restart to the minute.' }),
  })
  .openapi('Key')

const createdSchema = keySchema
  .extend({
    key: z
      .string()
      .openapi({ description: 'Shown this once; of a key that signs, what it signs with.' }),
  })
  .openapi('CreatedKey')

export function createKeyRoutes({ keys, clock }: { keys: Keys; clock: Clock }) {
  return createRouter()
    .openapi(
      createRoute({
        method: 'post',
        path: '/keys',
        summary: 'Make an API key',
        security: bearer,
        request: {
          body: { required: true, content: { 'application/json': { schema: newKeySchema } } },
        },
        responses: {
          201: {
            description: 'The key, told this once',
            content: { 'application/json': { schema: createdSchema } },
          },
          ...problems('invalid_request', 'unauthorized', 'forbidden'),
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      context => {
        const { scope, stores, expires_at, name, signed } = context.req.valid('json')
        const nowMs = clock.nowMs()
        const asked: NewKey = {
          scope,
          stores: stores ?? null,
          name: name ?? null,
          expiresAtMs: expires_at === undefined ? null : Date.parse(expires_at),
          signed: signed ?? false,
        }
        const fault = refuseKey(asked, nowMs)
        if (fault) throw refusal([fault.field], fault.en, fault.zh)
        const made = keys.create(asked, nowMs)
        return context.json({ ...viewKey({ ...made, lastUsedMs: null }), key: made.key }, 201)
      },
    )
    .openapi(
      createRoute({
        method: 'get',
        path: '/keys',
        summary: 'The API keys, without their secrets',
        security: bearer,
        responses: {
          200: {
            description: 'Oldest first',
            content: { 'application/json': { schema: z.object({ keys: z.array(keySchema) }) } },
          },
          ...problems('unauthorized', 'forbidden'),
        },
      }),
      context => context.json({ keys: keys.list().map(viewKey) }, 200),
    )
    .openapi(
      createRoute({
        method: 'delete',
        path: '/keys/{id}',
        summary: 'Revoke an API key, at once',
        security: bearer,
        request: { params: z.object({ id: z.string().max(64) }) },
        responses: {
          204: { description: 'Revoked' },
          ...problems('invalid_request', 'unauthorized', 'forbidden'),
          ...problems('key_not_found', 'storage_full'),
        },
      }),
      context => {
        const { id } = context.req.valid('param')
        if (keys.remove(id)) return context.body(null, 204)
        throw new AppError('key_not_found', {
          en: `Key ${id} is not known here.`,
          zh: `这里没有密钥 ${id}。`,
        })
      },
    )
}

function viewKey({
  id,
  scope,
  stores,
  name,
  createdAtMs,
  expiresAtMs,
  signed,
  lastUsedMs,
}: Key & { lastUsedMs: number | null }) {
  return {
    id,
    scope,
    stores: stores === null ? null : [...stores],
    name,
    created_at: isoOf(createdAtMs),
    expires_at: expiresAtMs === null ? null : isoOf(expiresAtMs),
    signed,
    last_used_at: lastUsedMs === null ? null : isoOf(lastUsedMs),
  }
}
