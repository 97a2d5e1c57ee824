import type { Clock } from '../clock.ts'

/**
 * Who may be in the air: so many calls at once, each merchant in turn, and of a merchant the order that expires first.
 */
export type Departures = {
  /**
   * Resolves when it is the order's turn: true with a place, which is to be left again; false when its time was over
   * first, or whoever was handed `giveUp` did so.
   */
  enter(
    merchant: string,
    expiresAtMs: number,
    waits: (giveUp: () => void) => void,
  ): true | Promise<boolean>
  leave(): void
  readonly waiting: number
  /** Nobody waits any more: all get false. */
  close(): void
}

type Waiter = { merchant: string; expiresAtMs: number; answer(granted: boolean): void }

/** How long somebody whose time is over may go unnoticed. */
const lookAgainMs = 250

export function createDepartures({
  clock,
  places,
  pace,
}: {
  clock: Clock
  places: number
  /** Milliseconds until the merchant may start another call; 0 takes the start. */
  pace(merchant: string): number
}): Departures {
  /** The merchants that wait, in the order of their turns; each with its orders, nearest expiry last. */
  const queues = new Map<string, Waiter[]>()
  let taken = 0
  let waiting = 0
  let timer: NodeJS.Timeout | null = null

  function serve(): void {
    if (timer) clearTimeout(timer)
    dropExpired()
    const soonestMs = grant()
    timer = queues.size === 0 ? null : setTimeout(serve, Math.min(lookAgainMs, soonestMs))
  }

  function dropExpired(): void {
    const nowMs = clock.nowMs()
    for (const queue of queues.values()) {
      for (let last = queue.at(-1); last && last.expiresAtMs <= nowMs; last = queue.at(-1)) {
        remove(last)
        last.answer(false)
      }
    }
  }

  /** Gives the free places away, merchant by merchant; when the next start is allowed. */
  function grant(): number {
    let soonestMs = Number.POSITIVE_INFINITY
    let passedOver = 0
    while (taken < places && passedOver < queues.size) {
      const [merchant = '', queue = []] = queues.entries().next().value ?? []
      const waitMs = pace(merchant)
      // To the end of the line.
      queues.delete(merchant)
      queues.set(merchant, queue)
      if (waitMs > 0) {
        soonestMs = Math.min(soonestMs, waitMs)
        passedOver += 1
        continue
      }
      passedOver = 0
      const next = queue.at(-1)
      if (!next) throw new Error('a merchant waits without an order')
      remove(next)
      taken += 1
      next.answer(true)
    }
    return soonestMs
  }

  function insert(waiter: Waiter): void {
    const queue = queues.get(waiter.merchant) ?? []
    let [low, high] = [0, queue.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((queue[middle]?.expiresAtMs ?? 0) > waiter.expiresAtMs) low = middle + 1
      else high = middle
    }
    queue.splice(low, 0, waiter)
    queues.set(waiter.merchant, queue)
    waiting += 1
  }

  function remove(waiter: Waiter): void {
    const queue = queues.get(waiter.merchant) ?? []
    const at = queue.lastIndexOf(waiter)
    if (at === -1) return
    queue.splice(at, 1)
    if (queue.length === 0) queues.delete(waiter.merchant)
    waiting -= 1
  }

  return {
    enter(merchant, expiresAtMs, waits) {
      if (taken < places && !queues.has(merchant) && pace(merchant) === 0) {
        taken += 1
        return true
      }
      return new Promise(answer => {
        const waiter = { merchant, expiresAtMs, answer }
        insert(waiter)
        waits(() => {
          remove(waiter)
          answer(false)
        })
        if (!timer || taken < places) serve()
      })
    },

    leave() {
      taken -= 1
      if (queues.size > 0) serve()
    },

    get waiting() {
      return waiting
    },

    close() {
      if (timer) clearTimeout(timer)
      timer = null
      const all = [...queues.values()].flat()
      queues.clear()
      waiting = 0
      for (const { answer } of all) answer(false)
    },
  }
}
