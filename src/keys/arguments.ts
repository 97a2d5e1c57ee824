import { parseArgs } from 'node:util'
import { type NewKey, refuseKey, type Scope, scopes } from '../access/keys.ts'

export const usage = `npm run keys -- create --scope assign|manage|admin [--store ID …] [--name NAME] [--expires INSTANT] [--signed]
npm run keys -- list [--json]
npm run keys -- revoke ID

Makes, lists and revokes API keys in the data directory of npm start (same DATA_DIR), beside a running service or without one.

  --scope     assign: tills; manage: store managers; admin: everything but orders
  --store     the store that the key is for; again for each further one; absent: every store
  --name      what it is called in lists
  --expires   RFC 3339 with offset: 2027-01-01T00:00:00+08:00
  --signed    the key is never sent: each request is signed with it; PII_KEY_FILE must be as for npm start

create prints the key, alone and this once, to standard output, so KEY=$(npm run -s keys -- create …) holds it.
A running service honours each change within a second.

Exit code: 0 done, 1 no such key, 64 wrong usage, 78 the data directory or PII_KEY_FILE cannot be used.
`

export type Asked =
  | { kind: 'help' }
  | { kind: 'create'; key: NewKey }
  | { kind: 'list'; json: boolean }
  | { kind: 'revoke'; id: string }
  | { kind: 'wrong'; why: string }

const takes: Readonly<Record<string, readonly string[]>> = {
  create: ['scope', 'store', 'name', 'expires', 'signed'],
  list: ['json'],
  revoke: [],
}

const wrong = (why: string): Asked => ({ kind: 'wrong', why })
const instant = /^20\d\d-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/

export function readArguments(args: readonly string[], nowMs: number): Asked {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        scope: { type: 'string' },
        store: { type: 'string', multiple: true },
        name: { type: 'string' },
        expires: { type: 'string' },
        signed: { type: 'boolean', default: false },
      },
    })
    const [command, id, ...more] = positionals
    if (values.help) return { kind: 'help' }
    if (more.length > 0 || (id !== undefined && command !== 'revoke')) {
      return wrong(`${more[0] ?? id} is one word too many.`)
    }
    const taken = takes[command ?? '']
    const stray = Object.entries(values).find(([name, value]) => value && !taken?.includes(name))
    if (taken && stray) return wrong(`${command} does not take --${stray[0]}.`)
    switch (command) {
      case 'create':
        return readNewKey(values, nowMs)
      case 'list':
        return { kind: 'list', json: values.json }
      case 'revoke':
        return id === undefined
          ? wrong('revoke takes the id of a key, as list tells it.')
          : { kind: 'revoke', id }
      default:
        return wrong(command ? `There is no ${command}.` : 'Say what to do with keys.')
    }
  } catch (cause) {
    return wrong(cause instanceof Error ? cause.message : String(cause))
  }
}

type Values = {
  scope?: string | undefined
  store?: string[] | undefined
  name?: string | undefined
  expires?: string | undefined
  signed: boolean
}

function readNewKey({ scope, store, name = '', expires, signed }: Values, nowMs: number): Asked {
  if (!isScope(scope)) return wrong(`--scope is required: one of ${scopes.join(', ')}.`)
  const stray = store?.find(text => !/^[1-9]\d{0,14}$/.test(text))
  if (stray !== undefined) return wrong(`--store takes a store_id, and ${stray} is none.`)
  if (name.length > 64 || /\p{Cc}/u.test(name) || !name.isWellFormed()) {
    return wrong('--name takes at most 64 letters, all of them printable.')
  }
  if (expires !== undefined && !(instant.test(expires) && Date.parse(expires) > 0)) {
    return wrong('--expires takes an instant such as 2027-01-01T00:00:00+08:00.')
  }
  const key: NewKey = {
    scope,
    stores: store ? [...new Set(store.map(Number))] : null,
    name: name === '' ? null : name,
    expiresAtMs: expires === undefined ? null : Date.parse(expires),
    signed,
  }
  const fault = refuseKey(key, nowMs)
  if (!fault) return { kind: 'create', key }
  const option = { stores: '--store', name: '--name', expires_at: '--expires' }[fault.field]
  return wrong(`${option} ${fault.en}.`)
}

function isScope(text: string | undefined): text is Scope {
  return scopes.some(scope => scope === text)
}
