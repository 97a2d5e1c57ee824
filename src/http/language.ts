import type { Context } from 'hono'
import type { Env } from './env.ts'

export type Language = 'en' | 'zh'

/** The better liked of our two languages (RFC 9110, 12.5.4); English when the header names neither. */
export function preferredLanguage(acceptLanguage: string | undefined): Language {
  let liked: { language: Language; quality: number } = { language: 'en', quality: 0 }
  for (const range of (acceptLanguage ?? '').split(',').slice(0, 20)) {
    const [tag = '', weight] = range.split(';')
    const language = /^\s*(en|zh)(-|\s*$)/i.exec(tag)?.[1]?.toLowerCase()
    if (language !== 'en' && language !== 'zh') continue
    const quality = weight === undefined ? 1 : Number(/^\s*q=([01](\.\d*)?)\s*$/i.exec(weight)?.[1])
    if (quality > liked.quality) liked = { language, quality }
  }
  return liked.language
}

/** The language to answer in, which the answer names. */
export function answerLanguage(context: Context<Env>): Language {
  const language = preferredLanguage(context.req.header('accept-language'))
  context.header('Content-Language', language)
  context.header('Vary', 'Accept-Language')
  return language
}
