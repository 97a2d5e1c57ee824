import type { Key, Scope } from './keys.ts'

/** Where a request says, by itself or by what it names, whose store it is about; null: about no store. */
type StoreFrom = 'path' | 'query' | 'body' | 'order' | 'guide' | 'member' | 'rows' | 'each' | null

/** Where it names the merchant in partner mode. Keys are for stores: a merchant is entered through one of its own. */
type MerchantFrom = 'query' | 'body' | 'store' | null

export type Right = {
  scopes: readonly Scope[] | 'anyone'
  store: StoreFrom
  merchant: MerchantFrom
}

const right = (
  scopes: Right['scopes'],
  store: StoreFrom = null,
  merchant: MerchantFrom = null,
): Right => ({ scopes, store, merchant })

const anyone = right('anyone')
const nobody = right([])
const ofStore = right(['manage', 'admin'], 'path', 'store')
const ofOrder = right(['assign', 'manage', 'admin'], 'order', 'query')
const ofTill = right(['assign'], 'order', 'query')
const ofMember = right(['manage', 'admin'], 'member', 'query')
const ofAll = right(['admin'])

const documents = ['staff', 'roster', 'plan'].flatMap((kind): [string, Right][] => {
  const path = `/stores/{store_id}/${kind}`
  return [
    [`GET ${path}`, ofStore],
    [`PUT ${path}`, ofStore],
    [`GET ${path}/versions`, ofStore],
    [`GET ${path}/versions/{version}`, ofStore],
    [`POST ${path}/versions/{version}/restore`, ofStore],
    [`GET ${path}/versions/{version}/diff/{other}`, ofStore],
  ]
})

/** Who may do what. What does not stand here nobody may. */
export const rights: ReadonlyMap<string, Right> = new Map([
  ['GET /livez', anyone],
  ['GET /readyz', anyone],
  ['GET /metrics', anyone],
  ['GET /openapi.json', anyone],
  ['GET /docs', anyone],

  ['POST /orders/{out_trade_no}/assign', right(['assign'], 'body', 'body')],
  ['POST /orders/{out_trade_no}/reassign', ofOrder],
  ['GET /orders/{out_trade_no}', ofOrder],
  ['GET /orders/{out_trade_no}/explain', ofOrder],
  ['POST /orders/{out_trade_no}/paid', ofTill],
  ['POST /orders/{out_trade_no}/closed', ofTill],

  ['GET /stores', right(['manage', 'admin'], 'each', 'store')],
  ...documents,
  ['POST /stores/{store_id}/simulate', ofStore],
  ['POST /stores/{store_id}/replay', ofStore],
  ['GET /stores/{store_id}/lint', ofStore],
  ['GET /stores/{store_id}/on-duty', ofStore],
  ['GET /stores/{store_id}/fairness', ofStore],
  ['POST /stores/{store_id}/fairness/verify', ofStore],
  ['PUT /stores/{store_id}/guides/{guide_id}/pause', ofStore],
  ['DELETE /stores/{store_id}/guides/{guide_id}/pause', ofStore],
  ['GET /stores/{store_id}/export', ofStore],
  ['POST /stores/{store_id}/import', ofStore],
  ['GET /guides', right(['manage', 'admin'], 'query', 'store')],
  ['GET /guides/{guide_id}', right(['manage', 'admin'], 'guide', 'store')],
  ['GET /guides/{guide_id}/missed', right(['manage', 'admin'], 'guide', 'store')],
  ['GET /members/{member_id}/owner', ofMember],
  ['PUT /members/{member_id}/owner', ofMember],
  ['DELETE /members/{member_id}/owner', ofMember],
  ['POST /members/owners/import', right(['manage', 'admin'], 'rows', 'query')],

  ['POST /guides', ofAll],
  ['POST /guides/import', ofAll],
  ['GET /guides/imports/{id}', ofAll],
  ['POST /guides/sync', ofAll],
  ['GET /guides/sync', ofAll],
  ['POST /guides/adopt', ofAll],
  ['PATCH /guides/{guide_id}', ofAll],
  ['DELETE /guides/{guide_id}/profile', ofAll],
  ['PUT /stores/{store_id}', right(['admin'], 'path', 'body')],
  ['GET /settings', right(['admin'], null, 'query')],
  ['PUT /settings', right(['admin'], null, 'query')],
  ['POST /keys', ofAll],
  ['GET /keys', ofAll],
  ['DELETE /keys/{id}', ofAll],
  ['GET /audit', ofAll],
  ['GET /audit/verify', ofAll],
])

export type Verdict =
  | { kind: 'allowed' }
  | { kind: 'no_key' }
  | { kind: 'wrong_scope'; scopes: readonly Scope[] }
  | { kind: 'foreign_store' }

/**
 * Whether the bearer of a key may do something, in a store where it is about one.
 *
 * @param operation method and path, as `rights` has them
 * @param storeId undefined while the store is not known yet
 */
export function judge(operation: string, key: Key | null, storeId?: number): Verdict {
  const { scopes, store } = rights.get(operation) ?? nobody
  if (scopes === 'anyone') return { kind: 'allowed' }
  if (!key) return { kind: 'no_key' }
  if (!scopes.includes(key.scope)) return { kind: 'wrong_scope', scopes }
  const isForeign = storeId !== undefined && store !== null && !mayEnter(key, storeId)
  return { kind: isForeign ? 'foreign_store' : 'allowed' }
}

/** Whether a key may act in a store; a null store means: on no store in particular. */
export function mayEnter(key: Key, storeId: number | null): boolean {
  if (key.stores === null || key.scope === 'admin') return true
  return storeId !== null && key.stores.includes(storeId)
}
