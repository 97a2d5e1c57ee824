import { defineConfig } from 'vitest/config'

/** How many files at once: on a machine of CI, of which nothing else is known, one. */
function workers(most: number, inTorture: number): number {
  if (process.env['CI']) return 1
  return process.env['FULL'] ? inTorture : most
}

/** What is timed or starved, when the others are through; in the short form of some, little is. */
const measured = [
  'test/assignment/{outage,chaos}.test.ts',
  'test/process/{overload,cost}.test.ts',
  ...(process.env['FULL'] || process.env['CI']
    ? ['test/process/{slow-sockets,stuck-reader,backup,bulk}.test.ts']
    : []),
]
/** Time is theirs: what another file left running would run away in it. */
const timed = [
  'test/wechatpay/certificate-watch.test.ts',
  'test/assignment/outbound.test.ts',
  'test/model/**/*.test.ts',
]
// What it saves, it saves for every file.
const execArgv = ['--import', './src/quick-start.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'rooms',
          include: ['test/**/*.test.ts'],
          exclude: [...measured, ...timed],
          execArgv,
          // A process for several files saves what loading the same modules for each would cost.
          isolate: false,
          maxWorkers: workers(4, 2),
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'timed',
          include: timed,
          execArgv,
          maxWorkers: workers(4, 2),
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'measured',
          include: measured,
          execArgv,
          maxWorkers: workers(2, 1),
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
