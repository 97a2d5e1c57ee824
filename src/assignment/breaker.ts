/** Stops what fails in a row, and lets one through now and then to see whether it works again. */
export type Breaker = {
  /** True when a call may go; of an open breaker one, once its pause is over. Who was let through must report. */
  pass(nowMs: number): boolean
  /** From when on a call may pass; 0 for now. */
  opensAtMs(nowMs: number): number
  /** True when this closed an open breaker. */
  succeeded(): boolean
  /** True when this opened a closed breaker. */
  failed(nowMs: number): boolean
  isOpen(): boolean
}

type State =
  | { kind: 'closed'; failures: number }
  | { kind: 'open'; untilMs: number; pauseMs: number }
  /** One call is out; should it never report, another goes after the pause. */
  | { kind: 'trying'; untilMs: number; pauseMs: number }

export function createBreaker({
  afterFailures,
  firstPauseMs,
  longestPauseMs,
}: {
  /** In a row. */
  afterFailures: number
  firstPauseMs: number
  longestPauseMs: number
}): Breaker {
  let state: State = { kind: 'closed', failures: 0 }

  return {
    pass(nowMs) {
      if (state.kind === 'closed') return true
      if (nowMs < state.untilMs) return false
      const { pauseMs } = state
      state = { kind: 'trying', pauseMs, untilMs: nowMs + pauseMs }
      return true
    },

    opensAtMs: nowMs => (state.kind === 'closed' || nowMs >= state.untilMs ? 0 : state.untilMs),

    isOpen: () => state.kind !== 'closed',

    succeeded() {
      const wasOpen = state.kind !== 'closed'
      state = { kind: 'closed', failures: 0 }
      return wasOpen
    },

    failed(nowMs) {
      switch (state.kind) {
        case 'closed': {
          const failures = state.failures + 1
          if (failures < afterFailures) {
            state = { kind: 'closed', failures }
            return false
          }
          state = { kind: 'open', pauseMs: firstPauseMs, untilMs: nowMs + firstPauseMs }
          return true
        }
        case 'open':
          // Of a call that left before it opened.
          return false
        case 'trying': {
          const pauseMs = Math.min(longestPauseMs, state.pauseMs * 2)
          state = { kind: 'open', pauseMs, untilMs: nowMs + pauseMs }
          return false
        }
      }
    },
  }
}
