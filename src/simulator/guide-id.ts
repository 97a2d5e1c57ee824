import { randomBytes } from 'node:crypto'

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** 34 characters, shaped as the published sample LLA3WJ6DSZUfiaZDS79FH5Wm5m4X69TBic. */
export function newGuideId(): string {
  const digits = [...randomBytes(31)].map(octet => ALPHABET[octet % ALPHABET.length])
  return `LLA${digits.join('')}`
}
