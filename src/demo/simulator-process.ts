import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { StartError } from '../errors.ts'

const entry = fileURLToPath(new URL('../simulator/main.ts', import.meta.url))
const startLimitMs = 10_000

/** WeChat Pay as a process of its own, on a free port; it ends with us, however we end. */
export async function startSimulatorProcess(
  stateDir: string,
): Promise<{ url: string; stop(): Promise<void> }> {
  const child = fork(entry, {
    env: { ...process.env, PORT: '0', HOST: '127.0.0.1', SIM_STATE_DIR: stateDir },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // Ctrl-C is ours to pass on, after the service has finished with it.
    detached: true,
  })
  return { url: await urlOf(child), stop: () => stop(child) }
}

function urlOf(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      fail(new StartError('The simulator did not start within 10 s.', 70))
    }, startLimitMs)
    child.once('exit', code => {
      clearTimeout(limit)
      fail(new StartError(`The simulator ended at its start with exit code ${code}.`, 70))
    })
    child.on('message', (message: { kind?: unknown; url?: unknown }) => {
      if (message.kind !== 'listening' || typeof message.url !== 'string') return
      clearTimeout(limit)
      done(message.url)
    })
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}
