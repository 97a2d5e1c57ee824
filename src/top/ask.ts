import { sayCause } from '../errors.ts'

const timeoutMs = 3_000
const mostBytes = 4 * 1024 * 1024

/** An answer in words, or why there is none; never more than 3 s and 4 MiB of it. */
export type Answered = { kind: 'answered'; text: string } | { kind: 'none'; why: string }

/** A redirect is no answer: a key must not follow it. */
export async function ask(url: string, path: string, key: string | null): Promise<Answered> {
  try {
    const answer = await fetch(url + path, {
      headers: key === null ? {} : { authorization: `Bearer ${key}` },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    const text = await readBounded(answer)
    if (text === null) return { kind: 'none', why: 'answers with too much to be a service of ours' }
    return answer.ok
      ? { kind: 'answered', text }
      : { kind: 'none', why: `answers ${answer.status} to ${path.split('?')[0]}` }
  } catch (cause) {
    return { kind: 'none', why: sayWhy(cause) }
  }
}

async function readBounded(answer: Response): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length
    if (bytes > mostBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function sayWhy(cause: unknown): string {
  if (cause instanceof Error && cause.name === 'TimeoutError')
    return `does not answer in ${timeoutMs / 1000} s`
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  if (inner instanceof Error && 'code' in inner && inner.code === 'ECONNREFUSED') {
    return 'is gone: nobody listens (ECONNREFUSED)'
  }
  return `is not reached: ${sayCause(inner)}`
}
