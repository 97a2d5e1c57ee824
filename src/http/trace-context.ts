import type { TraceParent } from '../assignment/assignments.ts'

const traceparent =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/

/** What a `traceparent` says (https://www.w3.org/TR/trace-context/#traceparent-header); null for what is none. */
export function readTraceparent(header: string | undefined): TraceParent | null {
  if (header === undefined) return null
  const [, traceId, spanId, flags] = traceparent.exec(header) ?? []
  // Version 00 has nothing behind its flags.
  const isWhole = !header.startsWith('00') || header.length === 55
  if (!traceId || !spanId || !flags || !isWhole) return null
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
