import type { KeyObject } from 'node:crypto'
import { listedSerials, readCertificates } from '../wechatpay/certificates.ts'
import type { AnsweredExam, Examined } from '../wechatpay/examine.ts'
import { type HostReport, type StoreAsked, wasRefused } from './ask-host.ts'
import { apiSecurity, type Check, fail, isFailing, ok, warn } from './check.ts'
import { explainRefusal, type Signer } from './refusal.ts'

/** What this side knows of WeChat Pay's keys: a 公钥, or the APIv3 key that opens platform certificates. */
export type PlatformKeys = { publicKeyId: string | null; apiv3Key: KeyObject | null }

const usePublicKey = `Set WECHATPAY_PUBLIC_KEY_ID and WECHATPAY_PUBLIC_KEY_FILE from ${apiSecurity} → 微信支付公钥.`

/** A refusal that another line explains already is not one more mistake. */
export function tellOnce(refusal: Check, exam: AnsweredExam, cause: Check | null): Check {
  if (cause === null || !isFailing(refusal) || refusal.lines || !wasRefused(exam)) return refusal
  const found = `${exam.status} ${exam.code}`.trim()
  return warn(
    refusal.check,
    `${found}, because of the ${cause.check}, see there`,
    'Mend that first.',
  )
}

/** The harmless call: whether merchant number, serial number and private key fit together. */
export function checkSignedCall(exam: AnsweredExam, signer: Signer): Check {
  const check = 'signed call'
  if (exam.status === 200) {
    return isGenuine(exam) ? ok(check, '200: WeChat Pay accepted our signature') : forged(check)
  }
  if (exam.code === 'RESOURCE_NOT_EXISTS') {
    return ok(check, '404 RESOURCE_NOT_EXISTS, after WeChat Pay accepted our signature')
  }
  return explainRefusal(check, exam, signer)
}

function isGenuine({ verification, isProbe }: AnsweredExam): boolean {
  return verification?.kind === 'verified' || isProbe
}

// A 200 that cannot be verified may be anybody's, the login page of a network included.
function forged(check: string): Check {
  const found = '200, but whether it is WeChat Pay’s cannot be told: the answer is not verified'
  return warn(check, found, 'See what the lines of settings, key mode and WeChat Pay key say.')
}

/** Whether the merchant's key mode is the one that is configured; null when the call did not get that far. */
export function checkKeyMode(exam: AnsweredExam, keys: PlatformKeys): Check | null {
  const check = 'key mode'
  const { publicKeyId, apiv3Key } = keys
  if (exam.code === 'RESOURCE_NOT_EXISTS') {
    if (publicKeyId !== null) return ok(check, '公钥, as configured')
    return fail(
      check,
      'this is a 公钥 merchant: WeChat Pay has no platform certificates for it (404 RESOURCE_NOT_EXISTS), and none of its answers can be verified by one',
      usePublicKey,
    )
  }
  if (exam.status !== 200 || listedSerials(exam.body) === null) return null
  if (publicKeyId !== null) {
    return exam.serial === publicKeyId
      ? ok(check, '公钥, as configured; platform certificates are there too')
      : fail(
          check,
          `a 公钥 is configured, and WeChat Pay signs for this merchant with the platform certificate ${exam.serial}`,
          `Finish the change to the 公钥 at ${apiSecurity} → 微信支付公钥 (更换), or configure platform certificates (WECHATPAY_APIV3_KEY_FILE).`,
        )
  }
  if (apiv3Key === null) return null
  const carried = readCertificates(exam.body, apiv3Key)
  return carried.kind === 'read'
    ? ok(check, `platform certificates, ${carried.certificates.length} in force`)
    : fail(
        check,
        'the APIv3 key does not open the platform certificates',
        `WECHATPAY_APIV3_KEY_FILE holds another key than the one set at ${apiSecurity} → APIv3密钥; setting a new one there takes effect at once.`,
      )
}

