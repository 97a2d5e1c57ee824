import type { KeyObject } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { StartError } from '../errors.ts'
import { hasNoCertificates, watchCertificates } from './certificate-watch.ts'
import { platformCertificate } from './certificates.ts'
import { createClient, type Downloaded } from './client.ts'
import { createMerchantKeys, isSameKey, type MerchantKey } from './merchant-keys.ts'
import type { Outcome } from './outcome.ts'
import {
  createPlatformKeys,
  isInForce,
  type PlatformCertificate,
  type PlatformKey,
} from './platform-keys.ts'

/** `publicKey` (公钥), `apiv3Key` (for platform certificates), or both while a merchant changes over. */
export type AccountKeys = {
  merchantKey: MerchantKey
  publicKey: PlatformKey | null
  apiv3Key: KeyObject | null
}

/** What a merchant (or service provider) is to WeChat Pay, keys read and parsed. */
export type MerchantAccount = AccountKeys & {
  mode: 'direct' | 'partner'
  mchid: string
  baseUrls: readonly string[]
}

/** Where platform certificates outlast a restart. */
export type CertificateStore = {
  kept(): { serial: string; pem: string; effectiveAtMs: number; expiresAtMs: number }[]
  keep(certificates: readonly PlatformCertificate[]): void
}

/** Takes a sentence for the log, with what it is about. */
export type Tell = (level: 'info' | 'warn' | 'error', about: object, sentence: string) => void

const checkMs = 1500
const trialMs = 3000
const trials = 3
const untilThen =
  'Until then the platform certificates of before are used: they end on their day, and no newer one is known.'

/** The client of one merchant, with keys that are looked after: certificates are renewed, key files may be changed. */
export function openAccount(
  account: MerchantAccount,
  options: { clock: Clock; store: CertificateStore; tell: Tell },
) {
  const { clock, store, tell } = options
  const { mchid, baseUrls, apiv3Key } = account
  const merchantKeys = createMerchantKeys(account.merchantKey)
  const platformKeys = createPlatformKeys(account.publicKey, apiv3Key ? keptIn(store) : [])
  const client = createClient({ mchid, merchantKeys, platformKeys, baseUrls, clock })
  const watch =
    apiv3Key === null
      ? null
      : watchCertificates({
          client,
          platformKeys,
          apiv3Key,
          clock,
          keep: store.keep,
          downloaded,
          failed: cause => tell('error', { err: cause }, 'platform certificates'),
        })

  // The first download is the check, which says itself what came of it.
  let checked = false

  function downloaded(result: Downloaded): void {
    if (!checked && result.kind !== 'accepted') return
    if (result.kind === 'accepted') {
      const serials = platformKeys.certificates().map(({ serial }) => serial)
      tell('info', { serials }, 'platform certificates')
    } else if (result.kind === 'sealed') {
      tell('error', {}, 'The APIv3 key does not open the platform certificates.')
    } else if (account.publicKey === null || !hasNoCertificates(result)) {
      tell('warn', { outcome: result }, 'the platform certificates could not be downloaded')
    }
  }

  /** One harmless signed call with those keys; in certificate mode it is the download. */
  async function tryKeys(keys: AccountKeys): Promise<Verdict> {
    const trial = createClient({
      mchid,
      merchantKeys: createMerchantKeys(keys.merchantKey),
      platformKeys: createPlatformKeys(keys.publicKey, platformKeys.certificates()),
      baseUrls,
      clock,
    })
    let verdict: Verdict = { kind: 'open', why: 'nothing was asked' }
    for (let attempt = 0; attempt < trials && verdict.kind === 'open'; attempt++) {
      const at = { host: attempt % baseUrls.length, timeoutMs: trialMs }
      verdict = judge(
        keys.apiv3Key === null
          ? await trial.probe(at)
          : await trial.downloadCertificates({ ...at, apiv3Key: keys.apiv3Key }),
        keys,
      )
    }
    await trial.close()
    return verdict
  }

  function judge(result: Outcome | Downloaded, keys: AccountKeys): Verdict {
    return verdictOn(result, { ...account, ...keys })
  }

  function knowsCertificate(): boolean {
    return platformKeys.certificates().some(each => isInForce(each, clock.nowMs()))
  }

  return {
    client,

    /**
     * One harmless signed call: a key that does not fit its serial number would fail every order.
     *
     * @throws StartError when WeChat Pay refuses the keys; not when it cannot be asked, nor when only the APIv3 key is
     * another by now and certificates of before are known
     */
    async check(): Promise<void> {
      const result = watch
        ? await watch.refresh(checkMs)
        : await client.probe({ host: 0, timeoutMs: checkMs })
      checked = true
      const verdict = judge(result, account)
      if (verdict.kind === 'refused') {
        // The key was reset since the last start: what it opened then verifies until its day.
        const canGoOn = result.kind === 'sealed' && knowsCertificate()
        if (!canGoOn) throw new StartError(verdict.sentence)
        tell('error', {}, `${verdict.sentence} ${untilThen}`)
      }
      if (verdict.kind === 'open') {
        tell('warn', { why: verdict.why }, 'WeChat Pay could not be asked whether the keys fit')
      } else if (verdict.kind === 'fits' && verdict.but !== null) {
        tell('warn', { why: verdict.but }, 'WeChat Pay refused the call that checks the account')
      }
      watch?.start()
    },

    /** Downloads the certificates if it is time; a timer asks too, once a minute at least. */
    async renew(): Promise<void> {
      await watch?.turn()
    },

    /**
     * Changes over to other keys in one step, once WeChat Pay has taken a call that they signed: attempts under way end
     * with the old ones, later ones use the new.
     *
     * @throws StartError with the reason why the old ones stay
     */
    async change(next: AccountKeys): Promise<void> {
      refuseOtherKeyOfSameId(account.publicKey, next.publicKey)
      const verdict = await tryKeys(next)
      if (verdict.kind === 'refused') throw new StartError(verdict.sentence)
      if (verdict.kind === 'open') {
        throw new StartError(`WeChat Pay could not be asked whether the keys fit: ${verdict.why}.`)
      }
      const isNew = !isSameKey(next.merchantKey, merchantKeys.current())
      merchantKeys.replace(next.merchantKey)
      platformKeys.replacePublicKey(next.publicKey, clock.nowMs())
      if (next.apiv3Key !== null) watch?.replaceKey(next.apiv3Key)
      account = { ...account, ...next }
      const about = { serial_no: next.merchantKey.serialNo, public_key_id: next.publicKey?.serial }
      tell('info', about, isNew ? 'the keys were changed' : 'the keys were read again')
    },

    async close(): Promise<void> {
      await Promise.all([watch?.stop(), client.close()])
    },
  }
}

