import type { HttpBindings } from '@hono/node-server'
import type { Key } from '../access/keys.ts'

/** What a request carries through the routes; `operation` and `key` are those that the gate let in. */
export type Env = {
  Bindings: Partial<HttpBindings>
  Variables: { requestId: string; operation: string; key: Key }
}
