import type { Session } from 'node:inspector/promises'

/**
 * Loaded into each contender with --import. Tells the parent, when asked, what the process has used so far; asked to
 * `profile`, starts the sampling of its main thread, and asked again tells what it saw.
 */
export type Used = { cpuMicroseconds: number; rssBytes: number }

export type Profile = {
  nodes: {
    id: number
    callFrame: { functionName: string; url: string; lineNumber: number }
    children?: number[]
  }[]
  samples?: number[]
  timeDeltas?: number[]
}

const samplingMicroseconds = 200
let session: Session | null = null

process.on('message', async asked => {
  if (asked === 'profile') return profile()
  const { user, system } = process.cpuUsage()
  const used: Used = { cpuMicroseconds: user + system, rssBytes: process.memoryUsage.rss() }
  process.send?.(used)
})
// The channel is not what keeps the process alive.
process.channel?.unref()

async function profile(): Promise<void> {
  if (session) {
    const stopped = await session.post('Profiler.stop')
    session.disconnect()
    session = null
    process.send?.({ profile: stopped.profile })
    return
  }
  // Not before it is asked for: it takes memory.
  const inspector = await import('node:inspector/promises')
  session = new inspector.Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: samplingMicroseconds })
  await session.post('Profiler.start')
  process.send?.({ profile: null })
}
