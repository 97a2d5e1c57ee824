import type { Clock } from '../../src/clock.ts'
import type { AssignRequest } from '../../src/wechatpay/client.ts'
import type { Outcome, UnknownReason } from '../../src/wechatpay/outcome.ts'

/** What becomes of one call: what WeChat Pay makes of it, and after how long that is known. */
export type Fate = {
  kind:
    | 'accept'
    | 'refuse_guide'
    | 'refuse_order'
    | 'refuse_account'
    | 'throttle'
    | 'not_sent'
    | 'fail'
    | 'lose'
    | 'forge'
  afterMs: number
}

export type Call = {
  no: string
  guideId: string
  generation: number
  life: number
  sentAtMs: number
  /** Null while it is under way. */
  outcome: Outcome | null
  /** WeChat Pay has carried it out, whatever we came to know. */
  isApplied: boolean
}

type Rejected = Extract<Outcome, { kind: 'rejected' }>

/**
 * WeChat Pay as the assignment room meets it, in place of the signed client: each order's calls meet the fates that were
 * drawn for it, one after another, and are accepted when there are no more. It never refuses whom it has accepted.
 */
export function createCounterpart(clock: Clock) {
  const fates = new Map<string, Fate[]>()
  const shown = new Map<string, string>()
  const calls: Call[] = []
  const delivered: Call[] = []

  function fateOf({ outTradeNo, guideId }: AssignRequest): Fate {
    const fate = fates.get(outTradeNo)?.shift() ?? { kind: 'accept', afterMs: 1 }
    const isRefusal = fate.kind === 'refuse_guide' || fate.kind === 'refuse_order'
    return isRefusal && shown.get(outTradeNo) === guideId ? { ...fate, kind: 'accept' } : fate
  }

  return {
    calls,

    /** What the bill of the order would show. */
    shown: (no: string): string | null => shown.get(no) ?? null,

    /** The calls that were answered since it was asked last. */
    takeDelivered: (): Call[] => delivered.splice(0),

    draw(no: string, next: readonly Fate[]): void {
      fates.set(no, [...next])
    },

    /** The port of one life of the service; `noticed` sees each call as it leaves. */
    port(life: number, noticed: (request: AssignRequest) => number) {
      let isAlive = true
      return {
        end() {
          isAlive = false
        },
        hosts: ['https://one', 'https://two'],
        assign(request: AssignRequest): Promise<Outcome> {
          if (!isAlive) return new Promise(() => {})
          const call: Call = {
            no: request.outTradeNo,
            guideId: request.guideId,
            generation: noticed(request),
            life,
            sentAtMs: clock.nowMs(),
            outcome: null,
            isApplied: false,
          }
          calls.push(call)
          const fate = fateOf(request)
          if (takesEffect(fate)) {
            call.isApplied = true
            shown.set(call.no, call.guideId)
          }
          return new Promise(resolve => {
            let timer: NodeJS.Timeout
            const { leash, timeoutMs } = request
            const settle = (outcome: Outcome) => {
              clearTimeout(timer)
              if (leash) leash.shorten = null
              call.outcome = outcome
              delivered.push(call)
              resolve(outcome)
            }
            const endsAtMs = clock.nowMs() + fate.afterMs
            const wait = (untilMs: number) => {
              clearTimeout(timer)
              const outcome = endsAtMs <= untilMs ? outcomeOf(fate) : unknown('timeout')
              timer = setTimeout(settle, Math.min(endsAtMs, untilMs) - clock.nowMs(), outcome)
            }
            wait(clock.nowMs() + timeoutMs)
            if (!leash) return
            const orderedUntilMs = clock.nowMs() + timeoutMs
            leash.shorten = leftMs => {
              const untilMs = clock.nowMs() + leftMs
              if (untilMs < orderedUntilMs) wait(untilMs + answerGraceMs)
            }
          })
        },
      }
    },
  }
}

export type Counterpart = ReturnType<typeof createCounterpart>

/** As the signed client gives an answer that is on its way when the window ends. */
const answerGraceMs = 200

function takesEffect({ kind }: Fate): boolean {
  return kind === 'accept' || kind === 'lose' || kind === 'forge'
}

function outcomeOf({ kind }: Fate): Outcome {
  switch (kind) {
    case 'accept':
      return { kind: 'accepted', requestId: null }
    case 'refuse_guide':
      return rejected('guide')
    case 'refuse_order':
      return rejected('order')
    case 'refuse_account':
      return rejected('account')
    case 'throttle':
      return { ...unknown('throttled'), retryAfterMs: 1000 }
    case 'not_sent':
      return unknown('not_sent')
    case 'fail':
      return unknown('server_error')
    case 'lose':
      return unknown('network')
    case 'forge':
      return unknown('unverified')
  }
}

function rejected(blames: Rejected['blames']): Rejected {
  const [status, code] =
    blames === 'account' ? [401, 'SIGN_ERROR'] : [400, `NOT_THIS_${blames.toUpperCase()}`]
  return { kind: 'rejected', blames, status, code, message: 'no', requestId: null }
}

function unknown(reason: UnknownReason): Extract<Outcome, { kind: 'unknown' }> {
  return { kind: 'unknown', reason, requestId: null, retryAfterMs: null, status: null, detail: '' }
}
