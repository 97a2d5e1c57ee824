import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, createBreather, within } from '../clock.ts'
import { AppError, isStorageFull, storageFull } from '../errors.ts'
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
  /**
   * Writes the file down, then registers its rows one after the other, whatever happens to the process.
   *
   * @throws AppError overloaded
   */
  start(rows: readonly ReadRow[], author: string): Promise<string>
  /** @throws AppError import_not_found */
  progress(id: string): ImportProgress
  /** Resolves when the import is through, or that time is over. */
  settled(id: string, waitMs: number): Promise<void>
  /** Goes on with what an earlier process left. */
  resume(): void
  /** Resolves when nothing is under way any more. */
  ended(): Promise<void>
}

const rowsAtOnce = 8
/** So many rows in a row without a result: it is not the rows. Nor is more registered than can be written down. */
const patience = rowsAtOnce
const maxUnderWay = 20
const firstPauseMs = 1000
const longestPauseMs = 60_000
const purgePauseMs = 20

type Turn = { after: number; settled: number; why: string | null }

export function createImports({
  imports,
  mirror,
  registrar,
  clock,
  subMchidOf,
  stopping,
  failed,
}: {
  imports: GuideImports
  mirror: Mirror
  registrar: Registrar
  clock: Clock
  subMchidOf(store: Store): string | null
  stopping: AbortSignal
  /** A defect or a storage fault that no caller is told of. */
  failed(cause: unknown): void
}): Imports {
  const running = new Map<string, { ended: Promise<void>; waitingFor: string | null }>()
  let takenIn = 0
  let purging = Promise.resolve()

  function run(id: string): void {
    const state = { ended: Promise.resolve(), waitingFor: null as string | null }
    running.set(id, state)
    state.ended = work(id, state).finally(() => {
      running.delete(id)
      purgeSoon()
    })
  }

  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping }).catch(() => {})

  /**
   * Until each row has its result: what could not be asked is asked again, ever more slowly. Each turn goes on where the
   * one before ended, so that rows that cannot be asked hold up no others.
   */
  async function work(id: string, state: { waitingFor: string | null }): Promise<void> {
    let turn: Turn = { after: 0, settled: 0, why: null }
    for (let pauseMs = firstPauseMs; !stopping.aborted; ) {
      try {
        turn = await goThrough(id, turn.after, state)
        if (!stopping.aborted && imports.waiting(id, 0, 1).length === 0) {
          imports.end(id, clock.nowMs())
          return
        }
      } catch (cause) {
        failed(cause)
        turn = { ...turn, settled: 0, why: reasonOf(cause) }
      }
      if (turn.why === null) continue
      state.waitingFor = turn.why
      if (turn.settled > 0) pauseMs = firstPauseMs
      await pause(pauseMs)
      pauseMs = Math.min(longestPauseMs, pauseMs * 2)
    }
  }

  /** The rows after `after` that have no result, until the last of them, or until none gets one any more. */
  async function goThrough(
    id: string,
    after: number,
    state: { waitingFor: string | null },
  ): Promise<Turn> {
    const turn: Turn = { after, settled: 0, why: null }
    // Who is known already is found without any waiting.
    const breathe = createBreather()
    let inVain = 0
    let isOver = false
    const next = () => {
      if (isOver || inVain >= patience || stopping.aborted) return
      const [row] = imports.waiting(id, turn.after, 1)
      turn.after = row?.row ?? 0
      if (!row) isOver = true
      return row
    }
    const worker = async () => {
      for (let row = next(); row; row = next()) {
        await breathe()
        try {
          imports.settle(id, row.row, await registerRow(row.content))
          turn.settled += 1
          inVain = 0
          state.waitingFor = null
        } catch (cause) {
          turn.why = reasonOf(cause)
          inVain += 1
          if (!(cause instanceof AppError)) failed(cause)
        }
      }
    }
    const workers = Array.from({ length: rowsAtOnce }, worker)
    await Promise.all(workers).finally(() => Promise.allSettled(workers))
    return turn
  }

  /** @throws AppError upstream_unavailable, draining: the row has no result yet */
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

  function purgeSoon(): void {
    purging = purging.then(purge).catch(failed)
  }

  async function purge(): Promise<void> {
    while (!stopping.aborted && !imports.purge()) await pause(purgePauseMs)
  }

  return {
    async start(rows, author) {
      if (running.size + takenIn >= maxUnderWay) {
        throw new AppError(
          'overloaded',
          `${maxUnderWay} imports are under way: send the file again when one of them has ended.`,
          { retryAfterSeconds: 60 },
        )
      }
      const id = randomUUID()
      const entry = { id, author, createdAtMs: clock.nowMs() }
      takenIn += 1
      try {
        await imports.create(entry, rows.values().map(written))
      } finally {
        takenIn -= 1
      }
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
      if (ended && waitMs > 0) await within(ended, waitMs)
    },

    resume() {
      for (const { id } of imports.unfinished()) run(id)
      purgeSoon()
    },

    async ended() {
      await Promise.all([...running.values()].map(({ ended }) => ended))
      await purging
    },
  }
}

function written({ row, fields, errors }: ReadRow) {
  return { row, content: fields === null ? null : JSON.stringify(fields), errors }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AppError) return cause.message
  return isStorageFull(cause) ? storageFull().message : 'a defect of the service'
}

function isOpen({ endedAtMs }: GuideImport): boolean {
  return endedAtMs === null
}

function refused(column: string, message: string): RowResult {
  return { status: 'refused', errors: [{ column, message }] }
}
