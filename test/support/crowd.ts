import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type Answered = { status: number; text: string; sentMs: number; ms: number }

type Connection = { socket: Socket; waits: ((answered: Answered) => void) | null; sentMs: number }

/**
 * A crowd of tills on bare sockets, each with one request under way at a time: it costs the machine little beside what it
 * asks of the service. `ms` counts from the moment the request was written to the socket.
 */
export function openCrowd(url: string, key: string) {
  const { port, host } = new URL(url)
  const idle: Connection[] = []
  const all = new Set<Connection>()
  let broken = 0

  function open(): Connection {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    const connection: Connection = { socket, waits: null, sentMs: 0 }
    let text = ''
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    socket.on('data', chunk => {
      text += chunk
      const end = text.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
      if (end === -1 || text.length < end + 4 + length) return
      const status = Number(text.slice(9, 12))
      const told = { status, text: text.slice(end + 4), sentMs: connection.sentMs }
      text = ''
      const { waits } = connection
      // The service takes leave of a connection that never asked anything.
      if (!waits) return
      connection.waits = null
      idle.push(connection)
      waits({ ...told, ms: performance.now() - connection.sentMs })
    })
    socket.once('close', () => {
      all.delete(connection)
      if (idle.includes(connection)) idle.splice(idle.indexOf(connection), 1)
      if (connection.waits) broken += 1
      connection.waits?.({ status: 0, text: '', sentMs: connection.sentMs, ms: 0 })
    })
    all.add(connection)
    return connection
  }

  return {
    /** Connects so many beforehand. */
    async gather(count: number): Promise<void> {
      const opened = Array.from({ length: count }, open)
      await Promise.all(opened.map(({ socket }) => once(socket, 'connect')))
      idle.push(...opened)
    },

    post(no: string): Promise<Answered> {
      const body = '{"store_id":1001,"amount":12900}'
      const connection = idle.pop() ?? open()
      const answered = new Promise<Answered>(resolve => {
        connection.waits = resolve
      })
      connection.sentMs = performance.now()
      connection.socket.write(
        `POST /orders/${no}/assign HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${key}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      return answered
    },

    get connections() {
      return all.size
    },

    /** Cut off without an answer. */
    get broken() {
      return broken
    },

    close(): void {
      for (const { socket } of all) socket.destroy()
    },
  }
}
