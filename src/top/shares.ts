import { z } from 'zod'

const most = 100

export const storesSchema = z.object({
  stores: z.array(z.object({ store_id: z.int(), name: z.string() })),
})

export const sharesSchema = z.object({
  orders: z.int(),
  turns: z.int(),
  guides: z.array(
    z.object({
      guide_id: z.string(),
      name: z.string().nullish(),
      count: z.number(),
      share: z.number(),
      deviation: z.number(),
    }),
  ),
})

/** The turns of one store, the busiest guides first. */
export type Shares = {
  storeId: number
  name: string
  orders: number
  guides: { name: string; count: number; share: number; deviation: number }[]
}

export function sharesOf(
  store: { store_id: number; name: string },
  report: z.infer<typeof sharesSchema>,
): Shares {
  const guides = report.guides
    .map(({ name, guide_id, ...turns }) => ({ name: name || guide_id, ...turns }))
    .sort((one, other) => other.count - one.count)
  return {
    storeId: store.store_id,
    name: store.name,
    orders: report.orders,
    guides: guides.slice(0, most),
  }
}
