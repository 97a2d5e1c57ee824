import { createRoute, z } from '@hono/zod-openapi'
import { documentKinds, type StoreDocuments } from '../mirror/mirror.ts'
import { diff } from './diff.ts'
import { overtakenBy } from './documents.ts'
import { bearer, createRouter, findStore, isoOf, json, storeParams } from './edge.ts'
import { createNaming } from './guide-names.ts'
import { answerLanguage } from './language.ts'
import {
  authorOf,
  bodyRef,
  documentSchemas,
  lintDays,
  lintDocuments,
  type ManagerDeps,
  newestDocuments,
  warningSchema,
} from './manager.ts'
import { problems } from './problem.ts'
import { readBody } from './read-body.ts'
import { viewStore } from './stores.ts'

const fileSchema = z
  .strictObject({
    format: z.literal('smartguide-store/1'),
    exported_at: z.string().max(64).optional(),
    store: z
      .object({ store_id: z.int(), name: z.string(), timezone: z.string() })
      .partial()
      .extend({ sub_mchid: z.string().optional() })
      .optional()
      .openapi({ description: 'Where it came from; not imported.' }),
    ...documentSchemas,
    pauses: z
      .array(z.object({ guide_id: z.string(), until: z.string(), why: z.string() }))
      .max(10_000)
      .optional()
      .openapi({ description: 'Those of that moment; not imported.' }),
  })
  .openapi('StoreFile')

const kindList = z.array(z.enum(documentKinds))

const importedSchema = z
  .object({
    dry_run: z.boolean(),
    changed: kindList.openapi({
      description: 'The documents that differ from the newest or from the one in force.',
    }),
    versions: z.object({ staff: z.int(), roster: z.int(), plan: z.int() }),
    warnings: z.array(warningSchema),
  })
  .openapi('ImportedStore')

/** A store's rules as one file, to keep or to carry to another store. */
export function createStoreFileRoutes({ mirror, guides, clock, merchant }: ManagerDeps) {
  const naming = createNaming(guides, mirror)
  const common = { security: bearer }
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found')

  return createRouter()
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        path: '/stores/{store_id}/export',
        summary: 'The newest documents of a store as one JSON',
        request: { params: storeParams },
        responses: { 200: { description: 'The file', content: json(fileSchema) }, ...refusals },
      }),
      context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const nowMs = clock.nowMs()
        const pauses = mirror
          .pauses(store.storeId, nowMs)
          .map(({ guideId, untilMs, why }) => ({ guide_id: guideId, until: isoOf(untilMs), why }))
        return context.json(
          {
            format: 'smartguide-store/1' as const,
            exported_at: isoOf(nowMs),
            store: viewStore(store, merchant.mode),
            ...newestDocuments(mirror, store),
            pauses,
          },
          200,
        )
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/stores/{store_id}/import',
        summary: 'Publish the documents of such a file that differ, all or none',
        request: {
          params: storeParams,
          query: z.strictObject({
            dry_run: z
              .enum(['true', 'false'])
              .optional()
              .openapi({ param: { in: 'query' } }),
          }),
          body: bodyRef('StoreFile'),
        },
        responses: {
          200: { description: 'What was changed', content: json(importedSchema) },
          ...refusals,
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      async context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const isRehearsal = context.req.valid('query').dry_run === 'true'
        const language = answerLanguage(context)
        const subject = { en: 'file', zh: '文件' }
        const { staff, roster, plan } = await readBody(context, fileSchema, subject, language)
        const documents: StoreDocuments = { staff, roster, plan }
        const nowMs = clock.nowMs()
        const newest = newestDocuments(mirror, store)
        const inForce = mirror.documentsAt(store, nowMs)
        const changed = documentKinds.filter(kind =>
          [newest[kind], inForce[kind].body].some(known => diff(known, documents[kind]).length > 0),
        )
        if (!isRehearsal) {
          const bodies = Object.fromEntries(changed.map(kind => [kind, documents[kind]]))
          const written = { author: authorOf(context.var.key), atMs: nowMs }
          mirror.putDocuments(store.storeId, bodies, written)
        }
        const span = { fromMs: nowMs, days: lintDays }
        const versions = {
          staff: mirror.newest(store, 'staff').version,
          roster: mirror.newest(store, 'roster').version,
          plan: mirror.newest(store, 'plan').version,
        }
        const warnings = [
          ...changed.flatMap(kind => overtakenBy(mirror, store, kind, nowMs, language)),
          ...lintDocuments(mirror, store, documents, span, language, naming(context, store, nowMs)),
        ]
        return context.json({ dry_run: isRehearsal, changed, versions, warnings }, 200)
      },
    )
}
