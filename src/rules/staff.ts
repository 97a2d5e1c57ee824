import { z } from 'zod'
import { guideIdSchema, localTimeSchema } from './names.ts'
import { isTimezone } from './store-time.ts'

/** Who works in a store. A guide that does not rotate is reached by a named step only. */
export const staffSchema = z
  .strictObject({
    timezone: z.string().max(64).refine(isTimezone, 'must be an IANA time zone'),
    day_starts_at: localTimeSchema.default('00:00'),
    guides: z
      .array(
        z.strictObject({
          id: guideIdSchema,
          weight: z.int().min(1).max(100).default(1),
          rotates: z.boolean().default(true),
        }),
      )
      .max(1000),
  })
  .superRefine(({ guides }, context) => {
    const seen = new Set<string>()
    for (const [index, { id }] of guides.entries()) {
      if (seen.has(id)) {
        context.addIssue({ code: 'custom', path: ['guides', index, 'id'], message: 'stands twice' })
      }
      seen.add(id)
    }
  })

export type Staff = z.infer<typeof staffSchema>

/** A new store's staff: every registered guide, each with the same weight. */
export function defaultStaff(timezone: string, guideIds: readonly string[]): Staff {
  return {
    timezone,
    day_starts_at: '00:00',
    guides: guideIds.map(id => ({ id, weight: 1, rotates: true })),
  }
}
