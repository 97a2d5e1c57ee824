import { type Key, reservedNames } from '../access/keys.ts'

type Listed = Key & { lastUsedMs: number | null }

const day = (atMs: number): string => new Date(atMs).toISOString()

const storesOf = ({ stores }: Key): string =>
  stores === null ? 'every store' : stores.map(String).join(' ')

/** A key of long ago may be called by what a terminal would carry out. */
const nameOf = ({ name }: Key): string => (name ?? '').replace(/\p{Cc}/gu, '?')

export function asText(keys: readonly Listed[]): string {
  if (keys.length === 0) return 'There is no key yet.\n'
  const head = ['id', 'scope', 'stores', 'created', 'expires', 'used', 'sent', 'name']
  const rows = keys.map(key => [
    key.id,
    key.scope,
    storesOf(key),
    day(key.createdAtMs),
    key.expiresAtMs === null ? 'never' : day(key.expiresAtMs),
    key.lastUsedMs === null ? 'never' : day(key.lastUsedMs),
    key.signed ? 'signs' : 'as it is',
    nameOf(key),
  ])
  const table = [head, ...rows]
  const widths = head.map((_, at) => Math.max(...table.map(row => row[at]?.length ?? 0)))
  const lines = table.map(row => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  return `${lines.map(line => line.trimEnd()).join('\n')}\n`
}

export function asJson(keys: readonly Listed[]): string {
  const told = keys.map(
    ({ id, scope, stores, name, createdAtMs, expiresAtMs, signed, lastUsedMs }) => ({
      id,
      scope,
      stores,
      name,
      created_at: day(createdAtMs),
      expires_at: expiresAtMs === null ? null : day(expiresAtMs),
      signed,
      last_used_at: lastUsedMs === null ? null : day(lastUsedMs),
    }),
  )
  return `${JSON.stringify({ keys: told }, null, 2)}\n`
}

export function sayMade(key: Key, path: string): string {
  const until = key.expiresAtMs === null ? '' : `, until ${day(key.expiresAtMs)}`
  return `Key ${key.id} (${key.scope}, ${storesOf(key)}${until}) is in ${path}; it is shown this once.\n`
}

/** What whoever runs the service has to know of the file that sealed the key; nothing, mostly. */
export function sayKeyFile(
  path: string,
  {
    vault,
    isMade,
    hasOlder,
  }: { vault: { readonly keyId: string }; isMade: boolean; hasOlder: boolean },
): string {
  if (isMade) {
    return `PII_KEY_FILE ${path} was made, and sealed it: npm start must be given the same file.\n`
  }
  return hasOlder
    ? `It is sealed with the newest line of ${path} (${vault.keyId}): restart a service that started before that line was added, or it takes no signature of this key.\n`
    : ''
}

export function sayRevoked(key: Key): string {
  const again = reservedNames.includes(key.name ?? '')
    ? ' The next start makes it anew: remove the admin key file to have another one.'
    : ''
  return `Key ${key.id} (${key.scope}, ${storesOf(key)}) is revoked.${again}\n`
}
