import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { mayEnter } from '../access/rights.ts'
import { within } from '../clock.ts'
import { AppError } from '../errors.ts'
import { guideChangesSchema, newGuideSchema } from '../guides/fields.ts'
import type { ImportProgress } from '../guides/imports.ts'
import type { Registry } from '../guides/registry.ts'
import type { GuideImports } from '../mirror/guide-imports.ts'
import type { Guide } from '../mirror/guides.ts'
import type { Store } from '../mirror/mirror.ts'
import { guideIdSchema } from '../rules/names.ts'
import {
  bearer,
  createRouter,
  findStore,
  isoOf,
  json,
  matching,
  storeIdSchema,
  storeIdText,
  storesOf,
} from './edge.ts'
import type { Env } from './env.ts'
import { readGuideFile } from './guide-file.ts'
import { createGuideSearch } from './guide-search.ts'
import { answerLanguage } from './language.ts'
import { authorOf, bodyRef, type ManagerDeps } from './manager.ts'
import { readPrefer } from './prefer.ts'
import { problems, refusal } from './problem.ts'
import { readBody } from './read-body.ts'
import { decodeFile, formatOf } from './table-file.ts'

const guideSchema = z
  .object({
    guide_id: z.string(),
    store_id: z.int(),
    state: z.enum(['registered', 'quarantined', 'gone']),
    kind: z.enum(['wecom', 'personal']).nullable(),
    userid: z.string().nullable(),
    work_id: z.string().nullable(),
    name: z.string().nullable(),
    mobile: z.string().nullable(),
    avatar: z.string().optional(),
    qr_code: z.string().optional(),
    group_qrcode: z.string().optional(),
    seen_at: z.string().nullable(),
    erased_at: z.string().nullable(),
  })
  .openapi('Guide')

const copiedSchema = z
  .strictObject({ store_id: storeIdSchema, text: z.string().min(1).max(2000) })
  .openapi('CopiedGuide')

const syncSchema = z
  .object({
    started_at: z.string(),
    ended_at: z.string().nullable().openapi({ description: 'Null while it runs.' }),
    stores: z.int(),
    stores_done: z.int(),
    guides: z.int(),
    new: z.int(),
    changed: z.int(),
    restored: z.int(),
    missing: z.int().openapi({ description: 'Not found for the first time.' }),
    gone: z.int().openapi({ description: 'Not found twice in a row: out of every decision.' }),
    findings: z
      .array(
        z.object({
          store_id: z.int(),
          guide_id: z.string(),
          finding: z.string(),
          fields: z.array(z.string()).optional(),
        }),
      )
      .openapi({ description: 'The first 1,000.' }),
    failed: z.array(z.object({ store_id: z.int(), why: z.string() })),
  })
  .openapi('GuideSync')

const importRowSchema = z.object({
  row: z.int(),
  status: z.enum(['waiting', 'registered', 'known', 'refused']),
  guide_id: z.string().nullable(),
  errors: z.array(z.object({ column: z.string(), message: z.string() })).optional(),
})

const importSchema = z
  .object({
    id: z.string(),
    status: z.enum(['running', 'done']),
    total: z.int(),
    waiting: z.int(),
    registered: z.int(),
    known: z.int(),
    refused: z.int(),
    waiting_for: z.string().optional(),
    rows: z.array(importRowSchema).openapi({ description: 'In the order of the file.' }),
    next: z.int().optional().openapi({ description: 'More rows: `?after=` this.' }),
  })
  .openapi('GuideImport')

const guideParams = z.object({ guide_id: guideIdSchema })

/** How long a caller who does not say otherwise waits for a file or a sync. */
const defaultWaitMs = 20_000
const rowsAtOnce = 1000

export type GuideDeps = ManagerDeps & {
  registry: Registry
  guideImports: GuideImports
}

