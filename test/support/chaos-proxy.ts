import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { aRandom } from './rules.ts'

/** What befalls one call on its way. */
export type Mishap =
  /** The connection breaks before the call has arrived. */
  | { kind: 'reset' }
  /** Carried out; then the connection ends without a byte of the answer. */
  | { kind: 'closed' }
  /** Carried out; half of the answer comes back. */
  | { kind: 'truncated' }
  /** Taken in, and nothing more is heard. */
  | { kind: 'blackhole' }
  /** Carried out and answered so much later. */
  | { kind: 'late'; ms: number }
  /** Answered, and hung up so much later, when the next call may be on its way. */
  | { kind: 'hung_up'; ms: number }

export type Weather = {
  /** The next calls, one after the other, before any chance is taken. */
  script?: readonly (Mishap | null)[]
  /** Adding up to 1 at most. */
  chances?: readonly (readonly [chance: number, mishap: Mishap])[]
  /** Of new connections: accepted, and not a byte is read. */
  deaf?: number
}

export type ChaosProxy = Awaited<ReturnType<typeof openChaosProxy>>

/** Stands between a client and a server on TCP, one call at a time on each connection, and spoils calls as it is told. */
export async function openChaosProxy(seed = 1) {
  const random = aRandom(seed)
  const sockets = new Set<Socket>()
  const lines = new Set<{ isAwaiting: boolean }>()
  let weather: Weather = {}
  let script: (Mishap | null)[] = []
  let target = 0
  let calls = 0
  let port = 0
  const server = createServer({ pauseOnConnect: true, noDelay: true }, accept)
  await listen()
  port = (server.address() as AddressInfo).port

  async function listen(): Promise<void> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }

  function nextMishap(): Mishap | null {
    calls += 1
    const scripted = script.shift()
    if (scripted !== undefined) return scripted
    let left = random()
    for (const [chance, mishap] of weather.chances ?? []) {
      left -= chance
      if (left < 0) return mishap
    }
    return null
  }

  function keep(socket: Socket): void {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  }

  function accept(near: Socket): void {
    keep(near)
    if (random() < (weather.deaf ?? 0)) return
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true })
    const line = { isAwaiting: false }
    far.on('error', () => {})
    lines.add(line)
    near.once('close', () => {
      lines.delete(line)
      far.destroy()
    })
    let mishap: Mishap | null = null
    let lateMs = 0

    near.on('data', chunk => {
      if (!line.isAwaiting) {
        line.isAwaiting = true
        mishap = nextMishap()
        lateMs = mishap?.kind === 'late' ? mishap.ms : 0
      }
      if (mishap?.kind === 'reset') near.resetAndDestroy()
      else if (mishap?.kind !== 'blackhole') far.write(chunk)
    })
    far.on('data', chunk => {
      if (lateMs > 0) setTimeout(answer, lateMs, chunk)
      else answer(chunk)
    })
    far.once('close', () => setTimeout(() => near.destroy(), lateMs))
    near.resume()

    function answer(chunk: Buffer): void {
      line.isAwaiting = false
      if (mishap?.kind === 'closed') near.end()
      else if (mishap?.kind === 'truncated') near.end(chunk.subarray(0, chunk.length >> 1))
      else near.write(chunk)
      if (mishap?.kind === 'hung_up') setTimeout(() => near.end(), mishap.ms)
    }
  }

  return {
    /** Where the client is to call, once it is known where the calls go. */
    toward(url: string): string {
      target = Number(new URL(url).port)
      return `http://127.0.0.1:${port}`
    },

    set(next: Weather): void {
      weather = next
      script = [...(next.script ?? [])]
    },

    /** Nobody listens any more, and whoever is connected is cut off. */
    async refuse(): Promise<void> {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.resetAndDestroy()
      await closed
    },

    accept: listen,

    get calls() {
      return calls
    },

    /** Connections that the client has open. */
    get open() {
      // What nobody reads does not hear of its end.
      for (const socket of sockets) if (socket.isPaused()) socket.resume()
      return sockets.size
    },

    /** Those on which it waits for an answer. */
    get awaiting() {
      return [...lines].filter(({ isAwaiting }) => isAwaiting).length
    },

    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    },
  }
}
