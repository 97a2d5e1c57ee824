import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { bugs } from './bugs.ts'
import { modelBugs } from './model-bugs.ts'
import { plant } from './plant.ts'

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')

it.each([...bugs, ...modelBugs])('$name can be planted, and its test is there', bug => {
  expect(plant(read(bug.file), bug)).not.toBe(read(bug.file))
  expect(read(bug.caughtBy.file)).toContain(bug.caughtBy.title)
})

it('a bug whose place is gone, or is not the only one, is not planted', () => {
  const [bug] = bugs
  if (!bug) throw new Error('no bugs')
  const [[text = ''] = []] = bug.plants
  expect(() => plant('nothing of it', bug)).toThrow('holds 0 times')
  expect(() => plant(`${text}\n${text}`, bug)).toThrow('holds 2 times')
})
