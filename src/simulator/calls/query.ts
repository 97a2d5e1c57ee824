import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { type Answer, success } from '../answer.ts'
import {
  checkMerchant,
  ciphertext,
  MOBILE_BYTES,
  openField,
  readQuery,
  subMchid,
  text,
} from '../parameters.ts'
import type { Platform } from '../platform.ts'
import type { GatewayRequest } from '../request.ts'
import { encryptField } from '../sensitive.ts'
import type { Guide } from '../world.ts'
import { unknownStore } from './register.ts'

const MAX_LIMIT = 10

const digits = z
  .string()
  .regex(/^\d{1,15}$/, '必须为非负整数')
  .transform(Number)

const search = z.object({
  store_id: z.string('必填').pipe(digits),
  userid: text(64).optional(),
  work_id: text(64).optional(),
  mobile: ciphertext.optional(),
  sub_mchid: subMchid.optional(),
  limit: digits
    .refine(limit => limit >= 1 && limit <= MAX_LIMIT, `必须为1到${MAX_LIMIT}`)
    .default(MAX_LIMIT),
  offset: digits.default(0),
})

/** Without userid, work_id and mobile: all guides of the store. */
export async function query(request: GatewayRequest, platform: Platform): Promise<Answer> {
  const wanted = readQuery(request, search)
  if (!wanted.ok) return wanted.refusal
  const { store_id, userid, work_id, sub_mchid, limit, offset } = wanted.value
  const merchant = checkMerchant(platform, sub_mchid)
  if (!merchant.ok) return merchant.refusal
  if (platform.world.store(store_id)?.sub_mchid !== merchant.value) return unknownStore()
  const mobile = await openField(
    platform,
    request,
    'query',
    'mobile',
    wanted.value.mobile,
    MOBILE_BYTES,
  )
  if (!mobile.ok) return mobile.refusal

  const found = platform.world
    .guidesOf(store_id)
    .filter(
      guide =>
        (userid === undefined || guide.userid === userid) &&
        (work_id === undefined || guide.work_id === work_id) &&
        (mobile.value === undefined || guide.mobile === mobile.value),
    )
  return success({
    data: found
      .slice(offset, offset + limit)
      .map(guide => rowOf(guide, platform.keys.merchantPublicKey)),
    total_count: found.length,
    limit,
    offset,
  })
}

/** Avatar and QR codes are never returned. */
function rowOf({ guide_id, store_id, name, mobile, userid, work_id }: Guide, key: KeyObject) {
  return {
    guide_id,
    store_id,
    name: encryptField(name, key),
    mobile: encryptField(mobile, key),
    userid,
    work_id,
  }
}
