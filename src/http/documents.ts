import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../errors.ts'
import {
  type DocumentKind,
  documentKinds,
  type Mirror,
  type Store,
  type StoreDocuments,
  type Version,
} from '../mirror/mirror.ts'
import { calendarOf, sayInstant } from '../rules/calendar.ts'
import { diff } from './diff.ts'
import {
  bearer,
  createRouter,
  findStore,
  instantQuery,
  isoOf,
  json,
  matching,
  storeParams,
} from './edge.ts'
import type { Env } from './env.ts'
import { etagOf, matchVersion, needIfMatch, stale } from './etag.ts'
import { createNaming } from './guide-names.ts'
import { answerLanguage, type Language } from './language.ts'
import {
  authorOf,
  bodyRef,
  documentSchemas,
  lintDays,
  lintDocuments,
  type ManagerDeps,
  newestDocuments,
  subjects,
  type WireWarning,
  warningSchema,
} from './manager.ts'
import { problems, refusal } from './problem.ts'
import { readBody } from './read-body.ts'

type AnyDocument = StoreDocuments[DocumentKind]

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const maxAheadMs = 400 * dayMs

const metaSchema = z.object({
  version: z.int(),
  author: z.string().nullable(),
  written_at: z.string().nullable(),
  effective_at: z.string().nullable(),
})

const versionText = matching(
  /^(0|[1-9]\d{0,8})$/,
  'must be the number of a version',
  '应为版本号（数字）',
)
  .transform(Number)
  .openapi({ param: { in: 'path' }, type: 'integer', example: 3 })

const publishQuery = z.strictObject({
  dry_run: z
    .enum(['true', 'false'])
    .optional()
    .openapi({
      param: { in: 'query' },
      description: 'Validates and lints, writes nothing; If-Match may be left out.',
    }),
  effective_at: instantQuery.optional().openapi({
    param: { in: 'query' },
    description:
      'When it takes effect, up to 400 days ahead; absent: at once. It then stands until a later effective_at, whatever is published for an earlier one; of two for one instant the newer counts.',
  }),
})
type PublishQuery = z.infer<typeof publishQuery>

const ifMatchHeader = z.object({
  'if-match': z
    .string()
    .optional()
    .openapi({ description: 'The ETag of the newest version.', example: '"3"' }),
})

