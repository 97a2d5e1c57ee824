const traceparent =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/

/** The trace-id of a `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header); null for what is none. */
export function traceIdOf(header: string | undefined): string | null {
  const [, traceId = null] = traceparent.exec(header ?? '') ?? []
  // Version 00 has nothing behind its flags.
  return header?.startsWith('00') && header.length !== 55 ? null : traceId
}
