import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, scratchDir } from '../support/rig.ts'
import { spawnService, startProcess } from '../support/service-process.ts'
import { atLength } from '../support/thorough.ts'

const run = promisify(execFile)
/** `test/docs.test.ts` holds the lines of both to be the same. */
const walks = atLength(['README.md'], ['README.md', 'README.zh-CN.md'])

let dir: string
beforeAll(() => {
  dir = scratchDir()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** The shell command that the greeting prints, to the letter. */
function printedCurl(output: string): string {
  const lines = output.split('\n')
  const from = lines.findIndex(line => line.startsWith('curl '))
  const to = lines.findIndex((line, index) => index >= from && !line.endsWith('\\'))
  return lines.slice(from, to + 1).join('\n')
}

it('starts with nothing set, and within 5 s its printed curl line answers assigned and its printed link shows that guide', async () => {
  const startMs = performance.now()
  const demo = await startProcess({ DATA_DIR: dir, PORT: '0' })
  await eventually(async () => demo.output().includes('Ctrl-C'))
  const { stdout } = await run('bash', ['-c', printedCurl(demo.output())])
  expect(performance.now() - startMs).toBeLessThan(5000)
  const order = JSON.parse(stdout)
  expect(order).toMatchObject({ status: 'assigned', reason: 'FAIR_TURN' })

  const [link = ''] = /http:\S+\/_sim\/bills\/\S+/.exec(demo.output()) ?? []
  const page = await (await fetch(link)).text()
  const { guides } = JSON.parse(await (await fetch(new URL('/_sim/guides', link))).text())
  const { name } = guides.find((guide: { guide_id: string }) => guide.guide_id === order.guide_id)
  expect(page).toContain(name)
  expect(page).toContain('服务顾问')
  // As the order said.
  expect(page).toContain('小程序支付')

  const entries = JSON.parse(await (await fetch(new URL('/_sim/log', link))).text()).entries
  const assigns = entries.filter((entry: { path: string }) => entry.path.endsWith('/assign'))
  expect(assigns).toMatchObject([{ signature_valid: true, answer: { status: 204 } }])
  expect(assigns[0].path).toContain(order.guide_id)
  expect(await demo.end('SIGINT')).toBe(0)
})

it('starts again on the same data with the same guides, and its new keys replace the old', async () => {
  const first = await startProcess({ DATA_DIR: dir, PORT: '0' })
  await eventually(async () => first.output().includes('Ctrl-C'))
  await first.end('SIGTERM')
  const second = await startProcess({ DATA_DIR: dir, PORT: '0' })
  await eventually(async () => second.output().includes('Ctrl-C'))
  const { stdout } = await run('bash', ['-c', printedCurl(second.output())])
  expect(JSON.parse(stdout)).toMatchObject({ status: 'assigned' })
  const oldKey = /assign +(spa_\S+)/.exec(first.output())?.[1]
  const stale = await fetch(`${second.url}/orders/X`, {
    headers: { authorization: `Bearer ${oldKey}` },
  })
  expect(stale.status).toBe(401)
  const simulatorUrl = /WeChat Pay +(http:\S+)/.exec(second.output())?.[1] ?? ''
  const { guides } = JSON.parse(await (await fetch(`${simulatorUrl}/_sim/guides`)).text())
  expect(guides).toHaveLength(8)
  await second.end('SIGTERM')
})

it('leaves no simulator behind when it is killed', async () => {
  const demo = await startProcess({ DATA_DIR: dir, PORT: '0' })
  await eventually(async () => demo.output().includes('Ctrl-C'))
  const simulatorUrl = /WeChat Pay +(http:\S+)/.exec(demo.output())?.[1] ?? ''
  await demo.end('SIGKILL')
  await eventually(() =>
    fetch(`${simulatorUrl}/_sim/guides`).then(
      () => false,
      () => true,
    ),
  )
})

it('says in one sentence that its port is taken, and leaves no simulator behind', async () => {
  const first = await startProcess({ DATA_DIR: dir, PORT: '0' })
  const { child, output } = spawnService({
    DATA_DIR: `${dir}/other`,
    PORT: new URL(first.url).port,
  })
  const code = await new Promise(done => child.once('exit', done))
  expect(code).toBe(69)
  expect(output()).toMatch(/^Port \d+ on 127\.0\.0\.1 is taken: .*\n$/)
  await first.end('SIGTERM')
})

it('prints a second curl line, for the customer with a guide of her own', async () => {
  const demo = await startProcess({ DATA_DIR: dir, PORT: '0' })
  await eventually(async () => demo.output().includes('Ctrl-C'))
  const [, second = ''] = demo.output().split('\n3. ')
  const { stdout } = await run('bash', ['-c', printedCurl(second)])
  expect(JSON.parse(stdout)).toMatchObject({ status: 'assigned', reason: 'OWNER' })
  await demo.end('SIGTERM')
})

it.each(atLength([300], [0, 100, 300, 600, 1000]))(
  'npm run demo interrupted after %i ms leaves no file and no process behind',
  async ms => {
    const TMPDIR = `${dir}/tmp`
    mkdirSync(TMPDIR, { recursive: true })
    const child = spawn(process.execPath, ['src/demo/main.ts'], { env: { ...process.env, TMPDIR } })
    const exit = once(child, 'exit')
    let text = ''
    child.stderr.on('data', chunk => {
      text += chunk
    })
    // Before its first file it has nothing to leave behind, and no handler yet.
    await eventually(async () => readdirSync(TMPDIR).length === 1)
    await new Promise(done => setTimeout(done, ms))
    child.kill('SIGINT')
    const [code] = await exit
    expect([code, text]).toEqual([130, ''])
    expect(readdirSync(TMPDIR)).toEqual([])
  },
)

it.each(walks)("walks the manager's curl lines of %s as printed", async readme => {
  const demo = await startProcess({ DATA_DIR: `${dir}/${readme}`, PORT: '0' })
  await eventually(async () => demo.output().includes('Ctrl-C'))
  const text = readFileSync(readme, 'utf8')
  const block = text.split('```').find(part => part.startsWith('sh\nU=')) ?? ''
  const script = block
    .slice(3)
    .replace('U=http://127.0.0.1:8080', `U=${demo.url}`)
    .replace(/^# \d$/gm, 'echo; echo ¶')
  const MANAGE = /manage +(spa_\S+)/.exec(demo.output())?.[1] ?? ''
  // The names come with the first sync, a second after the start.
  await eventually(async () => {
    const headers = { authorization: `Bearer ${MANAGE}` }
    const answer = await fetch(`${demo.url}/guides?store_id=1001`, { headers })
    return (await answer.text()).includes('林晓')
  })
  const { stdout } = await run('bash', ['-ec', script], { env: { ...process.env, MANAGE } })
  const [, plan = '', dry, replay, published, explained, restored] = stdout.split('¶\n')
  expect(plan).toMatch(/etag: "1"/i)
  expect(plan).toContain('"name":"林晓"')
  const read = (answer: string | undefined) => JSON.parse(answer ?? '')
  expect(read(dry).warnings.map(({ code }: { code: string }) => code)).toContain('COVERAGE_HOLE')
  expect(read(replay)).toMatchObject({ orders: 150, uncovered_after: 0 })
  expect(read(replay).changed).toBeGreaterThan(0)
  expect(read(published)).toMatchObject({ version: 2, warnings: [] })
  const why = read(explained)
  expect(why).toMatchObject({ reason: 'FAIR_TURN', name: expect.any(String) })
  expect(why.guides[0]).toMatchObject({ chosen: true, balance_before: expect.any(Number) })
  expect(why.sentence.zh).toContain(`轮到 ${why.name}`)
  expect(read(restored)).toMatchObject({ version: 3 })
  await demo.end('SIGTERM')
})

it.each(walks)("walks the administrator's curl lines of %s as printed", async readme => {
  const dataDir = `${dir}/guides-${readme}`
  const demo = await startProcess({ DATA_DIR: dataDir, PORT: '0' })
  await eventually(async () => demo.output().includes('Ctrl-C'))
  const text = readFileSync(readme, 'utf8')
  const block = text.split('```').find(part => part.startsWith('sh\nG=')) ?? ''
  const script = block
    .slice(3)
    .replace('G=http://127.0.0.1:8080', `G=${demo.url}`)
    .replace('data/admin.key', join(dataDir, 'admin.key'))
    .replaceAll('guides.csv', join(dataDir, 'guides.csv'))
    .replace(/^# \d$/gm, 'echo; echo ¶')
  const { stdout } = await run('bash', ['-ec', script])
  const answers = stdout.split('¶\n').slice(1)
  const [store, guide, imported, synced, found, settings] = answers.map(one => JSON.parse(one))
  expect(store).toMatchObject({ store_id: 1001 })
  expect(guide).toMatchObject({ state: 'registered', name: '张三' })
  expect(imported).toMatchObject({
    status: 'done',
    rows: [
      { row: 2, status: 'registered' },
      { row: 3, status: 'refused', errors: [{ column: 'name' }] },
    ],
  })
  // The guides that the demo began with have no names here until they are asked for.
  expect(synced).toMatchObject({ stores: 2, guides: 10, failed: [], missing: 0 })
  expect(found.guides).toMatchObject([{ guide_id: guide.guide_id, mobile: '13800000001' }])
  expect(settings).toMatchObject({ platform_auto_assign: false })
  await demo.end('SIGTERM')
})

it('npm run demo shows orders of every kind and shares the turns', async () => {
  const { stdout } = await run(process.execPath, ['src/demo/main.ts'])
  for (const word of ['OWNER', 'HINT', 'FAIR_TURN', 'NO_STEP_MATCHED', 'unassigned', 'rejected']) {
    expect(stdout).toContain(word)
  }
  for (const fault of ['fails once (500)', 'forged answer', 'signature probe', 'answer is lost']) {
    const line = stdout.split('\n').find(text => text.includes(fault))
    expect(line, fault).toMatch(/assigned .* 2 +[\u4e00-\u9fff]{2} *$/)
  }
  const shares = [...stdout.matchAll(/share +([\d.]+) +got +(\d+)/g)]
  expect(shares).toHaveLength(8)
  for (const [, share, got] of shares)
    expect(Math.abs(Number(share) - Number(got))).toBeLessThanOrEqual(1.5)
})
