import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { createControl } from './control.ts'
import { createFaults } from './faults.ts'
import { createGateway } from './gateway.ts'
import { openKeyRing } from './key-ring.ts'
import { type Keys, openKeys } from './keys.ts'
import { openMerchantKeys } from './merchant-keys.ts'
import { createOrders } from './orders.ts'
import { createRequestLog } from './request-log.ts'
import { openWorld } from './world.ts'

export interface SimulatorOptions {
  port?: number
  host?: string
  stateDir: string
  /** Milliseconds since 1970. */
  clock?: () => number
  random?: () => number
  /** When an idle connection is closed: the real server's 8 s unless a test is in a hurry. */
  keepAliveMs?: number
}

export interface Simulator {
  url: string
  port: number
  stateDir: string
  keys: Keys
  /** Ends every connection, answered or not, and writes the state. */
  stop(): Promise<void>
}

/** WeChat Pay's smartguide API with a control panel under /_sim, on one port. */
export async function startSimulator({
  port = 0,
  host = '127.0.0.1',
  stateDir,
  clock = Date.now,
  random = Math.random,
  keepAliveMs = 8_000,
}: SimulatorOptions): Promise<Simulator> {
  const keys = await openKeys(stateDir)
  const [merchantKeys, keyRing, world] = await Promise.all([
    openMerchantKeys(stateDir, keys, clock),
    openKeyRing(stateDir, keys, clock),
    openWorld(stateDir),
  ])
  const platform = { keys, merchantKeys, keyRing, world, orders: createOrders(world), clock }
  const faults = createFaults(clock, random)
  const log = createRequestLog()
  const gateway = createGateway(platform, faults, log)
  const control = getRequestListener(createControl(platform, faults, log, { outage }).fetch)

  const server = createServer(
    { keepAliveTimeout: keepAliveMs, keepAliveTimeoutBuffer: 0 },
    (incoming, outgoing) => {
      const isControl = /^\/_sim(\/|$)/.test(incoming.url ?? '')
      return isControl ? control(incoming, outgoing) : gateway(incoming, outgoing)
    },
  )
  await listen(port)
  const address = server.address()
  const boundPort = typeof address === 'object' && address !== null ? address.port : port
  let reopening: NodeJS.Timeout | undefined
  let cutting: NodeJS.Timeout | undefined

  function listen(onPort: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(onPort, host, () => {
        server.off('error', reject)
        resolve()
      })
    })
  }

  function outage(forMs: number): void {
    clearTimeout(reopening)
    server.close()
    clearTimeout(cutting)
    // By then the answer to the control call itself has left.
    cutting = setTimeout(() => server.closeAllConnections(), 50)
    reopening = setTimeout(() => listen(boundPort), forMs)
  }

  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}`,
    port: boundPort,
    stateDir,
    keys,
    async stop() {
      clearTimeout(reopening)
      clearTimeout(cutting)
      const closed = new Promise(resolve => server.close(resolve))
      server.closeAllConnections()
      await closed
      await world.close()
    },
  }
}
