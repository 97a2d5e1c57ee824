import { join } from 'node:path'
import { z } from 'zod'
import { coalesce } from './coalesce.ts'
import { defaultPolicies, type Policies, policies } from './policies.ts'
import { present } from './present.ts'
import { parseStored, readIfThere, writeAtomically } from './state-file.ts'

const SAVE_DELAY_MS = 100

const store = z.object({
  store_id: z.int(),
  name: z.string(),
  sub_mchid: z.string().nullable(),
})

const guide = z.object({
  guide_id: z.string(),
  kind: z.enum(['wecom', 'personal']),
  store_id: z.int(),
  corpid: z.string().optional(),
  userid: z.string().optional(),
  work_id: z.string().optional(),
  name: z.string(),
  mobile: z.string(),
  avatar: z.string().optional(),
  qr_code: z.string().optional(),
  group_qrcode: z.string().optional(),
})

const cardModules = ['personal_qr', 'group_qr', 'like', 'phone', 'navigation'] as const

export const cardSettings = z.strictObject({
  title: z.string().min(1).max(16),
  logo: z.string().max(1024).nullable(),
  modules: z
    .array(z.enum(cardModules))
    .refine(
      modules => modules.includes('personal_qr') || modules.includes('group_qr'),
      'at least one of personal_qr and group_qr is needed',
    ),
})

const savedWorld = z.object({
  stores: z.array(store),
  guides: z.array(guide),
  card: cardSettings,
  policies: policies.partial(),
})

export type Store = z.infer<typeof store>
export type Guide = z.infer<typeof guide>
export type CardSettings = z.infer<typeof cardSettings>
export type CardModule = CardSettings['modules'][number]

const defaultCard: CardSettings = {
  title: '服务顾问',
  logo: null,
  modules: ['personal_qr', 'like', 'phone', 'navigation'],
}

export type World = Awaited<ReturnType<typeof openWorld>>

/** What WeChat Pay knows of the merchant: survives a restart as state.json. */
export async function openWorld(stateDir: string) {
  const path = join(stateDir, 'state.json')
  const saved = await load(path)
  const stores = new Map(saved.stores.map(each => [each.store_id, each]))
  const guides = new Map(saved.guides.map(each => [each.guide_id, each]))
  const guidesByStore = Map.groupBy(guides.values(), each => each.store_id)
  let card = saved.card
  let rules: Policies = { ...defaultPolicies, ...present(saved.policies) }

  const saving = coalesce(() => {
    const state = {
      stores: [...stores.values()],
      guides: [...guides.values()],
      card,
      policies: rules,
    }
    return writeAtomically(path, JSON.stringify(state), 0o600)
  }, SAVE_DELAY_MS)

  return {
    policies: () => rules,
    setPolicies(changes: Partial<Policies>): Policies {
      rules = { ...rules, ...changes }
      saving.soon()
      return rules
    },

    card: () => card,
    setCard(changes: Partial<CardSettings>): CardSettings {
      card = { ...card, ...changes }
      saving.soon()
      return card
    },

    stores: () => [...stores.values()],
    store: (storeId: number) => stores.get(storeId),
    putStore(each: Store): void {
      stores.set(each.store_id, each)
      saving.soon()
    },

    /** A sub-merchant has authorised the provider as soon as it has a store. */
    knowsSubMerchant: (subMchid: string) =>
      stores.values().some(each => each.sub_mchid === subMchid),

    guides: () => [...guides.values()],
    guidesOf: (storeId: number): readonly Guide[] => guidesByStore.get(storeId) ?? [],
    /** Undefined for another merchant's guide, too. */
    guide(guideId: string, subMchid: string | null): Guide | undefined {
      const found = guides.get(guideId)
      return found && stores.get(found.store_id)?.sub_mchid === subMchid ? found : undefined
    },
    addGuide(each: Guide): void {
      guides.set(each.guide_id, each)
      const colleagues = guidesByStore.get(each.store_id)
      if (colleagues) colleagues.push(each)
      else guidesByStore.set(each.store_id, [each])
      saving.soon()
    },
    changeGuide(each: Guide, changes: Partial<Guide>): void {
      Object.assign(each, changes)
      saving.soon()
    },

    /** An employee leaves, or takes the account back: no call does it. */
    removeGuide(each: Guide): void {
      guides.delete(each.guide_id)
      const colleagues = guidesByStore.get(each.store_id)
      colleagues?.splice(colleagues.indexOf(each), 1)
      saving.soon()
    },

    close: saving.flush,
  }
}

async function load(path: string): Promise<z.infer<typeof savedWorld>> {
  const text = await readIfThere(path)
  if (text === null) return { stores: [], guides: [], card: defaultCard, policies: {} }
  return parseStored(path, text, json => savedWorld.parse(JSON.parse(json)))
}
