import { z } from '@hono/zod-openapi'
import type { Key } from '../access/keys.ts'
import type { Clock } from '../clock.ts'
import type { Guides } from '../mirror/guides.ts'
import type { DocumentKind, Mirror, Store, StoreDocuments } from '../mirror/mirror.ts'
import { lint } from '../rules/lint.ts'
import { planSchema } from '../rules/plan.ts'
import { rosterSchema } from '../rules/roster.ts'
import { staffSchema } from '../rules/staff.ts'
import type { Merchant } from './edge.ts'
import { type LookUp, nameGuides } from './guide-names.ts'
import type { Language } from './language.ts'
import type { Subject } from './sentences.ts'

/** What the managers' routes are made of. */
export type ManagerDeps = {
  mirror: Mirror
  guides: Guides
  clock: Clock
  merchant: Merchant
}

/** The three documents as `components/schemas` of the API's description. */
export const documentSchemas = {
  staff: staffSchema.meta({ id: 'Staff' }),
  roster: rosterSchema.meta({ id: 'Roster' }),
  plan: planSchema.meta({ id: 'Plan' }),
}

export const subjects: Record<DocumentKind, Subject> = {
  staff: { en: 'staff document', zh: '员工表' },
  roster: { en: 'roster', zh: '排班表' },
  plan: { en: 'plan', zh: '分配方案' },
}

/** A body whose handler reads it itself, so as to answer in the language that was asked for. */
export const bodyRef = (name: string) => ({
  required: true,
  content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } },
})

/** Beside a guide_id. */
export const nameSchema = z
  .string()
  .optional()
  .openapi({ description: 'Absent where no name is known, or it is not for this key.' })

export const authorOf = ({ name, id }: Key): string => name ?? id

export const warningSchema = z
  .object({
    code: z.string(),
    pointer: z.string().openapi({ description: 'Into `{staff, roster, plan}` (RFC 6901).' }),
    message: z.string(),
    guide_id: z.string().optional().openapi({ description: 'Whom it is about.' }),
    name: nameSchema,
    witness: z.string().optional(),
    until: z.string().optional(),
  })
  .openapi('Warning')

export type WireWarning = z.infer<typeof warningSchema>

/** How far the linter looks ahead unless it is told. */
export const lintDays = 14

/** The documents that a manager sees and edits: the newest of each, in force or not yet. */
export function newestDocuments(mirror: Mirror, store: Store): StoreDocuments {
  return {
    staff: mirror.newest(store, 'staff').body,
    roster: mirror.newest(store, 'roster').body,
    plan: mirror.newest(store, 'plan').body,
  }
}

export function lintDocuments(
  mirror: Mirror,
  { storeId, merchant }: Store,
  documents: StoreDocuments,
  span: { fromMs: number; days: number },
  language: Language,
  lookUp: LookUp,
): WireWarning[] {
  const registered = mirror.guidesOf(storeId)
  const guides = mirror.knownGuides([...guidesNamed(documents), ...registered])
  const nameOf = (id: string) => (guides.has(id) ? lookUp([id]).get(id) : undefined) ?? id
  const world = { storeId, merchant, guides, registered, nameOf }
  const warnings = lint(documents, world, span).map(
    ({ code, pointer, guide, en, zh, ...instants }) => ({
      code,
      pointer,
      message: language === 'zh' ? zh : en,
      ...(guide === undefined ? {} : { guide_id: guide }),
      ...instants,
    }),
  )
  return nameGuides(warnings, lookUp)
}

function guidesNamed({ staff, roster, plan }: StoreDocuments): Set<string> {
  const shifts = [...roster.weekly, ...(roster.dates ?? []).flatMap(({ shifts }) => shifts ?? [])]
  return new Set([
    ...staff.guides.map(({ id }) => id),
    ...shifts.flatMap(({ guides }): string[] => guides),
    ...(roster.away ?? []).flatMap(({ guide, cover }) => (cover ? [guide, cover] : [guide])),
    ...plan.steps.flatMap(step => (step.use === 'guide' ? [step.id] : [])),
  ])
}
