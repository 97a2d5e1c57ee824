import type { GuideCalls, GuidePage, UpstreamGuide } from '../../src/wechatpay/guides.ts'
import type { Outcome } from '../../src/wechatpay/outcome.ts'

/** Stands between the registry and the real client, so that a test can come in between a question and its answer. */
export function createSeam() {
  const seam: Partial<Pick<GuideCalls, 'queryGuides' | 'registerGuide' | 'updateGuide'>> & {
    real: GuideCalls
    between(real: GuideCalls): GuideCalls
    reset(): void
  } = {
    real: undefined as unknown as GuideCalls,
    between(real) {
      seam.real = real
      return {
        hosts: real.hosts,
        queryGuides: query => (seam.queryGuides ?? real.queryGuides)(query),
        registerGuide: request => (seam.registerGuide ?? real.registerGuide)(request),
        updateGuide: request => (seam.updateGuide ?? real.updateGuide)(request),
      }
    },
    reset() {
      delete seam.queryGuides
      delete seam.registerGuide
      delete seam.updateGuide
    },
  }
  return seam
}

export const accepted = <T>(value: T) => ({ kind: 'accepted' as const, value, requestId: null })

export const pageOf = (guides: UpstreamGuide[], totalCount = guides.length) =>
  accepted<GuidePage>({ guides, totalCount })

export function sighted(guideId: string, storeId: number): UpstreamGuide {
  return { guideId, storeId, name: `n${guideId}`, mobile: '13800000000', userid: null, workId: 'w' }
}

export const refusedAccount: Extract<Outcome, { kind: 'rejected' }> = {
  kind: 'rejected',
  blames: 'account',
  status: 403,
  code: 'NO_AUTH',
  message: 'no authority',
  requestId: null,
}
