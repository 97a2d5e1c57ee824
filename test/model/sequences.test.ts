import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { atLength } from '../support/thorough.ts'
import { anyCommands } from './commands.ts'
import { prepareFile } from './life.ts'
import { beginSequence } from './sequence.ts'

/** The short form; a run of CI makes 1,000. */
const runs = Number(process.env['MODEL_RUNS'] ?? atLength(60, 250))
const seed = process.env['MODEL_SEED']
const memory = '/dev/shm'
const dir = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'smartguide-model-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

it(
  `${runs} sequences of what may happen to a store leave it as a model says that it must be`,
  async () => {
    const prepared = join(dir, 'prepared.db')
    const secrets = prepareFile(prepared)
    let begun = 0
    const met = { orders: 0, generations: 0, lives: 0 }
    await fc.assert(
      fc.asyncProperty(
        fc.commands(anyCommands, { maxCommands: 25, size: 'max' }),
        async commands => {
          begun += 1
          const sequence = await beginSequence(prepared, join(dir, String(begun)), secrets)
          try {
            await fc.asyncModelRun(() => ({ model: {}, real: sequence }), commands)
            await sequence.end()
            met.orders += sequence.shop.orders.length
            met.lives += sequence.life().number
            for (const { generations } of sequence.shop.orders)
              met.generations += generations.length
          } finally {
            sequence.remove()
          }
        },
      ),
      { numRuns: runs, ...(seed === undefined ? {} : { seed: Number(seed) }) },
    )
    if (runs < 100) return
    expect(met.orders).toBeGreaterThan(runs * 3)
    expect(met.generations).toBeGreaterThan(met.orders)
    expect(met.lives).toBeGreaterThan(runs)
  },
  60_000 + runs * 400,
)
