import { type Answer, refusal } from './answer.ts'
import type { Keys } from './keys.ts'
import type { MerchantKeys } from './merchant-keys.ts'
import type { GatewayRequest } from './request.ts'
import { verifyMessage } from './signature.ts'

const SCHEME = 'WECHATPAY2-SHA256-RSA2048 '
const PAIR = /^(mchid|serial_no|nonce_str|timestamp|signature)="([^"]+)"$/
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/
const MAX_SKEW_SECONDS = 300
const SHOWN_MESSAGE_CHARS = 256

interface Authorization {
  mchid: string
  serialNo: string
  nonce: string
  timestamp: string
  signature: string
}

export interface Authentication {
  mchid: string | null
  signatureValid: boolean
  refusal: Answer | null
}

/** Checks in WeChat Pay's order: form, clock, merchant, serial number, signature. */
export async function authenticate(
  request: GatewayRequest,
  { mchid: ownMchid }: Keys,
  merchantKeys: MerchantKeys,
  nowMs: number,
): Promise<Authentication> {
  const authorization = parse(request.headers.authorization ?? '')
  if (!authorization) {
    const message = 'Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》'
    return { mchid: null, signatureValid: false, refusal: refusal(401, 'SIGN_ERROR', message) }
  }
  const { mchid, serialNo, timestamp, signature } = authorization
  const message = messageOf(request, authorization)
  const key = merchantKeys.find(serialNo)
  const matches =
    key !== null &&
    BASE64.test(signature) &&
    (await verifyMessage(message, Buffer.from(signature, 'base64'), key))

  function refusalOf(): Answer | null {
    if (Math.abs(nowMs / 1000 - Number(timestamp)) > MAX_SKEW_SECONDS) {
      return refusal(
        401,
        'SIGN_ERROR',
        'Http头Authorization中的timestamp与发起请求的时间不得超过5分钟',
        signDetail('timestamp', 'timestamp out of range', request, message),
      )
    }
    if (mchid !== ownMchid) return refusal(400, 'MCH_NOT_EXISTS', '商户号不存在')
    if (key === null) {
      return refusal(
        401,
        'SIGN_ERROR',
        '商户证书序列号有误。请使用签名私钥匹配的证书序列号',
        signDetail('serial_no', 'serial_no not match', request, message),
      )
    }
    return matches ? null : signError(request)
  }

  const refused = refusalOf()
  return { mchid, signatureValid: refused === null, refusal: refused }
}

export function signError(request: GatewayRequest): Answer {
  const authorization = parse(request.headers.authorization ?? '')
  const message = authorization ? messageOf(request, authorization) : Buffer.alloc(0)
  const detail = signDetail('signature', 'sign not match', request, message)
  return refusal(401, 'SIGN_ERROR', '错误的签名，验签失败', detail)
}

function signDetail(field: string, issue: string, request: GatewayRequest, message: Buffer) {
  return {
    location: 'authorization',
    field,
    issue,
    sign_information: {
      method: request.method,
      sign_message_length: message.length,
      truncated_sign_message: message.toString().slice(0, SHOWN_MESSAGE_CHARS),
      url: request.target,
    },
  }
}

function messageOf({ method, target, body }: GatewayRequest, { timestamp, nonce }: Authorization) {
  const lines = Buffer.from(`${method}\n${target}\n${timestamp}\n${nonce}\n`)
  return Buffer.concat([lines, body, Buffer.from('\n')])
}

/** Each of the five once, in any order, nothing else. */
function parse(header: string): Authorization | null {
  if (!header.startsWith(SCHEME)) return null
  const pairs = header
    .slice(SCHEME.length)
    .split(',')
    .map(text => PAIR.exec(text))
  const values = new Map(pairs.map(pair => [pair?.[1], pair?.[2]]))
  const mchid = values.get('mchid')
  const serialNo = values.get('serial_no')
  const nonce = values.get('nonce_str')
  const timestamp = values.get('timestamp')
  const signature = values.get('signature')
  if (pairs.length !== 5 || !mchid || !serialNo || !nonce || !timestamp || !signature) return null
  if (nonce.length > 32 || !/^\d{1,12}$/.test(timestamp)) return null
  return { mchid, serialNo, nonce, timestamp, signature }
}
