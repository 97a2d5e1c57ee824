import { z } from 'zod'
import { guideIdSchema, localTimeSchema, say, tagSchema, weekdays } from './names.ts'

export const channels = ['payment_code', 'jsapi', 'mini_program', 'app', 'h5', 'native'] as const

const condition = z
  .enum(['on_shift', 'on_roster_today', 'always'])
  .describe(
    'on_shift: in a shift now, not away, not paused, under the caps; on_roster_today: in some shift of this business day, pauses and caps not looked at; always: whoever is registered.',
  )
export type Condition = z.infer<typeof condition>

const amountSchema = z.int().min(0).max(10_000_000_000)

const whenSchema = z
  .strictObject({
    channel: z.array(z.enum(channels)).min(1).optional(),
    min_amount: amountSchema.optional(),
    max_amount: amountSchema.optional(),
    member_level: z.array(z.string().min(1).max(32)).min(1).max(100).optional(),
    between: z.tuple([localTimeSchema, localTimeSchema]).optional(),
    days: z.array(z.enum(weekdays)).min(1).max(7).optional(),
  })
  .refine(
    ({ min_amount = 0, max_amount = Number.POSITIVE_INFINITY }) => min_amount <= max_amount,
    say('min_amount is above max_amount', 'min_amount 大于 max_amount'),
  )
export type When = z.infer<typeof whenSchema>

const counts = z
  .enum(['none', 'full', 'clamped'])
  .default('none')
  .describe(
    'Whether such an order counts as a turn: none: not at all; full: as one; clamped: as one, until the guide is two turns ahead.',
  )
const when = { when: whenSchema.optional() }
const bookSchema = z
  .string()
  .min(1)
  .max(32)
  .describe('Steps of one book share their turns; absent: the one book of the store.')

const stepSchema = z.discriminatedUnion('use', [
  z
    .strictObject({ use: z.literal('hint'), if: condition.default('on_shift'), counts, ...when })
    .describe('The guide whom the cashier named.'),
  z.strictObject({
    use: z.literal('owner'),
    if: condition.default('on_shift'),
    max_age_days: z.int().min(1).max(36_500).optional(),
    follow_cover: z.boolean().default(true),
    counts,
    ...when,
  }),
  z.strictObject({
    use: z.literal('rotate'),
    by: z.enum(['fair', 'listed', 'random']).default('fair'),
    among: z
      .strictObject({ on_shift: z.boolean().default(true), tag: tagSchema.optional() })
      .default({ on_shift: true }),
    book: bookSchema.optional(),
    ...when,
  }),
  z.strictObject({
    use: z.literal('guide'),
    id: guideIdSchema,
    if: condition.default('on_shift'),
    counts,
    ...when,
  }),
  z.strictObject({ use: z.literal('none') }),
])

/** Top to bottom, the first step that yields a guide wins; `none` ends the plan. */
export const planSchema = z.strictObject({
  fair_by: z
    .enum(['orders', 'amount'])
    .default('orders')
    .describe(
      'What turns share out fairly: the number of orders, or their amounts. Each has books of its own.',
    ),
  steps: z
    .array(stepSchema)
    .min(1)
    .max(50)
    .refine(
      steps => steps.every((step, index) => (step.use === 'none') === (index === steps.length - 1)),
      say('`none` must stand once, as the last step', '“none”必须出现一次，且是最后一步'),
    ),
})

export type Plan = z.infer<typeof planSchema>
export type Step = Plan['steps'][number]
export type StepOf<U extends Step['use']> = Extract<Step, { use: U }>

/** A new store's plan: the member's own guide, else whose turn it is, else nobody. */
export const defaultPlan: Plan = planSchema.parse({
  steps: [{ use: 'owner' }, { use: 'rotate' }, { use: 'none' }],
})
