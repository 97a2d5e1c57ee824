import { type Answer, paramError, refusal } from './answer.ts'
import { signError } from './authorization.ts'
import type { Fault } from './faults.ts'
import type { GatewayRequest } from './request.ts'

const SYSTEM_ERROR = '系统异常，请使用相同参数稍后重新调用'

/** The answers that a fault gives in place of carrying the call out. */
const substitutes: Partial<Record<Fault, (request: GatewayRequest) => Answer>> = {
  status_429: () =>
    refusal(429, 'RATELIMIT_EXCEEDED', '请求超过频率限制', undefined, { 'Retry-After': '1' }),
  status_500: () => refusal(500, 'SYSTEM_ERROR', SYSTEM_ERROR),
  status_502: () => ({
    status: 502,
    code: null,
    headers: { 'Content-Type': 'text/html' },
    body: '<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>',
  }),
  sign_error: signError,
  param_error_guide: () => paramError('path', 'guide_id', '服务人员id不存在或不可用'),
  param_error_order: () => paramError('body', 'out_trade_no', '商户订单号不合法'),
  no_auth: () => refusal(403, 'NO_AUTH', '商户无权限使用该接口'),
  mch_punished: () => refusal(400, 'INVALID_REQUEST', 'mch punished'),
}

export function substituteFor(fault: Fault | null, request: GatewayRequest): Answer | null {
  return (fault && substitutes[fault]?.(request)) ?? null
}
