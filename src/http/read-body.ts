import type { Context } from 'hono'
import type { z } from 'zod'
import { AppError } from '../errors.ts'
import type { Env } from './edge.ts'
import type { Language } from './language.ts'
import { findFaults, sentenceFor } from './sentences.ts'

/** Of `people`, an unknown field is not named: what stands there may be a name. */
export type Subject = Record<Language, string> & { people?: true }

/**
 * The JSON body as its schema wants it. The route's own validator would do, but for the language of its sentences.
 *
 * @throws AppError invalid_request
 */
export async function readBody<S extends z.ZodType>(
  context: Context<Env>,
  schema: S,
  subject: Subject,
  language: Language,
): Promise<z.output<S>> {
  const read = schema.safeParse(parse(await context.req.text(), language), {
    error: issue => sentenceFor(issue, language),
  })
  if (read.success) return read.data
  const { faults, count, isMore } = findFaults(read.error.issues, language, subject.people)
  const first = faults[0]?.message ?? ''
  throw new AppError(
    'invalid_request',
    language === 'zh'
      ? `${subject.zh}有${isMore ? '超过' : ''} ${count} 处错误。${first}。`
      : `The ${subject.en} has ${isMore ? 'more than ' : ''}${count === 1 ? 'a mistake' : `${count} mistakes`}: ${first}.`,
    { fields: faults },
  )
}

function parse(text: string, language: Language): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new AppError(
      'invalid_request',
      language === 'zh' ? '内容不是有效的 JSON。' : 'The body is not JSON.',
    )
  }
}
