import { StartError } from './errors.ts'

/** Where traces are told (OTLP over HTTP, as JSON). `headers` may hold a secret. */
export type Collector = {
  url: string
  headers: Readonly<Record<string, string>>
  serviceName: string
}

/** By the names that OpenTelemetry gives; null when no endpoint is set, or OTEL_SDK_DISABLED is true. */
export function readCollector(env: Readonly<Record<string, string | undefined>>): Collector | null {
  const base = 'OTEL_EXPORTER_OTLP_ENDPOINT'
  const own = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'
  const ownHeaders = 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'
  const name = env[own] ? own : base
  if (!env[name] || env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return null
  const url = URL.parse(env[name])
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new StartError(`${name} must be an http or https address, such as http://127.0.0.1:4318.`)
  }
  const protocol = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL']
  if (protocol && protocol !== 'http/json') {
    throw new StartError(
      `OTEL_EXPORTER_OTLP_PROTOCOL is ${protocol}, and this service speaks http/json alone; collectors take that at the port of http/protobuf.`,
    )
  }
  if (name === base) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`
  return {
    url: url.href,
    headers: readHeaders(env, env[ownHeaders] ? ownHeaders : 'OTEL_EXPORTER_OTLP_HEADERS'),
    serviceName: env['OTEL_SERVICE_NAME'] || 'smartguide-assign',
  }
}

/** `name=value,name=value`, values percent-encoded. What is wrong is not said in full: it may be a secret. */
function readHeaders(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const pair of (env[name] ?? '').split(',')) {
    if (pair.trim() === '') continue
    const [, key, text] = /^\s*([\w!#$&'*+.^`|~-]+)\s*=\s*([\x21-\x7e ]*?)\s*$/.exec(pair) ?? []
    const value = decoded(text)
    if (!key || value === null || !/^[\x20-\x7e]*$/.test(value)) {
      throw new StartError(`${name} must be name=value pairs with commas between them.`)
    }
    headers[key.toLowerCase()] = value
  }
  return headers
}

function decoded(text: string | undefined): string | null {
  try {
    return text === undefined ? null : decodeURIComponent(text)
  } catch {
    return null
  }
}
