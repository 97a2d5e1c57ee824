import type { createApp } from '../../src/app.ts'

export type Schema = Record<string, unknown>
export type Parameter = { name: string; in: 'path' | 'query' | 'header'; schema: Schema }
export type Operation = {
  /** Method and path, as the description has them. */
  name: string
  method: string
  path: string
  parameters: Parameter[]
  body: { media: string; schema: Schema } | null
  statuses: string[]
}

type Told = {
  security?: object[]
  parameters?: Parameter[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: object
}

/** What the service says of itself: each operation that asks for a key, and the schemas that they point to. */
export async function readApi(app: ReturnType<typeof createApp>) {
  const document: {
    paths: Record<string, Record<string, Told>>
    components: { schemas: Record<string, Schema> }
  } = JSON.parse(await (await app.request('/openapi.json')).text())
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { security = [] }]) => security.length > 0)
      .map(([method, told]) => readOperation(method, path, told)),
  )
  return { operations, schemas: document.components.schemas }
}

function readOperation(method: string, path: string, told: Told): Operation {
  const [content] = Object.entries(told.requestBody?.content ?? {})
  return {
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase(),
    path,
    parameters: told.parameters ?? [],
    body: content ? { media: content[0], schema: content[1].schema } : null,
    statuses: Object.keys(told.responses),
  }
}

/** What the router has, whether it is described or not. */
export function routesOf(app: ReturnType<typeof createApp>): string[] {
  const routes = app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
  return [...new Set(routes)].sort()
}
