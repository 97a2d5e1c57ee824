import { constants } from 'node:os'
import './quick-start.ts'
import { type Config, loadConfig, type MerchantAccount } from './config.ts'
import { StartError } from './errors.ts'
import { type Log, openLog } from './log.ts'
import type { Service } from './service.ts'

async function main(): Promise<void> {
  // What the service writes is for its own user.
  process.umask(0o077)
  const config = loadConfig(process.env)
  const log = openLog(config.logLevel)
  const { account } = config
  let service: Promise<Service> | null = null
  // Before the start: a signal that comes meanwhile would end the process.
  if (account) reloadOnSignal(() => service)
  service = account ? serve({ ...config, account }, log) : null
  const starting = service ?? demonstrate(config, log)
  stopOnSignal(async () => (await starting).stop())
  const { url } = await starting
  if (account) {
    log.info({ url, mode: account.mode, hosts: account.baseUrls }, 'listening')
    log.info(`The admin key is in ${config.adminKeyFile}`)
  }
}

async function serve(config: Config & { account: MerchantAccount }, log: Log): Promise<Service> {
  const { startService } = await import('./service.ts')
  return startService(config, log)
}

async function demonstrate(config: Config, log: Log) {
  const { startDemo } = await import('./demo/demo.ts')
  return startDemo(config, log, text => process.stdout.write(text))
}

/** The key files may have changed since the start; the environment cannot. */
function reloadOnSignal(starting: () => Promise<Service> | null): void {
  const readAgain = () => loadConfig(process.env).account
  process.on('SIGHUP', () => {
    starting()?.then(
      service => service.reload(readAgain),
      () => {},
    )
  })
}

/** npm hands on the Ctrl-C that the terminal has sent to us already. */
const sameKeyMs = 300

/** The first signal finishes what was accepted; another ends the process at once, as if it were not caught. */
function stopOnSignal(stop: () => Promise<void>): void {
  let firstMs: number | null = null
  const onSignal = (signal: 'SIGTERM' | 'SIGINT') => {
    const nowMs = performance.now()
    if (firstMs !== null) {
      if (nowMs - firstMs > sameKeyMs) process.exit(128 + constants.signals[signal])
      return
    }
    firstMs = nowMs
    stop().then(
      () => process.exit(0),
      cause => fail(cause),
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

function fail(cause: unknown): never {
  const isOurs = cause instanceof StartError
  const sentence = isOurs ? cause.message : cause instanceof Error ? cause.stack : String(cause)
  process.stderr.write(`${sentence}\n`)
  process.exit(isOurs ? cause.exitCode : 1)
}

main().catch(fail)
