import { z } from 'zod'
import { cleanText, parseJson } from './answer.ts'
import type { Mask } from './mask.ts'

/** What a refusal says of itself; empty strings for what it leaves out. */
export type ErrorBody = { code: string; message: string; field: string }

const text = z.string().optional().catch(undefined)

const schema = z.object({
  code: text,
  message: text,
  return_code: text,
  return_msg: text,
  detail: z.unknown().optional(),
})

const detailSchema = z.object({ field: z.string() })
const signInformationSchema = z.object({
  method: z.string(),
  url: z.string(),
  sign_message_length: z.union([z.number(), z.string()]),
  truncated_sign_message: z.string(),
})

// Also of a person whom the call was not about; an order number is seldom of 11 digits.
const someMobile = /(?<!\d)(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)/g

const nothingSaid: ErrorBody = { code: '', message: '', field: '' }

/**
 * Reads `{code, message, detail?}` or `{return_code, return_msg}`.
 *
 * An empty body is a refusal that says nothing; null stands for a body that is not WeChat Pay's
 * (a proxy's page, for example), from which nothing may be concluded. `mask` goes over all of it
 * before it is cut to size, so that no half of what it hides is left at an end.
 */
export function readErrorBody(body: Buffer, mask: Mask = text => text): ErrorBody | null {
  if (body.length === 0) return nothingSaid
  const parsed = schema.safeParse(parseJson(body))
  if (!parsed.success) return null
  const code = parsed.data.code ?? parsed.data.return_code
  if (code === undefined) return null
  const message = parsed.data.message ?? parsed.data.return_msg ?? ''
  const { detail } = parsed.data
  const hide = (said: string) => mask(said).replace(someMobile, '***')
  const field = detailSchema.safeParse(detail)
  return {
    code: cleanText(hide(code), 64),
    message: cleanText(hide(`${message}${signHint(detail)}`), 512),
    field: field.success ? cleanText(hide(field.data.field), 128) : '',
  }
}

// What they think we signed is the one thing that makes a SIGN_ERROR findable. It comes as
// `detail.sign_information` or, at some gateways, one level deeper.
function signHint(detail: unknown): string {
  const found = signInformationOf(detail)
  if (found === null) return ''
  const read = JSON.stringify(found.truncated_sign_message)
  return ` (they read ${found.method} ${found.url}, ${found.sign_message_length} bytes to sign: ${read})`
}

/** What a SIGN_ERROR says that the server built, as it came: foreign text, and never shown uncleaned. */
export type SignInformation = z.infer<typeof signInformationSchema>

export function readSignInformation(body: Buffer): SignInformation | null {
  return signInformationOf(inner(parseJson(body), 'detail'))
}

function signInformationOf(detail: unknown): SignInformation | null {
  return findSignInformation(detail) ?? findSignInformation(inner(detail, 'detail'))
}

function findSignInformation(value: unknown): SignInformation | null {
  const parsed = signInformationSchema.safeParse(inner(value, 'sign_information'))
  return parsed.success ? parsed.data : null
}

function inner(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
