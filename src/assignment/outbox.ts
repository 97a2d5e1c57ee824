import type { Clock } from '../clock.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Order } from '../ledger/order.ts'

export type Outbox = {
  /** Takes over what an earlier process left pending, then sends what is due until `stop`. */
  start(): Promise<void>
  /** An order will be due then. */
  expect(dueAtMs: number): void
  /** WeChat Pay can be reached again: what was deferred need not wait any more. */
  hasten(): void
  /** Sends nothing new; resolves when what it sent has landed. What is deferred stays for the next start. */
  stop(): Promise<void>
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
  /** Whoever has it there ends it. */
  isInAir(order: Order): boolean
  /** When a call may leave at all, in epoch milliseconds; 0 for now. */
  opensAtMs(): number
  failed(cause: unknown): void
  maxInAir?: number
}): Outbox {
  const { ledger, clock, send, isInAir, opensAtMs, failed, maxInAir = 64 } = deps
  const inAir = new Set<Promise<void>>()
  let timer: NodeJS.Timeout | null = null
  let wakesAtMs = Number.POSITIVE_INFINITY
  let stopped = true
  let turning: Promise<void> | null = null

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
    turning = takeTurn()
    await turning
  }

  async function takeTurn(): Promise<void> {
    try {
      await sendDue()
      const next = stopped ? null : await ledger.nextDueAtMs()
      turning = null
      const opensMs = opensAtMs()
      // With every place taken, a landing wakes us; what is over meanwhile is ended all the same.
      const napMs = inAir.size < maxInAir ? longestNapMs : fullNapMs
      const wakeAtMs =
        inAir.size < maxInAir && next !== null ? Math.max(next, opensMs) : Number.POSITIVE_INFINITY
      expect(Math.min(wakeAtMs, clock.nowMs() + napMs))
    } catch (cause) {
      turning = null
      failed(cause)
      expect(clock.nowMs() + longestNapMs)
    }
  }

  async function sendDue(): Promise<void> {
    // What is over needs no place in the air, and waits for none.
    await ledger.expire(clock.nowMs(), maxExpired, isInAir)
    const places = maxInAir - inAir.size
    if (places <= 0 || stopped || opensAtMs() > 0) return
    const due = await ledger.lease(clock.nowMs(), places)
    // What was leased stays for the next start.
    if (stopped) return
    for (const order of due) {
      const landed = send(order)
        .then(() => {}, failed)
        .finally(() => {
          inAir.delete(landed)
          expect(clock.nowMs())
        })
      inAir.add(landed)
    }
  }

  return {
    async start() {
      await ledger.reclaim()
      stopped = false
      await turn()
    },
    expect,
    hasten() {
      if (stopped) return
      ledger.hasten(clock.nowMs()).then(() => expect(clock.nowMs()), failed)
    },
    async stop() {
      stopped = true
      if (timer) clearTimeout(timer)
      timer = null
      await turning
      await Promise.all(inAir)
    },
  }
}