/** The administrators' side of guides: register, look up, change, adopt, import, sync, forget. Managers may look up. */
export function createGuideRoutes({ registry, guides, guideImports, mirror, clock }: GuideDeps) {
  const routes = createRouter()
  routes.openAPIRegistry.register('NewGuide', newGuideSchema)
  routes.openAPIRegistry.register('GuideChanges', guideChangesSchema)
  routes.openAPIRegistry.register('CopiedGuide', copiedSchema)

  const search = createGuideSearch(guides)
  const common = { security: bearer }
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden')
  const bodyRefusals = problems('body_too_large', 'unsupported_media_type')
  const upstreamRefusals = problems(
    'refused_upstream',
    'upstream_unavailable',
    'draining',
    'storage_full',
  )

  function viewImport({ id, isRunning, counts, waitingFor }: ImportProgress, after: number) {
    const found = guideImports.rows(id, after, rowsAtOnce + 1)
    const rows = found.slice(0, rowsAtOnce)
    const last = rows.at(-1)
    return {
      id,
      status: isRunning ? ('running' as const) : ('done' as const),
      total: counts.waiting + counts.registered + counts.known + counts.refused,
      ...counts,
      ...(isRunning && waitingFor !== null ? { waiting_for: waitingFor } : {}),
      rows: rows.map(({ row, status, guideId, errors }) => ({
        row,
        status,
        guide_id: guideId,
        ...(errors === null ? {} : { errors }),
      })),
      ...(found.length > rows.length && last ? { next: last.row } : {}),
    }
  }

  /** Of other stores of the merchant, and on the staff. */
  function borrowedBy({ storeId, merchant }: Store): string[] {
    const members = mirror.readyStore(storeId, clock.nowMs())?.rules.crew.members ?? []
    const known = mirror.knownGuides(members.map(({ id }) => id))
    const others = [...known.values()].filter(
      guide => guide.storeId !== storeId && guide.merchant === merchant,
    )
    return others.map(({ id }) => id)
  }

  /** A borrowed guide of another merchant is one whom nobody knows. */
  function isColleague(context: Context<Env>, { guideId, storeId }: Guide): boolean {
    if (mayEnter(context.var.key, storeId)) return true
    const merchant = mirror.store(storeId)?.merchant
    return storesOf(context, mirror, guideId, clock.nowMs()).some(
      id => mirror.store(id)?.merchant === merchant,
    )
  }

  function waitMsOf(context: Context<Env>): number {
    const { waitMs, applied } = readPrefer(context.req.header('prefer'), defaultWaitMs)
    if (applied) context.header('Preference-Applied', applied)
    return waitMs
  }

  return routes
    .openapi(
      createRoute({
        security: bearer,
        method: 'get',
        path: '/guides',
        summary: 'The guides as the mirror has them',
        description:
          '`q` finds a guide_id, userid or work_id, a whole mobile, a part of a name. A key of scope `manage` names a `store_id` of its own, is told the guides of that store and those borrowed on its staff, by guide_id and name alone, and finds them by these.',
        request: {
          query: z.strictObject({
            store_id: storeIdText.optional().openapi({ param: { in: 'query' }, type: 'integer' }),
            q: z
              .string()
              .min(1)
              .max(64)
              .optional()
              .openapi({ param: { in: 'query' } }),
            cursor: z
              .string()
              .max(64)
              .optional()
              .openapi({ param: { in: 'query' } }),
            limit: matching(/^([1-9]\d?|[1-4]\d\d|500)$/, 'must be 1 to 500', '应为 1 到 500')
              .default('100')
              .transform(Number)
              .openapi({ param: { in: 'query' }, type: 'integer' }),
          }),
        },
        responses: {
          200: {
            description: 'By guide_id; `cursor` leads to the next page, and is null after the last',
            content: json(
              z.object({
                guides: z.array(guideSchema),
                cursor: z.string().nullable(),
                synced_at: z.string().nullable(),
              }),
            ),
          },
          ...refusals,
        },
      }),
      async context => {
        const { store_id, q, cursor, limit } = context.req.valid('query')
        const isManager = context.var.key.scope === 'manage'
        if (isManager && store_id === undefined) {
          throw refusal(['store_id'], 'is required with a key of scope manage', 'manage 密钥必填')
        }
        const store = isManager ? findStore(context, mirror, store_id ?? 0) : null
        const page = await search({
          storeId: store_id ?? null,
          q: q ?? null,
          after: cursor ?? '',
          limit,
          isManager,
          alsoIds: store ? borrowedBy(store) : [],
        })
        const synced = mirror.lastSync()
        return context.json(
          {
            guides: page.guides.map(isManager ? viewColleague : viewGuide),
            cursor: page.next,
            synced_at: synced ? isoOf(synced.endedAtMs) : null,
          },
          200,
        )
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/guides',
        summary: 'Register a guide of WeCom at WeChat Pay',
        description: 'Asked for twice, it is done once.',
        request: { body: bodyRef('NewGuide') },
        responses: {
          200: { description: 'Known to WeChat Pay before', content: json(guideSchema) },
          201: { description: 'Registered', content: json(guideSchema) },
          ...refusals,
          ...bodyRefusals,
          ...upstreamRefusals,
          ...problems('store_not_found'),
        },
      }),
      async context => {
        const fields = await readBody(
          context,
          newGuideSchema,
          { en: 'guide', zh: '服务人员', people: true },
          answerLanguage(context),
        )
        const store = findStore(context, mirror, fields.store_id)
        const { guideId, status } = await registry.register(store, fields)
        const guide = viewGuide(present(guides.find(guideId)))
        return status === 'known' ? context.json(guide, 200) : context.json(guide, 201)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/guides/import',
        summary: 'Register guides of WeCom from a file',
        description:
          'CSV with a header, or NDJSON, with the fields of POST /guides; at most 10,000 rows, 8 MiB, UTF-8. Each row has a result of its own. The import goes on by itself, across a restart too; the same file again registers nobody twice.',
        request: {
          query: z.strictObject({
            dry_run: z
              .enum(['true', 'false'])
              .optional()
              .openapi({ param: { in: 'query' } }),
          }),
          body: {
            required: true,
            content: {
              'text/csv': { schema: { type: 'string' } },
              'application/x-ndjson': { schema: { type: 'string' } },
            },
          },
        },
        responses: {
          200: { description: 'Each row has its result', content: json(importSchema) },
          202: { description: 'Under way: see Location', content: json(importSchema) },
          ...refusals,
          ...bodyRefusals,
          ...problems('storage_full', 'overloaded'),
        },
      }),
      async context => {
        const language = answerLanguage(context)
        const waitMs = waitMsOf(context)
        const text = decodeFile(await context.req.arrayBuffer(), language)
        const format = formatOf(context.req.header('content-type'))
        const rows = await readGuideFile(text, format, mirror, language)
        if (context.req.valid('query').dry_run === 'true') {
          return context.json(viewDryRun(rows), 200)
        }
        const id = await registry.imports.start(rows, authorOf(context.var.key))
        await registry.imports.settled(id, waitMs)
        const seen = viewImport(registry.imports.progress(id), 0)
        if (seen.status === 'done') return context.json(seen, 200)
        context.header('Location', `/guides/imports/${id}`)
        context.header('Retry-After', '1')
        return context.json(seen, 202)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        path: '/guides/imports/{id}',
        summary: 'How far an import is, and the result of each row',
        request: {
          params: z.object({ id: z.string().max(64) }),
          query: z.strictObject({
            after: matching(/^\d{1,6}$/, 'must be a row', '应为行号')
              .default('0')
              .transform(Number)
              .openapi({ param: { in: 'query' }, type: 'integer' }),
          }),
        },
        responses: {
          200: { description: 'The import', content: json(importSchema) },
          ...refusals,
          ...problems('import_not_found'),
        },
      }),
      context => {
        const progress = registry.imports.progress(context.req.valid('param').id)
        return context.json(viewImport(progress, context.req.valid('query').after), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/guides/sync',
        summary: 'Bring the mirror in line with WeChat Pay',
        description:
          'All pages of every store. One that is under way is joined. Orders are decided meanwhile.',
        responses: {
          200: { description: 'What was found', content: json(syncSchema) },
          202: { description: 'Under way: GET /guides/sync', content: json(syncSchema) },
          ...problems('unauthorized', 'forbidden', 'body_too_large', 'storage_full', 'draining'),
        },
      }),
      async context => {
        const waitMs = waitMsOf(context)
        const ended = registry.sync.run()
        // Told to the log, if not to this caller.
        ended.catch(() => {})
        const report = await within(ended, waitMs)
        if (report) return context.json(report, 200)
        const progress = registry.sync.progress()
        if (!progress) throw new Error('a sync is under way and has no report')
        context.header('Location', '/guides/sync')
        return context.json(progress, 202)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        path: '/guides/sync',
        summary: 'The sync under way, else the last',
        responses: {
          200: {
            description: 'Null before the first',
            content: json(z.object({ sync: z.union([syncSchema, z.null()]) })),
          },
          ...problems('unauthorized', 'forbidden'),
        },
      }),
      context => context.json({ sync: registry.sync.progress() }, 200),
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/guides/adopt',
        summary: 'Take over a guide of personal WeChat',
        description:
          'From the text that the mini-program copies (name, telephone, ID), once WeChat Pay has confirmed them.',
        request: { body: bodyRef('CopiedGuide') },
        responses: {
          200: { description: 'The guide', content: json(guideSchema) },
          ...refusals,
          ...bodyRefusals,
          ...upstreamRefusals,
          ...problems('store_not_found', 'guide_not_found'),
        },
      }),
      async context => {
        const { store_id, text } = await readBody(
          context,
          copiedSchema,
          { en: 'copied text', zh: '复制的内容', people: true },
          answerLanguage(context),
        )
        const store = findStore(context, mirror, store_id)
        return context.json(viewGuide(await registry.adopt(store, text)), 200)
      },
    )
    .openapi(
      createRoute({
        security: bearer,
        method: 'get',
        path: '/guides/{guide_id}',
        summary: 'A guide as the mirror has them',
        description:
          'A key of scope `manage` is told guides of its own stores, and those borrowed on their staff, without mobile, userid, work_id and links.',
        request: { params: guideParams },
        responses: {
          200: { description: 'The guide', content: json(guideSchema) },
          ...refusals,
          ...problems('guide_not_found'),
        },
      }),
      context => {
        const { guide_id: guideId } = context.req.valid('param')
        const guide = guides.find(guideId)
        if (context.var.key.scope === 'admin') {
          return context.json(viewGuide(present(guide)), 200)
        }
        const isOurs = guide !== null && isColleague(context, guide)
        return context.json(viewColleague(present(isOurs ? guide : null)), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'patch',
        path: '/guides/{guide_id}',
        summary: 'Change a guide at WeChat Pay',
        description:
          'Only what differs is sent; the mirror has it once WeChat Pay has accepted it. QR codes are for guides of WeCom.',
        request: { params: guideParams, body: bodyRef('GuideChanges') },
        responses: {
          200: { description: 'The guide', content: json(guideSchema) },
          ...refusals,
          ...bodyRefusals,
          ...upstreamRefusals,
          ...problems('guide_not_found'),
          ...problems('personal_guide', 'refused_upstream'),
        },
      }),
      async context => {
        const { guide_id: guideId } = context.req.valid('param')
        const changes = await readBody(
          context,
          guideChangesSchema,
          { en: 'change', zh: '修改内容', people: true },
          answerLanguage(context),
        )
        return context.json(viewGuide(await registry.update(guideId, changes)), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'delete',
        path: '/guides/{guide_id}/profile',
        summary: 'Forget the name, mobile and links of a guide',
        description: 'Here, for good: no sync brings them back. WeChat Pay keeps its own.',
        request: { params: guideParams },
        responses: {
          204: { description: 'Forgotten' },
          ...refusals,
          ...problems('guide_not_found', 'storage_full'),
        },
      }),
      context => {
        registry.erase(context.req.valid('param').guide_id)
        return context.body(null, 204)
      },
    )

  function viewDryRun(rows: Awaited<ReturnType<typeof readGuideFile>>) {
    const refused = rows.filter(({ fields }) => fields === null).length
    return {
      id: 'dry-run',
      status: 'done' as const,
      total: rows.length,
      waiting: rows.length - refused,
      registered: 0,
      known: 0,
      refused,
      rows: rows.map(({ row, fields, errors }) => ({
        row,
        status: fields === null ? ('refused' as const) : ('waiting' as const),
        guide_id: null,
        ...(fields === null ? { errors } : {}),
      })),
    }
  }
}

