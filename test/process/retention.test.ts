import { rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, it } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { failToStart, prepareData, settingsFor, startProcess } from '../support/service-process.ts'

it('RETENTION_DAYS removes what is older soon after the start, says so in the log and in the metrics; unset keeps all', async () => {
  const dir = scratchDir()
  const simulator = await startSimulator({ stateDir: join(dir, 'sim') })
  const data = join(dir, 'data')
  prepareData(data, () => {})
  const path = join(data, 'smartguide.db')
  const days = (ago: number) => Date.now() - ago * 86_400_000
  const db = new Database(path)
  const add = db.prepare<[string, number, number]>(`
    INSERT INTO orders SELECT NULL, 'm', ?, 1, '{}', NULL, 'unassigned', 1, NULL, 'NOBODY', 0, 0, 0, NULL, NULL,
      ?, ?, NULL, 1, 0, '[]', NULL, NULL, NULL`)
  for (let no = 0; no < 100; no++) add.run(`OLD${no}`, days(9), days(9))
  for (let no = 0; no < 5; no++) add.run(`NEW${no}`, days(0.5), days(0.5))
  const count = () => db.prepare('SELECT count(*) FROM orders').pluck().get()
  try {
    const env = settingsFor(simulator, data)
    const keeping = await startProcess(env)
    await new Promise(done => setTimeout(done, 1300))
    expect(await keeping.end('SIGTERM')).toBe(0)
    expect(count()).toBe(105)
    const removing = await startProcess({ ...env, RETENTION_DAYS: '7' })
    await eventually(async () => removing.output().includes('old orders removed'))
    expect(removing.output()).toMatch(/"orders":100,"stores":1,"before":"20/)
    const metrics = await (await fetch(`${removing.url}/metrics`)).text()
    expect(metrics).toContain('\nsmartguide_orders_purged_total 100\n')
    expect(await removing.end('SIGTERM')).toBe(0)
    expect(count()).toBe(5)
    const { code, output } = await failToStart({ ...env, RETENTION_DAYS: '1' })
    expect([code, output]).toEqual([78, expect.stringMatching(/RETENTION_DAYS must be .* 7 to /)])
  } finally {
    db.close()
    await simulator.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}, 30_000)
