import { z } from 'zod'
import { type Checked, paramError, pass, refusal, refuse } from './answer.ts'
import type { Platform } from './platform.ts'
import type { GatewayRequest } from './request.ts'
import { decryptField } from './sensitive.ts'

// Lengths are of UTF-8 bytes, and of the plain text where a field is encrypted.
export const NAME_BYTES = 64
export const MOBILE_BYTES = 32
export const URL_BYTES = 1024
const ID_CHARS = 64

export function text(maxBytes: number) {
  return z
    .string('必须为字符串')
    .min(1, '不能为空')
    .refine(value => Buffer.byteLength(value) <= maxBytes, `长度超过${maxBytes}字节`)
}

export const ciphertext = z.string('必须为字符串').min(1, '不能为空')
export const storeId = z.int('必须为整数')
export const subMchid = z.string('必须为字符串').regex(/^\d{1,32}$/, '必须为1到32位数字')
export const outTradeNo = z
  .string('必填，且必须为字符串')
  .regex(/^[0-9A-Za-z_\-|*!@]{1,32}$/, '必须为1到32个字符，只能是数字、大小写字母和_-|*!@')

/** The body as UTF-8 JSON of 1–3 byte characters without nulls, then by the call's own schema. */
export function readJson<T extends z.ZodType>(
  request: GatewayRequest,
  schema: T,
): Checked<z.infer<T>> {
  const parsed = parseJson(request.body)
  if (!parsed.ok) return parsed
  const fault = findForbidden(parsed.value)
  if (fault) return refuse(paramError('body', fault.field, fault.issue))
  return checked('body', schema, parsed.value)
}

export function readQuery<T extends z.ZodType>(
  request: GatewayRequest,
  schema: T,
): Checked<z.infer<T>> {
  const [, search = ''] = request.target.split(/\?(.*)/s)
  const query = new URLSearchParams(search)
  const repeated = [...query.keys()].find(key => query.getAll(key).length > 1)
  if (repeated !== undefined) return refuse(paramError('query', repeated, '重复'))
  return checked('query', schema, Object.fromEntries(query))
}

export function readGuideId({ guideId }: GatewayRequest): Checked<string> {
  const { length } = guideId
  return length >= 1 && length <= ID_CHARS
    ? pass(guideId)
    : refuse(paramError('path', 'guide_id', `长度必须为1到${ID_CHARS}个字符`))
}

/** In partner mode the sub-merchant must have authorised the provider: here, by having a store. */
export function checkMerchant(
  platform: Platform,
  subMchid: string | undefined,
): Checked<string | null> {
  if (subMchid === undefined) return pass(null)
  if (platform.world.knowsSubMerchant(subMchid)) return pass(subMchid)
  return refuse(refusal(403, 'NO_AUTH', `商户未授权服务商操作该特约商户：sub_mchid ${subMchid}`))
}

/** Decrypts one field with the platform key that Wechatpay-Serial names; absent stays absent. */
export async function openField(
  platform: Platform,
  request: GatewayRequest,
  location: 'body' | 'query',
  field: string,
  sealed: string | undefined,
  maxBytes: number,
): Promise<Checked<string | undefined>> {
  if (sealed === undefined) return pass(undefined)
  const serial = request.headers['wechatpay-serial']
  if (typeof serial !== 'string') {
    return refuse(refusal(400, 'PARAM_ERROR', 'Http头缺少Wechatpay-Serial：请求中有加密字段'))
  }
  const key = platform.keyRing.find(serial)
  if (!key) return refuse(refusal(400, 'PARAM_ERROR', `Http头Wechatpay-Serial无效：${serial}`))
  const plain = await decryptField(sealed, key)
  if (plain === null)
    return refuse(paramError(location, field, '解密失败，请确认所用的微信支付公钥'))
  const result = checked(location, z.strictObject({ [field]: text(maxBytes) }), { [field]: plain })
  if (!result.ok) return result
  const fault = findForbidden({ [field]: plain })
  return fault ? refuse(paramError(location, field, fault.issue)) : pass(plain)
}

function checked<T extends z.ZodType>(
  location: 'body' | 'query',
  schema: T,
  value: unknown,
): Checked<z.infer<T>> {
  const result = schema.safeParse(value)
  if (result.success) return pass(result.data)
  const [issue] = result.error.issues
  return refuse(paramError(location, issue?.path.join('/') ?? '', issue?.message ?? ''))
}

function parseJson(body: Buffer): Checked<object> {
  const malformed = refuse(
    refusal(400, 'PARAM_ERROR', '请求体不是合法的UTF-8 JSON对象，参数须放在请求体中'),
  )
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? pass(value) : malformed
  } catch {
    return malformed
  }
}

function findForbidden(body: object): { field: string; issue: string } | null {
  for (const [field, value] of Object.entries(body)) {
    if (value === null) return { field, issue: '不能为null' }
    if (typeof value === 'string' && /\p{Surrogate}|[\u{10000}-\u{10ffff}]/u.test(value)) {
      return { field, issue: '包含4字节字符（如emoji），只支持1到3字节的UTF-8字符' }
    }
  }
  return null
}
