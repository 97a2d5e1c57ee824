/** What the server says that it built; `truncated_sign_message` may stop before the end. */
export type Rebuilt = {
  method: string
  url: string
  sign_message_length: number | string
  truncated_sign_message: string
}

export type Comparison =
  | { kind: 'same' }
  /** The part that it shows is ours; the lengths are not. */
  | { kind: 'differs_unseen'; ourBytes: number; theirBytes: number; lines: string[] }
  | { kind: 'differs'; line: number; column: number; lines: string[] }

const columnWidth = 44

/** Our string to sign beside theirs, line by line, with the first difference marked. */
export function compareSigned(ours: string, theirs: Rebuilt): Comparison {
  const shown = theirs.truncated_sign_message
  const at = firstDifference(ours, shown)
  const theirBytes = Number(theirs.sign_message_length)
  const ourBytes = Buffer.byteLength(ours)
  if (at === null) {
    if (ourBytes === theirBytes) return { kind: 'same' }
    const lines = sideBySide(ours, shown, null)
    return { kind: 'differs_unseen', ourBytes, theirBytes, lines }
  }
  const head = ours.slice(0, at)
  const line = head.split('\n').length
  const column = at - head.lastIndexOf('\n')
  return { kind: 'differs', line, column, lines: sideBySide(ours, shown, { line, column }) }
}

/** Null when one is the beginning of the other, and theirs is not the longer. */
function firstDifference(ours: string, shown: string): number | null {
  for (let at = 0; at < shown.length; at++) if (ours[at] !== shown[at]) return at
  return null
}

type Place = { line: number; column: number }

function sideBySide(ours: string, theirs: string, place: Place | null): string[] {
  const [left, right] = [ours.split('\n'), theirs.split('\n')]
  const count = Math.max(left.length, right.length)
  const lines = [`  line  ${'we signed'.padEnd(columnWidth)}  WeChat Pay read`]
  for (let index = 0; index < count; index++) {
    const isMarked = place?.line === index + 1
    const [a, b] = [left[index], right[index]]
    // What follows the last newline is no line.
    if (index === count - 1 && !a && !b && !isMarked) break
    const from = isMarked && place.column > columnWidth / 2 ? place.column - columnWidth / 4 : 0
    const number = `${isMarked ? '>' : ' '} ${String(index + 1).padStart(4)}`
    lines.push(`${number}  ${cell(a, from).padEnd(columnWidth)}  ${cell(b, from)}`.trimEnd())
    if (isMarked) {
      const indent = ' '.repeat(place.column - 1 - from + (from > 0 ? 1 : 0))
      lines.push(`        ${`${indent}^`.padEnd(columnWidth)}  ${indent}^`)
    }
  }
  return lines
}

function cell(text: string | undefined, from: number): string {
  if (text === undefined) return ''
  const clean = text.replace(/[\p{Cc}\p{Cs}]/gu, '·')
  const cut = from > 0 ? `…${clean.slice(from)}` : clean
  return cut.length > columnWidth ? `${cut.slice(0, columnWidth - 1)}…` : cut
}
