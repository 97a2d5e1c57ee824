import { setTimeout as after } from 'node:timers/promises'
import { findDataDir, readAdminKeyFile } from '../config.ts'
import { readSecretFile } from '../wechatpay/keys.ts'
import { type Asked, readArguments, usage } from './arguments.ts'
import { linesOf } from './lines.ts'
import { createLook } from './look.ts'
import { openScreen } from './screen.ts'

async function main(): Promise<number> {
  const asked = readArguments(process.argv.slice(2))
  if (asked === 'help') return print(usage, 0)
  if ('wrong' in asked) {
    process.stderr.write(`${asked.wrong}\n\n${usage}`)
    return 64
  }
  const look = createLook({ ...asked, ...findKey(asked, process.env) })
  return asked.once || !process.stdout.isTTY ? showOnce(look, asked) : showOnScreen(look, asked)
}

type Look = ReturnType<typeof createLook>

async function showOnce(look: Look, { intervalMs }: Asked): Promise<number> {
  const first = await look()
  if (!first.trouble) await after(intervalMs)
  const view = first.trouble ? first : await look()
  const everything = { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY }
  return print(`${linesOf(view, everything).join('\n')}\n`, view.trouble ? 1 : 0)
}

async function showOnScreen(look: Look, { intervalMs }: Asked): Promise<never> {
  const screen = openScreen(process.stdout)
  process.once('exit', screen.close)
  process.once('SIGINT', () => process.exit(0))
  process.once('SIGTERM', () => process.exit(143))
  process.stdout.on('resize', screen.draw)
  for (;;) {
    const startMs = performance.now()
    screen.show(await look())
    await after(Math.max(0, intervalMs - (performance.now() - startMs)))
  }
}

/** The admin key of this machine is for a service on this machine. */
function findKey({ url, keyFile }: Asked, env: NodeJS.ProcessEnv) {
  const isHere = /^(127\.0\.0\.1|localhost|\[::1\])$/.test(new URL(url).hostname)
  if (keyFile === null && !isHere) {
    return { key: null, keyNote: 'shares: name an API key of that service with --key-file' }
  }
  try {
    const path = keyFile ?? (env['ADMIN_KEY_FILE'] || readAdminKeyFile(env, findDataDir(env)))
    return { key: readSecretFile(path).trim(), keyNote: null }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    return { key: null, keyNote: `shares: no API key (--key-file): ${why}` }
  }
}

/** Resolves when the text has left: a pipe may still hold it when a process exits. */
function print(text: string, code: number): Promise<number> {
  return new Promise(done => process.stdout.write(text, () => done(code)))
}

main().then(
  code => process.exit(code),
  cause => {
    process.stderr.write(`${cause instanceof Error ? cause.stack : String(cause)}\n`)
    process.exit(70)
  },
)
