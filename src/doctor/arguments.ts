import { parseArgs } from 'node:util'
import { saidBy } from './check.ts'
import type { Asked } from './diagnose.ts'

export const usage = `npm run doctor -- [--json] [--store ID [--sub-mchid NUMBER]] [--guide NAME]

Checks the settings, keys, data directory, clock, hosts and one harmless signed call, and says what to do.
Reads the environment of npm start; changes nothing; may run beside the service.

  --store ID            also asks WeChat Pay for a guide of this store: is the product open? (else: a store it knows)
  --sub-mchid NUMBER    the sub-merchant whose store it is, in partner mode
  --guide NAME          also checks a guide's name by WeChat Pay's rules
  --json                for scripts: {"ok": …, "checks": [{"check", "host"?, "status", "found", "todo"?, "lines"?}]}

Exit code: 0 nothing fails, 1 something fails, 64 wrong usage.
`

export type Arguments = Asked & { json: boolean; help: boolean }

/** Null with a sentence for what cannot be understood. */
export function readArguments(args: readonly string[]): Arguments | { wrong: string } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        store: { type: 'string' },
        'sub-mchid': { type: 'string' },
        guide: { type: 'string' },
      },
    })
    const { json, help, store, guide = null, 'sub-mchid': subMchid = null } = values
    if (store !== undefined && !/^\d{1,15}$/.test(store))
      return { wrong: '--store takes a number.' }
    if (subMchid !== null && !/^\d{1,32}$/.test(subMchid)) {
      return { wrong: '--sub-mchid takes a number.' }
    }
    return { json, help, guide, subMchid, storeId: store === undefined ? null : Number(store) }
  } catch (cause) {
    return { wrong: saidBy(cause) }
  }
}
