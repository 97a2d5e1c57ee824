import { writeSync } from 'node:fs'
import { pino } from 'pino'

export type Log = ReturnType<typeof openLog>

/** JSON lines on standard output. Nobody passes it a name, a mobile number, a key or a body. */
export function openLog(level: string) {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, { write })
}

// pino's own stream waits without end for a full disk, and the process with it: a lost line is the lesser loss.
function write(line: string): void {
  try {
    writeSync(1, line)
  } catch {}
}
