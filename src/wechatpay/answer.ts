import type { IncomingHttpHeaders } from 'node:http'

/** An answer as it came: header names in lower case, body bytes untouched. */
export type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer }

/** A header that came exactly once; a repeated one says two things, so it says nothing. */
export function header(answer: Answer, name: string): string | null {
  const value = answer.headers[name]
  return typeof value === 'string' && value !== '' ? value : null
}

/** Foreign text made fit for a log line: control characters and lone surrogates gone, cut to size. */
export function cleanText(text: string, maxLength: number): string {
  const head = text.slice(0, maxLength * 2)
  const clean = head.replace(/[\p{Cc}\p{Cs}\u2028\u2029]+/gu, ' ').trim()
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1).toWellFormed()}…`
}

/** The JSON of a body; undefined when it is none. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
