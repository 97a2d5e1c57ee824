import { randomBytes } from 'node:crypto'
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Answer } from './answer.ts'

const DRIPS = 20

export function send(outgoing: ServerResponse, { status, headers, body }: Answer): void {
  const length = status === 204 ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  outgoing.writeHead(status, { ...headers, ...length }).end(body)
}

/** A status that can be read, and a body that cannot: neither JSON nor UTF-8, under the seal of the true one. */
export function sendGarbage(outgoing: ServerResponse, { headers }: Answer): void {
  const junk = Buffer.concat([Buffer.from([0xff, 0xfe]), randomBytes(62)])
  const type = { 'Content-Type': 'application/json', 'Content-Length': String(junk.length) }
  outgoing.writeHead(200, { ...headers, ...type }).end(junk)
}

/**
 * Lets the answer out in drips over `durationMs`: the body, or where there is none (204) the header fields.
 * Written to the socket, because an HTTP server has no way to send half a header.
 */
export async function sendSlowly(
  socket: Socket,
  answer: Answer,
  durationMs: number,
): Promise<void> {
  const bytes = rawBytes(answer)
  const atOnce = answer.body === '' ? bytes.indexOf('\n') + 1 : bytes.indexOf('\r\n\r\n') + 4
  socket.write(bytes.subarray(0, atOnce))
  const rest = bytes.subarray(atOnce)
  const size = Math.ceil(rest.length / DRIPS)
  for (let sent = 0; sent < rest.length && !socket.destroyed; sent += size) {
    await pause(durationMs / DRIPS)
    socket.write(rest.subarray(sent, sent + size))
  }
  socket.end()
}

function rawBytes({ status, headers, body }: Answer): Buffer {
  const length = status === 204 ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const fields = Object.entries({ ...headers, ...length, Connection: 'close' })
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines}\r\n${body}`)
}
