const OFFSET_MS = 8 * 3_600_000

/** RFC 3339 with +08:00, the way WeChat Pay prints times. */
export function beijingTime(ms: number): string {
  return new Date(ms + OFFSET_MS).toISOString().replace(/(\.000)?Z$/, '+08:00')
}
