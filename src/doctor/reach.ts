import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export type Reached =
  | { kind: 'reached'; address: string; dnsMs: number; tcpMs: number; tlsMs: number | null }
  | { kind: 'unreached'; stage: 'DNS' | 'TCP' | 'TLS'; why: string; address: string | null }

/** Goes as far as a connection goes, in three steps, within `timeoutMs` in all. Sends nothing of HTTP. */
export async function reach(origin: string, timeoutMs: number): Promise<Reached> {
  const url = new URL(origin)
  const isSecure = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = Number(url.port || (isSecure ? 443 : 80))
  const untilMs = performance.now() + timeoutMs
  const left = () => Math.max(1, untilMs - performance.now())
  let socket: Socket | null = null
  let address: string | null = null
  let stage: 'DNS' | 'TCP' | 'TLS' = 'DNS'
  try {
    const startMs = performance.now()
    const addresses = await within(lookup(host, { all: true }), left())
    address = addresses.map(each => each.address).join(', ')
    const foundMs = performance.now()
    stage = 'TCP'
    // All of them, as the client would: a machine without IPv6 is given such addresses too.
    socket = connect({ host, port, lookup: (_host, _options, done) => done(null, addresses) })
    await within(once(socket, 'connect'), left())
    const openMs = performance.now()
    address = socket.remoteAddress ?? address
    const tcp = { address, dnsMs: foundMs - startMs, tcpMs: openMs - foundMs }
    if (!isSecure) return { kind: 'reached', ...tcp, tlsMs: null }
    stage = 'TLS'
    // An address is no server name (RFC 6066, 3).
    const name = isIP(host) ? {} : { servername: host }
    const secure = connectTls({ socket, host, ...name, ALPNProtocols: ['http/1.1'] })
    socket = secure
    await within(once(secure, 'secureConnect'), left())
    return { kind: 'reached', ...tcp, tlsMs: performance.now() - openMs }
  } catch (cause) {
    return { kind: 'unreached', stage, why: explain(cause), address }
  } finally {
    socket?.on('error', () => {})
    socket?.destroy()
  }
}

function within<T>(step: Promise<T>, ms: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('no answer in time')), ms)
  step.catch(() => {})
  return Promise.race([step, promise]).finally(() => clearTimeout(timer))
}

function explain(cause: unknown): string {
  if (cause instanceof AggregateError) return explain(cause.errors[0])
  if (!(cause instanceof Error)) return String(cause)
  // OpenSSL's own message is a stack of its source lines.
  const said = 'reason' in cause ? String(cause.reason) : cause.message
  const code = 'code' in cause ? String(cause.code) : ''
  return code === '' || said.includes(code) ? said : `${said} (${code})`
}
