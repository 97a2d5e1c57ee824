import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type {
  GuideImport,
  GuideImports,
  ImportCounts,
  ImportFault,
  RowResult,
} from '../mirror/guide-imports.ts'
import type { Mirror, Store } from '../mirror/mirror.ts'
import type { NewGuideFields } from './fields.ts'
import type { Registrar } from './register.ts'

/** A row that passed the field rules, or why it did not. */
export type ReadRow =
  | { row: number; fields: NewGuideFields; errors: [] }
  | { row: number; fields: null; errors: ImportFault[] }

export type ImportProgress = {
  id: string
  isRunning: boolean
  counts: ImportCounts
  /** Why nothing moves at present. */
  waitingFor: string | null
}

export type Imports = {
  /** Writes the file down, then registers its rows one after the other, whatever happens to the process. */
  start(rows: readonly ReadRow[], author: string): string
  /** @throws AppError import_not_found */
  progress(id: string): ImportProgress
  /** Resolves when the import is through, or that time is over. */
  settled(id: string, waitMs: number): Promise<void>
  /** Goes on with what an earlier process left. */
  resume(): void
  stop(): Promise<void>
}

const rowsAtOnce = 8
const firstPauseMs = 1000
const longestPauseMs = 60_000

export function createImports({
  imports,
  mirror,
  registrar,
  clock,
  subMchidOf,
  failed,
}: {
  imports: GuideImports
  mirror: Mirror
  registrar: Registrar
  clock: Clock
  subMchidOf(store: Store): string | null
  /** A defect or a storage fault that no caller is told of. */
  failed(cause: unknown): void
}): Imports {
  const running = new Map<string, { ended: Promise<void>; waitingFor: string | null }>()
  const stopping = new AbortController()

  function run(id: string): void {
    const state = { ended: Promise.resolve(), waitingFor: null as string | null }
    running.set(id, state)
    state.ended = work(id, state).finally(() => running.delete(id))
  }

  /** Until each row has its result: what could not be asked is asked again, ever more slowly. */
  async function work(id: string, state: { waitingFor: string | null }): Promise<void> {
    for (let pauseMs = firstPauseMs; !stopping.signal.aborted; ) {
      const { left, why } = await pass(id)
      if (left === 0) {
        imports.end(id, clock.nowMs())
        return
      }
      state.waitingFor = why
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
      pauseMs = Math.min(longestPauseMs, pauseMs * 2)
    }
  }

  /** Once through the rows that have no result; how many have none still, and why the last of them has not. */
  async function pass(id: string): Promise<{ left: number; why: string | null }> {
    const told = { left: 0, why: null as string | null }
    let after = 0
    const next = () => {
      const [row] = imports.waiting(id, after, 1)
      if (row) after = row.row
      return row
    }
    const worker = async () => {
      for (let row = next(); row && !stopping.signal.aborted; row = next()) {
        try {
          imports.settle(id, row.row, await registerRow(row.content))
        } catch (cause) {
          told.left += 1
          told.why = cause instanceof AppError ? cause.message : 'a defect of the service'
          if (!(cause instanceof AppError)) failed(cause)
        }
      }
    }
    await Promise.all(Array.from({ length: rowsAtOnce }, worker))
    if (stopping.signal.aborted) told.left += 1
    return told
  }

  /** @throws AppError upstream_unavailable: the row has no result yet */
  async function registerRow(content: string | null): Promise<RowResult> {
    if (content === null) return refused('', 'cannot be read any more: send the row again')
    const fields: NewGuideFields = JSON.parse(content)
    const store = mirror.store(fields.store_id)
    if (!store) return refused('store_id', 'is not known here')
    try {
      return await registrar.register(store, subMchidOf(store), fields)
    } catch (cause) {
      if (!(cause instanceof AppError) || cause.code !== 'refused_upstream') throw cause
      return refused('', cause.message)
    }
  }

  return {
    start(rows, author) {
      const id = randomUUID()
      const entry = { id, author, createdAtMs: clock.nowMs() }
      imports.create(
        entry,
        rows.map(({ row, fields, errors }) => ({
          row,
          content: fields === null ? null : JSON.stringify(fields),
          errors,
        })),
      )
      run(id)
      return id
    },

    progress(id) {
      const found = imports.find(id)
      if (!found) {
        throw new AppError('import_not_found', {
          en: `Import ${id} is not known here.`,
          zh: `这里没有导入 ${id}。`,
        })
      }
      const waitingFor = running.get(id)?.waitingFor ?? null
      return { id, isRunning: isOpen(found), counts: imports.counts(id), waitingFor }
    },

    async settled(id, waitMs) {
      const ended = running.get(id)?.ended
      if (!ended || waitMs <= 0) return
      const over = new AbortController()
      await Promise.race([ended, sleep(waitMs, undefined, { signal: over.signal }).catch(() => {})])
      over.abort()
    },

    resume() {
      for (const { id } of imports.unfinished()) run(id)
    },

    async stop() {
      stopping.abort()
      await Promise.all([...running.values()].map(({ ended }) => ended))
    },
  }
}

function isOpen({ endedAtMs }: GuideImport): boolean {
  return endedAtMs === null
}

function refused(column: string, message: string): RowResult {
  return { status: 'refused', errors: [{ column, message }] }
}
