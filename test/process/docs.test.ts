import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createReader, operationsOf, readDocument } from '../support/description.ts'
import { eventually, scratchDir } from '../support/rig.ts'
import { startProcess } from '../support/service-process.ts'

const run = promisify(execFile)

let dir: string
beforeAll(() => {
  dir = scratchDir()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** What the demo cannot say yes to. */
const refusals: Record<string, number[]> = {
  // $GUIDE may have the order already.
  'POST /orders/{out_trade_no}/reassign': [422],
  // The mobile of the example is not the one of $GUIDE.
  'POST /guides/adopt': [404, 422],
}

it('has a line for each operation that works in the demo as printed, what deletes last, and answers as described', async () => {
  const demo = await startProcess({ DATA_DIR: dir, PORT: '0' })
  await eventually(async () => demo.output().includes('Ctrl-C'))
  const request = (path: string) => fetch(new URL(path, demo.url))
  const document = await readDocument({ request } as Parameters<typeof readDocument>[0])
  const page = await (await request('/docs')).text()
  const setup = /<pre>(U=[^<]*)<\/pre>/.exec(page)?.[1] ?? ''
  const keys = Object.fromEntries(
    ['assign', 'manage', 'admin'].map(scope => [
      scope.toUpperCase(),
      new RegExp(`${scope} +(spa_\\S+)`).exec(demo.output())?.[1] ?? '',
    ]),
  )
  const plainOf = (html: string) =>
    html.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => entities[name] ?? '')
  const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
  const [, , findGuide = ''] = plainOf(setup).split('\n')

  const operations = operationsOf(document)
  const last = (name: string) => (name.startsWith('DELETE ') ? 1 : 0)
  const script = [
    findGuide,
    ...operations
      .toSorted((a, b) => last(a.name) - last(b.name))
      .flatMap(({ name, operation }) => {
        const line = operation['x-codeSamples']?.[0]?.source ?? ''
        expect(plainOf(page), name).toContain(line)
        const maker = name.startsWith('GET /guides/imports') ? 'IMPORT' : 'KEY'
        const id = line.includes('$ID') ? [`ID=$${maker}`] : []
        const told = line.replaceAll('curl -sS', "curl -sS -w '\\n%{http_code} %{content_type}'")
        const keep =
          name === 'POST /keys' ? 'KEY' : name === 'POST /guides/import' ? 'IMPORT' : null
        const shown = keep
          ? [
              `A=$(${told})`,
              `${keep}=$(echo "$A" | sed -n 's/.*"id":"\\([^"]*\\)".*/\\1/p')`,
              'echo "$A"',
            ]
          : [told]
        return [...id, `echo; echo '¶ ${name}'`, ...shown]
      }),
  ].join('\n')
  const { stdout } = await run('bash', ['-c', script], {
    env: { PATH: process.env['PATH'], U: demo.url, ...keys },
    maxBuffer: 1e8,
  })

  const read = createReader(document)
  const answers = stdout.split('¶ ').slice(1)
  expect(answers).toHaveLength(operations.length)
  for (const answer of answers) {
    const lines = answer.trimEnd().split('\n')
    const name = lines[0] ?? ''
    const [, status = '', media = ''] = /^(\d+) ?([\w/+.-]*)/.exec(lines.at(-1) ?? '') ?? []
    const { operation } = operations.find(one => one.name === name) ?? {}
    const content = operation?.responses[status]?.content ?? {}
    if (refusals[name]?.includes(Number(status))) continue
    expect(status, answer.slice(0, 900)).toMatch(/^2/)
    const schema = content[media]?.schema
    if (status === '204') continue
    expect(schema, `${name} ${status} ${media}`).toBeDefined()
    if (media !== 'application/json' || !schema) continue
    const body = JSON.parse(lines.slice(1, -1).join('\n'))
    expect(read(schema, body), `${name}: ${JSON.stringify(body).slice(0, 400)}`).toEqual([])
  }
  await demo.end('SIGTERM')
})
