import { resolve } from 'node:path'
import { z } from 'zod'
import { startSimulator } from './simulator.ts'

const environment = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number, 0 to 65535')
    .transform(Number)
    .refine(port => port <= 65_535, 'must be a port number, 0 to 65535')
    .default(8090),
  SIM_STATE_DIR: z.string().min(1).default('data/simulator'),
})

async function run(): Promise<void> {
  const settings = environment.safeParse(process.env)
  if (!settings.success) {
    const [issue] = settings.error.issues
    return fail(`${issue?.path.join('.')} ${issue?.message}`)
  }
  const { HOST: host, PORT: port, SIM_STATE_DIR } = settings.data
  const stateDir = resolve(SIM_STATE_DIR)
  try {
    const starting = startSimulator({ host, port, stateDir })
    stopOn(async () => (await starting).stop())
    const simulator = await starting
    process.stdout.write(
      `WeChat Pay simulator: ${simulator.url} (mchid ${simulator.keys.mchid}, state in ${stateDir})\n`,
    )
    // The parent may have gone meanwhile; its `disconnect` stops us.
    process.send?.({ kind: 'listening', url: simulator.url }, () => {})
  } catch (error) {
    fail(explain(error, host, port, stateDir))
  }
}

function stopOn(stop: () => Promise<void>): void {
  let stopping = false
  async function end() {
    if (stopping) return
    stopping = true
    await stop()
    process.exit(0)
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  // A killed parent cannot say goodbye: its end of the channel closes.
  process.on('disconnect', end)
}

function explain(error: unknown, host: string, port: number, stateDir: string): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is taken: set PORT to another one`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `HOST ${host} is not an address of this machine`
    case 'EACCES':
      return `no permission: to write in SIM_STATE_DIR ${stateDir}, or to listen on port ${port}`
    case 'EROFS':
    case 'ENOTDIR':
    case 'EEXIST':
    case 'EPERM':
      return `SIM_STATE_DIR ${stateDir} cannot be written (${code})`
    default:
      return `cannot start: ${error instanceof Error ? error.message : String(error)}`
  }
}

function fail(sentence: string): void {
  process.stderr.write(`simulator: ${sentence}\n`)
  process.exitCode = 1
}

await run()
