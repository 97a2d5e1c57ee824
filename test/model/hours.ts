import { vi } from 'vitest'
import type { Clock } from '../../src/clock.ts'

/**
 * Time that passes only when the test says so: timers and both clocks are the test's, while promises, commits and all
 * else go on as they do. Between two timers everything comes to rest, so that one thing happens after another.
 */
export function holdTime(startMs: number) {
  vi.useFakeTimers({ now: startMs, toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  let watch = { progress: () => 0, rested() {} }
  const clock: Clock = { nowMs: () => Date.now(), monotonicMs: () => Date.now() }

  /** Lets the event loop turn until nothing moves any more. */
  async function rest(): Promise<void> {
    let seen = watch.progress()
    for (let quiet = 0; quiet < quietTurns; quiet++) {
      await new Promise(done => setImmediate(done))
      const now = watch.progress()
      if (now !== seen) quiet = 0
      seen = now
    }
  }

  /** To the next instant at which any timer ends; those of one instant end together. */
  async function step(): Promise<void> {
    vi.advanceTimersToNextTimer()
    await rest()
    watch.rested()
  }

  return {
    clock,
    rest,

    /** The next timer ends, and nobody waits for what comes of it. */
    fire: () => vi.advanceTimersToNextTimer(),

    /** `rested` is called whenever all has come to rest. */
    watch(by: typeof watch): void {
      watch = by
    },

    async pass(ms: number): Promise<void> {
      let isOver = false
      setTimeout(() => {
        isOver = true
      }, ms)
      while (!isOver) await step()
    },

    /** Lets time pass until the work is done. */
    async until<T>(work: Promise<T>): Promise<T> {
      let isDone = false
      const done = () => {
        isDone = true
      }
      work.then(done, done)
      await rest()
      watch.rested()
      while (!isDone) await step()
      return work
    },

    turn: () => new Promise<void>(done => setImmediate(done)),

    /** Nobody is there to notice that the time passes. */
    skip(ms: number): void {
      vi.setSystemTime(Date.now() + ms)
    },

    /** The time stays as it is. */
    forgetTimers(): void {
      const nowMs = Date.now()
      vi.clearAllTimers()
      vi.setSystemTime(nowMs)
    },

    release: () => vi.useRealTimers(),
  }
}

export type Hours = ReturnType<typeof holdTime>

/** A due order is taken out in two commits, each in a turn of its own, and both may change nothing. */
const quietTurns = 5
