export type Prefer = { waitMs: number; applied: string | null }

const longestWaitSeconds = 30

/** How long the caller is ready to wait (RFC 7240): `wait=SECONDS`, or not at all with `respond-async`. */
export function readPrefer(header: string | undefined, defaultWaitMs: number): Prefer {
  const preferences = (header ?? '').split(',').map(part => part.trim().toLowerCase())
  if (preferences.includes('respond-async')) return { waitMs: 0, applied: 'respond-async' }
  for (const preference of preferences) {
    const seconds = /^wait\s*=\s*"?(\d{1,6})"?$/.exec(preference)?.[1]
    if (seconds === undefined) continue
    const granted = Math.min(Number(seconds), longestWaitSeconds)
    return { waitMs: granted * 1000, applied: `wait=${granted}` }
  }
  return { waitMs: defaultWaitMs, applied: null }
}
