import { z } from 'zod'
import { beijingTime } from './beijing-time.ts'
import type { Assignment, Order } from './orders.ts'
import type { CardModule, Guide, Store, World } from './world.ts'

export const channel = z.enum(['payment_code', 'jsapi', 'mini_program', 'app', 'h5', 'native'])
export type Channel = z.infer<typeof channel>

export interface Card {
  guide_id: string
  name: string
  title: string
  store: { store_id: number; name: string }
  modules: CardModule[]
}

export type Verdict =
  | 'shown'
  | 'not_assigned'
  | 'assigned_after_payment'
  | 'auto_assign'
  | 'channel_without_card'
  | 'window_expired'
  | 'unknown_guide'

export interface Bill {
  out_trade_no: string
  sub_mchid: string | null
  channel: Channel
  paid_at: string
  card: Card | null
  code: Verdict
  why: string
}

export interface Payment {
  outTradeNo: string
  subMchid: string | null
  channel: Channel
  paidAtMs: number
}

/** What the payer sees. None of these reasons was told to the caller of assign: it got 204. */
export function settleBill(payment: Payment, order: Order | undefined, world: World): Bill {
  const { outTradeNo, subMchid, paidAtMs } = payment
  const policies = world.policies()
  const assigned = policies.reassign === 'first_wins' ? order?.first : order?.last

  function without(code: Verdict, why: string): Bill {
    return { ...billOf(payment), card: null, code, why }
  }

  if (!assigned) {
    return without(
      'not_assigned',
      `No assign for order ${outTradeNo} was accepted before it was paid.`,
    )
  }
  if (policies.auto_assign) {
    return without(
      'auto_assign',
      'The platform assigns guides by itself (auto_assign is on): assigning through the API has no effect.',
    )
  }
  if (policies.edition === 'commercial' && payment.channel === 'jsapi') {
    return without(
      'channel_without_card',
      'Commercial edition: orders that the payer starts by scanning (jsapi) show no card.',
    )
  }
  if (paidAtMs - assigned.atMs > policies.assign_window_seconds * 1000) {
    return without('window_expired', expired(assigned, paidAtMs, policies.assign_window_seconds))
  }
  const guide = world.guide(assigned.guideId, subMchid)
  const store = guide && world.store(guide.store_id)
  if (!guide || !store) {
    return without(
      'unknown_guide',
      `The assign was accepted, but this merchant has no guide ${assigned.guideId}.`,
    )
  }
  return {
    ...billOf(payment),
    card: cardOf(guide, store, world),
    code: 'shown',
    why: `Guide ${guide.guide_id} was assigned at ${beijingTime(assigned.atMs)}, in time.`,
  }
}

function billOf({ outTradeNo, subMchid, channel, paidAtMs }: Payment) {
  return {
    out_trade_no: outTradeNo,
    sub_mchid: subMchid,
    channel,
    paid_at: beijingTime(paidAtMs),
  }
}

function expired(assigned: Assignment, paidAtMs: number, windowSeconds: number): string {
  const ageSeconds = Math.ceil((paidAtMs - assigned.atMs) / 1000)
  return `Assigned ${ageSeconds} s before payment: an assign holds for ${windowSeconds} s.`
}

function cardOf(guide: Guide, store: Store, world: World): Card {
  const { title, modules } = world.card()
  return {
    guide_id: guide.guide_id,
    name: guide.name,
    title,
    store: { store_id: store.store_id, name: store.name },
    modules: modules.filter(module => module !== 'group_qr' || guide.group_qrcode !== undefined),
  }
}
