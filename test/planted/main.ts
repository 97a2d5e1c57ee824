import { execFile } from 'node:child_process'
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bug, bugs } from './bugs.ts'
import { modelBugs } from './model-bugs.ts'
import { plant } from './plant.ts'

/**
 * Plants each bug in a copy of the project, one at a time, and runs the test that is to catch it: it must pass without
 * the bug, and with it fail at what it asserts. `npm run planted -- NAME` takes those whose name holds NAME.
 */
const project = fileURLToPath(new URL('../..', import.meta.url))
const copied = ['src', 'test', 'migrations', 'package.json', 'tsconfig.json', 'vitest.config.ts']
const limitMs = 180_000
/** Enough for what is planted here; the full number is the test's own. */
const modelRuns = '300'

type Told = {
  testResults: {
    message: string
    assertionResults: { status: string; failureMessages: string[] }[]
  }[]
}
type Ran = { passed: number; asserted: number; broken: string[] }

async function main(wanted: string): Promise<number> {
  const copy = mkdtempSync(join(tmpdir(), 'smartguide-planted-'))
  try {
    for (const name of copied) cpSync(join(project, name), join(copy, name), { recursive: true })
    symlinkSync(realpathSync(join(project, 'node_modules')), join(copy, 'node_modules'))
    let missed = 0
    for (const [list, by] of [
      [bugs, 'caught'],
      [modelBugs, 'caught by the model'],
    ] as const) {
      const chosen = list.filter(({ name }) => name.includes(wanted))
      const faults = await plantAll(copy, chosen)
      if (chosen.length > 0) say(`${chosen.length - faults} of ${chosen.length} ${by}`)
      missed += faults
    }
    return missed === 0 ? 0 : 1
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** How many are not caught. */
async function plantAll(copy: string, chosen: readonly Bug[]): Promise<number> {
  let missed = 0
  for (const bug of chosen) {
    const fault = await findFault(copy, bug)
    say(`${fault === null ? 'caught' : 'MISSED'}  ${bug.name}${fault === null ? '' : `: ${fault}`}`)
    if (fault !== null) missed += 1
  }
  return missed
}

/** Null when the bug is caught, and nothing is without it. */
async function findFault(copy: string, bug: Bug): Promise<string | null> {
  const path = join(copy, bug.file)
  const source = readFileSync(path, 'utf8')
  const sound = await runSound(copy, bug)
  if (sound.passed === 0 || sound.asserted > 0 || sound.broken.length > 0)
    return `its test does not pass without it: ${JSON.stringify(sound)}`
  writeFileSync(path, plant(source, bug))
  try {
    const { asserted, broken } = await run(copy, bug)
    if (asserted > 0) return null
    return broken.length > 0 ? `its test fails otherwise: ${broken.join('\n')}` : 'its test passes'
  } finally {
    writeFileSync(path, source)
  }
}

const ranSound = new Map<string, Promise<Ran>>()

/** Without any bug, once a test. */
function runSound(copy: string, bug: Bug): Promise<Ran> {
  const { file, title } = bug.caughtBy
  const key = `${file} ${title}`
  const ran = ranSound.get(key) ?? run(copy, bug)
  ranSound.set(key, ran)
  return ran
}

async function run(copy: string, { caughtBy: { file, title } }: Bug): Promise<Ran> {
  const told = join(copy, 'told.json')
  rmSync(told, { force: true })
  const pattern = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const vitest = join(copy, 'node_modules', 'vitest', 'vitest.mjs')
  const words = ['run', file, '-t', pattern, '--reporter=json', `--outputFile=${told}`]
  const ended = await new Promise<string>(done => {
    const settings = {
      cwd: copy,
      timeout: limitMs,
      env: { ...process.env, MODEL_RUNS: modelRuns, NO_COLOR: '1' },
      maxBuffer: 64 * 1024 * 1024,
    }
    execFile(process.execPath, [vitest, ...words], settings, (_, out, err) => done(out + err))
  })
  return read(told, ended)
}

function read(path: string, ended: string): Ran {
  let told: Told
  try {
    told = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return { passed: 0, asserted: 0, broken: [ended.slice(-2000)] }
  }
  const results = told.testResults.flatMap(({ assertionResults }) => assertionResults)
  const failures = results.filter(({ status }) => status === 'failed')
  const isAsserted = (words: string) =>
    words.includes('AssertionError') || words.includes('Property failed')
  const asserted = failures.filter(one => one.failureMessages.some(isAsserted))
  return {
    passed: results.filter(({ status }) => status === 'passed').length,
    asserted: asserted.length,
    broken: [
      ...failures.filter(one => !asserted.includes(one)).flatMap(one => one.failureMessages),
      // A file that cannot even be read.
      ...told.testResults.filter(one => one.assertionResults.length === 0).map(one => one.message),
    ],
  }
}

function say(words: string): void {
  process.stdout.write(`${words}\n`)
}

process.exitCode = await main(process.argv[2] ?? '')
