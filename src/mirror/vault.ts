import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

/** A key of the vault: 32 bytes under a name, which stands before all that it sealed. */
export type VaultKey = { id: string; secret: Buffer }

export type Vault = {
  /** Seals a text for one `place` (a row, say): opened elsewhere it is found to be moved. */
  seal(text: string, place: string): string
  /** Null when it was sealed by a key that is not here, for another place, or changed since. */
  open(sealed: string, place: string): string | null
  /** Whether the key that sealed it is here. */
  knows(sealed: string): boolean
  /** Stands before all that is sealed now. */
  readonly keyId: string
  /** The same for the same text, and says nothing of it without the key; by the newest key first. */
  indexes(text: string): string[]
}

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

/**
 * Keeps personal data unreadable at rest: AES-256-GCM with a random nonce, `<key id>.<base64url of nonce, text, tag>`.
 *
 * The last of `keys` seals; all of them open, so that a key can be replaced while what the old one sealed is sealed anew.
 */
export function createVault(keys: readonly VaultKey[]): Vault {
  const known = new Map(keys.map(key => [key.id, derive(key)]))
  const newestFirst = [...known].reverse()
  const [newest] = newestFirst
  if (!newest) throw new Error('a vault needs a key')
  const [currentId, current] = newest

  return {
    seal(text, place) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv(algorithm, current.sealing, nonce).setAAD(Buffer.from(place))
      const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final()])
      const bytes = Buffer.concat([sealed, cipher.getAuthTag()])
      return `${currentId}.${bytes.toString('base64url')}`
    },

    open(sealed, place) {
      const { keyId, text: encoded } = split(sealed)
      const key = known.get(keyId)
      const bytes = Buffer.from(encoded, 'base64url')
      if (!key || bytes.length < nonceBytes + tagBytes) return null
      // Buffer reads past what is not base64url, and past bits that stand for nothing.
      if (bytes.toString('base64url') !== encoded) return null
      const [nonce, tag] = [bytes.subarray(0, nonceBytes), bytes.subarray(-tagBytes)]
      try {
        const decipher = createDecipheriv(algorithm, key.sealing, nonce, {
          authTagLength: tagBytes,
        })
          .setAAD(Buffer.from(place))
          .setAuthTag(tag)
        const text = decipher.update(bytes.subarray(nonceBytes, -tagBytes))
        return Buffer.concat([text, decipher.final()]).toString('utf8')
      } catch {
        return null
      }
    },

    knows: sealed => known.has(split(sealed).keyId),

    keyId: currentId,

    indexes: text =>
      newestFirst.map(([id, { indexing }]) => {
        const digest = createHmac('sha256', indexing).update(text).digest('base64url')
        return `${id}.${digest}`
      }),
  }
}

function split(sealed: string): { keyId: string; text: string } {
  const dot = Math.max(0, sealed.indexOf('.'))
  return { keyId: sealed.slice(0, dot), text: sealed.slice(dot + 1) }
}

/** One secret for two uses, which must not share a key. */
function derive({ secret }: VaultKey) {
  const part = (use: string) => Buffer.from(hkdfSync('sha256', secret, '', use, 32))
  return { sealing: part('seal'), indexing: part('index') }
}
