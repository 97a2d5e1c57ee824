import type { Clock } from '../clock.ts'
import type { Ledger, Order } from '../ledger/ledger.ts'

export type Outbox = {
  /** Takes over what an earlier process left pending, then sends what is due until `stop`. */
  start(): Promise<void>
  /** An order will be due then. */
  expect(dueAtMs: number): void
  stop(): void
}

const longestNapMs = 1000
const fullNapMs = 250
const shortestNapMs = 5
const maxExpired = 256

/** Sends deferred orders again when they are due, nearest expiry first, at most `maxInAir` at once. */
export function createOutbox(deps: {
  ledger: Ledger
  clock: Clock
  send(order: Order): Promise<unknown>
  failed(cause: unknown): void
  maxInAir?: number
}): Outbox {
  const { ledger, clock, send, failed, maxInAir = 64 } = deps
  let inAir = 0
  let timer: NodeJS.Timeout | null = null
  let wakesAtMs = Number.POSITIVE_INFINITY
  let stopped = true
  let turning = false

  function expect(dueAtMs: number): void {
    if (stopped || dueAtMs >= wakesAtMs) return
    if (timer) clearTimeout(timer)
    wakesAtMs = dueAtMs
    timer = setTimeout(turn, Math.max(shortestNapMs, dueAtMs - clock.nowMs()))
  }

  async function turn(): Promise<void> {
    timer = null
    wakesAtMs = Number.POSITIVE_INFINITY
    if (stopped || turning) return
    turning = true
    try {
      await sendDue()
      const next = await ledger.nextDueAtMs()
      turning = false
      // With every place taken, a landing wakes us; what is over meanwhile is ended all the same.
      const napMs = inAir < maxInAir ? longestNapMs : fullNapMs
      const wakeAtMs = inAir < maxInAir && next !== null ? next : Number.POSITIVE_INFINITY
      expect(Math.min(wakeAtMs, clock.nowMs() + napMs))
    } catch (cause) {
      turning = false
      failed(cause)
      expect(clock.nowMs() + longestNapMs)
    }
  }

  async function sendDue(): Promise<void> {
    // What is over needs no place in the air, and waits for none.
    await ledger.expire(clock.nowMs(), maxExpired)
    const places = maxInAir - inAir
    if (places <= 0) return
    const due = await ledger.lease(clock.nowMs(), places)
    // What was leased stays for the next start.
    if (stopped) return
    for (const order of due) {
      inAir += 1
      void send(order).catch(failed).finally(land)
    }
  }

  function land(): void {
    inAir -= 1
    expect(clock.nowMs())
  }

  return {
    async start() {
      await ledger.reclaim()
      stopped = false
      await turn()
    },
    expect,
    stop() {
      stopped = true
      if (timer) clearTimeout(timer)
      timer = null
    },
  }
}
