import type { OpenAPIHono } from '@hono/zod-openapi'
import { z } from '@hono/zod-openapi'
import { signatureScheme } from '../../access/signature.ts'
import type { Env } from '../env.ts'
import type { ApiDocument } from './describe.ts'

/** What the app can do, for programs (`/openapi.json`) and for people (`/docs`, which needs no internet). */
export function addDescription(app: OpenAPIHono<Env>): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
  })
  app.openAPIRegistry.registerComponent('securitySchemes', 'signature', {
    type: 'apiKey',
    in: 'header',
    name: 'Authorization',
    description: `For keys that sign: ${signatureScheme} key_id="…",timestamp="…",nonce="…",signature="…". The signature is the base64 of HMAC-SHA-256, with the key's text, over METHOD, path and query as sent, timestamp, nonce and the hex SHA-256 of the body, a newline after each.`,
  })
  const common = { method: 'get' as const, security: [] }
  app.openAPIRegistry.registerPath({
    ...common,
    path: '/openapi.json',
    summary: 'This API as an OpenAPI 3.1 document',
    responses: {
      200: {
        description: 'The document',
        content: { 'application/json': { schema: z.looseObject({ openapi: z.string() }) } },
      },
    },
  })
  app.openAPIRegistry.registerPath({
    ...common,
    path: '/docs',
    summary: 'The same as a page to read, without internet',
    responses: {
      200: { description: 'The page', content: { 'text/html': { schema: z.string() } } },
    },
  })

  // Made when somebody asks, examples and all: a start does not wait for them.
  const document = once(async (): Promise<ApiDocument> => {
    const { describe } = await import('./describe.ts')
    const made = app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'smartguide-assign',
        version: '0.1.0',
        description: 'Gives every order its shop guide at WeChat Pay before the payer pays.',
      },
    })
    // As it is sent: plain, and without the types of the library.
    const plain: ApiDocument = JSON.parse(JSON.stringify(made))
    return describe(plain)
  })
  const text = once(async () => JSON.stringify(await document()))
  const page = once(async () => {
    const { pagePolicy, renderPage } = await import('./page.ts')
    return { html: renderPage(await document()), policy: pagePolicy }
  })

  app.get('/openapi.json', async context => {
    return context.body(await text(), 200, { 'Content-Type': 'application/json' })
  })
  app.get('/docs', async context => {
    const { html, policy } = await page()
    return context.body(html, 200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy,
      'referrer-policy': 'no-referrer',
    })
  })
}

/** What was made is kept; a failure to make it is not. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null
  return () => {
    made ??= make().catch(cause => {
      made = null
      throw cause
    })
    return made
  }
}
