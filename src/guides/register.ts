import type { Clock } from '../clock.ts'
import type { Guides, Sighting } from '../mirror/guides.ts'
import type { Store } from '../mirror/mirror.ts'
import type { UpstreamGuide } from '../wechatpay/guides.ts'
import type { NewGuideFields } from './fields.ts'
import { findGuide } from './pages.ts'
import { createTurns } from './turns.ts'
import { maxAttempts, refusedBy, type Upstream, unavailable } from './upstream.ts'

/** `registered` by this call, or `known` before it. */
export type Registered = { guideId: string; status: 'registered' | 'known' }

export type Registrar = {
  /**
   * Registers a guide once, however often it is asked, and has written the guide_id down when it answers.
   *
   * @throws AppError refused_upstream, upstream_unavailable, draining
   */
  register(store: Store, subMchid: string | null, fields: NewGuideFields): Promise<Registered>
}

export function createRegistrar({
  guides,
  upstream,
  clock,
}: {
  guides: Guides
  upstream: Upstream
  clock: Clock
}): Registrar {
  const turns = createTurns()

  function keep(sighting: Sighting): void {
    guides.keep(sighting, clock.nowMs())
  }

  async function findUpstream(
    { storeId }: Store,
    subMchid: string | null,
    userid: string,
  ): Promise<UpstreamGuide | null> {
    const wanted = { subMchid, storeId, by: { userid } }
    return findGuide(upstream, wanted, guide => guide.userid === userid)
  }

  /** Asks before it registers, each time: an answer that was lost may have been a registration. */
  async function registerOnce(
    store: Store,
    subMchid: string | null,
    fields: NewGuideFields,
  ): Promise<Registered> {
    const known = guides.byUserid(store.storeId, fields.userid)
    if (known?.state === 'registered') return { guideId: known.guideId, status: 'known' }
    const { storeId } = store
    const { userid, name, mobile, avatar, qr_code, group_qrcode } = fields
    let status: Registered['status'] = 'known'
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const found = await findUpstream(store, subMchid, userid)
      if (found) {
        const { guideId } = found
        const profile =
          status === 'registered' ? profileOf(fields) : { name: found.name, mobile: found.mobile }
        keep({ guideId, storeId, userid, workId: null, profile })
        return { guideId, status }
      }
      const reply = await upstream.once(subMchid, attempt, attempted =>
        upstream.calls.registerGuide({
          ...attempted,
          guide: {
            storeId,
            corpid: fields.corpid,
            userid,
            name,
            mobile,
            avatar,
            qrCode: qr_code,
            groupQrcode: group_qrcode ?? null,
          },
        }),
      )
      if (reply.kind === 'rejected') {
        // It may be refused because of the attempt before, which was carried out after all.
        const own = status === 'registered' ? await findUpstream(store, subMchid, userid) : null
        if (!own) throw refusedBy(reply)
        keep({ guideId: own.guideId, storeId, userid, workId: null, profile: profileOf(fields) })
        return { guideId: own.guideId, status }
      }
      status = 'registered'
      if (reply.kind === 'accepted') {
        const { guideId } = reply.value
        keep({ guideId, storeId, userid, workId: null, profile: profileOf(fields) })
        return { guideId, status }
      }
      await upstream.pause(attempt, reply)
    }
    throw unavailable('the registration was not answered')
  }

  return {
    // Two registrations of one employee go one after the other, so that the second finds the first.
    register: (store, subMchid, fields) =>
      turns.take(`${store.storeId}/${fields.userid}`, () => registerOnce(store, subMchid, fields)),
  }
}

function profileOf({ name, mobile, avatar, qr_code, group_qrcode }: NewGuideFields) {
  return {
    name,
    mobile,
    avatar,
    qrCode: qr_code,
    ...(group_qrcode === undefined ? {} : { groupQrcode: group_qrcode }),
  }
}