function keptIn(store: CertificateStore): PlatformCertificate[] {
  return store.kept().flatMap(({ serial, pem, expiresAtMs }) => {
    const certificate = platformCertificate(serial, pem)
    // One that was withdrawn ends before its own time.
    return certificate === null ? [] : [{ ...certificate, expiresAtMs }]
  })
}

/** `open`: the answer does not tell whether the keys fit. */
type Verdict =
  | { kind: 'fits'; but: string | null }
  | { kind: 'refused'; sentence: string }
  | { kind: 'open'; why: string }

function verdictOn(result: Outcome | Downloaded, account: MerchantAccount): Verdict {
  const { mchid, merchantKey, publicKey } = account
  switch (result.kind) {
    case 'accepted':
      return fits
    case 'sealed':
      return refused(
        `WECHATPAY_APIV3_KEY_FILE does not open the platform certificates of ${mchid}: take the APIv3密钥 that is set on the merchant platform.`,
      )
    case 'unknown':
      return { kind: 'open', why: result.detail }
    case 'rejected':
      break
  }
  const { status, code, message } = result
  if (code === 'MCH_NOT_EXISTS') {
    return refused(`WECHATPAY_MCHID ${mchid} is not known to WeChat Pay (${status} ${code}).`)
  }
  if (status === 401 || code === 'SIGN_ERROR') {
    return refused(
      `WECHATPAY_PRIVATE_KEY_FILE, the serial number ${merchantKey.serialNo} and WECHATPAY_MCHID ${mchid} do not belong together: WeChat Pay answered ${status} ${code} (${message}).`,
    )
  }
  if (hasNoCertificates(result)) {
    return publicKey !== null
      ? fits
      : refused(
          `WeChat Pay has no platform certificates for ${mchid}, for it is in 公钥 mode: set WECHATPAY_PUBLIC_KEY_ID and WECHATPAY_PUBLIC_KEY_FILE.`,
        )
  }
  // Whoever stands in between may refuse without a word, and has looked at no key.
  if (code === '') return { kind: 'open', why: `status ${status} and nothing of WeChat Pay's` }
  // Signature and serial number are looked at before all this.
  return { kind: 'fits', but: `${status} ${code}: ${message}` }
}

const fits: Verdict = { kind: 'fits', but: null }

function refused(sentence: string): Verdict {
  return { kind: 'refused', sentence }
}

// An id stands for one key for ever: of these two one is wrong, and the one that is in use verifies answers.
function refuseOtherKeyOfSameId(current: PlatformKey | null, next: PlatformKey | null): void {
  if (current === null || next === null || current.serial !== next.serial) return
  if (current.key.equals(next.key)) return
  throw new StartError(
    `WECHATPAY_PUBLIC_KEY_FILE holds another key than before, under the same id ${next.serial}.`,
  )
}
