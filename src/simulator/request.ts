import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

export const MAX_BODY_BYTES = 64 * 1024

/** `target` and `body` are what came over the wire, untouched: that is what was signed. */
export interface GatewayRequest {
  method: string
  target: string
  headers: IncomingHttpHeaders
  body: Buffer
  /** Decoded; empty on the paths that have none. */
  guideId: string
}

export async function readBody(
  incoming: IncomingMessage,
): Promise<Buffer | 'too_large' | 'aborted'> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    // The stream must outlive the loop, or there is no socket left for the 413.
    for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
      if (!Buffer.isBuffer(chunk)) continue
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) return 'too_large'
      chunks.push(chunk)
    }
  } catch {
    return 'aborted'
  }
  return Buffer.concat(chunks)
}