function present(guide: Guide | null): Guide {
  if (guide) return guide
  throw new AppError('guide_not_found', {
    en: 'There is no such guide here.',
    zh: '这里没有这位服务人员。',
  })
}

export function viewGuide(guide: Guide): z.infer<typeof guideSchema> {
  const { guideId, storeId, state, userid, workId, profile, seenAtMs, erasedAtMs } = guide
  return {
    guide_id: guideId,
    store_id: storeId,
    state,
    kind: userid !== null ? 'wecom' : workId !== null ? 'personal' : null,
    userid,
    work_id: workId,
    name: profile?.name ?? null,
    mobile: profile?.mobile ?? null,
    ...(profile?.avatar === undefined ? {} : { avatar: profile.avatar }),
    ...(profile?.qrCode === undefined ? {} : { qr_code: profile.qrCode }),
    ...(profile?.groupQrcode === undefined ? {} : { group_qrcode: profile.groupQrcode }),
    seen_at: seenAtMs === null ? null : isoOf(seenAtMs),
    erased_at: erasedAtMs === null ? null : isoOf(erasedAtMs),
  }
}

/** What a store manager is told of a guide: who it is. */
function viewColleague(guide: Guide): z.infer<typeof guideSchema> {
  const { guide_id, store_id, state, kind, name, seen_at, erased_at } = viewGuide(guide)
  const kept = { guide_id, store_id, state, kind, name, seen_at, erased_at }
  return { ...kept, userid: null, work_id: null, mobile: null }
}
