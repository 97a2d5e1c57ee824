import type { Guide, Guides, Profile } from '../mirror/guides.ts'
import type { AssignedOrder, AssignRequest } from '../wechatpay/client.ts'
import { maskOf } from '../wechatpay/mask.ts'
import type { Outcome } from '../wechatpay/outcome.ts'

type Assigning = {
  readonly hosts: readonly string[]
  presign(order: AssignedOrder): void
  assign(request: AssignRequest): Promise<Outcome>
}

/**
 * WeChat Pay may name the guide whom it refuses to assign. What it says goes to the ledger, the log and the till, and
 * none of them may know who a guide is.
 */
export function discreet(client: Assigning, guides: Guides): Assigning {
  return {
    get hosts() {
      return client.hosts
    },
    presign: client.presign,
    async assign(request) {
      const outcome = await client.assign(request)
      return outcome.kind === 'rejected' ? hide(outcome, guides.find(request.guideId)) : outcome
    },
  }
}

/** The same refusal without the guide's name and mobile. */
export function hide<R extends { message: string }>(refused: R, guide: Guide | null): R {
  const { name = null, mobile = null }: Partial<Profile> = guide?.profile ?? {}
  const mask = maskOf([name, mobile].filter(text => text !== null))
  return { ...refused, message: mask(refused.message) }
}
