import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StartError } from '../errors.ts'
import { openLog } from '../log.ts'
import { startDemo } from './demo.ts'
import { runStream } from './stream.ts'

/** `npm run demo`: a service and a simulator of its own, a stream of orders, a summary, and gone. */
async function main(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'smartguide-demo-'))
  const config = {
    host: '127.0.0.1',
    port: 0,
    dataDir,
    logLevel: 'silent',
    adminKeyFile: join(dataDir, 'admin.key'),
    waitMs: 800,
    windowMs: 600_000,
    account: null,
  } as const
  try {
    const demo = await startDemo(config, openLog('silent'), () => {})
    try {
      await runStream(demo, text => process.stdout.write(text))
    } finally {
      await demo.stop()
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
}

main().catch(cause => {
  const text = cause instanceof StartError ? cause.message : String(cause?.stack ?? cause)
  process.stderr.write(`${text}\n`)
  process.exitCode = 1
})
