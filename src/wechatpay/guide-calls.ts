import assert from 'node:assert/strict'
import { z } from 'zod'
import { parseJson } from './answer.ts'
import {
  type Attempted,
  type GuideCalls,
  type GuidePage,
  type GuideQuery,
  maxPageSize,
  type Reply,
  type UpstreamGuide,
} from './guides.ts'
import { maskOf } from './mask.ts'
import type { MerchantKeys } from './merchant-keys.ts'
import { type Outcome, type Subject, unanswered } from './outcome.ts'
import type { PlatformKey } from './platform-keys.ts'
import { decryptSensitive, encryptSensitive } from './sensitive.ts'

/** One signed call; `platformKey` is the one that its fields are encrypted with. */
export type Call = {
  method: 'GET' | 'POST' | 'PATCH'
  path: string
  body: string
  platformKey: PlatformKey | null
  host: number
  timeoutMs: number
  subject: Subject
}

export type Ask = <T>(
  call: Call,
  read: (body: Buffer) => T | null | Promise<T | null>,
) => Promise<Reply<T>>

const guidesPath = '/v3/smartguide/guides'
const maxNameBytes = 64
const maxMobileBytes = 32

/** Query, register and update, over signed calls: the fields that nobody may read are encrypted and decrypted here. */
export function createGuideCalls(deps: {
  ask: Ask
  send(call: Call): Promise<Outcome>
  merchantKeys: MerchantKeys
  platformKey(): PlatformKey | null
}): Omit<GuideCalls, 'hosts'> {
  const { ask, send, merchantKeys, platformKey } = deps

  return {
    async queryGuides({ host, timeoutMs, ...query }) {
      const at = { host, timeoutMs }
      assert(
        query.limit >= 1 && query.limit <= maxPageSize,
        `a page has 1 to ${maxPageSize} guides`,
      )
      const mobile = query.by !== null && 'mobile' in query.by ? query.by.mobile : null
      const key = platformKey()
      if (mobile !== null && key === null) return noKeyYet()
      const path = `${guidesPath}?${search(query, sealWith(key))}`
      const subject = subjectOf('request', mobile)
      const call: Call = { ...at, method: 'GET', path, body: '', platformKey: key, subject }
      return ask(call, body => readPage(body, query.limit, merchantKeys))
    },

    async registerGuide({ guide, subMchid, ...at }) {
      const key = platformKey()
      if (key === null) return noKeyYet()
      const body = JSON.stringify({
        ...subMerchant(subMchid),
        corpid: guide.corpid,
        store_id: guide.storeId,
        userid: guide.userid,
        ...sealed(guide, sealWith(key)),
        qr_code: guide.qrCode,
        avatar: guide.avatar,
        ...(guide.groupQrcode === null ? {} : { group_qrcode: guide.groupQrcode }),
      })
      const subject = subjectOf('request', guide.name, guide.mobile)
      const path = guidesPath
      const call: Call = { ...at, method: 'POST', path, body, platformKey: key, subject }
      return ask(call, readGuideId)
    },

    async updateGuide({ guideId, changes, subMchid, ...at }) {
      const { name, mobile, avatar, qrCode, groupQrcode } = changes
      const key = platformKey()
      if (key === null && (name !== undefined || mobile !== undefined)) return noKeyYet()
      const body = JSON.stringify({
        ...subMerchant(subMchid),
        ...sealed({ name, mobile }, sealWith(key)),
        // JSON leaves out what is undefined.
        avatar,
        qr_code: qrCode,
        group_qrcode: groupQrcode,
      })
      const subject = subjectOf('guide', name, mobile)
      const path = guidePath(guideId)
      return send({ ...at, method: 'PATCH', path, body, platformKey: key, subject })
    },
  }
}

/** Where a guide is, signed exactly as it is sent. */
export function guidePath(guideId: string): string {
  assert(guideId.length >= 1 && guideId.length <= 64, 'a guide id has 1 to 64 characters')
  // Dots are not percent-encoded, and a proxy may resolve a segment of them alone.
  assert(guideId !== '.' && guideId !== '..', 'a guide id is not a path')
  return `${guidesPath}/${encodeURIComponent(guideId)}`
}

