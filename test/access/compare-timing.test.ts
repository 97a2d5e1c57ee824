import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { isSame } from '../../src/access/compare.ts'
import { aRandom } from '../support/rules.ts'

type Compare = (given: Buffer, kept: Buffer) => boolean

const samples = 200_000
const callsASample = 8
const isEvident = 4.5

/** What a first draft would have been: it ends where the two differ. */
function endsEarly(given: Buffer, kept: Buffer): boolean {
  for (let at = 0; at < kept.length; at++) if (given[at] !== kept[at]) return false
  return true
}

/**
 * Welch's t between the times of digests that differ in the first byte and of those that differ in the last.
 *
 * The two take turns at random in the same bytes of memory; what lies above the upper twentieth of all was interrupted.
 */
function welch(compare: Compare, seed: number): number {
  const random = aRandom(seed)
  const kept = randomBytes(32)
  const given = Buffer.from(kept)
  const places = [0, 31] as const
  const times = new Float64Array(samples)
  const classes = new Uint8Array(samples)
  let equal = 0
  for (let n = -10_000; n < samples; n++) {
    const which = random() < 0.5 ? 0 : 1
    const place = places[which]
    given[place] = (given[place] ?? 0) ^ 0x55
    const start = process.hrtime.bigint()
    for (let call = 0; call < callsASample; call++) if (compare(given, kept)) equal += 1
    const took = Number(process.hrtime.bigint() - start)
    given[place] = (given[place] ?? 0) ^ 0x55
    if (n < 0) continue
    times[n] = took
    classes[n] = which
  }
  expect(equal).toBe(0)
  const limit = times.toSorted()[Math.floor(samples * 0.95)] ?? 0
  const [first, last] = [0, 1].map(which =>
    momentsOf(times.filter((took, n) => classes[n] === which && took <= limit)),
  )
  if (!first || !last) throw new Error('no samples')
  return (first.mean - last.mean) / Math.sqrt(first.error + last.error)
}

/** `error`: the variance of the mean. */
function momentsOf(times: Float64Array): { mean: number; error: number } {
  const mean = times.reduce((sum, took) => sum + took, 0) / times.length
  const squares = times.reduce((sum, took) => sum + (took - mean) ** 2, 0)
  return { mean, error: squares / (times.length - 1) / times.length }
}

it('takes as long wherever two digests differ, by 200,000 samples', () => {
  const seen: number[] = []
  // One that leaks is seen each time; a machine that hiccups is not.
  do {
    seen.push(welch(isSame, seen.length + 1))
  } while (Math.abs(seen.at(-1) ?? 0) >= isEvident && seen.length < 3)
  expect(Math.min(...seen.map(Math.abs)), seen.join()).toBeLessThan(isEvident)
}, 20_000)

it('is measured well enough to see a comparison that ends early', () => {
  expect(welch(endsEarly, 1)).toBeLessThan(-10 * isEvident)
})
