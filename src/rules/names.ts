import { z } from 'zod'

/** A check whose sentence a store manager can read in both languages. */
export function say(en: string, zh: string) {
  return { message: en, params: { zh } }
}

/** How a guide is called in a sentence; by the guide_id where nobody knows more. */
export type NameOf = (guideId: string) => string

/** A guide_id as WeChat Pay gives it: 1–64 visible ASCII characters. */
export const guideIdSchema = z
  .string()
  .refine(
    id => /^[\x21-\x7e]{1,64}$/.test(id),
    say(
      'must be a guide_id: 1 to 64 visible ASCII characters',
      '应为服务人员ID：1到64个可见的英文字符',
    ),
  )
  .refine(id => id !== '.' && id !== '..', say('must not be a path', '不能是路径'))

/** `HH:MM`, 00:00 to 23:59. */
export const localTimeSchema = z
  .string()
  .refine(time => time !== '24:00', {
    ...say('must be 00:00 for midnight: there is no 24:00', '午夜请写 00:00，没有 24:00'),
    abort: true,
  })
  .refine(
    time => /^(?:[01]\d|2[0-3]):[0-5]\d$/.test(time),
    say('must be a time of day such as 09:00', '应为时刻，例如 09:00'),
  )

/** `YYYY-MM-DD`, a day that exists. */
export const localDateSchema = z
  .string()
  .refine(
    date => Number.isInteger(dayNumber(date)),
    say('must be a day such as 2026-10-01', '应为日期，例如 2026-10-01'),
  )

export const tagSchema = z.string().min(1).max(32)

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Weekday = (typeof weekdays)[number]

const dayMs = 86_400_000

export function minutesOf(localTime: string): number {
  return Number(localTime.slice(0, 2)) * 60 + Number(localTime.slice(3, 5))
}

/** Days since 1970-01-01; NaN when there is no such day. */
export function dayNumber(date: string): number {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date)) return Number.NaN
  const atMs = Date.parse(`${date}T00:00:00Z`)
  return Number.isNaN(atMs) || dateOf(atMs / dayMs) !== date ? Number.NaN : atMs / dayMs
}

/** The inverse of `dayNumber`. */
export function dateOf(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10)
}

/** 1970-01-01 was a Thursday. */
export function weekdayOf(day: number): Weekday {
  return weekdays[(((day + 3) % 7) + 7) % 7] ?? 'mon'
}
