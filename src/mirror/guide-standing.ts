import type { Standing } from '../db/change-log.ts'
import type { Profile } from './guides.ts'
import type { guides } from './schema.ts'

/**
 * How a guide stands, for the record of a change. Who they are is hidden, and so are the ids that others know them by;
 * without a profile, which may be unknown, nothing of it is said.
 */
export function guideStanding(
  row: typeof guides.$inferSelect | undefined,
  profile?: Profile | null,
): Standing {
  if (!row) return null
  const { storeId, state, userid, workId, erasedAtMs } = row
  const told = { store_id: storeId, state, erased: erasedAtMs !== null }
  if (profile === undefined) return { told }
  return {
    told,
    hidden: {
      userid,
      work_id: workId,
      name: profile?.name,
      mobile: profile?.mobile,
      avatar: profile?.avatar,
      qr_code: profile?.qrCode,
      group_qrcode: profile?.groupQrcode,
    },
  }
}
