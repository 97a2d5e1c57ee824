import { pointerOf } from './problem.ts'

export type Change = { pointer: string; before?: unknown; after?: unknown }

/**
 * What turns one JSON value into another: the deepest places that differ, entries of lists by their index. What was not
 * there before has no `before`, what is not there any more has no `after`.
 */
export function diff(before: unknown, after: unknown): Change[] {
  const changes: Change[] = []
  walk(before, after, [])
  return changes

  function walk(one: unknown, other: unknown, path: readonly PropertyKey[]): void {
    if (Object.is(one, other)) return
    if (Array.isArray(one) && Array.isArray(other)) {
      for (let index = 0; index < Math.max(one.length, other.length); index++) {
        walk(one[index], other[index], [...path, index])
      }
    } else if (isRecord(one) && isRecord(other)) {
      for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
        walk(own(one, key), own(other, key), [...path, key])
      }
    } else {
      changes.push({
        pointer: pointerOf(path),
        ...(one === undefined ? {} : { before: one }),
        ...(other === undefined ? {} : { after: other }),
      })
    }
  }
}

type JsonObject = { [key: string]: unknown }

function isRecord(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function own(record: JsonObject, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined
}
