import type { Bug } from './bugs.ts'

/**
 * The source with the bug in it.
 *
 * @throws Error when a text to replace is not there exactly once
 */
export function plant(source: string, { name, file, plants }: Bug): string {
  return plants.reduce((text, [replace, by]) => {
    const found = text.split(replace).length - 1
    if (found !== 1) throw new Error(`${name}: ${file} holds ${found} times: ${replace}`)
    return text.replace(replace, () => by)
  }, source)
}
