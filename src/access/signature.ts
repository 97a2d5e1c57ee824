import { createHmac, hash } from 'node:crypto'

export const signatureScheme = 'SMARTGUIDE-HMAC-SHA256'

/** What an Authorization header of that scheme says. `signature` is 32 bytes. */
export type Signed = {
  keyId: string
  timestamp: number
  nonce: string
  signature: Buffer
}

/** A request as it came. `target`: path and query, not decoded, not normalised. */
export type Arrived = { method: string; target: string; body: Uint8Array }

const wanted: ReadonlyMap<string, RegExp> = new Map([
  ['key_id', /^[0-9a-f]{16}$/],
  ['timestamp', /^[1-9]\d{9}$/],
  ['nonce', /^[\w-]{16,64}$/],
  ['signature', /^[A-Za-z0-9+/]{43}=$/],
])
const header = new RegExp(`^${signatureScheme} +(.{1,400})$`, 'i')

export function isOfSigner(authorization: string): boolean {
  return authorization.toUpperCase().startsWith(signatureScheme)
}

/** Null unless each of the four is there once, in its one form, and nothing else is. */
export function parseSigned(authorization: string): Signed | null {
  const said = new Map<string, string>()
  for (const part of header.exec(authorization)?.[1]?.split(/, */) ?? []) {
    const [, name = '', value = ''] = /^(\w+)="([^"]*)"$/.exec(part) ?? []
    if (!wanted.get(name)?.test(value) || said.has(name)) return null
    said.set(name, value)
  }
  const [keyId, timestamp, nonce, text] = [...wanted.keys()].map(name => said.get(name))
  if (!keyId || !timestamp || !nonce || !text) return null
  const signature = Buffer.from(text, 'base64')
  // Two bits of the last letter stand for nothing.
  if (signature.toString('base64') !== text) return null
  return { keyId, timestamp: Number(timestamp), nonce, signature }
}

/** What is signed: a line each, with a newline after the last as well. */
export function messageOf(
  { timestamp, nonce }: Pick<Signed, 'timestamp' | 'nonce'>,
  { method, target, body }: Arrived,
): Buffer {
  const lines = [method, target, timestamp, nonce, hash('sha256', body, 'hex'), '']
  // As Node read the target: a byte a letter.
  return Buffer.from(lines.join('\n'), 'latin1')
}

export function signatureOf(secret: string, message: Buffer): Buffer {
  return createHmac('sha256', secret).update(message).digest()
}
