import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Store } from '../mirror/mirror.ts'
import { countingFrom, notChosenReasons, whyNot } from '../rules/eligibility.ts'
import { guideIdSchema } from '../rules/names.ts'
import {
  bearer,
  createRouter,
  findStore,
  instantQuery,
  isoOf,
  json,
  opaque,
  storeParams,
} from './edge.ts'
import { createNaming, nameGuides } from './guide-names.ts'
import { answerLanguage } from './language.ts'
import { authorOf, bodyRef, type ManagerDeps, nameSchema } from './manager.ts'
import { problems } from './problem.ts'
import { readBody } from './read-body.ts'

const newPauseSchema = z
  .strictObject({ minutes: z.int().min(1).max(1440), why: opaque(200) })
  .openapi('NewPause')

const pauseSchema = z
  .object({ guide_id: z.string(), until: z.string(), why: z.string(), author: z.string() })
  .openapi('Pause')

const dutySchema = z
  .object({
    at: z.string(),
    guides: z.array(
      z.object({
        guide_id: z.string(),
        name: nameSchema,
        on_duty: z.boolean(),
        reason: z.enum(notChosenReasons).nullable(),
        pause: z.object({ until: z.string(), why: z.string() }).nullable(),
      }),
    ),
  })
  .openapi('OnDuty')

const pauseParams = storeParams.extend({
  guide_id: guideIdSchema,
})

/** Who is there now, and who takes a break. */
export function createPauseRoutes({
  mirror,
  guides: known,
  ledger,
  clock,
}: ManagerDeps & { ledger: Pick<Ledger, 'tally'> }) {
  const routes = createRouter()
  const naming = createNaming(known, mirror)
  routes.openAPIRegistry.register('NewPause', newPauseSchema)

  function needOnStaff(store: Store, guideId: string): void {
    const { staff } = mirror.documentsAt(store, clock.nowMs())
    if (staff.body.guides.some(({ id }) => id === guideId)) return
    throw new AppError('guide_not_found', {
      en: 'Nobody of that guide_id is on the staff of the store.',
      zh: '门店的员工表上没有这位服务人员。',
    })
  }

  return routes
    .openapi(
      createRoute({
        method: 'get',
        path: '/stores/{store_id}/on-duty',
        summary: 'Who of the staff may serve, and why the others may not',
        description:
          'At another instant than now, caps and the pauses that came before are not looked at.',
        security: bearer,
        request: {
          params: storeParams,
          query: z.strictObject({
            at: instantQuery.optional(),
          }),
        },
        responses: {
          200: { description: 'In the order of the staff', content: json(dutySchema) },
          ...problems('invalid_request', 'unauthorized', 'forbidden', 'store_not_found'),
        },
      }),
      context => {
        const store = findStore(context, mirror, context.req.valid('param').store_id)
        const { at } = context.req.valid('query')
        const nowMs = clock.nowMs()
        const atMs = at === undefined ? nowMs : Date.parse(at)
        const { staff, roster, plan } = mirror.documentsAt(store, atMs)
        const { crew } = mirror.rulesFor(store, {
          staff: staff.body,
          roster: roster.body,
          plan: plan.body,
        })
        const moment = crew.calendar.momentAt(atMs)
        const from = countingFrom(crew, moment)
        const pauses = new Map(
          atMs < nowMs ? [] : mirror.pauses(store.storeId, atMs).map(one => [one.guideId, one]),
        )
        const state = {
          isPaused: (guideId: string) => pauses.has(guideId),
          tally: (guideId: string) =>
            at === undefined ? ledger.tally(store.storeId, guideId, from) : { hour: 0, day: 0 },
        }
        const guides = crew.members.map(member => {
          const reason = whyNot(member, 'on_shift', crew, moment, state)
          const pause = pauses.get(member.id)
          return {
            guide_id: member.id,
            on_duty: reason === null,
            reason,
            pause: pause ? { until: isoOf(pause.untilMs), why: pause.why } : null,
          }
        })
        const answer = { at: isoOf(atMs), guides }
        return context.json(nameGuides(answer, naming(context, store, nowMs)), 200)
      },
    )
    .openapi(
      createRoute({
        method: 'put',
        path: '/stores/{store_id}/guides/{guide_id}/pause',
        summary: 'A guide takes a break, which ends by itself',
        description: 'Counts from now, in the place of an earlier one.',
        security: bearer,
        request: { params: pauseParams, body: bodyRef('NewPause') },
        responses: {
          200: { description: 'Paused', content: json(pauseSchema) },
          ...problems('invalid_request', 'unauthorized', 'forbidden'),
          ...problems('store_not_found', 'guide_not_found'),
          ...problems('body_too_large', 'unsupported_media_type', 'storage_full'),
        },
      }),
      async context => {
        const { store_id: storeId, guide_id: guideId } = context.req.valid('param')
        const store = findStore(context, mirror, storeId)
        const { minutes, why } = await readBody(
          context,
          newPauseSchema,
          { en: 'pause', zh: '暂停' },
          answerLanguage(context),
        )
        needOnStaff(store, guideId)
        const untilMs = clock.nowMs() + minutes * 60_000
        const author = authorOf(context.var.key)
        mirror.pause({ storeId, guideId, untilMs, why, author })
        return context.json({ guide_id: guideId, until: isoOf(untilMs), why, author }, 200)
      },
    )
    .openapi(
      createRoute({
        method: 'delete',
        path: '/stores/{store_id}/guides/{guide_id}/pause',
        summary: 'A guide is back, if they were away',
        security: bearer,
        request: { params: pauseParams },
        responses: {
          204: { description: 'Not paused' },
          ...problems('invalid_request', 'unauthorized', 'forbidden'),
          ...problems('store_not_found', 'guide_not_found', 'storage_full'),
        },
      }),
      context => {
        const { store_id, guide_id } = context.req.valid('param')
        const store = findStore(context, mirror, store_id)
        const wasPaused = mirror.unpause(store_id, guide_id)
        if (!wasPaused) needOnStaff(store, guide_id)
        return context.body(null, 204)
      },
    )
}
