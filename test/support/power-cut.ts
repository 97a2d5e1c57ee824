import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'

/** What a process did to its files and said to its callers, in the order in which the kernel saw it begin and end. */
export type DiskEvent =
  | { kind: 'write'; file: string; at: number; bytes: Buffer }
  | { kind: 'truncate'; file: string; length: number }
  | { kind: 'sync'; file: string }
  | { kind: 'remove'; file: string }
  /** Bytes that left on a socket. */
  | { kind: 'say'; text: string }

export const hasStrace = spawnSync('strace', ['-V']).status === 0

/** strace's arguments for a recording of the process and its threads. */
export const straceArguments = (log: string) => [
  '-f',
  '-qq',
  '-y',
  '-xx',
  '-s',
  '1000000',
  '-e',
  'trace=pwrite64,pwritev,ftruncate,fsync,fdatasync,unlink,write,writev,sendto,sendmsg',
  '-o',
  log,
]

/**
 * The events of a recording, of the files in `directory`. A call that strace shows in two parts counts when it ended: a
 * sync promises nothing before, and what was said before that is no acknowledgement of it.
 */
export function readRecording(log: string, directory: string): DiskEvent[] {
  const events: DiskEvent[] = []
  const unfinished = new Map<string, string>()
  for (const line of readFileSync(log, 'latin1').split('\n')) {
    const [, pid = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const begun = /^(.*) <unfinished \.\.\.>$/.exec(rest)
    if (begun) {
      unfinished.set(pid, begun[1] ?? '')
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    const call = resumed ? `${unfinished.get(pid) ?? ''}${resumed[1]}` : rest
    if (resumed) unfinished.delete(pid)
    const event = readCall(call, directory)
    if (event) events.push(event)
  }
  return events
}

function readCall(call: string, directory: string): DiskEvent | null {
  const [, name = '', args = '', result = ''] = /^(\w+)\((.*)\) += (-?\d+)/.exec(call) ?? []
  if (name === '' || Number(result) < 0) return null
  if (name === 'unlink') {
    const path = readHex(/^"((?:\\x[0-9a-f]{2})*)"/.exec(args)?.[1] ?? '').toString()
    return path.startsWith(`${directory}/`) ? { kind: 'remove', file: basename(path) } : null
  }
  const [, target = ''] = /^\d+<([^>]*)>/.exec(args) ?? []
  const path = target.startsWith('\\x') ? readHex(target).toString() : target
  const texts = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, text = '']) => text)
  if (/^(TCP|socket:)/.test(path)) {
    const text = Buffer.concat(texts.map(readHex)).toString('utf8')
    return text === '' ? null : { kind: 'say', text }
  }
  if (!path.startsWith(`${directory}/`)) return null
  const file = basename(path)
  switch (name) {
    case 'fsync':
    case 'fdatasync':
      return { kind: 'sync', file }
    case 'ftruncate':
      return { kind: 'truncate', file, length: Number(/, (\d+)$/.exec(args)?.[1]) }
    case 'pwrite64': {
      const bytes = readHex(texts[0] ?? '')
      return { kind: 'write', file, at: Number(/, (\d+)$/.exec(args)?.[1]), bytes }
    }
    default:
      return null
  }
}

function readHex(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex')
}

const sectorBytes = 512

/**
 * The files as a power cut after `count` events could leave them: all that was synced, and of the rest some, in any
 * order, the last of them torn at a sector.
 */
export function afterPowerCut(
  events: readonly DiskEvent[],
  count: number,
  before: string,
  into: string,
  random: () => number,
): void {
  mkdirSync(into, { recursive: true })
  for (const name of readdirSync(before)) copyFileSync(join(before, name), join(into, name))
  const happened = events.slice(0, count)
  const lastSync = new Map<string, number>()
  for (const [index, event] of happened.entries()) {
    if (event.kind === 'sync') lastSync.set(event.file, index)
  }
  const files = new Map<string, Contents | null>()
  const contentsOf = (file: string): Contents => {
    const known = files.get(file)
    if (known) return known
    const path = join(into, file)
    const made = new Contents(existsSync(path) ? readFileSync(path) : Buffer.alloc(0))
    files.set(file, made)
    return made
  }
  for (const [index, event] of happened.entries()) {
    if (event.kind === 'say' || event.kind === 'sync') continue
    const isSynced = index < (lastSync.get(event.file) ?? -1)
    if (!isSynced && random() < 0.5) continue
    if (event.kind === 'remove') files.set(event.file, null)
    else if (event.kind === 'truncate') contentsOf(event.file).resize(event.length)
    else {
      const isTorn = !isSynced && random() < 0.3
      const sectors = Math.ceil(event.bytes.length / sectorBytes)
      const kept = isTorn ? Math.floor(random() * sectors) * sectorBytes : event.bytes.length
      contentsOf(event.file).write(event.bytes.subarray(0, kept), event.at)
    }
  }
  for (const [file, contents] of files) {
    if (contents) writeFileSync(join(into, file), contents.bytes())
    else rmSync(join(into, file), { force: true })
  }
}

/** A file in memory that grows as it is written. */
class Contents {
  #room: Buffer
  #length: number

  constructor(bytes: Buffer) {
    this.#room = bytes
    this.#length = bytes.length
  }

  write(bytes: Buffer, at: number): void {
    if (at + bytes.length > this.#length) this.resize(at + bytes.length)
    bytes.copy(this.#room, at)
  }

  resize(length: number): void {
    if (length > this.#room.length) {
      const room = Buffer.alloc(Math.max(length, 2 * this.#room.length))
      this.#room.copy(room, 0, 0, this.#length)
      this.#room = room
    } else if (length > this.#length) this.#room.fill(0, this.#length, length)
    this.#length = length
  }

  bytes(): Buffer {
    return this.#room.subarray(0, this.#length)
  }
}
