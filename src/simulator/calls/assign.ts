import { z } from 'zod'
import { type Answer, bare, paramError, refusal } from '../answer.ts'
import { checkMerchant, outTradeNo, readGuideId, readJson, subMchid } from '../parameters.ts'
import type { Platform } from '../platform.ts'
import type { GatewayRequest } from '../request.ts'

const assignment = z.object({ out_trade_no: outTradeNo, sub_mchid: subMchid.optional() })

/** 204 says that the assign was well formed and is kept, not that a card will show. */
export async function assign(request: GatewayRequest, platform: Platform): Promise<Answer> {
  const guideId = readGuideId(request)
  if (!guideId.ok) return guideId.refusal
  const body = readJson(request, assignment)
  if (!body.ok) return body.refusal
  const merchant = checkMerchant(platform, body.value.sub_mchid)
  if (!merchant.ok) return merchant.refusal

  const { world, orders, clock } = platform
  const known = world.guide(guideId.value, merchant.value) !== undefined
  if (!known && world.policies().unknown_guide === 'reject') {
    return refusal(404, 'RESOURCE_NOT_EXISTS', `服务人员不存在：guide_id ${guideId.value}`)
  }
  const assigned = { guideId: guideId.value, atMs: clock() }
  switch (orders.assign(body.value.out_trade_no, merchant.value, assigned)) {
    case 'accepted':
      return bare(204)
    case 'paid':
      return paramError('body', 'out_trade_no', '订单已支付，不能再分配服务人员')
    case 'taken':
      return paramError('body', 'out_trade_no', '订单已分配给其他服务人员')
  }
}
