import { z } from 'zod'

const condition = z.enum(['on_shift', 'always'])

const stepSchema = z.discriminatedUnion('use', [
  z.strictObject({ use: z.literal('hint'), if: condition.default('on_shift') }),
  z.strictObject({ use: z.literal('owner'), if: condition.default('on_shift') }),
  z.strictObject({
    use: z.literal('rotate'),
    among: z.strictObject({ on_shift: z.literal(true) }).default({ on_shift: true }),
  }),
  z.strictObject({ use: z.literal('none') }),
])

/** Top to bottom, the first step that yields a guide wins; `none` ends the plan. */
export const planSchema = z.strictObject({
  fair_by: z.literal('orders').default('orders'),
  steps: z
    .array(stepSchema)
    .min(1)
    .max(50)
    .refine(
      steps => steps.every((step, index) => (step.use === 'none') === (index === steps.length - 1)),
      '`none` must stand once, as the last step',
    ),
})

export type Plan = z.infer<typeof planSchema>
export type Step = Plan['steps'][number]

/** A new store's plan: the member's own guide, else whose turn it is, else nobody. */
export const defaultPlan: Plan = {
  fair_by: 'orders',
  steps: [
    { use: 'owner', if: 'on_shift' },
    { use: 'rotate', among: { on_shift: true } },
    { use: 'none' },
  ],
}
