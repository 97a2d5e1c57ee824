export interface Coalesced {
  soon(): void
  /** Does what is due now, and waits for what is under way. */
  flush(): Promise<void>
}

/** One run for all the requests of `delayMs`, and never two runs at a time. */
export function coalesce(run: () => Promise<void>, delayMs: number): Coalesced {
  let timer: NodeJS.Timeout | null = null
  let running = Promise.resolve()

  function start(): Promise<void> {
    timer = null
    running = running.then(run)
    return running
  }

  return {
    soon() {
      timer ??= setTimeout(start, delayMs)
    },
    flush() {
      if (timer === null) return running
      clearTimeout(timer)
      return start()
    },
  }
}
