import { isUtf8 } from 'node:buffer'
import { AppError } from '../errors.ts'
import { notJson } from './problem.ts'

export const maxDepth = 32

const [quote, backslash, colon] = [0x22, 0x5c, 0x3a]
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d]

/** How deep a JSON text nests, and how many fields it names, each as often as it stands there. Of no JSON: anything. */
export function shapeOf(text: Uint8Array): { depth: number; fields: number } {
  let [depth, deepest, fields] = [0, 0, 0]
  let isInside = false
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]
    if (byte === quote) isInside = !isInside
    else if (isInside) {
      if (byte === backslash) at += 1
    } else if (byte === colon) fields += 1
    else if (byte === openObject || byte === openList) {
      depth += 1
      if (depth > deepest) deepest = depth
    } else if (byte === closeObject || byte === closeList) depth -= 1
  }
  return { depth: deepest, fields }
}

/**
 * Refuses what two readers could read as two things, or what would cost more to look at than it is worth: bytes that are
 * no UTF-8, a field named twice, too many fields, too deep a nesting.
 *
 * @throws AppError invalid_request
 */
export function refuseAmbiguous(text: Uint8Array, maxFields: number): void {
  if (!isUtf8(text)) throw refused('is not UTF-8', '不是 UTF-8 编码')
  const { depth, fields } = shapeOf(text)
  if (depth > maxDepth) {
    throw refused(`nests deeper than ${maxDepth}`, `嵌套超过 ${maxDepth} 层`)
  }
  if (fields > maxFields) {
    throw refused(`has more than ${maxFields} fields`, `字段超过 ${maxFields} 个`)
  }
  if (fieldsOf(parse(text)) !== fields) throw refused('names a field twice', '有重复的字段')
}

function parse(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(text))
  } catch {
    throw notJson()
  }
}

/** Each once: of two of one name, the parser keeps the last. */
function fieldsOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const within = Object.values(value)
  let count = Array.isArray(value) ? 0 : within.length
  for (const one of within) count += fieldsOf(one)
  return count
}

function refused(en: string, zh: string): AppError {
  return new AppError('invalid_request', { en: `The body ${en}.`, zh: `内容${zh}。` })
}
