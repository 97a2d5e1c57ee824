import { z } from 'zod'
import { type Answer, bare, paramError, refusal } from '../answer.ts'
import {
  checkMerchant,
  ciphertext,
  MOBILE_BYTES,
  NAME_BYTES,
  openField,
  readGuideId,
  readJson,
  subMchid,
  text,
  URL_BYTES,
} from '../parameters.ts'
import type { Platform } from '../platform.ts'
import { present } from '../present.ts'
import type { GatewayRequest } from '../request.ts'

const fixed = z.undefined('不支持修改').optional()

const changes = z.object({
  sub_mchid: subMchid.optional(),
  name: ciphertext.optional(),
  mobile: ciphertext.optional(),
  avatar: text(URL_BYTES).optional(),
  qr_code: text(URL_BYTES).optional(),
  group_qrcode: text(URL_BYTES).optional(),
  store_id: fixed,
  userid: fixed,
  corpid: fixed,
})

export async function update(request: GatewayRequest, platform: Platform): Promise<Answer> {
  const guideId = readGuideId(request)
  if (!guideId.ok) return guideId.refusal
  const body = readJson(request, changes)
  if (!body.ok) return body.refusal
  const { sub_mchid, name: sealedName, mobile: sealedMobile, ...plain } = body.value
  const merchant = checkMerchant(platform, sub_mchid)
  if (!merchant.ok) return merchant.refusal
  const guide = platform.world.guide(guideId.value, merchant.value)
  if (!guide) {
    return refusal(404, 'RESOURCE_NOT_EXISTS', `服务人员不存在：guide_id ${guideId.value}`)
  }
  if (guide.kind === 'personal') {
    const forbidden = plain.qr_code ? 'qr_code' : plain.group_qrcode ? 'group_qrcode' : null
    if (forbidden) return paramError('body', forbidden, '仅企业微信服务人员支持修改')
  }

  const [name, mobile] = await Promise.all([
    openField(platform, request, 'body', 'name', sealedName, NAME_BYTES),
    openField(platform, request, 'body', 'mobile', sealedMobile, MOBILE_BYTES),
  ])
  if (!name.ok) return name.refusal
  if (!mobile.ok) return mobile.refusal
  const changed = { ...plain, name: name.value, mobile: mobile.value }
  platform.world.changeGuide(guide, present(changed))
  return bare(204)
}
