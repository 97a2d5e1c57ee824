import { expect, it } from 'vitest'
import { createAdmission } from '../../src/assignment/admission.ts'

function aDoor() {
  let nowMs = 1000
  let ends: (() => void) | null = null
  let backlogMs = 0
  const admission = createAdmission({
    clock: { monotonicMs: () => nowMs },
    backlogMs: () => backlogMs,
    atEndOfTurn(end) {
      expect(ends).toBeNull()
      ends = end
    },
  })
  return {
    /** Orders that are read one after the other in one turn of the event loop, and how many of them come in. */
    turn(orders: number, eachMs: number): number {
      let admitted = 0
      for (let n = 0; n < orders; n++) {
        if (admission.admits()) {
          admitted += 1
          nowMs += eachMs
        }
      }
      ends?.()
      ends = null
      return admitted
    },
    pile(ms: number): void {
      backlogMs = ms
    },
    rest(ms: number): void {
      nowMs += ms
    },
  }
}

it('takes in a burst whole, however large', () => {
  const door = aDoor()
  expect(door.turn(1000, 0.5)).toBe(1000)
  expect(door.turn(20, 0.5)).toBe(20)
  expect(door.turn(1000, 0.5)).toBe(1000)
})

it('takes in a few each turn once turns are long one after the other, and so keeps them short', () => {
  const door = aDoor()
  door.turn(300, 0.5)
  door.turn(300, 0.5)
  for (let n = 0; n < 20; n++) expect(door.turn(300, 0.5)).toBe(6)
})

it('takes everything in again when nobody had to be refused for a second', () => {
  const door = aDoor()
  door.turn(300, 0.5)
  door.turn(300, 0.5)
  door.rest(900)
  expect(door.turn(50, 0.5)).toBe(6)
  door.rest(900)
  expect(door.turn(50, 0.5)).toBe(6)
  door.rest(1001)
  expect(door.turn(50, 0.5)).toBe(50)
})

it('lets what has piled up be served first, and piles up nothing more', () => {
  const door = aDoor()
  door.pile(2000)
  expect(door.turn(300, 0.5)).toBe(300)
  door.turn(300, 0.5)
  expect(door.turn(300, 0.5)).toBe(0)
  door.pile(399)
  expect(door.turn(300, 0.5)).toBe(6)
})

it('never refuses where the first order of a turn is the only one', () => {
  const door = aDoor()
  door.turn(300, 0.5)
  door.turn(300, 0.5)
  for (let n = 0; n < 100; n++) {
    expect(door.turn(1, 200)).toBe(1)
  }
})

it('takes everything in again once turns are short, however long WeChat Pay takes to answer', () => {
  const door = aDoor()
  door.turn(300, 0.5)
  door.turn(300, 0.5)
  door.pile(500)
  for (let n = 0; n < 100; n++) {
    door.turn(1, 0.5)
    door.rest(15)
  }
  expect(door.turn(50, 0.5)).toBe(50)
})
