import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { mayEnter } from '../access/rights.ts'
import { type Clock, createBreather } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { MemberOwner, Mirror } from '../mirror/mirror.ts'
import type { KnownGuide } from '../rules/eligibility.ts'
import { guideIdSchema } from '../rules/names.ts'
import {
  bearer,
  createRouter,
  instantSchema,
  isoOf,
  json,
  mchidSchema,
  merchantOf,
  merchantQuery,
  storesOf,
} from './edge.ts'
import type { Env } from './env.ts'
import { answerLanguage, type Language } from './language.ts'
import { bodyRef, type ManagerDeps } from './manager.ts'
import { maxRowErrors, memberIdSchema, type OwnerRow, readOwnerFile } from './owner-file.ts'
import { problems, refusal } from './problem.ts'
import { readBody } from './read-body.ts'
import { decodeFile, formatOf, type RowError } from './table-file.ts'

const newOwnerSchema = z
  .strictObject({ guide_id: guideIdSchema, expires_at: instantSchema.optional() })
  .openapi('NewOwner')

const ownerSchema = z
  .object({
    member_id: z.string(),
    guide_id: z.string(),
    since: z.string(),
    expires_at: z.string().nullable(),
  })
  .openapi('Owner')

const importedSchema = z
  .object({
    rows: z.int(),
    created: z.int(),
    changed: z.int(),
    unchanged: z.int(),
    dry_run: z.boolean(),
  })
  .openapi('ImportedOwners')

const params = z.object({ member_id: memberIdSchema.openapi({ param: { in: 'path' } }) })
const toleranceMs = 60_000

