import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { pino } from 'pino'

export type Log = ReturnType<typeof openLog>

/** JSON lines on standard output. Nobody passes it a name, a mobile number, a key or a body. */
export function openLog(level: string) {
  const lines = createLines(standardOutput())
  process.once('exit', lines.flushSync)
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, lines)
}

/** Takes a part of the text and says how much, or throws EAGAIN when its reader is busy. */
export type Output = (text: Buffer) => number

export type Lines = {
  write(line: string): void
  flushSync(): void
}

const mostChars = 4 * 1024 * 1024
const pauseMs = 50
const lastWaitMs = 200

/**
 * The lines of one turn of the event loop go out together. A full disk or a reader who has stopped costs lines, never
 * time: while nobody takes them so many are kept, and later ones are lost, which is said once there is somebody again.
 * A process that is killed loses the lines of its last turn.
 */
export function createLines(output: Output): Lines {
  let waiting: string[] = []
  let chars = 0
  let lost = 0
  let leaving = Buffer.alloc(0)
  let isScheduled = false

  function schedule(): void {
    if (isScheduled) return
    isScheduled = true
    setImmediate(send)
  }

  /** False when the reader is busy. */
  function sendAll(): boolean {
    while (leaving.length > 0 || waiting.length > 0) {
      if (leaving.length === 0) {
        leaving = Buffer.from(waiting.join(''))
        waiting = lost > 0 ? [`{"level":40,"lost":${lost},"msg":"log lines were lost"}\n`] : []
        chars = lost = 0
      }
      try {
        leaving = leaving.subarray(output(leaving))
      } catch (cause) {
        if (cause instanceof Error && 'code' in cause && cause.code === 'EAGAIN') return false
        leaving = Buffer.alloc(0)
      }
    }
    return true
  }

  function send(): void {
    if (sendAll()) isScheduled = false
    else setTimeout(send, pauseMs).unref()
  }

  return {
    write(line) {
      if (chars + line.length > mostChars) {
        lost += 1
        return
      }
      waiting.push(line)
      chars += line.length
      schedule()
    },

    flushSync() {
      const untilMs = performance.now() + lastWaitMs
      while (!sendAll() && performance.now() < untilMs) {}
    },
  }
}

/**
 * A pipe is opened once more, so that writing to it need never wait: a mode of our own, for others write to it too. A
 * file is not: each opening has a place of its own in it.
 */
function standardOutput(): Output {
  const file = openPipe() ?? 1
  return text => writeSync(file, text)
}

function openPipe(): number | null {
  try {
    if (!fstatSync(1).isFIFO()) return null
    return openSync('/dev/stdout', constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return null
  }
}
