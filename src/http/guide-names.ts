import type { Context } from 'hono'
import { mayEnter } from '../access/rights.ts'
import type { Guides } from '../mirror/guides.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import type { NamesOf } from '../rules/explain.ts'
import type { Env } from './env.ts'

/** The names that may be told, by guide_id; of the others there is none. */
export type LookUp = (guideIds: readonly string[]) => ReadonlyMap<string, string>

/**
 * The names that an answer about a store may tell: those of the guides of the key's own stores, and of whoever is
 * borrowed on the store's staff. A draft may name anybody, and must not tell how guides of other stores are called; a
 * till needs no names.
 */
export function createNaming(guides: Guides, mirror: Mirror) {
  return (context: Context<Env>, { storeId, merchant }: Store, nowMs: number): LookUp => {
    const { key } = context.var
    const known = new Map<string, string | null>()
    let staff: ReadonlyMap<string, unknown> | null = null

    function isTold(guideId: string, home: number): boolean {
      if (mirror.store(home)?.merchant !== merchant) return false
      if (mayEnter(key, home)) return true
      staff ??= mirror.readyStore(storeId, nowMs)?.rules.crew.byId ?? new Map()
      return staff.has(guideId)
    }

    return guideIds => {
      if (key.scope === 'assign') return new Map()
      const unknown = guideIds.filter(id => !known.has(id))
      const found = unknown.length === 0 ? null : guides.names(unknown, isTold)
      for (const id of unknown) known.set(id, found?.get(id) ?? null)
      return new Map(
        guideIds.flatMap((id): [string, string][] => {
          const name = known.get(id)
          return name ? [[id, name]] : []
        }),
      )
    }
  }
}

/** How sentences call guides: by name, and by guide_id too where two are called alike. */
export function callThem(lookUp: LookUp): NamesOf {
  return guideIds => {
    const names = lookUp(guideIds)
    const alike = Map.groupBy(names.values(), name => name)
    return id => {
      const name = names.get(id)
      if (name === undefined) return id
      return (alike.get(name)?.length ?? 0) > 1 ? `${name} (${id})` : name
    }
  }
}

/** The answer with a `name` beside each `guide_id` whose name may be told. */
export function nameGuides<T>(answer: T, lookUp: LookUp): T {
  const ids = new Set<string>()
  collect(answer, ids)
  const names = lookUp([...ids])
  return names.size === 0 ? answer : (named(answer, names) as T)
}

function collect(value: unknown, ids: Set<string>): void {
  if (typeof value !== 'object' || value === null) return
  if ('guide_id' in value && typeof value.guide_id === 'string') ids.add(value.guide_id)
  for (const within of Object.values(value)) collect(within, ids)
}

function named(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map(one => named(one, names))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, within]) => {
      const name = key === 'guide_id' ? names.get(within) : undefined
      const own: [string, unknown][] = [[key, named(within, names)]]
      return name === undefined ? own : [...own, ['name', name]]
    }),
  )
}
