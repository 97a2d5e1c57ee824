import { join } from 'node:path'
import { type Scope, scopes } from '../access/keys.ts'
import type { Config, MerchantAccount } from '../config.ts'
import { StartError } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Service, startService } from '../service.ts'
import {
  parsePrivateKey,
  parsePublicKey,
  readPublicFile,
  readSecretFile,
} from '../wechatpay/keys.ts'
import { greeting } from './greeting.ts'
import { type SeededGuide, seed } from './seed.ts'
import { demoStores } from './shop.ts'
import { createSimulatorControl, type SimulatorControl } from './simulator-control.ts'
import { startSimulatorProcess } from './simulator-process.ts'
import { seedYesterday } from './yesterday.ts'

export type Demo = {
  url: string
  keys: Record<Scope, string>
  guides: SeededGuide[]
  service: Service
  simulator: SimulatorControl
  merchant: string
  stop(): Promise<void>
}

/** The service beside a simulated WeChat Pay, with two stores; tells how to use it once it is up. */
export async function startDemo(
  config: Config,
  log: Log,
  print: (text: string) => void,
): Promise<Demo> {
  const stateDir = join(config.dataDir, 'simulator')
  const process = await startSimulatorProcess(stateDir)
  try {
    const account = demoAccount(stateDir, process.url)
    const service = await startService({ ...config, account }, log)
    const simulator = createSimulatorControl(process.url)
    const atMs = Date.now()
    const guides = await seed(service.mirror, simulator, account.mchid, atMs)
    const [first] = demoStores
    if (first) await seedYesterday(service, first.storeId, atMs)
    const keys = mintKeys(service, atMs)
    print(
      greeting({
        url: service.url.replace('//0.0.0.0:', '//127.0.0.1:'),
        simulatorUrl: process.url,
        keys,
        dataDir: config.dataDir,
        atMs,
      }),
    )
    return {
      url: service.url,
      keys,
      guides,
      service,
      simulator,
      merchant: account.mchid,
      async stop() {
        await service.stop()
        await process.stop()
      },
    }
  } catch (cause) {
    await process.stop()
    throw cause
  }
}

/** The simulator's own merchant, from the files that it left for us. */
function demoAccount(stateDir: string, url: string): MerchantAccount {
  const text = (name: string) => readPublicFile(join(stateDir, name)).trim()
  try {
    return {
      mode: 'direct',
      mchid: text('mchid'),
      merchantKey: {
        serialNo: text('merchant.serial'),
        privateKey: parsePrivateKey(readSecretFile(join(stateDir, 'merchant.key'))),
      },
      publicKey: { serial: text('platform.id'), key: parsePublicKey(text('platform.pub')) },
      apiv3Key: null,
      baseUrls: [url],
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new StartError(`The simulator's files in ${stateDir} cannot be used: ${why}`)
  }
}

/** One key of each scope, in place of those of the last start: a key is told once and kept as a digest. */
function mintKeys({ keys }: Service, atMs: number): Record<Scope, string> {
  keys.removeNamed('demo')
  const mint = (scope: Scope) =>
    keys.create({ scope, stores: null, name: 'demo', expiresAtMs: null }, atMs).key
  const [assign, manage, admin] = scopes.map(mint)
  return { assign: assign ?? '', manage: manage ?? '', admin: admin ?? '' }
}
