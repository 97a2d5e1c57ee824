import type { Clock } from '../clock.ts'

/**
 * Whether the process keeps up with the orders that come in.
 *
 * All that came meanwhile is read in one turn of the event loop. When a turn takes long, more comes than can be served:
 * from then on each turn takes in a few milliseconds' worth and refuses the rest, so that turns are short, those taken in
 * are served in time, and the others hear it at once. A burst is no reason: it is over within a turn or two.
 */
export type Admission = {
  /** Asked once for each order, before anything is done for it. */
  admits(): boolean
}

const longTurnMs = 100
const longTurns = 2
const intakeMs = 3
/** Half of what a till waits, so that who comes in now is served before it is over. */
const longBacklogMs = 400
/** So long no turn must have had more than it takes in before everything is taken in again. */
const calmMs = 1000

export function createAdmission({
  clock,
  backlogMs,
  atEndOfTurn = setImmediate,
}: {
  clock: Pick<Clock, 'monotonicMs'>
  /** How long those who are in already will take. */
  backlogMs(): number
  atEndOfTurn?: (act: () => void) => unknown
}): Admission {
  let beganMs: number | null = null
  let longInARow = 0
  let shedsUntilMs = Number.NEGATIVE_INFINITY

  function endTurn(): void {
    const nowMs = clock.monotonicMs()
    longInARow = nowMs - (beganMs ?? nowMs) >= longTurnMs ? longInARow + 1 : 0
    if (longInARow >= longTurns) shedsUntilMs = nowMs + calmMs
    beganMs = null
  }

  return {
    admits() {
      const nowMs = clock.monotonicMs()
      if (beganMs === null) {
        beganMs = nowMs
        atEndOfTurn(endTurn)
      }
      if (nowMs >= shedsUntilMs) return true
      const hasTakenIn = nowMs - beganMs >= intakeMs
      if (!hasTakenIn && backlogMs() < longBacklogMs) return true
      // Who is in may only be waiting for WeChat Pay: a process with such short turns keeps up.
      if (hasTakenIn) shedsUntilMs = nowMs + calmMs
      return false
    },
  }
}
