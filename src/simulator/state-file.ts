import { readFile, rename, writeFile } from 'node:fs/promises'

export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

export async function writeAtomically(path: string, text: string, mode: number): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`
  await writeFile(draft, text, { mode })
  await rename(draft, path)
}

/** Names the file when what it holds is not what was once written. */
export function parseStored<T>(path: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (cause) {
    throw new Error(`${path} is damaged: delete it and a new one is made`, { cause })
  }
}
