import type { Scope } from '../../access/keys.ts'
import { rights } from '../../access/rights.ts'
import { administrationOperations } from './administration.ts'
import { curlOf } from './curl.ts'
import { guideOperations } from './guides.ts'
import { orderOperations } from './orders.ts'
import { probeOperations } from './probes.ts'
import { storeOperations } from './stores.ts'
import type { Examples, Told, ToldOperations } from './told.ts'

export const toldOperations: ToldOperations = {
  ...orderOperations,
  ...storeOperations,
  ...guideOperations,
  ...administrationOperations,
  ...probeOperations,
}

/** Who reads an operation: the groups of the page, and the tags of the document. */
export const readers = [
  { name: 'tills', zh: '收银端' },
  { name: 'managers', zh: '店长' },
  { name: 'administrators', zh: '管理员' },
  { name: 'operators', zh: '运维' },
] as const

export type Schema = {
  $ref?: string
  type?: string | string[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  prefixItems?: Schema[]
  oneOf?: Schema[]
  anyOf?: Schema[]
  allOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  description?: string
  [constraint: string]: unknown
}
export type Example = { summary?: string; 'x-summary-zh'?: string; value: unknown }
type Content = Record<string, { schema: Schema; examples?: Record<string, Example> }>
export type Parameter = {
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
  description?: string
  schema: Schema
}
export type Operation = {
  summary: string
  description?: string
  tags?: string[]
  security?: object[]
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Content }
  responses: Record<string, { description: string; content?: Content }>
  'x-summary-zh'?: string
  'x-scopes'?: readonly Scope[]
  'x-codeSamples'?: { lang: string; source: string }[]
}
export type ApiDocument = {
  info: { title: string; version: string; description?: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema>; [kind: string]: unknown }
}

/** The description that the routes make, with the examples, the Chinese and the scopes that they do not have. Pure. */
export function describe(document: ApiDocument): ApiDocument {
  const paths = Object.entries(document.paths).map(([path, methods]) => [
    path,
    Object.fromEntries(
      Object.entries(methods).map(([method, operation]) => [
        method,
        tell(method.toUpperCase(), path, operation),
      ]),
    ),
  ])
  const tags = readers.map(({ name, zh }) => ({ name, description: zh }))
  return { ...document, tags, paths: Object.fromEntries(paths) } as ApiDocument
}

function tell(method: string, path: string, operation: Operation): Operation {
  const name = `${method} ${path}`
  const told = toldOperations[name]
  const scopes = scopesOf(name)
  const who = { tags: [readerOf(scopes)], 'x-scopes': scopes }
  // Its test says so; whoever reads the document shall have the rest.
  if (!told) return { ...operation, ...who }
  const { requestBody } = operation
  const responses = Object.entries(operation.responses).map(([status, response]) => {
    const examples = told.answers[Number(status)]
    const content = response.content
    return [
      status,
      examples && content ? { ...response, content: show(content, examples) } : response,
    ]
  })
  return {
    ...operation,
    ...who,
    ...(requestBody
      ? { requestBody: { ...requestBody, content: showBody(requestBody.content, told) } }
      : {}),
    responses: Object.fromEntries(responses),
    'x-summary-zh': told.zh,
    'x-codeSamples': [{ lang: 'Shell', source: curlOf(method, path, told, scopes[0]) }],
  }
}

function scopesOf(name: string): readonly Scope[] {
  const { scopes = [] } = rights.get(name) ?? {}
  return scopes === 'anyone' ? [] : scopes
}

export function readerOf(scopes: readonly Scope[]): (typeof readers)[number]['name'] {
  if (scopes.includes('assign')) return 'tills'
  if (scopes.includes('manage')) return 'managers'
  return scopes.includes('admin') ? 'administrators' : 'operators'
}

function showBody(content: Content, { body, files }: Told): Content {
  if (body) return show(content, body)
  const shown = Object.entries(content).map(([media, one]) => [
    media,
    { ...one, examples: { usual: { value: files?.[media] } } },
  ])
  return Object.fromEntries(shown)
}

/** One media type there is, of all answers but problems. */
function show(content: Content, values: Examples): Content {
  const examples = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, { value }]),
  )
  const shown = Object.entries(content).map(([media, one]) => [media, { ...one, examples }])
  return Object.fromEntries(shown)
}
