import '../src/quick-start.ts'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { printFacts } from '../src/assignment/facts.ts'
import { copyOrders } from './scale.ts'
import { openShop } from './shop.ts'

/**
 * How long a backup takes beside a process that goes on writing, and its restore over the database that there was: each
 * as the operator starts it, in a process of its own. Environment: `RESTORE_ORDERS` (1,000,000).
 */
const orders = Number(process.env['RESTORE_ORDERS'] ?? 1_000_000)
const limitSeconds = 10
const root = fileURLToPath(new URL('..', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'smartguide-restore-'))
const dataDir = join(dir, 'data')
const file = join(dir, 'kept.db')

async function measure(): Promise<void> {
  mkdirSync(dataDir)
  const path = join(dataDir, 'smartguide.db')
  const { db, record } = openShop(path, { stores: 20, guidesEach: 8, print: printFacts })
  await Promise.all(Array.from({ length: 1000 }, record))
  const attempt = {
    at_ms: Date.now(),
    host: 'api.mch.weixin.qq.com',
    ms: 87,
    outcome: 'accepted',
    request_id: '08F78BB3AF0610D90318D8A3A2DC0228A6E201',
  }
  db.$client
    .prepare('UPDATE orders SET attempt_count = 1, attempts = ?')
    .run(JSON.stringify([attempt]))
  copyOrders(db.$client, orders - 1000)
  db.$client.pragma('wal_checkpoint(TRUNCATE)')
  say('database', `${mebibytes(path)} MiB, ${orders} orders`)

  let isOver = false
  let written = 0
  const writing = (async () => {
    for (; !isOver; written += 1) {
      await record()
      await new Promise(done => setTimeout(done, 5))
    }
  })()
  const backupSeconds = await timed('backup', file)
  isOver = true
  await writing
  say(
    'backup',
    `${backupSeconds.toFixed(1)} s, ${mebibytes(file)} MiB; ${written} orders were written meanwhile`,
  )
  db.$client.close()

  const restoreSeconds = await timed('restore', file)
  const verdict = restoreSeconds <= limitSeconds ? 'within' : 'OVER'
  say('restore', `${restoreSeconds.toFixed(1)} s (${verdict} the ${limitSeconds} s)`)
  if (restoreSeconds > limitSeconds) process.exitCode = 1
}

/** Seconds from the start of the process to its end. */
async function timed(verb: 'backup' | 'restore', of: string): Promise<number> {
  const startMs = performance.now()
  await promisify(execFile)(process.execPath, ['src/backup/main.ts', verb, of], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', DATA_DIR: dataDir },
  })
  return (performance.now() - startMs) / 1000
}

function mebibytes(path: string): string {
  return (statSync(path).size / 1024 / 1024).toFixed(0)
}

function say(what: string, figure: string): void {
  process.stdout.write(`${what.padEnd(9)} ${figure}\n`)
}

try {
  const [load = 0] = loadavg()
  say('machine', `node ${process.version}, ${cpus().length} cores, load ${load.toFixed(1)}`)
  await measure()
} finally {
  rmSync(dir, { recursive: true, force: true })
}
