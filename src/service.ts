import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { installAdminKey } from './access/admin-key-file.ts'
import { openAudit } from './access/audit.ts'
import { openKeys, sealedKeys } from './access/keys.ts'
import { createListener } from './app.ts'
import { createAssignments } from './assignment/assignments.ts'
import { createReports } from './assignment/reports.ts'
import { systemClock, within } from './clock.ts'
import type { Config, MerchantAccount } from './config.ts'
import { openDatabase, takeDataDir } from './db/open.ts'
import { diskExitCode, sayFault, sayUnusable } from './db/refusals.ts'
import type { StorageWatch } from './db/storage.ts'
import { isStorageFull, StartError, startExitCode, storageFaultOf } from './errors.ts'
import { discreet } from './guides/discreet.ts'
import { createRegistry } from './guides/registry.ts'
import { openHistory } from './ledger/history.ts'
import { openLedger } from './ledger/ledger.ts'
import { createRetention } from './ledger/retention.ts'
import { openSandbox } from './ledger/sandbox.ts'
import type { Log } from './log.ts'
import { openCertificates } from './mirror/certificates.ts'
import { openGuideImports } from './mirror/guide-imports.ts'
import { openGuides } from './mirror/guides.ts'
import { openMirror } from './mirror/mirror.ts'
import { openVault } from './mirror/open-vault.ts'
import { orderLine } from './order-line.ts'
import { watchTraffic } from './traffic.ts'
import { openAccount } from './wechatpay/account.ts'

export type Service = Awaited<ReturnType<typeof startService>>

// Containers are killed 10 s after the signal.
const stopLimitMs = 9_000
/** Of that, what callers may not use up: what is in the air is written down. */
const drainMs = 1_000
const keepUsedEveryMs = 60_000
const syncEveryMs = 6 * 3_600_000

/**
 * Opens the rooms, wires them, takes up what was left unsettled, and listens.
 *
 * @throws StartError
 */
export async function startService(config: Config & { account: MerchantAccount }, log: Log) {
  const path = join(config.dataDir, 'smartguide.db')
  try {
    return await openService(config, path, log)
  } catch (cause) {
    throw storageFaultOf(cause) === null ? cause : sayUnusable(cause, path)
  }
}

