import '../quick-start.ts'
import { systemClock } from '../clock.ts'
import { readArguments, usage } from './arguments.ts'
import { asJson, asText, isSound } from './print.ts'

async function main(): Promise<number> {
  const asked = readArguments(process.argv.slice(2))
  if ('wrong' in asked) {
    process.stderr.write(`${asked.wrong}\n\n${usage}`)
    return 64
  }
  if (asked.help) {
    await print(usage)
    return 0
  }
  const { diagnose } = await import('./diagnose.ts')
  const checks = await diagnose(process.env, asked, { clock: systemClock })
  await print(asked.json ? asJson(checks) : asText(checks))
  return isSound(checks) ? 0 : 1
}

/** Resolves when the text has left: a pipe may still hold it when a process exits. */
function print(text: string): Promise<unknown> {
  return new Promise(done => process.stdout.write(text, done))
}

main().then(
  // A name that is still being looked up would hold up the end.
  code => process.exit(code),
  cause => {
    process.stderr.write(`${cause instanceof Error ? cause.stack : String(cause)}\n`)
    process.exit(70)
  },
)
