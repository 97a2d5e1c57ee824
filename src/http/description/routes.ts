import type { OpenAPIHono } from '@hono/zod-openapi'
import { z } from '@hono/zod-openapi'
import type { Env } from '../edge.ts'
import { type ApiDocument, describe } from './describe.ts'
import { pagePolicy, renderPage } from './page.ts'

/** What the app can do, for programs (`/openapi.json`) and for people (`/docs`, which needs no internet). */
export function addDescription(app: OpenAPIHono<Env>): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
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

  let described: ApiDocument | null = null
  let page: string | null = null
  function read(): ApiDocument {
    if (described) return described
    const made = app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'smartguide-assign',
        version: '0.1.0',
        description: 'Gives every order its shop guide at WeChat Pay before the payer pays.',
      },
    })
    // As it is sent: plain, and without the types of the library.
    const document: ApiDocument = JSON.parse(JSON.stringify(made))
    described = describe(document)
    return described
  }

  app.get('/openapi.json', context => context.json(read()))
  app.get('/docs', context => {
    page ??= renderPage(read())
    return context.body(page, 200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': pagePolicy,
      'referrer-policy': 'no-referrer',
    })
  })
}
