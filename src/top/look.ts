import { type Answered, ask } from './ask.ts'
import { type Frame, frameOf } from './frame.ts'
import type { View } from './lines.ts'
import { readSample, type Sample } from './sample.ts'
import { type Shares, sharesOf, sharesSchema, storesSchema } from './shares.ts'

/** A report reads a day of orders: not at each look. */
const sharesEveryMs = 10_000
const dayMs = 86_400_000
const firstStores = 3
const mostStores = 20

/** Looks at a service, again and again; one that is not there is no failure but what is seen. */
export function createLook({
  url,
  stores,
  key,
  keyNote,
}: {
  url: string
  /** Empty: the first that the key is for. */
  stores: readonly number[]
  key: string | null
  /** Why there is no key. */
  keyNote: string | null
}): () => Promise<View> {
  let before: Sample | null = null
  let frame: Frame | null = null
  let shares: readonly Shares[] = []
  let sharesNote = keyNote
  let sharesAtMs = Number.NEGATIVE_INFINITY

  async function lookAtShares(nowMs: number): Promise<void> {
    if (key === null || nowMs - sharesAtMs < sharesEveryMs) return
    sharesAtMs = nowMs
    const told = await askShares(url, key, stores)
    if (told.kind === 'none') sharesNote = `shares: the service ${told.why}`
    else [shares, sharesNote] = [told.shares, null]
  }

  return async () => {
    const answer = await ask(url, '/metrics', null)
    const nowMs = performance.now()
    const wallMs = Date.now()
    let trouble = answer.kind === 'none' ? `The service ${answer.why}; trying again.` : null
    if (answer.kind === 'answered') {
      const sample = readSample(answer.text, nowMs)
      if (sample.value('smartguide_ready') === null) {
        trouble = 'What answers is not this service; trying again.'
      } else {
        frame = frameOf(before, sample, wallMs)
        before = sample
        await lookAtShares(nowMs)
      }
    }
    return { url, time: clockTime(wallMs), frame, trouble, shares, sharesNote }
  }
}

type Told = { kind: 'shares'; shares: Shares[] } | { kind: 'none'; why: string }

async function askShares(url: string, key: string, asked: readonly number[]): Promise<Told> {
  const listed = read(await ask(url, '/stores', key), text => storesSchema.parse(JSON.parse(text)))
  if (listed.kind === 'none') return listed
  const known = listed.value.stores
  const stray = asked.find(id => !known.some(({ store_id }) => store_id === id))
  if (stray !== undefined) return { kind: 'none', why: `has no store ${stray} for this key` }
  const wanted =
    asked.length > 0
      ? known.filter(({ store_id }) => asked.includes(store_id)).slice(0, mostStores)
      : known.slice(0, firstStores)
  const from = encodeURIComponent(new Date(Date.now() - dayMs).toISOString())
  const shares: Shares[] = []
  for (const store of wanted) {
    const path = `/stores/${store.store_id}/fairness?from=${from}`
    const report = read(await ask(url, path, key), text => sharesSchema.parse(JSON.parse(text)))
    if (report.kind === 'none') return report
    shares.push(sharesOf(store, report.value))
  }
  return { kind: 'shares', shares }
}

type Read<T> = { kind: 'read'; value: T } | { kind: 'none'; why: string }

function read<T>(answer: Answered, parse: (text: string) => T): Read<T> {
  if (answer.kind === 'none') return answer
  try {
    return { kind: 'read', value: parse(answer.text) }
  } catch {
    return { kind: 'none', why: 'answers with what cannot be read' }
  }
}

function clockTime(wallMs: number): string {
  return new Date(wallMs).toTimeString().slice(0, 8)
}
