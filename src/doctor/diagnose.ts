import type { Clock } from '../clock.ts'
import { accountSettings, type Environment, readDataDir } from '../config.ts'
import type { Examined } from '../wechatpay/examine.ts'
import {
  checkAnswers,
  checkConfusion,
  checkKeyMode,
  checkSignedCall,
  checkStore,
  type PlatformKeys,
  tellOnce,
} from './account-checks.ts'
import { readAsMeant } from './as-meant.ts'
import { askHost, type HostReport, type StoreAsked, wasRefused } from './ask-host.ts'
import { type Check, fail, isFailing, ok, warn } from './check.ts'
import { checkDataDir, type KnownStore } from './data-dir.ts'
import { checkGuideName } from './guide-name.ts'
import { checkConnection, checkHostClock, isUp } from './host-checks.ts'
import { checkPair } from './key-pair.ts'
import type { Signer } from './refusal.ts'
import { checkOthers, checkSettings, type Readable } from './settings.ts'

export type Asked = { guide: string | null; storeId: number | null; subMchid: string | null }

/** Three waits of it one after the other at most, all hosts at once: the whole run stays below 20 s. */
const stepTimeoutMs = 5_000

/** Looks at everything that can be looked at, changes nothing, and tells what to do about what is wrong. */
export async function diagnose(
  given: Environment,
  asked: Asked,
  { clock, timeoutMs = stepTimeoutMs }: { clock: Clock; timeoutMs?: number },
): Promise<Check[]> {
  const name = asked.guide === null ? [] : [checkGuideName(asked.guide)]
  if (accountSettings(given).length === 0) return [...name, ...sayDemo(given, asked)]

  const { env, checks: slips } = readAsMeant(given)
  const { readable, checks: settings } = checkSettings(env)
  const paths = {
    certificate: env['WECHATPAY_CERTIFICATE_FILE'] ?? '',
    privateKey: env['WECHATPAY_PRIVATE_KEY_FILE'] ?? '',
  }
  const pair = checkPair(readable, paths, clock.nowMs())
  const { checks: data, store: known } = checkDataDir(readDataDir(env), readable)
  const checks = [...name, ...slips, ...settings, ...pair, ...data]
  if (readable.baseUrls === null) return checks

  const store = storeToAsk(asked, known, readable)
  if (store === 'no_merchant') {
    const todo = 'Add --sub-mchid and the sub-merchant’s number.'
    checks.push(fail(`store ${asked.storeId}`, 'in partner mode a store is a sub-merchant’s', todo))
  }
  const reports = await Promise.all(
    readable.baseUrls.map(origin =>
      askHost(
        { origin, clock, timeoutMs, apiv3Key: readable.apiv3Key, ...keysOf(readable) },
        store === 'no_merchant' ? null : store,
      ),
    ),
  )
  return [...checks, ...judge(reports, readable, store === 'no_merchant' ? null : store, checks)]
}

function sayDemo(env: Environment, asked: Asked): Check[] {
  const found = `no WECHATPAY_* is set, so npm start is the demo; it makes its own keys in ${readDataDir(env)}, and there is nothing to check`
  const others = checkOthers(env)
  if (asked.storeId === null) return [ok('settings', found), ...others]
  return [
    ...others,
    fail('settings', found, 'A store can be asked about only with a merchant’s settings.'),
  ]
}

function keysOf({ mchid, serialNo, privateKey, publicKeyId, publicKey }: Readable) {
  const isComplete = mchid !== null && serialNo !== null && privateKey !== null
  return {
    signer: isComplete ? { mchid, serialNo, privateKey } : null,
    platformSerial: publicKeyId,
    verifiers: new Map(
      publicKeyId !== null && publicKey !== null ? [[publicKeyId, publicKey] as const] : [],
    ),
  }
}

/** The store that was named, else any that the database knows. */
function storeToAsk(
  { storeId, subMchid }: Asked,
  known: KnownStore | null,
  { mode }: Readable,
): StoreAsked | 'no_merchant' | null {
  const asked = storeId ?? known?.storeId ?? null
  if (asked === null || mode === null) return null
  const isNamed = storeId !== null
  if (mode === 'direct') return { storeId: asked, subMchid: null, isNamed }
  const merchant = subMchid ?? (known?.storeId === asked ? known.merchant : null)
  return merchant === null ? 'no_merchant' : { storeId: asked, subMchid: merchant, isNamed }
}

