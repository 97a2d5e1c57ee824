import type { Scope } from '../../src/access/keys.ts'
import type { Rig } from './rig.ts'

export type Asked = {
  body?: unknown
  /** Of these stores only; else of every store. */
  stores?: readonly number[]
  scope?: Scope
  ifMatch?: string
  language?: string
  headers?: Record<string, string>
}

/** Asks as a manager would, unless another scope is named. */
export function createManager(rig: Rig) {
  const minted = new Map<string, string>()

  // One for each: a disk that is full takes no new key.
  function keyFor(scope: Scope, stores: readonly number[] | null): string {
    const name = JSON.stringify([scope, stores])
    const key = minted.get(name) ?? rig.mint({ scope, stores })
    minted.set(name, key)
    return key
  }

  return async (method: string, path: string, asked: Asked = {}) => {
    const { body, stores = null, scope = 'manage', ifMatch, language, headers } = asked
    const answer = await rig.request(method, path, {
      ...(body === undefined ? {} : { body }),
      headers: {
        authorization: `Bearer ${keyFor(scope, stores)}`,
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
        ...(language === undefined ? {} : { 'accept-language': language }),
        ...headers,
      },
    })
    const text = await answer.text()
    return {
      status: answer.status,
      etag: answer.headers.get('etag'),
      headers: answer.headers,
      text,
      json: text === '' ? null : JSON.parse(text),
    }
  }
}

/** All that the file holds, but for the keys and what the audit says of them. */
export function contentsOf({ db }: Rig): unknown {
  const client = db.$client
  const names = client
    .prepare<[], string>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('keys', 'audit', 'audit_head') AND name NOT LIKE 'sqlite_%'",
    )
    .pluck()
    .all()
  const records = client
    .prepare("SELECT kind, subject, before, after FROM audit WHERE kind <> 'key' ORDER BY seq")
    .all()
  const tables = names.map(name => [name, client.prepare(`SELECT * FROM "${name}"`).all()])
  return { ...Object.fromEntries(tables), records }
}
