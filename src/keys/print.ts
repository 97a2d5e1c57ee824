import { type Key, reservedNames } from '../access/keys.ts'

const day = (atMs: number): string => new Date(atMs).toISOString()

const storesOf = ({ stores }: Key): string =>
  stores === null ? 'every store' : stores.map(String).join(' ')

/** A key of long ago may be called by what a terminal would carry out. */
const nameOf = ({ name }: Key): string => (name ?? '').replace(/\p{Cc}/gu, '?')

export function asText(keys: readonly Key[]): string {
  if (keys.length === 0) return 'There is no key yet.\n'
  const head = ['id', 'scope', 'stores', 'created', 'expires', 'name']
  const rows = keys.map(key => [
    key.id,
    key.scope,
    storesOf(key),
    day(key.createdAtMs),
    key.expiresAtMs === null ? 'never' : day(key.expiresAtMs),
    nameOf(key),
  ])
  const table = [head, ...rows]
  const widths = head.map((_, at) => Math.max(...table.map(row => row[at]?.length ?? 0)))
  const lines = table.map(row => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  return `${lines.map(line => line.trimEnd()).join('\n')}\n`
}

export function asJson(keys: readonly Key[]): string {
  const told = keys.map(({ id, scope, stores, name, createdAtMs, expiresAtMs }) => ({
    id,
    scope,
    stores,
    name,
    created_at: day(createdAtMs),
    expires_at: expiresAtMs === null ? null : day(expiresAtMs),
  }))
  return `${JSON.stringify({ keys: told }, null, 2)}\n`
}

export function sayMade(key: Key, path: string): string {
  const until = key.expiresAtMs === null ? '' : `, until ${day(key.expiresAtMs)}`
  return `Key ${key.id} (${key.scope}, ${storesOf(key)}${until}) is in ${path}; it is shown this once.\n`
}

export function sayRevoked(key: Key): string {
  const again = reservedNames.includes(key.name ?? '')
    ? ' The next start makes it anew: remove the admin key file to have another one.'
    : ''
  return `Key ${key.id} (${key.scope}, ${storesOf(key)}) is revoked.${again}\n`
}