/** Whether an answer that WeChat Pay signed could be verified; refusals mostly come unsigned. */
export function checkAnswers(
  exams: readonly Examined[],
  keys: PlatformKeys,
  store: StoreAsked | null,
): Check {
  const check = 'WeChat Pay key'
  const signed = exams.filter(exam => exam.kind === 'answered' && exam.verification !== null)
  const answered = signed.flatMap(exam => (exam.kind === 'answered' ? [exam] : []))
  const refused = answered.find(exam => exam.verification?.kind === 'refused' && !exam.isProbe)
  if (refused) return explainUnverified(check, refused, keys)
  const verified = answered.find(exam => exam.verification?.kind === 'verified')
  if (verified) return ok(check, `an answer signed with ${verified.serial} is verified`)
  if (answered.length > 0) {
    const found =
      'WeChat Pay probed us with a wrong signature (SIGNTEST), which was refused, as it must be'
    return warn(check, found, 'Run doctor again for an answer that is not a probe.')
  }
  return warn(
    check,
    'not tried: no answer came signed, as refusals mostly do not',
    store === null
      ? 'Once the merchant has a store, run again with --store and its 门店ID: the answer to that is signed.'
      : `See the line of store ${store.storeId}: once WeChat Pay knows it, the answer is signed.`,
  )
}

function explainUnverified(check: string, exam: AnsweredExam, keys: PlatformKeys): Check {
  const { serial, verification } = exam
  const reason = verification?.kind === 'refused' ? verification.reason : ''
  const isOurs = serial === keys.publicKeyId
  if (serial === null || /clock|header|base64|seconds/.test(reason)) {
    return fail(
      check,
      `an answer cannot be verified: ${reason}`,
      'Mend the clock first if it is off; otherwise something between strips or changes headers.',
    )
  }
  if (!isOurs && serial.startsWith('PUB_KEY_ID')) {
    return keys.publicKeyId === null
      ? fail(
          check,
          `WeChat Pay signs with its 公钥 ${serial}, and none is configured`,
          usePublicKey,
        )
      : fail(
          check,
          `WeChat Pay signs with ${serial}, and WECHATPAY_PUBLIC_KEY_ID is ${keys.publicKeyId}`,
          `Copy the 公钥ID and download pub_key.pem again, both from ${apiSecurity} → 微信支付公钥.`,
        )
  }
  if (!isOurs && keys.publicKeyId !== null) {
    return fail(
      check,
      `WeChat Pay signs with the platform certificate ${serial}, and a 公钥 is configured`,
      `See ${apiSecurity} → 微信支付公钥: the change from platform certificates is not finished.`,
    )
  }
  if (!isOurs) {
    return fail(
      check,
      `WeChat Pay signs with the platform certificate ${serial}, which the APIv3 key did not open`,
      `Set the right key in WECHATPAY_APIV3_KEY_FILE (${apiSecurity} → APIv3密钥).`,
    )
  }
  return fail(
    check,
    `the signature of an answer is wrong: WECHATPAY_PUBLIC_KEY_FILE is not the key ${serial}, or the answer was changed on its way`,
    `Download pub_key.pem again from ${apiSecurity} → 微信支付公钥, for that very 公钥ID.`,
  )
}

/** The read-only business call: whether the product is open for this merchant. */
export function checkStore(exam: AnsweredExam, store: StoreAsked, signer: Signer): Check {
  const check = `store ${store.storeId}`
  if (exam.status === 200) {
    return isGenuine(exam)
      ? ok(check, '200: 支付即服务 is open for this merchant, and the store is known')
      : forged(check)
  }
  if (exam.code === 'PARAM_ERROR') {
    const say = store.isNamed ? fail : warn
    return say(
      check,
      `${exam.status} ${exam.code}: ${exam.message}`,
      'Compare the 门店ID with 商户平台 → 门店管理; a new store is usable about 2 hours after it is verified.',
    )
  }
  return explainRefusal(check, exam, signer)
}

/** A serial number of WeChat Pay's where the merchant's own belongs. */
export function checkConfusion(reports: readonly HostReport[], serialNo: string): Check | null {
  const exams = reports.flatMap(({ certificates, guides }) => [certificates, guides])
  const isPlatforms = exams.some(
    exam =>
      exam?.kind === 'answered' &&
      (exam.serial === serialNo || listedSerials(exam.body)?.includes(serialNo) === true),
  )
  if (!isPlatforms) return null
  return fail(
    'serial number',
    `WECHATPAY_SERIAL_NO ${serialNo} is the serial number of WeChat Pay’s platform certificate, not of the merchant’s`,
    `Copy the 证书序列号 from ${apiSecurity} → 商户API证书 → 管理证书.`,
  )
}
