import type { Context } from 'hono'
import type { z } from 'zod'
import { AppError } from '../errors.ts'
import type { Env } from './env.ts'
import type { Language } from './language.ts'
import { notJson } from './problem.ts'
import { findFaults, type Subject, sayFaults, sentenceFor } from './sentences.ts'

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
  const read = schema.safeParse(parse(await context.req.text()), {
    error: issue => sentenceFor(issue, language),
  })
  if (read.success) return read.data
  const found = findFaults(read.error.issues, language, subject.people)
  throw new AppError('invalid_request', sayFaults(found, subject, language), {
    fields: found.faults,
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw notJson()
  }
}
