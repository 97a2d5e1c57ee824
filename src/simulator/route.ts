import type { Call } from './faults.ts'

export type Route =
  | { kind: 'call'; call: Call; guideId: string }
  | { kind: 'method_not_allowed' }
  | { kind: 'not_found' }

const paths: { pattern: RegExp; calls: Partial<Record<string, Call>> }[] = [
  { pattern: /^\/v3\/certificates$/, calls: { GET: 'certificates' } },
  { pattern: /^\/v3\/smartguide\/guides$/, calls: { POST: 'register', GET: 'query' } },
  { pattern: /^\/v3\/smartguide\/guides\/([^/]+)\/assign$/, calls: { POST: 'assign' } },
  { pattern: /^\/v3\/smartguide\/guides\/([^/]+)$/, calls: { PATCH: 'update' } },
]

export function routeOf(method: string, target: string): Route {
  const [path = ''] = target.split('?', 1)
  for (const { pattern, calls } of paths) {
    const match = pattern.exec(path)
    if (!match) continue
    const call = calls[method]
    return call
      ? { kind: 'call', call, guideId: decoded(match[1] ?? '') }
      : { kind: 'method_not_allowed' }
  }
  return { kind: 'not_found' }
}

/** A segment that cannot be decoded stays as it is, and names no guide. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
