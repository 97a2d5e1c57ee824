import { expect, it } from 'vitest'
import { readPrefer } from '../../src/http/prefer.ts'

it.each([
  [undefined, 800, null],
  ['', 800, null],
  ['wait=2', 2000, 'wait=2'],
  ['Wait = 3', 3000, 'wait=3'],
  ['wait="1"', 1000, 'wait=1'],
  ['wait=0', 0, 'wait=0'],
  ['wait=99999', 30_000, 'wait=30'],
  ['wait=-1', 800, null],
  ['wait=1.5', 800, null],
  ['wait=1e9', 800, null],
  ['respond-async', 0, 'respond-async'],
  ['wait=5, respond-async', 0, 'respond-async'],
  ['return=minimal, wait=1', 1000, 'wait=1'],
])('reads Prefer: %s as %i ms', (header, waitMs, applied) => {
  expect(readPrefer(header, 800)).toEqual({ waitMs, applied })
})
