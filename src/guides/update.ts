import { AppError } from '../errors.ts'
import type { Guide, Guides, Profile } from '../mirror/guides.ts'
import type { GuideChanges } from '../wechatpay/guides.ts'
import { hide } from './discreet.ts'
import type { GuideChangeFields } from './fields.ts'
import { refusedBy, type Upstream } from './upstream.ts'

const nothing: Profile = { name: null, mobile: null }
const wecomOnly = ['qr_code', 'group_qrcode'] as const

/**
 * Changes what differs from what is known, at WeChat Pay first; the mirror has it once that is accepted.
 *
 * @throws AppError personal_guide, refused_upstream, upstream_unavailable, draining
 */
export async function updateGuide(
  { guides, upstream }: { guides: Guides; upstream: Upstream },
  guide: Guide,
  subMchid: string | null,
  fields: GuideChangeFields,
): Promise<void> {
  refuseWecomLinks(guide, fields)
  const changes = differing(guide.profile ?? nothing, fields)
  if (Object.keys(changes).length === 0) return
  const { guideId } = guide
  const reply = await upstream.ask(subMchid, async attempted => {
    const outcome = await upstream.calls.updateGuide({ ...attempted, guideId, changes })
    return outcome.kind === 'accepted' ? { ...outcome, value: null } : outcome
  })
  if (reply.kind === 'rejected') throw refusedBy(hide(reply, guide))
  guides.change(guide, changes)
}

function refuseWecomLinks({ userid, workId }: Guide, fields: GuideChangeFields): void {
  if (workId === null || userid !== null) return
  const refused = wecomOnly.filter(name => fields[name] !== undefined)
  if (refused.length === 0) return
  throw new AppError(
    'personal_guide',
    'A guide of personal WeChat has the QR code of their own account: only name, mobile and avatar can be changed.',
    { fields: refused.map(name => ({ pointer: `/${name}`, message: 'is for guides of WeCom' })) },
  )
}

function differing(
  before: Profile,
  { name, mobile, avatar, qr_code: qrCode, group_qrcode: groupQrcode }: GuideChangeFields,
): GuideChanges {
  const asked = { name, mobile, avatar, qrCode, groupQrcode }
  const keys = Object.keys(asked) as (keyof typeof asked)[]
  return Object.fromEntries(
    keys
      .filter(key => asked[key] !== undefined && asked[key] !== before[key])
      .map(key => [key, asked[key]]),
  )
}