/** A store's staff, roster and plan: read, publish, look back, restore. All three alike. */
export function createDocumentRoutes({ mirror, guides, clock }: ManagerDeps) {
  const naming = createNaming(guides, mirror)
  const routes = createRouter()
  for (const kind of documentKinds) addRoutes(kind)
  return routes

  function addRoutes(kind: DocumentKind): void {
    const schema: z.ZodType<AnyDocument> = documentSchemas[kind]
    const name = `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`
    const path = `/stores/{store_id}/${kind}` as const
    const common = { security: bearer }
    const refusals = problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found')
    const publishedSchema = z
      .object({
        kind: z.literal(kind),
        version: z.int().nullable().openapi({ description: 'Null when nothing was written.' }),
        effective_at: z.string(),
        document: schema,
        warnings: z.array(warningSchema),
      })
      .openapi(`Published${name}`)
    const versionSchema = metaSchema
      .extend({ kind: z.literal(kind), document: schema })
      .openapi(`${name}Version`)

    routes
      .openapi(
        createRoute({
          ...common,
          method: 'get',
          path,
          summary: `The newest ${kind}, or the one in force at an instant`,
          description:
            'ETag names the version, and of a default staff also who stands in it. X-Effective-At says when a version takes effect that is not in force yet. X-Overtaken-By names an older version that takes the place of the newest one, and when. To call a waiting version off, publish the one that is to stay with the same effective_at: of two for one instant the newer counts.',
          request: {
            params: storeParams,
            query: z.strictObject({
              at: instantQuery.optional(),
            }),
          },
          responses: { 200: { description: 'The document', content: json(schema) }, ...refusals },
        }),
        context => {
          const store = findStore(context, mirror, context.req.valid('param').store_id)
          const { at } = context.req.valid('query')
          const found =
            at === undefined
              ? mirror.newest(store, kind)
              : mirror.documentsAt(store, Date.parse(at))[kind]
          context.header('ETag', etagOf(kind, found))
          if (found.effectiveAtMs > clock.nowMs()) {
            context.header('X-Effective-At', isoOf(found.effectiveAtMs))
          }
          const later = firstAfter(mirror, store, kind, found.effectiveAtMs)
          if (at === undefined && later !== null) {
            const overtakenAt = isoOf(later.effectiveAtMs)
            context.header('X-Overtaken-By', `"${later.version}" at ${overtakenAt}`)
          }
          return context.json(found.body, 200)
        },
      )
      .openapi(
        createRoute({
          ...common,
          method: 'put',
          path,
          summary: `Publish a new version of the ${kind}`,
          description: 'Faults and warnings are told in the language of Accept-Language, zh or en.',
          request: {
            params: storeParams,
            query: publishQuery,
            headers: ifMatchHeader,
            body: bodyRef(name),
          },
          responses: {
            200: { description: 'Published, or checked', content: json(publishedSchema) },
            ...refusals,
            ...problems('precondition_failed', 'precondition_required', 'body_too_large'),
            ...problems('unsupported_media_type', 'storage_full'),
          },
        }),
        async context => {
          const store = findStore(context, mirror, context.req.valid('param').store_id)
          const query = context.req.valid('query')
          const language = answerLanguage(context)
          if (query.dry_run !== 'true') needIfMatch(context.req.header('if-match'))
          const document = await readBody(context, schema, subjects[kind], language)
          return context.json(publish(context, store, kind, document, query, language), 200)
        },
      )
      .openapi(
        createRoute({
          ...common,
          method: 'get',
          path: `${path}/versions`,
          summary: `The versions of the ${kind}, newest first`,
          description: 'At most the newest 1,000. Version 0 is the default, which nobody wrote.',
          request: { params: storeParams },
          responses: {
            200: {
              description: 'Newest first',
              content: json(z.object({ versions: z.array(metaSchema) })),
            },
            ...refusals,
          },
        }),
        context => {
          const store = findStore(context, mirror, context.req.valid('param').store_id)
          const written = mirror.versions(store.storeId, kind)
          const oldest = written.at(-1)?.version ?? 1
          const all = oldest === 1 ? [...written, mirror.version(store, kind, 0)] : written
          const versions = all.flatMap(version => (version ? [viewMeta(version)] : []))
          return context.json({ versions }, 200)
        },
      )
      .openapi(
        createRoute({
          ...common,
          method: 'get',
          path: `${path}/versions/{version}`,
          summary: `One version of the ${kind}`,
          request: { params: storeParams.extend({ version: versionText }) },
          responses: {
            200: { description: 'The version', content: json(versionSchema) },
            ...refusals,
            ...problems('store_not_found', 'version_not_found'),
          },
        }),
        context => {
          const { store_id, version } = context.req.valid('param')
          const store = findStore(context, mirror, store_id)
          const found = findVersion(store, kind, version)
          return context.json({ kind, ...viewMeta(found), document: found.body }, 200)
        },
      )
      .openapi(
        createRoute({
          ...common,
          method: 'post',
          path: `${path}/versions/{version}/restore`,
          summary: `Publish an old ${kind} again, as a new version`,
          request: {
            params: storeParams.extend({ version: versionText }),
            query: publishQuery,
            headers: ifMatchHeader,
          },
          responses: {
            200: { description: 'Published, or checked', content: json(publishedSchema) },
            ...refusals,
            ...problems('store_not_found', 'version_not_found', 'storage_full'),
            ...problems('precondition_failed', 'precondition_required', 'body_too_large'),
          },
        }),
        context => {
          const { store_id, version } = context.req.valid('param')
          const store = findStore(context, mirror, store_id)
          const query = context.req.valid('query')
          const language = answerLanguage(context)
          if (query.dry_run !== 'true') needIfMatch(context.req.header('if-match'))
          const { body } = findVersion(store, kind, version)
          return context.json(publish(context, store, kind, body, query, language), 200)
        },
      )
      .openapi(
        createRoute({
          ...common,
          method: 'get',
          path: `${path}/versions/{version}/diff/{other}`,
          summary: `What changed from one version of the ${kind} to another`,
          description:
            'A change without `before` was added, one without `after` was removed. Entries of lists are compared by their index.',
          request: { params: storeParams.extend({ version: versionText, other: versionText }) },
          responses: {
            200: {
              description: 'The places that differ',
              content: json(
                z.object({
                  kind: z.literal(kind),
                  from: z.int(),
                  to: z.int(),
                  changes: z.array(
                    z.object({
                      pointer: z.string(),
                      before: z.unknown().optional(),
                      after: z.unknown().optional(),
                    }),
                  ),
                }),
              ),
            },
            ...refusals,
            ...problems('store_not_found', 'version_not_found'),
          },
        }),
        context => {
          const { store_id, version, other } = context.req.valid('param')
          const store = findStore(context, mirror, store_id)
          const [before, after] = [
            findVersion(store, kind, version),
            findVersion(store, kind, other),
          ]
          const changes = diff(before.body, after.body)
          return context.json({ kind, from: version, to: other, changes }, 200)
        },
      )
  }

  function findVersion(store: Store, kind: DocumentKind, version: number): Version<AnyDocument> {
    const found = mirror.version(store, kind, version)
    if (found) return found
    throw new AppError('version_not_found', {
      en: `Version ${version} of the ${kind} is not known here.`,
      zh: `${subjects[kind].zh}没有版本 ${version}。`,
    })
  }

  /** Writes it, unless it is a rehearsal, and says what a manager should look at. */
  function publish(
    context: Context<Env>,
    store: Store,
    kind: DocumentKind,
    document: AnyDocument,
    query: PublishQuery,
    language: Language,
  ) {
    const { storeId } = store
    const nowMs = clock.nowMs()
    const effectiveAtMs = readEffectiveAt(query.effective_at, nowMs)
    const newest = mirror.newest(store, kind)
    matchVersion(context.req.header('if-match'), kind, newest)
    const draft: StoreDocuments = { ...newestDocuments(mirror, store), [kind]: document }
    const span = { fromMs: effectiveAtMs, days: lintDays }
    const warnings = [
      ...overtakenBy(mirror, store, kind, effectiveAtMs, language),
      ...lintDocuments(mirror, store, draft, span, language, naming(context, store, nowMs)),
    ]
    const answer = { kind, effective_at: isoOf(effectiveAtMs), document, warnings }
    if (query.dry_run === 'true') return { ...answer, version: null }

    const written = {
      author: authorOf(context.var.key),
      atMs: nowMs,
      effectiveAtMs,
      ifVersion: newest.version,
    }
    const version = mirror.putDocument(storeId, kind, document, written)
    if (version === null) throw stale(mirror.newest(store, kind).version)
    context.header('ETag', etagOf(kind, { version, body: document }))
    return { ...answer, version }
  }
}

