import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'

const headerBytes = 32
const frameHeaderBytes = 24

/**
 * What is wrong with a log (https://www.sqlite.org/fileformat2.html#walformat); null when nothing is.
 *
 * SQLite reads a log up to the first frame that does not fit, as it must after a power cut, and so forgets whatever
 * stands behind a damaged one. Each commit is synced before the next begins: behind the place where a power cut tore the
 * log there is one commit at the most, and its header is synced before the first.
 */
export function brokenLog(path: string): string | null {
  if (!existsSync(path)) return null
  const { size } = statSync(path)
  if (size <= headerBytes) return null
  const file = openSync(path, 'r')
  try {
    const read = (at: number, bytes: Buffer) => readSync(file, bytes, 0, bytes.length, at)
    const header = Buffer.alloc(headerBytes)
    read(0, header)
    const magic = header.readUInt32BE(0)
    const isLittle = magic === 0x377f0682
    const start = sumOf(header.subarray(0, 24), isLittle, [0, 0])
    if ((!isLittle && magic !== 0x377f0683) || !endsWith(header, start)) {
      return 'the header of its log is not what was written'
    }
    const pageBytes = header.readUInt32BE(8)
    const salts = header.subarray(16, 24)
    const frame = Buffer.alloc(frameHeaderBytes + pageBytes)
    const frames = Math.floor((size - headerBytes) / frame.length)
    let sum: Sum | null = start
    let commitsBehind = 0
    for (let index = 0; index < frames; index++) {
      read(headerBytes + index * frame.length, frame)
      const isOfThisLog = frame.subarray(8, 16).equals(salts)
      if (sum) sum = isOfThisLog ? continued(sum, frame, isLittle) : null
      if (!sum && isOfThisLog && frame.readUInt32BE(4) !== 0) commitsBehind += 1
    }
    return commitsBehind > 1 ? 'its log is not what was written' : null
  } finally {
    closeSync(file)
  }
}

type Sum = [number, number]

function continued(before: Sum, frame: Buffer, isLittle: boolean): Sum | null {
  const ofHeader = sumOf(frame.subarray(0, 8), isLittle, before)
  const sum = sumOf(frame.subarray(frameHeaderBytes), isLittle, ofHeader)
  return endsWith(frame.subarray(0, frameHeaderBytes), sum) ? sum : null
}

function endsWith(header: Buffer, [first, second]: Sum): boolean {
  const at = header.length - 8
  return header.readUInt32BE(at) === first && header.readUInt32BE(at + 4) === second
}

function sumOf(bytes: Buffer, isLittle: boolean, [first, second]: Sum): Sum {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let [a, b] = [first, second]
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + view.getUint32(at, isLittle) + b) >>> 0
    b = (b + view.getUint32(at + 4, isLittle) + a) >>> 0
  }
  return [a, b]
}