async function openService(config: Config & { account: MerchantAccount }, path: string, log: Log) {
  const { account, dataDir } = config
  const clock = systemClock
  const lock = takeDataDir(dataDir)
  const db = openDatabase(path, stopWhenBroken(path, log))
  const mirror = openMirror(db)
  mirror.refuseOther(account)
  const vault = openVault(db, config.piiKeyFile, sealedKeys(db))
  const keys = openKeys(db, vault)
  keys.reseal()
  installAdminKey(keys, config.adminKeyFile, clock.nowMs())
  const upstream = openAccount(account, {
    clock,
    store: openCertificates(db),
    tell: (level, about, sentence) => log[level](about, sentence),
  })
  const { client } = upstream

  const failed = (cause: unknown) => {
    db.storage.met(cause)
    if (!isStorageFull(cause)) log.error({ err: cause }, 'background work failed')
  }
  const guides = openGuides(db, vault, mirror.forgetReady)
  const guideImports = openGuideImports(db, vault)
  const registry = createRegistry({
    mirror,
    guides,
    guideImports,
    calls: client,
    clock,
    mode: account.mode,
    // The rest is for the orders.
    ratePerSecond: config.upstreamRatePerSecond / 4,
    syncEveryMs,
    failed,
  })

  const traces = await openTraces(config, log)
  const ledger = openLedger(db, order => {
    const isLogged = log.isLevelEnabled('info')
    if (!isLogged && !traces) return
    const inHand = assignments.inHand(order)
    if (isLogged) log.info(orderLine(order, inHand), 'order')
    traces?.take(order, inHand)
  })
  const assignments = createAssignments({
    ledger,
    mirror,
    client: discreet(client, guides),
    clock,
    mode: account.mode,
    windowMs: config.windowMs,
    ratePerSecond: config.upstreamRatePerSecond,
    noted: (order, attempt, outcome) => {
      traces?.noted(order, attempt, outcome)
      if (outcome.kind === 'accepted') return
      log.warn(
        { out_trade_no: order.outTradeNo, store_id: order.storeId, attempt, outcome },
        'attempt',
      )
    },
    failed,
  })
  const retention = createRetention({
    db,
    ledger,
    clock,
    keepMs: config.retentionMs,
    done({ orders, stores, beforeMs, ms, held }) {
      const before = new Date(beforeMs).toISOString()
      const told = { orders, stores, before, ms: Math.round(ms) }
      if (held.stores === 0) return log.info(told, 'old orders removed')
      const heldBy = held.by.map(by => ({ store_id: by.storeId, out_trade_no: by.outTradeNo }))
      log.warn(
        { ...told, held_stores: held.stores, held_by: heldBy },
        'old orders removed, and some held',
      )
    },
    skipped: ({ jumpedMs }) =>
      log.warn({ jumped_ms: Math.round(jumpedMs) }, 'the clock jumped: no old orders removed'),
    failed,
  })
  let reloading = Promise.resolve()
  let nextReload: Promise<void> | null = null
  let ready = false
  const answer = createListener({
    assignments,
    reports: createReports({
      mirror,
      history: openHistory(db),
      openSandbox: () => openSandbox(db),
      clock,
      windowMs: config.windowMs,
    }),
    registry,
    guides,
    guideImports,
    mirror,
    ledger,
    keys,
    audit: openAudit(db),
    clock,
    merchant: account,
    waitMs: config.waitMs,
    storage: db.storage,
    traces: traces?.counts ?? null,
    isReady: () => ready,
    report: (cause, requestId) => log.error({ err: cause, request_id: requestId }, 'defect'),
  })
  // An order that an earlier process left waits for nothing; a new directory is claimed only for keys that fit.
  await Promise.all([upstream.check(), assignments.resume()])
  mirror.claim(account)
  const { server, url } = await listen(answer, config)
  const traffic = watchTraffic(server)
  ready = true
  const endCheck = db.storage.checkBeside()
  registry.start()
  retention.start()
  const keepUsed = () => {
    try {
      keys.keepUsed()
    } catch (cause) {
      failed(cause)
    }
  }
  const keeping = setInterval(keepUsed, keepUsedEveryMs).unref()

  return {
    url,
    mirror,
    ledger,
    keys,
    /**
     * Changes over to the keys that `read` finds now, unless they are wrong: then the ones in use stay, and the log
     * says why. One after the other; who comes while one waits is served by that one, which has read nothing yet.
     */
    reload(read: () => MerchantAccount | null): Promise<void> {
      nextReload ??= reloading.then(async () => {
        nextReload = null
        try {
          const next = read()
          if (next !== null) await upstream.change(next)
        } catch (cause) {
          const why = cause instanceof StartError ? { why: cause.message } : { err: cause }
          log.error(why, 'the keys stay as they were')
        }
      })
      reloading = nextReload
      return reloading
    },
    /** Finishes what was accepted, within a limit, and closes everything. */
    async stop(): Promise<void> {
      ready = false
      const endsAtMs = performance.now() + stopLimitMs
      const leftMs = () => Math.max(0, endsAtMs - performance.now())
      endCheck()
      // At once: who waits for a sync or an import would hold up the stop.
      const othersEnded = Promise.all([registry.stop(), retention.stop()])
      // A report may take minutes; what is in the air has its time all the same.
      await traffic.end(() => leftMs() - drainMs)
      await within(Promise.all([assignments.drain(), othersEnded]), leftMs())
      await Promise.all([
        within(upstream.close(), Math.min(1000, leftMs())),
        traces?.close(Math.min(1000, leftMs())),
      ])
      clearInterval(keeping)
      keepUsed()
      db.$client.close()
      lock.release()
    },
  }
}

/** Null when no collector is named; then nothing of it is loaded. */
async function openTraces({ collector }: Config, log: Log) {
  if (collector === null) return null
  const { openExporter } = await import('./telemetry/exporter.ts')
  return openExporter(collector, {
    tell(isWell, why) {
      if (isWell) log.info('the trace collector takes traces again')
      else log.warn({ why }, 'the trace collector takes no traces; orders are not held up')
    },
  })
}

/** After a sync that failed nobody is answered any more, not even that it failed: the next start reads what there is. */
function stopWhenBroken(path: string, log: Log): StorageWatch {
  return {
    failed(fault, why) {
      log.fatal(sayFault(fault, path, why))
      process.exit(fault === 'damaged' ? startExitCode : diskExitCode)
    },
    filled: () => log.error(sayFault('full', path, '')),
    freed: () => log.info('the disk of the database has space again'),
    unchecked: () =>
      log.warn(
        `the database is too large to be checked at the start, and no process may be started to do it: run node src/db/check-whole.ts ${path} beside the service`,
      ),
  }
}

async function listen(
  answer: RequestListener,
  { host, port }: Config,
): Promise<{ server: Server; url: string }> {
  const limits = {
    headersTimeout: 5_000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 8 * 1024,
  }
  const server = createServer(limits, answer)
  await new Promise<void>((done, fail) => {
    server.once('error', (cause: NodeJS.ErrnoException) => fail(sayListenFault(cause, host, port)))
    server.listen(port, host, done)
  })
  const address = server.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return { server, url: `http://${name}:${address.port}` }
}

function sayListenFault(cause: NodeJS.ErrnoException, host: string, port: number): StartError {
  if (cause.code === 'EADDRINUSE') {
    return new StartError(`Port ${port} on ${host} is taken: stop what uses it, or set PORT.`, 69)
  }
  if (cause.code === 'EACCES') {
    return new StartError(`Port ${port} may not be opened by this user: set PORT above 1023.`, 77)
  }
  return new StartError(`The service cannot listen on ${host}:${port}: ${cause.message}.`, 69)
}