/** A version that waits for a later day takes the place of whatever is published for an earlier one. */
export function overtakenBy(
  mirror: Mirror,
  store: Store,
  kind: DocumentKind,
  effectiveAtMs: number,
  language: Language,
): WireWarning[] {
  const later = firstAfter(mirror, store, kind, effectiveAtMs)
  if (!later) return []
  const until = isoOf(later.effectiveAtMs)
  const { timezone } = mirror.newest(store, 'staff').body
  const at = sayInstant(later.effectiveAtMs, calendarOf(timezone))
  return [
    {
      code: 'OVERTAKEN',
      pointer: `/${kind}`,
      message:
        language === 'zh'
          ? `版本 ${later.version} 于 ${at.zh}（门店时间）取代此版本。若不想让它生效，请以 effective_at=${until} 再次发布此版本：同一时刻以较新的版本为准。`
          : `Version ${later.version} takes its place at ${at.en}, store time. To call that off, publish this one again with effective_at=${until}: of two for one instant the newer counts.`,
      until,
    },
  ]
}

/** The version that takes the place of what counts from that instant on. */
function firstAfter(mirror: Mirror, { storeId }: Store, kind: DocumentKind, atMs: number) {
  const later = mirror
    .versions(storeId, kind)
    .filter(({ effectiveAtMs }) => effectiveAtMs > atMs)
    .sort((a, b) => a.effectiveAtMs - b.effectiveAtMs || b.version - a.version)
  return later[0] ?? null
}

/** @throws AppError invalid_request */
function readEffectiveAt(text: string | undefined, nowMs: number): number {
  if (text === undefined) return nowMs
  const atMs = Date.parse(text)
  if (atMs < nowMs - minuteMs) {
    throw refusal(['effective_at'], 'is over already', '已经过去')
  }
  if (atMs > nowMs + maxAheadMs) {
    throw refusal(['effective_at'], 'is more than 400 days ahead', '在 400 天以后')
  }
  return Math.max(atMs, nowMs)
}

function viewMeta({
  version,
  author,
  writtenAtMs,
  effectiveAtMs,
}: Omit<Version<unknown>, 'body'>): z.infer<typeof metaSchema> {
  return {
    version,
    author,
    written_at: writtenAtMs === null ? null : isoOf(writtenAtMs),
    effective_at: version === 0 ? null : isoOf(effectiveAtMs),
  }
}