type Seal = (text: string) => string

function sealWith(platformKey: PlatformKey | null): Seal {
  return text => {
    assert(platformKey !== null, 'nothing is sealed without a key')
    return encryptSensitive(text, platformKey.key)
  }
}

// The messages quote nothing: these are names and numbers of people.
function sealed(
  { name, mobile }: { name: string | undefined; mobile: string | undefined },
  seal: Seal,
): { name?: string; mobile?: string } {
  assert(isFit(name, maxNameBytes), `a name has 1 to ${maxNameBytes} bytes of UTF-8`)
  assert(isFit(mobile, maxMobileBytes), `a mobile number has 1 to ${maxMobileBytes} bytes of UTF-8`)
  return {
    ...(name === undefined ? {} : { name: seal(name) }),
    ...(mobile === undefined ? {} : { mobile: seal(mobile) }),
  }
}

function isFit(text: string | undefined, maxBytes: number): boolean {
  if (text === undefined) return true
  return text !== '' && text.isWellFormed() && Buffer.byteLength(text) <= maxBytes
}

function search(
  { storeId, by, limit, offset, subMchid }: Omit<GuideQuery, 'host' | 'timeoutMs'>,
  seal: Seal,
): string {
  const found = by === null ? {} : criterion(by, seal)
  const parameters = { store_id: storeId, ...found, limit, offset, ...subMerchant(subMchid) }
  return Object.entries(parameters)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')
}

function criterion(by: NonNullable<GuideQuery['by']>, seal: Seal): Record<string, string> {
  if ('userid' in by) return { userid: by.userid }
  if ('workId' in by) return { work_id: by.workId }
  return { mobile: sealed({ name: undefined, mobile: by.mobile }, seal).mobile ?? '' }
}

function subMerchant(subMchid: Attempted['subMchid']): { sub_mchid?: string } {
  return subMchid === null ? {} : { sub_mchid: subMchid }
}

function subjectOf(about: 'guide' | 'request', ...secrets: (string | null | undefined)[]): Subject {
  return { about, mask: maskOf(secrets.filter(secret => typeof secret === 'string')) }
}

function noKeyYet() {
  return unanswered('not_sent', 'no WeChat Pay key to encrypt with is known yet')
}

const id = z.string().min(1).max(256)
const optionalId = z.string().max(256).nullish()
const ciphertext = z.string().max(4096).nullish()

const registered = z.object({ guide_id: id.max(64) })
const page = z.object({
  data: z.array(
    z.object({
      guide_id: id.max(64),
      store_id: z.int().min(0),
      name: ciphertext,
      mobile: ciphertext,
      userid: optionalId,
      work_id: optionalId,
    }),
  ),
  total_count: z.int().min(0),
})

function readGuideId(body: Buffer): { guideId: string } | null {
  const parsed = registered.safeParse(parseJson(body))
  return parsed.success ? { guideId: parsed.data.guide_id } : null
}

async function readPage(
  body: Buffer,
  limit: number,
  keys: MerchantKeys,
): Promise<GuidePage | null> {
  const parsed = page.safeParse(parseJson(body))
  if (!parsed.success || parsed.data.data.length > limit) return null
  const guides: UpstreamGuide[] = []
  for (const row of parsed.data.data) {
    guides.push({
      guideId: row.guide_id,
      storeId: row.store_id,
      name: await open(row.name, keys),
      mobile: await open(row.mobile, keys),
      userid: row.userid || null,
      workId: row.work_id || null,
    })
  }
  return { guides, totalCount: parsed.data.total_count }
}

async function open(field: string | null | undefined, keys: MerchantKeys): Promise<string | null> {
  if (!field) return null
  for (const { privateKey } of keys.all()) {
    const text = await decryptSensitive(field, privateKey)
    if (text !== null) return text
  }
  return null
}
