import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Env } from './service-process.ts'

/** Which calls of the kernel fail, and which of them: `3`, or `3+40` for every fortieth from the third on. */
export type DiskFault = {
  call: 'write' | 'sync'
  error: 'ENOSPC' | 'EIO'
  when: string
  files: readonly string[]
}

const calls = { write: 'pwrite64', sync: 'fsync,fdatasync' }

// Whoever is traced would go on without its tracer.
const running = new Set<() => void>()
process.on('exit', () => {
  for (const kill of running) kill()
})

/** Runs the service on a disk that fails. */
export async function startOnBadDisk(env: Env, fault: DiskFault, log: string) {
  const dataDir = env['DATA_DIR'] ?? ''
  const traced = calls[fault.call]
  const child = spawn(
    'strace',
    [
      ...['-f', '-qq', '--seccomp-bpf', '-o', log],
      ...['-e', `trace=${traced}`],
      ...['-e', `inject=${traced}:error=${fault.error}:when=${fault.when}`],
      ...fault.files.flatMap(name => ['-P', join(dataDir, name)]),
      ...[process.execPath, 'src/main.ts'],
    ],
    { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let text = ''
  const kill = () => process.kill(servicePid(), 'SIGKILL')
  running.add(kill)
  child.once('exit', () => running.delete(kill))
  const ended = once(child, 'close').then(([code]): number | null => code)
  const url = new Promise<string | null>(done => {
    child.stdout.on('data', chunk => {
      text += chunk
      const found = /"url":"(http:[^"]+)"/.exec(text)?.[1]
      if (found) done(found)
    })
    void ended.then(() => done(null))
  })
  child.stderr.on('data', chunk => {
    text += chunk
  })
  const servicePid = () =>
    Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'))
  return {
    /** Null when it ended before it listened. */
    url: await url,
    ended,
    output: () => text,
    /** How many calls were made to fail. */
    faults: () =>
      existsSync(log) ? (readFileSync(log, 'utf8').match(/INJECTED/g)?.length ?? 0) : 0,
    calls: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0),
    async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
      if (child.exitCode === null) process.kill(servicePid(), signal)
      return ended
    },
  }
}
