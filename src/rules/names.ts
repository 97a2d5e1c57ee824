import { z } from 'zod'

/** A guide_id as WeChat Pay gives it: 1–64 visible ASCII characters. */
export const guideIdSchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,64}$/, 'must be 1 to 64 visible ASCII characters')
  .refine(id => id !== '.' && id !== '..', 'must not be a path')

/** `HH:MM`, 00:00 to 23:59. */
export const localTimeSchema = z
  .string()
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day such as 09:00')

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

export function minutesOf(localTime: string): number {
  return Number(localTime.slice(0, 2)) * 60 + Number(localTime.slice(3, 5))
}
