import { chen, lin, type ToldOperations } from './told.ts'

const assigned = {
  out_trade_no: 'A20261123-0001',
  store_id: 1001,
  status: 'assigned',
  guide_id: lin.guide_id,
  generation: 1,
  reason: 'FAIR_TURN',
  decided_at: '2026-11-23T02:00:00.120Z',
  assigned_at: '2026-11-23T02:00:00.148Z',
  expires_at: '2026-11-23T02:10:00.120Z',
}
const pending = { ...assigned, status: 'pending', assigned_at: null }
const withoutGuide = { ...pending, guide_id: null }
const reassigned = {
  ...assigned,
  guide_id: chen.guide_id,
  generation: 2,
  reason: 'NAMED',
  decided_at: '2026-11-23T02:01:30.000Z',
  assigned_at: '2026-11-23T02:01:30.031Z',
}
const order = {
  ...assigned,
  paid_at: null,
  closed_at: null,
  too_late: false,
  earlier: [],
  attempt_count: 1,
  attempts: [
    {
      at: '2026-11-23T02:00:00.122Z',
      host: 'https://api.mch.weixin.qq.com',
      ms: 24.9,
      outcome: 'accepted',
      request_id: '08A0B1C2D30610',
      generation: 1,
    },
  ],
}

export const explanation = {
  versions: { staff: 1, roster: 1, plan: 1 },
  steps: [
    { step: 1, use: 'owner', verdict: 'not_given' },
    { step: 2, use: 'rotate', verdict: 'hit' },
    { step: 3, use: 'none', verdict: 'not_reached' },
  ],
  guides: [
    {
      ...lin,
      chosen: true,
      reason: 'FAIR_TURN',
      balance_before: 0.25,
      share: 0.5,
      balance_after: -0.25,
      units: { before: 180180, share: 360360, after: -180180 },
    },
    {
      ...chen,
      chosen: false,
      reason: 'LOWER_BALANCE',
      balance_before: -0.25,
      share: 0.5,
      balance_after: 0.25,
      units: { before: -180180, share: 360360, after: 180180 },
    },
  ],
  sentence: {
    zh: '轮到 林晓：计入本单份额后应得 0.75 单，比下一位 陈悦 多 0.5 单。',
    en: 'It was the turn of 林晓: with a share of this order they were due 0.75 orders, 0.5 orders more than 陈悦, the next.',
  },
}

/** The tills' side, and what managers may do with an order. */
export const orderOperations: ToldOperations = {
  'POST /orders/{out_trade_no}/assign': {
    zh: '为新订单分配服务人员，并告知微信支付',
    body: {
      usual: {
        store_id: 1001,
        member_id: 'member-li',
        amount: 12900,
        channel: 'payment_code',
        cart_id: 'c-881',
      },
      least: { store_id: 1001 },
    },
    answers: {
      200: {
        assigned,
        unassigned: { ...withoutGuide, status: 'unassigned', reason: 'NO_STEP_MATCHED' },
        skipped: { ...withoutGuide, status: 'skipped', reason: 'PLATFORM_AUTO_ASSIGN' },
        rejected: {
          ...pending,
          status: 'rejected',
          upstream: {
            status: 400,
            code: 'PARAM_ERROR',
            message: '商户订单号不合法',
            request_id: '08A0B1C2D30611',
          },
        },
        expired: { ...pending, status: 'expired' },
      },
      202: { pending },
    },
  },
  'POST /orders/{out_trade_no}/reassign': {
    zh: '付款之前，把订单改派给另一位服务人员',
    body: { usual: { guide_id: lin.guide_id, why: '顾客指定' } },
    ifMatch: '"1"',
    answers: {
      200: { assigned: reassigned },
      202: { pending: { ...reassigned, status: 'pending', assigned_at: null } },
    },
  },
  'GET /orders/{out_trade_no}': {
    zh: '查询订单及每次尝试',
    answers: { 200: { assigned: order } },
  },
  'POST /orders/{out_trade_no}/paid': {
    zh: '顾客已付款：此后不再发送',
    body: { usual: { paid_at: '2026-11-23T10:01:10+08:00' } },
    answers: { 200: { paid: { ...order, paid_at: '2026-11-23T02:01:10.000Z' } } },
  },
  'POST /orders/{out_trade_no}/closed': {
    zh: '订单未付款而关闭：退还轮次',
    body: { usual: { closed_at: '2026-11-23T10:05:00+08:00' } },
    path: { out_trade_no: 'Y0008' },
    answers: {
      200: {
        closed: { ...order, out_trade_no: 'Y0008', closed_at: '2026-11-23T02:05:00.000Z' },
      },
    },
  },
  'GET /orders/{out_trade_no}/explain': {
    zh: '为什么是这位，为什么不是别人',
    path: { out_trade_no: 'Y0007' },
    answers: {
      200: {
        explained: {
          out_trade_no: 'Y0007',
          store_id: 1001,
          status: 'assigned',
          generation: 1,
          ...lin,
          reason: 'FAIR_TURN',
          earlier: [],
          ...explanation,
        },
      },
    },
  },
}
