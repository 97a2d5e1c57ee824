import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The simulator's merchant, read from its state directory as an operator would. */
export function accountOf(stateDir: string) {
  const text = (name: string) => readFileSync(join(stateDir, name), 'utf8').trim()
  return {
    mchid: text('mchid'),
    serialNo: text('merchant.serial'),
    privateKey: text('merchant.key'),
    publicKeyId: text('platform.id'),
    publicKey: text('platform.pub'),
    apiv3Key: text('apiv3.key'),
  }
}