function judge(
  reports: readonly HostReport[],
  readable: Readable,
  store: StoreAsked | null,
  before: readonly Check[],
): Check[] {
  const { mchid, serialNo, privateKey, mode } = readable
  const isComplete = mchid !== null && serialNo !== null && privateKey !== null
  const signer: Signer | null = isComplete ? { mchid, serialNo, mode } : null
  const failing = before.filter(isFailing)
  const unpaired = failing.find(({ check }) => ['key pair', 'serial number'].includes(check))
  const confused = unpaired || !signer ? null : checkConfusion(reports, signer.serialNo)
  const cause = unpaired ?? confused
  const isOneUp = reports.some(isUp)
  const checks = reports.flatMap(report => judgeHost(report, { signer, store, cause, isOneUp }))
  if (!isOneUp) return checks
  if (signer === null) {
    const found = `not made, because the ${absentOf(readable)} could not be read`
    return [...checks, warn('signed call', found, 'Mend the settings above first.')]
  }
  const exams = reports
    .flatMap(({ certificates, guides }) => [certificates, guides])
    .filter(exam => exam !== null)
  const isKnown =
    checks.every(check => check.check !== 'signed call' || !isFailing(check)) &&
    !exams.some(wasRefused)
  return [
    ...checks,
    ...(confused ? [confused] : []),
    ...judgeKeys(exams, { readable, store, failing, isKnown }),
  ]
}

function judgeHost(
  report: HostReport,
  {
    signer,
    store,
    cause,
    isOneUp,
  }: {
    signer: Signer | null
    store: StoreAsked | null
    cause: Check | null
    isOneUp: boolean
  },
): Check[] {
  const { origin, certificates, guides } = report
  const clock = checkHostClock(report)
  const found = [checkConnection(report, isOneUp), clock]
  if (signer && certificates?.kind === 'answered') {
    const first = clock && isFailing(clock) ? clock : cause
    found.push(tellOnce(checkSignedCall(certificates, signer), certificates, first))
  }
  if (signer && store && guides?.kind === 'answered') {
    found.push(checkStore(guides, store, signer))
  }
  return found.flatMap(check => (check === null ? [] : [atHost(check, origin)]))
}

/** WeChat Pay's keys beside ours; a caller who is not known gets no answer that is signed. */
function judgeKeys(
  exams: readonly Examined[],
  {
    readable: { publicKeyId, apiv3Key },
    store,
    failing,
    isKnown,
  }: {
    readable: Readable
    store: StoreAsked | null
    failing: readonly Check[]
    isKnown: boolean
  },
): Check[] {
  // Without our half of it nothing can be said of WeChat Pay's key that the settings did not say.
  const isTold =
    failing.every(({ check }) => !['public key id', 'public key'].includes(check)) &&
    (publicKeyId !== null || apiv3Key !== null)
  if (!isTold) {
    const found = 'not checked, because what is configured of it cannot be used'
    return [warn('WeChat Pay key', found, 'Mend the settings above first.')]
  }
  const keys: PlatformKeys = { publicKeyId, apiv3Key }
  const modes = exams
    .map(exam => (exam.kind === 'answered' ? checkKeyMode(exam, keys) : null))
    .filter(check => check !== null)
  const wrong = modes.find(isFailing)
  if (wrong) return [wrong]
  return [...modes.slice(0, 1), ...(isKnown ? [checkAnswers(exams, keys, store)] : [])]
}

function absentOf({ mchid, serialNo, privateKey }: Readable): string {
  const absent = [
    mchid === null ? 'merchant number' : [],
    serialNo === null ? 'serial number' : [],
    privateKey === null ? 'private key' : [],
  ].flat()
  return absent.join(' and the ')
}

function atHost({ check, ...rest }: Check, host: string): Check {
  return { check, host, ...rest }
}
