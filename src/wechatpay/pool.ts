import { Pool } from 'undici'

/** Kept-alive connections to one host, at most `connections` of them, one call at a time on each. */
export function openPool(origin: string, connections: number): Pool {
  return new Pool(origin, {
    connections,
    pipelining: 1,
    allowH2: false,
    // Below the 8 s after which the server closes an idle connection, whatever it may hint.
    keepAliveTimeout: 4_000,
    keepAliveMaxTimeout: 4_000,
    // The attempt's own timer rules; undici's would only add to the cost.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: 3_000 },
    maxResponseSize: 64 * 1024,
  })
}