/** Whose customer a member is: one at a time, and all of them from a file. */
export function createMemberRoutes({ mirror, clock, merchant }: ManagerDeps) {
  const routes = createRouter()
  routes.openAPIRegistry.register('NewOwner', newOwnerSchema)

  const common = { security: bearer }
  const path = '/members/{member_id}/owner'
  const refusals = problems('invalid_request', 'unauthorized', 'forbidden')

  /** An owner in another store is told as none, so that members cannot be probed. */
  function findOwn(context: Context<Env>, of: string, memberId: string): MemberOwner {
    const owner = unlessOver(mirror.owner(of, memberId), clock.nowMs())
    if (
      owner &&
      (mayEnter(context.var.key, null) || serves(owner.guideId, context, mirror, clock))
    ) {
      return owner
    }
    throw new AppError('owner_not_found', {
      en: 'The member has no guide of their own.',
      zh: '该会员没有专属服务人员。',
    })
  }

  /** Who borrows a guide may give them customers, and take none away. */
  function refuseForeign(context: Context<Env>, guideId: string): void {
    if (!isForeign(context, mirror.knownGuides([guideId]).get(guideId))) return
    throw new AppError('forbidden', {
      en: 'The member is the customer of a guide of another store.',
      zh: '该会员是其他门店服务人员的客户。',
    })
  }

  return routes
    .openapi(
      createRoute({
        ...common,
        method: 'get',
        path,
        summary: 'Whose customer a member is',
        request: { params, query: merchantQuery },
        responses: {
          200: { description: 'The owner', content: json(ownerSchema) },
          ...refusals,
          ...problems('owner_not_found'),
        },
      }),
      context => {
        const of = merchantOf(merchant, context.req.valid('query').sub_mchid)
        const owner = findOwn(context, of, context.req.valid('param').member_id)
        return context.json(viewOwner(owner), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'put',
        path,
        summary: 'Give a member a guide of their own',
        description: 'The same guide again keeps the day since when.',
        request: { params, query: merchantQuery, body: bodyRef('NewOwner') },
        responses: {
          200: { description: 'The owner', content: json(ownerSchema) },
          ...refusals,
          ...problems('guide_not_found', 'body_too_large', 'unsupported_media_type'),
          ...problems('storage_full'),
        },
      }),
      async context => {
        const { member_id: memberId } = context.req.valid('param')
        const of = merchantOf(merchant, context.req.valid('query').sub_mchid)
        const { guide_id, expires_at } = await readBody(
          context,
          newOwnerSchema,
          { en: 'owner', zh: '归属' },
          answerLanguage(context),
        )
        const nowMs = clock.nowMs()
        const expiresAtMs = expires_at === undefined ? null : Date.parse(expires_at)
        if (expiresAtMs !== null && expiresAtMs <= nowMs) {
          throw refusal(['expires_at'], 'is over already', '已经过去')
        }
        const guide = mirror.knownGuides([guide_id]).get(guide_id)
        if (guide?.merchant !== of || !serves(guide_id, context, mirror, clock)) {
          throw new AppError('guide_not_found', {
            en: 'No guide of that guide_id and of this merchant is registered in your stores or on their staff.',
            zh: '在您的门店注册的、或其员工名单里的人员中，没有此商户的这位服务人员。',
          })
        }
        const before = unlessOver(mirror.owner(of, memberId), nowMs)
        if (before && before.guideId !== guide_id) refuseForeign(context, before.guideId)
        const sinceMs = before?.guideId === guide_id ? before.sinceMs : nowMs
        const owner = { merchant: of, memberId, guideId: guide_id, sinceMs, expiresAtMs }
        mirror.setOwner(owner)
        return context.json(viewOwner(owner), 200)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'delete',
        path,
        summary: 'A member has no guide of their own any more',
        request: { params, query: merchantQuery },
        responses: {
          204: { description: 'Removed' },
          ...refusals,
          ...problems('owner_not_found', 'storage_full'),
        },
      }),
      context => {
        const of = merchantOf(merchant, context.req.valid('query').sub_mchid)
        const { memberId, guideId } = findOwn(context, of, context.req.valid('param').member_id)
        refuseForeign(context, guideId)
        mirror.removeOwner(of, memberId)
        return context.body(null, 204)
      },
    )
    .openapi(
      createRoute({
        ...common,
        method: 'post',
        path: '/members/owners/import',
        summary: "Members' owners from a file, all or none",
        description:
          'CSV with the header member_id,guide_id and optionally since,expires_at; or NDJSON with these fields. At most 100,000 rows, 4 MiB, UTF-8. Sending it again changes nothing. Without `since`, the day since when stays for the same guide and is now for another.',
        request: {
          query: z.strictObject({
            sub_mchid: mchidSchema.optional().openapi({ param: { in: 'query' } }),
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
          200: { description: 'What was changed', content: json(importedSchema) },
          ...refusals,
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      async context => {
        const { sub_mchid, dry_run } = context.req.valid('query')
        const of = merchantOf(merchant, sub_mchid)
        const language = answerLanguage(context)
        const text = decodeFile(await context.req.arrayBuffer(), language)
        const format = formatOf(context.req.header('content-type'))
        const { rows, errors } = await readOwnerFile(text, format, language)
        const nowMs = clock.nowMs()
        errors.push(...(await checkRows(context, mirror, of, rows, nowMs, language)))
        if (errors.length > 0) throw rowsRefused(errors, language)

        const counts = { created: 0, changed: 0, unchanged: 0 }
        const owners: MemberOwner[] = []
        const breathe = createBreather()
        for (const row of rows) {
          await breathe()
          const stored = mirror.owner(of, row.memberId)
          const before = unlessOver(stored, nowMs)
          const isUnchanged = stored !== null && isSame(stored, row)
          counts[isUnchanged ? 'unchanged' : before ? 'changed' : 'created'] += 1
          if (!isUnchanged) owners.push(ownerFrom(row, before, of, nowMs))
        }
        if (dry_run !== 'true') await mirror.setOwners(owners)
        return context.json({ rows: rows.length, ...counts, dry_run: dry_run === 'true' }, 200)
      },
    )
}

/** What a row cannot know by itself: its guide, its member's other rows, the present. */
async function checkRows(
  context: Context<Env>,
  mirror: Mirror,
  of: string,
  rows: readonly OwnerRow[],
  nowMs: number,
  language: Language,
): Promise<RowError[]> {
  const { key } = context.var
  const errors: RowError[] = []
  const report = (row: number, column: string, en: string, zh: string) =>
    errors.push({ row, column, message: language === 'zh' ? zh : en })
  const guides = new Map<string, KnownGuide | undefined>()
  const lookUp = (id: string) => {
    if (!guides.has(id)) guides.set(id, mirror.knownGuides([id]).get(id))
    return guides.get(id)
  }
  const serving = new Map<string, boolean>()
  const isServing = (id: string) => {
    const known = serving.get(id) ?? storesOf(context, mirror, id, nowMs).length > 0
    serving.set(id, known)
    return known
  }
  const firstRow = new Map<string, number>()
  const breathe = createBreather()
  for (const { row, memberId, guideId, sinceMs, expiresAtMs } of rows) {
    await breathe()
    if (errors.length > maxRowErrors) break
    const guide = lookUp(guideId)
    if (guide?.merchant !== of || !isServing(guideId)) {
      const en = 'is not registered in your stores nor on their staff'
      report(row, 'guide_id', en, '未在您的门店注册，也不在其员工名单里')
    }
    const first = firstRow.get(memberId)
    if (first === undefined) firstRow.set(memberId, row)
    else report(row, 'member_id', `stands in row ${first} already`, `已出现在第 ${first} 行`)
    if (sinceMs !== null && sinceMs > nowMs + toleranceMs) {
      report(row, 'since', 'lies in the future', '在将来')
    }
    if (expiresAtMs !== null && sinceMs !== null && expiresAtMs <= sinceMs) {
      report(row, 'expires_at', 'is not after since', '不晚于 since')
    }
    if (key.stores === null) continue
    const before = unlessOver(mirror.owner(of, memberId), nowMs)
    if (before && before.guideId !== guideId && isForeign(context, lookUp(before.guideId))) {
      report(row, 'member_id', 'is the customer of another store', '是其他门店的客户')
    }
  }
  return errors
}

function rowsRefused(errors: RowError[], language: Language): AppError {
  const told = errors.sort((a, b) => a.row - b.row).slice(0, maxRowErrors)
  const isMore = errors.length > maxRowErrors
  const [en, zh] = isMore
    ? [`more than ${maxRowErrors} mistakes`, `超过 ${maxRowErrors} 处错误`]
    : [
        errors.length === 1 ? 'a mistake' : `${errors.length} mistakes`,
        `共 ${errors.length} 处错误`,
      ]
  const detail =
    language === 'zh' ? `${zh}，没有写入任何内容。` : `Nothing was written: the file has ${en}.`
  return new AppError('invalid_request', detail, { fields: told })
}

function ownerFrom(
  { memberId, guideId, sinceMs, expiresAtMs }: OwnerRow,
  before: MemberOwner | null,
  of: string,
  nowMs: number,
): MemberOwner {
  const known = before?.guideId === guideId ? before.sinceMs : nowMs
  return { merchant: of, memberId, guideId, sinceMs: sinceMs ?? known, expiresAtMs }
}

function isSame(stored: MemberOwner, { guideId, sinceMs, expiresAtMs }: OwnerRow): boolean {
  return (
    stored.guideId === guideId &&
    stored.expiresAtMs === expiresAtMs &&
    (sinceMs === null || stored.sinceMs === sinceMs)
  )
}

/** An owner whose time is over is none. */
function unlessOver(owner: MemberOwner | null, nowMs: number): MemberOwner | null {
  return owner?.expiresAtMs != null && owner.expiresAtMs <= nowMs ? null : owner
}

/** In a store of the key: registered there, or borrowed on its staff. */
function serves(guideId: string, context: Context<Env>, mirror: Mirror, clock: Clock): boolean {
  return storesOf(context, mirror, guideId, clock.nowMs()).length > 0
}

/** Of a store that the key may not enter; a guide whom nobody knows is nobody's. */
function isForeign(context: Context<Env>, guide: KnownGuide | undefined): boolean {
  return guide !== undefined && !mayEnter(context.var.key, guide.storeId)
}

function viewOwner({ memberId, guideId, sinceMs, expiresAtMs }: MemberOwner) {
  return {
    member_id: memberId,
    guide_id: guideId,
    since: isoOf(sinceMs),
    expires_at: expiresAtMs === null ? null : isoOf(expiresAtMs),
  }
}
