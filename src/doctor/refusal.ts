import type { AnsweredExam } from '../wechatpay/examine.ts'
import { apiSecurity, type Check, fail, warn } from './check.ts'
import { compareSigned } from './sign-error.ts'

export type Signer = { mchid: string; serialNo: string; mode: 'direct' | 'partner' | null }

const maxSkewMs = 300_000
const lineNames = ['method', 'path and query', 'timestamp', 'nonce', 'body']

/** Why a signed call was refused, and what to do; whatever call it was. */
export function explainRefusal(check: string, exam: AnsweredExam, signer: Signer): Check {
  const { status, code, message } = exam
  const said = `${status} ${code}`.trim()
  if (status === 401 || code === 'SIGN_ERROR') return explainSignError(check, exam, signer)
  if (code === 'MCH_NOT_EXISTS') {
    return fail(
      check,
      `${said}: WeChat Pay knows no merchant ${signer.mchid}`,
      'Compare WECHATPAY_MCHID with 商户平台 → 账户中心 → 商户信息; a 服务商 gives its own number here, not the sub-merchant’s.',
    )
  }
  if (code === 'NO_AUTH' || (status === 403 && code !== '')) {
    return fail(
      check,
      `${said}: ${message || 'not allowed'}; the signature holds, the permission is missing`,
      signer.mode === 'partner'
        ? 'The sub-merchant must have opened 支付即服务, filled in its card, and authorised this 服务商 (商户平台 → 产品中心 → 我授权的产品).'
        : 'Open 支付即服务 for this merchant at 商户平台 → 产品中心, and fill in its card.',
    )
  }
  if (/punish|处罚/i.test(message)) {
    const todo =
      'Read the notice at 商户平台 → 账户中心 → 违约记录, and follow it; until then all calls fail.'
    return fail(check, `${said}: WeChat Pay has restricted merchant ${signer.mchid}`, todo)
  }
  if (status === 429 || status >= 500) {
    return warn(check, `${said}: WeChat Pay is busy or in trouble`, 'Run doctor again in a minute.')
  }
  if (code === '') {
    return fail(
      check,
      `${said}, without a word of WeChat Pay’s: something else answers at this address`,
      'Look at WECHATPAY_BASE_URLS, and at the proxy or gateway in between: calls must pass it, and no redirection is followed.',
    )
  }
  const todo =
    'If it is so at every run, give this line to WeChat Pay’s support, with the Request-ID.'
  return warn(check, `${said} ${message}, Request-ID ${exam.requestId ?? 'none'}`, todo)
}

function explainSignError(check: string, exam: AnsweredExam, signer: Signer): Check {
  const said = `401 ${exam.code || 'without a code'}`
  const skewMs = exam.dateMs === null ? 0 : Math.abs(exam.atMs - exam.dateMs)
  if (skewMs >= maxSkewMs || exam.field === 'timestamp' || /timestamp/.test(exam.message)) {
    return fail(
      check,
      `${said}: the timestamp in our signature is more than 5 minutes off; key and serial number were not looked at`,
      'Set this machine’s clock by NTP, then run again.',
    )
  }
  if (exam.rebuilt === null) {
    return fail(check, `${said}: ${exam.message || 'no reason is given'}`, todoForKey(signer))
  }
  const comparison = compareSigned(exam.signed, exam.rebuilt)
  if (comparison.kind === 'same') {
    return /serial/.test(exam.field) || exam.message.includes('证书序列号')
      ? fail(
          check,
          `${said}: WECHATPAY_SERIAL_NO ${signer.serialNo} is not the serial number of an API certificate of merchant ${signer.mchid} (both sides have the same string, so the string is not the cause)`,
          todoForSerial,
        )
      : fail(
          check,
          `${said}: both sides have the same string, so the private key is not the one of certificate ${signer.serialNo}, or the certificate is another merchant’s`,
          todoForKey(signer),
        )
  }
  const where =
    comparison.kind === 'differs'
      ? `first difference in line ${comparison.line} (${lineNames[comparison.line - 1] ?? 'after the body'}), character ${comparison.column}`
      : `we signed ${comparison.ourBytes} bytes, they read ${comparison.theirBytes}, and the part that they show is the same`
  return {
    ...fail(
      check,
      `${said}: WeChat Pay read another request than the one we signed: ${where}`,
      'Something between changes the call (a proxy, a gateway, a rewriting base URL): it must pass unchanged, byte by byte. Key and serial number may well be right.',
    ),
    lines: comparison.lines,
  }
}

const todoForSerial = `Three numbers look alike: take the 证书序列号 of the merchant’s own certificate at ${apiSecurity} → 商户API证书 → 管理证书; not a platform certificate’s, not the 公钥ID (PUB_KEY_ID_…).`

function todoForKey({ serialNo }: Signer): string {
  return `Take apiclient_key.pem of that very certificate: openssl x509 -noout -serial -in apiclient_cert.pem must print ${serialNo}. If the key is lost, make a new certificate at ${apiSecurity} → 商户API证书 and change both settings together.`
}
