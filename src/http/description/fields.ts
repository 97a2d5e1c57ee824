import type { Schema } from './describe.ts'

/** One field of a body: where it stands, what it may be, and what it means. */
export type Field = {
  path: string
  type: string
  isRequired: boolean
  limits: string
  says: string
}

const limits = {
  minimum: 'at least',
  maximum: 'at most',
  exclusiveMinimum: 'above',
  exclusiveMaximum: 'below',
  minLength: 'characters: at least',
  maxLength: 'characters: at most',
  minItems: 'entries: at least',
  maxItems: 'entries: at most',
  pattern: 'pattern',
  default: 'unless given',
} as const

/** The fields of a schema, flat: `orders[].member_id`. What has a name of its own is not gone into. Pure. */
export function fieldsOf(schema: Schema, path = ''): Field[] {
  const inner = schema.properties
    ? Object.entries(schema.properties).flatMap(([name, field]) => {
        const at = path === '' ? name : `${path}.${name}`
        return [
          rowOf(at, field, schema.required?.includes(name) ?? false),
          ...(field.$ref ? [] : fieldsOf(field, at)),
        ]
      })
    : []
  const items = schema.items && !schema.items.$ref ? fieldsOf(schema.items, `${path}[]`) : []
  const forms = formsOf(schema).flatMap(form =>
    form.$ref ? [] : fieldsOf(form, formPath(path, form)),
  )
  return [...inner, ...items, ...forms]
}

const formsOf = ({ oneOf = [], anyOf = [], allOf = [] }: Schema) => [...oneOf, ...anyOf, ...allOf]

/** Which of several forms it is, by the word that tells them apart. */
function formPath(path: string, { properties = {} }: Schema): string {
  const [word] = Object.entries(properties).flatMap(([name, { const: only, enum: words }]) => {
    const said = only ?? (words?.length === 1 ? words[0] : undefined)
    return said === undefined ? [] : [`${name}: ${said}`]
  })
  return word === undefined ? path : `${path}(${word})`
}

function rowOf(path: string, schema: Schema, isRequired: boolean): Field {
  return {
    path,
    type: typeOf(schema),
    isRequired,
    limits: limitsOf(schema).join('; '),
    says: schema.description ?? '',
  }
}

export function typeOf(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? ''
  const forms = formsOf(schema)
  if (forms.length > 0) return [...new Set(forms.map(typeOf))].join(' or ')
  if (schema.enum) return schema.enum.map(word => JSON.stringify(word)).join(' | ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.items) return `list of ${typeOf(schema.items)}`
  if (schema.prefixItems) return `[${schema.prefixItems.map(typeOf).join(', ')}]`
  const types = [schema.type ?? 'any'].flat().join(' or ')
  const { format } = schema
  return typeof format === 'string' ? `${types}, ${format}` : types
}

export function limitsOf(schema: Schema): string[] {
  return Object.entries(limits).flatMap(([name, words]) => {
    const limit = schema[name]
    if (limit === undefined || Math.abs(Number(limit)) === Number.MAX_SAFE_INTEGER) return []
    const text = typeof limit === 'string' ? limit : JSON.stringify(limit)
    return [`${words} ${text}`]
  })
}
