import '../quick-start.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StartError } from '../errors.ts'
import { openLog } from '../log.ts'

/** `npm run demo`: a service and a simulator of its own, a stream of orders, a summary, and gone without a trace. */
async function main(): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'smartguide-demo-'))
  const config = {
    host: '127.0.0.1',
    port: 0,
    dataDir,
    logLevel: 'silent',
    adminKeyFile: join(dataDir, 'admin.key'),
    piiKeyFile: join(dataDir, 'pii.key'),
    upstreamRatePerSecond: 1000,
    retentionMs: null,
    waitMs: 800,
    windowMs: 600_000,
    collector: null,
    account: null,
  } as const
  const interrupted = exitCodeOfSignal()
  const [{ startDemo }, { runStream }] = await Promise.all([
    import('./demo.ts'),
    import('./stream.ts'),
  ])
  const starting = startDemo(config, openLog('silent'), () => {})
  try {
    const demo = await starting
    const stream = runStream(demo, text => process.stdout.write(text))
    // Whoever interrupts has seen enough; an order that is cut off then is no failure.
    stream.catch(() => {})
    return await Promise.race([stream.then(() => 0), interrupted])
  } finally {
    await starting.then(demo => demo.stop()).catch(() => {})
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function exitCodeOfSignal(): Promise<number> {
  return new Promise(done => {
    process.once('SIGINT', () => done(130))
    process.once('SIGTERM', () => done(143))
  })
}

main().then(
  code => process.exit(code),
  cause => {
    const text = cause instanceof StartError ? cause.message : String(cause?.stack ?? cause)
    process.stderr.write(`${text}\n`)
    process.exit(1)
  },
)
