import { z } from 'zod'
import { isTimezone } from './calendar.ts'
import { guideIdSchema, localTimeSchema, say, tagSchema } from './names.ts'

const capSchema = z.int().min(1).max(100_000)

const memberSchema = z.strictObject({
  id: guideIdSchema,
  weight: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe('Share of the turns beside the others: who has 2 is due twice as many as who has 1.'),
  rotates: z
    .boolean()
    .default(true)
    .describe('False: takes no turns, and is reached by a step that names them.'),
  caps: z
    .strictObject({ per_day: capSchema.optional(), per_hour: capSchema.optional() })
    .optional()
    .describe('The most orders in a business day, and in an hour by the clock.'),
  tags: z.array(tagSchema).max(20).optional(),
})

/**
 * Who works in a store; a guide of another store of the merchant may stand here too.
 *
 * A guide that does not rotate is reached by a named step only. Caps count the orders that the guide got in this store
 * in the clock hour and in the business day, tests, refusals and closed orders left out.
 */
export const staffSchema = z
  .strictObject({
    timezone: z
      .string()
      .max(64)
      .refine(isTimezone, say('must be an IANA time zone', '应为 IANA 时区，例如 Asia/Shanghai')),
    day_starts_at: localTimeSchema
      .default('00:00')
      .describe(
        'When the business day begins, for caps and counts: before it, it is still yesterday.',
      ),
    guides: z.array(memberSchema).max(1000),
  })
  .superRefine(({ guides }, context) => {
    const seen = new Set<string>()
    for (const [index, { id }] of guides.entries()) {
      if (seen.has(id)) {
        context.addIssue({
          code: 'custom',
          path: ['guides', index, 'id'],
          ...say('stands twice', '重复出现'),
        })
      }
      seen.add(id)
    }
  })

export type Staff = z.infer<typeof staffSchema>
export type StaffMember = Staff['guides'][number]

/** A new store's staff: every registered guide, each with the same weight. */
export function defaultStaff(timezone: string, guideIds: readonly string[]): Staff {
  return {
    timezone,
    day_starts_at: '00:00',
    guides: guideIds.map(id => ({ id, weight: 1, rotates: true })),
  }
}
