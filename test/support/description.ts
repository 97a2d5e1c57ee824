import { z } from '@hono/zod-openapi'
import type { createApp } from '../../src/app.ts'
import type { ApiDocument, Operation, Schema } from '../../src/http/description/describe.ts'

type App = ReturnType<typeof createApp>

export async function readDocument(app: Pick<App, 'request'>): Promise<ApiDocument> {
  const document: ApiDocument = JSON.parse(await (await app.request('/openapi.json')).text())
  return document
}

export type Described = { name: string; method: string; path: string; operation: Operation }

export function operationsOf(document: ApiDocument): Described[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  )
}

/** Reads a value as a schema of the document says, which takes no field that the document does not name. */
export function createReader(document: ApiDocument): (schema: Schema, value: unknown) => string[] {
  const { schemas } = document.components
  const resolve = (schema: Schema): Schema => {
    const name = schema.$ref?.split('/').at(-1)
    return name === undefined ? schema : (schemas[name] ?? {})
  }

  /** The parts of an extended object as one, and nothing beside its fields. */
  function close(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map(close)
    if (typeof schema !== 'object' || schema === null) return schema
    if ('$ref' in schema) return { $ref: String(schema.$ref).replace(/^.*\//, '#/$defs/') }
    const { allOf = [], ...own }: Schema = { ...schema }
    const parts = [...allOf.map(resolve), own]
    if (allOf.length === 0) return closeFields(own)
    const properties = Object.assign({}, ...parts.map(part => part.properties))
    const required = parts.flatMap(part => part.required ?? [])
    return closeFields({ type: 'object', properties, required })
  }
  function closeFields(schema: Schema): unknown {
    const fields = Object.entries(schema).map(([key, value]) => [
      key,
      key === 'properties'
        ? Object.fromEntries(Object.entries(Object(value)).map(([name, of]) => [name, close(of)]))
        : close(value),
    ])
    const isOpen = schema.properties === undefined || 'additionalProperties' in schema
    return { ...Object.fromEntries(fields), ...(isOpen ? {} : { additionalProperties: false }) }
  }

  const $defs = Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, close(schema)]),
  )
  const known = new Map<string, z.ZodType>()
  return (schema, value) => {
    const text = JSON.stringify(close(schema))
    const reader = known.get(text) ?? z.fromJSONSchema({ ...JSON.parse(text), $defs })
    known.set(text, reader)
    const read = reader.safeParse(value)
    return read.success
      ? []
      : read.error.issues.map(({ path, message }) => `/${path.join('/')}: ${message}`)
  }
}

let read: Promise<{ pattern: RegExp; described: Described }[]> | null = null

/** Says of a refusal that the description does not promise it; undefined of one that it does. */
export function createJudge(app: App) {
  const routes = async () =>
    operationsOf(await readDocument(app)).map(described => ({
      pattern: new RegExp(`^${described.path.replace(/\{\w+\}/g, '[^/]+')}$`),
      described,
    }))

  return async (method: string, target: string, answer: Response): Promise<string | undefined> => {
    // What is answered well must not wait for the description to be made.
    if (answer.status < 400) return undefined
    const path = target.replace(/[?#].*$/s, '')
    read ??= routes()
    const found = (await read).filter(
      ({ pattern, described }) => described.method === method && pattern.test(path),
    )
    // Of `/guides/sync` and `/guides/{guide_id}` the plain one.
    const described = (found.find(one => !one.described.path.includes('{')) ?? found[0])?.described
    if (!described) return undefined
    const promised = described.operation.responses[String(answer.status)]
    if (answer.headers.get('content-type') !== 'application/problem+json') return undefined
    const { code } = JSON.parse(await answer.clone().text())
    const codes = promised?.content?.['application/problem+json']?.examples ?? {}
    if (code === 'internal' || code in codes) return undefined
    return `${described.name} answered ${answer.status} ${code}, which /openapi.json does not say`
  }
}
