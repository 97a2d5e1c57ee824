import { pino } from 'pino'

export type Log = ReturnType<typeof openLog>

/** JSON lines on standard output. Nobody passes it a name, a mobile number, a key or a body. */
export function openLog(level: string) {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
}
