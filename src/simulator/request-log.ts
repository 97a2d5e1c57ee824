import type { Fault } from './faults.ts'

const MAX_ENTRIES = 200_000
const MAX_BODY_CHARS = 64 * 1024 * 1024

/** `signature_valid` is null and `status` is null where nothing was checked or answered. */
export interface LogEntry {
  seq: number
  at: string
  host: string
  method: string
  path: string
  body: string
  signature_valid: boolean | null
  mchid: string | null
  answer: { status: number | null; code: string | null }
  carried_out: boolean
  fault: Fault | null
  request_id: string
}

export interface RequestLog {
  append(entry: Omit<LogEntry, 'seq'>): void
  since(seq: number): LogEntry[]
  clear(): void
}

/** Holds the last 200,000 requests or 64 Mi characters of bodies; `seq` goes on over a clear. */
export function createRequestLog(): RequestLog {
  let entries: LogEntry[] = []
  let bodyChars = 0
  let lastSeq = 0

  // Trimmed by a quarter at a time, so that appending stays cheap.
  function trim() {
    const dropped = entries.splice(0, Math.ceil(entries.length / 4))
    for (const { body } of dropped) bodyChars -= body.length
  }

  return {
    append(entry) {
      lastSeq += 1
      entries.push({ seq: lastSeq, ...entry })
      bodyChars += entry.body.length
      if (entries.length > MAX_ENTRIES || bodyChars > MAX_BODY_CHARS) trim()
    },
    since(seq) {
      const firstSeq = entries[0]?.seq ?? 0
      return entries.slice(Math.max(0, seq + 1 - firstSeq))
    },
    clear() {
      entries = []
      bodyChars = 0
    },
  }
}
