import type { Clock } from '../clock.ts'
import { accountSettings, type Environment, readDataDir } from '../config.ts'
import {
  checkAnswers,
  checkConfusion,
  checkKeyMode,
  checkSignedCall,
  checkStore,
  type PlatformKeys,
} from './account-checks.ts'
import { askHost, type HostReport, type StoreAsked } from './ask-host.ts'
import { type Check, fail, ok } from './check.ts'
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
  env: Environment,
  asked: Asked,
  { clock, timeoutMs = stepTimeoutMs }: { clock: Clock; timeoutMs?: number },
): Promise<Check[]> {
  const name = asked.guide === null ? [] : [checkGuideName(asked.guide)]
  if (accountSettings(env).length === 0) return [...name, ...sayDemo(env, asked)]

  const { readable, checks: settings } = checkSettings(env)
  const paths = {
    certificate: env['WECHATPAY_CERTIFICATE_FILE'] ?? '',
    privateKey: env['WECHATPAY_PRIVATE_KEY_FILE'] ?? '',
  }
  const pair = checkPair(readable, paths, clock.nowMs())
  const { checks: data, store: known } = checkDataDir(readDataDir(env), readable)
  const checks = [...name, ...settings, ...pair, ...data]
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
  return [...checks, ...judge(reports, readable, store === 'no_merchant' ? null : store)]
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
  if (mode === 'direct') return { storeId: asked, subMchid: null }
  const merchant = subMchid ?? (known?.storeId === asked ? known.merchant : null)
  return merchant === null ? 'no_merchant' : { storeId: asked, subMchid: merchant }
}

function judge(
  reports: readonly HostReport[],
  readable: Readable,
  store: StoreAsked | null,
): Check[] {
  const { mchid, serialNo, privateKey, mode, publicKeyId, apiv3Key } = readable
  const keys: PlatformKeys = { publicKeyId, apiv3Key }
  const signer: Signer | null =
    mchid !== null && serialNo !== null && privateKey !== null ? { mchid, serialNo, mode } : null
  const checks = reports.flatMap(report => {
    const { origin, certificates, guides } = report
    const found = [checkConnection(report, reports.some(isUp)), checkHostClock(report)]
    if (signer && certificates?.kind === 'answered') {
      found.push(checkSignedCall(certificates, signer))
    }
    if (signer && store && guides?.kind === 'answered') {
      found.push(checkStore(guides, store, signer))
    }
    return found.flatMap(check => (check === null ? [] : [atHost(check, origin)]))
  })
  if (!reports.some(isUp)) return checks
  if (signer === null || serialNo === null) {
    const todo = 'Mend the settings above first.'
    return [...checks, fail('signed call', 'not made: number, serial or key is missing', todo)]
  }
  const exams = reports.flatMap(({ certificates, guides }) =>
    [certificates ?? [], guides ?? []].flat(),
  )
  const modes = exams.flatMap(exam => (exam.kind === 'answered' ? [checkKeyMode(exam, keys)] : []))
  // Without our half of it nothing can be said of WeChat Pay's key that the settings did not say.
  const isReadable = publicKeyId === null || readable.publicKey !== null
  const isKnown = checks.every(({ check, status }) => check !== 'signed call' || status !== 'fail')
  return [
    ...checks,
    checkConfusion(reports, serialNo),
    modes.find(check => check?.status === 'fail') ?? modes.find(check => check !== null) ?? null,
    isKnown && isReadable ? checkAnswers(exams, keys) : null,
  ].flatMap(check => check ?? [])
}

function atHost({ check, ...rest }: Check, host: string): Check {
  return { check, host, ...rest }
}
