import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { installAdminKey } from './access/admin-key-file.ts'
import { openKeys } from './access/keys.ts'
import { createApp, createListener } from './app.ts'
import { createAssignments } from './assignment/assignments.ts'
import { createReports } from './assignment/reports.ts'
import { systemClock } from './clock.ts'
import type { Config, MerchantAccount } from './config.ts'
import { openDatabase, takeDataDir } from './db/open.ts'
import { StartError } from './errors.ts'
import { discreet } from './guides/discreet.ts'
import { createRegistry } from './guides/registry.ts'
import { openHistory } from './ledger/history.ts'
import { openLedger } from './ledger/ledger.ts'
import { openSandbox } from './ledger/sandbox.ts'
import type { Log } from './log.ts'
import { openCertificates } from './mirror/certificates.ts'
import { openGuideImports } from './mirror/guide-imports.ts'
import { openGuides } from './mirror/guides.ts'
import { openMirror } from './mirror/mirror.ts'
import { openVault } from './mirror/open-vault.ts'
import { openAccount } from './wechatpay/account.ts'

export type Service = Awaited<ReturnType<typeof startService>>

const stopLimitMs = 10_000
const syncEveryMs = 6 * 3_600_000
const lingerMs = 3_000
const quietMs = 150

/**
 * Opens the rooms, wires them, takes up what was left unsettled, and listens.
 *
 * @throws StartError
 */
export async function startService(config: Config & { account: MerchantAccount }, log: Log) {
  const { account, dataDir } = config
  const clock = systemClock
  const lock = takeDataDir(dataDir)
  const db = openDatabase(join(dataDir, 'smartguide.db'))
  const mirror = openMirror(db)
  mirror.refuseOther(account)
  const keys = openKeys(db)
  installAdminKey(keys, config.adminKeyFile, clock.nowMs())
  const upstream = openAccount(account, {
    clock,
    store: openCertificates(db),
    tell: (level, about, sentence) => log[level](about, sentence),
  })
  const { client } = upstream

  const failed = (cause: unknown) => log.error({ err: cause }, 'background work failed')
  const vault = openVault(db, config.piiKeyFile)
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

  const ledger = openLedger(db)
  const assignments = createAssignments({
    ledger,
    mirror,
    client: discreet(client, guides),
    clock,
    mode: account.mode,
    windowMs: config.windowMs,
    ratePerSecond: config.upstreamRatePerSecond,
    noted: (order, attempt, outcome) => {
      if (outcome.kind === 'accepted') return
      log.warn(
        { out_trade_no: order.outTradeNo, store_id: order.storeId, attempt, outcome },
        'attempt',
      )
    },
    failed,
  })
  let reloading = Promise.resolve()
  let nextReload: Promise<void> | null = null
  let ready = false
  const app = createApp({
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
    clock,
    merchant: account,
    waitMs: config.waitMs,
    isReady: () => ready,
    report: (cause, requestId) => log.error({ err: cause, request_id: requestId }, 'defect'),
  })
  // An order that an earlier process left waits for nothing; a new directory is claimed only for keys that fit.
  await Promise.all([upstream.check(), assignments.resume()])
  mirror.claim(account)
  const { server, url } = await listen(createListener(app, assignments), config)
  const traffic = watchTraffic(server)
  ready = true
  registry.start()

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
      // At once: who waits for a sync or an import would hold up the stop.
      const registryEnded = registry.stop()
      await closeServer(server, traffic)
      await Promise.race([Promise.all([assignments.drain(), registryEnded]), after(stopLimitMs)])
      await Promise.race([upstream.close(), after(1000)])
      db.$client.close()
      lock.release()
    },
  }
}

async function listen(
  listener: RequestListener,
  { host, port }: Config,
): Promise<{ server: Server; url: string }> {
  const options = {
    headersTimeout: 5_000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: 65_000,
    maxHeaderSize: 8 * 1024,
  }
  const server = createServer(options, listener)
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

type Traffic = { underWay: number; lastMs: number }

/**
 * Lets the traffic end: answers say by now that the connection closes, and a listener that is shut at once would cut off
 * requests already on the wire. A connection that asks nothing holds up nobody.
 */
async function closeServer(server: Server, traffic: Traffic): Promise<void> {
  const startMs = performance.now()
  const isQuiet = () =>
    traffic.underWay === 0 && performance.now() - Math.max(traffic.lastMs, startMs) > quietMs
  while (!isQuiet() && performance.now() - startMs < lingerMs) await after(10)
  server.close()
  while (traffic.underWay > 0 && performance.now() - startMs < stopLimitMs) await after(10)
  server.closeAllConnections()
}

function watchTraffic(server: Server): Traffic {
  const traffic = { underWay: 0, lastMs: 0 }
  server.on('request', (_, response) => {
    traffic.underWay += 1
    response.once('close', () => {
      traffic.underWay -= 1
      traffic.lastMs = performance.now()
    })
  })
  return traffic
}

function after(ms: number): Promise<void> {
  return new Promise(done => setTimeout(done, ms).unref())
}
