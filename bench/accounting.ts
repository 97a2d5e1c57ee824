/** Loaded into each contender with --import: tells the parent, when asked, what the process has used so far. */
export type Used = { cpuMicroseconds: number; rssBytes: number }

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  const used: Used = { cpuMicroseconds: user + system, rssBytes: process.memoryUsage.rss() }
  process.send?.(used)
})
// The channel is not what keeps the process alive.
process.channel?.unref()
