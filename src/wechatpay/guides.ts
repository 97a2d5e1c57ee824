import type { Outcome } from './outcome.ts'

/** What a call that answers with a value taught us: as an `Outcome`, with the value where it was accepted. */
export type Reply<T> =
  | { kind: 'accepted'; value: T; requestId: string | null }
  | Exclude<Outcome, { kind: 'accepted' }>

/** One of `hosts`, and the time that the call has. */
export type Attempted = { subMchid: string | null; host: number; timeoutMs: number }

/**
 * A guide as WeChat Pay has them. A name or mobile that was not encrypted for our key is null; a guide of WeCom has a
 * `userid`, one of personal WeChat a `workId`. Avatar and QR codes are never told.
 */
export type UpstreamGuide = {
  guideId: string
  storeId: number
  name: string | null
  mobile: string | null
  userid: string | null
  workId: string | null
}

/** At most `maxPageSize` guides of a store, from `offset` on; `by` asks for one of them. */
export type GuideQuery = Attempted & {
  storeId: number
  by: { userid: string } | { workId: string } | { mobile: string } | null
  limit: number
  offset: number
}

export const maxPageSize = 10

export type GuidePage = { guides: UpstreamGuide[]; totalCount: number }

/** What registers a guide of WeCom. Name and mobile in plain: they are encrypted on the way. */
export type NewGuide = {
  storeId: number
  corpid: string
  userid: string
  name: string
  mobile: string
  qrCode: string
  avatar: string
  groupQrcode: string | null
}

/** What is absent stays as it is. */
export type GuideChanges = Partial<
  Pick<NewGuide, 'name' | 'mobile' | 'avatar' | 'qrCode'> & { groupQrcode: string }
>

/** The three calls beside assign. */
export type GuideCalls = {
  readonly hosts: readonly string[]
  queryGuides(query: GuideQuery): Promise<Reply<GuidePage>>
  registerGuide(request: Attempted & { guide: NewGuide }): Promise<Reply<{ guideId: string }>>
  updateGuide(request: Attempted & { guideId: string; changes: GuideChanges }): Promise<Outcome>
}
