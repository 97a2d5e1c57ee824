import { z } from 'zod'
import { type Answer, paramError, refusal, success } from '../answer.ts'
import { newGuideId } from '../guide-id.ts'
import {
  checkMerchant,
  ciphertext,
  MOBILE_BYTES,
  NAME_BYTES,
  openField,
  readJson,
  storeId,
  subMchid,
  text,
  URL_BYTES,
} from '../parameters.ts'
import type { Platform } from '../platform.ts'
import type { GatewayRequest } from '../request.ts'

const registration = z.object({
  sub_mchid: subMchid.optional(),
  corpid: text(64),
  store_id: storeId,
  userid: text(64),
  name: ciphertext,
  mobile: ciphertext,
  qr_code: text(URL_BYTES),
  avatar: text(URL_BYTES),
  group_qrcode: text(URL_BYTES).optional(),
})

export async function register(request: GatewayRequest, platform: Platform): Promise<Answer> {
  const body = readJson(request, registration)
  if (!body.ok) return body.refusal
  const { sub_mchid, name: sealedName, mobile: sealedMobile, ...fields } = body.value
  const merchant = checkMerchant(platform, sub_mchid)
  if (!merchant.ok) return merchant.refusal
  const { world } = platform
  if (world.store(fields.store_id)?.sub_mchid !== merchant.value) return unknownStore()

  const [name, mobile] = await Promise.all([
    openField(platform, request, 'body', 'name', sealedName, NAME_BYTES),
    openField(platform, request, 'body', 'mobile', sealedMobile, MOBILE_BYTES),
  ])
  if (!name.ok) return name.refusal
  if (!mobile.ok) return mobile.refusal

  const twin = world
    .guidesOf(fields.store_id)
    .find(({ corpid, userid }) => corpid === fields.corpid && userid === fields.userid)
  if (twin) {
    return world.policies().register_twice === 'same_id'
      ? success({ guide_id: twin.guide_id })
      : paramError('body', 'userid', '该员工已注册')
  }
  const guideId = newGuideId()
  world.addGuide({
    guide_id: guideId,
    kind: 'wecom',
    ...fields,
    name: name.value ?? '',
    mobile: mobile.value ?? '',
  })
  return success({ guide_id: guideId })
}

export function unknownStore(): Answer {
  return refusal(400, 'PARAM_ERROR', '门店id不存在')
}
