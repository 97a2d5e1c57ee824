function lengthOctets(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const octets = Buffer.from(length.toString(16).padStart(length > 0xffff ? 6 : 4, '0'), 'hex')
  const short = octets[0] === 0 ? octets.subarray(1) : octets
  return Buffer.concat([Buffer.from([0x80 | short.length]), short])
}

function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOctets(content.length), content])
}

export const sequence = (...parts: Buffer[]) => tagged(0x30, ...parts)
export const setOf = (...parts: Buffer[]) => tagged(0x31, ...parts)
export const explicit = (tag: number, part: Buffer) => tagged(0xa0 | tag, part)
export const utf8String = (text: string) => tagged(0x0c, Buffer.from(text))
export const bitString = (bits: Buffer) => tagged(0x03, Buffer.from([0]), bits)
export const nothing = () => tagged(0x05)

/** The octets must be a positive number already: first bit clear, no leading zero octet. */
export const integer = (octets: Buffer) => tagged(0x02, octets)

/** RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
export function time(ms: number): Buffer {
  const digits = `${new Date(ms).toISOString().slice(0, 19).replace(/\D/g, '')}Z`
  return digits < '2050'
    ? tagged(0x17, Buffer.from(digits.slice(2)))
    : tagged(0x18, Buffer.from(digits))
}

export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(arc: number): number[] {
  const octets = [arc & 0x7f]
  for (let left = arc >> 7; left > 0; left >>= 7) octets.unshift(0x80 | (left & 0x7f))
  return octets
}
