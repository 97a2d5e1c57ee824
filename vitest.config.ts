import { defineConfig } from 'vitest/config'

/** On a machine of CI, of which nothing else is known, one file at a time. */
const workers = (most: number) => (process.env['CI'] ? 1 : most)

/** What is timed or starved: two at a time, when the others are through. */
const measured = [
  'test/assignment/{outage,chaos,storm,hard-times}.test.ts',
  'test/process/{overload,cost,slow-sockets,stuck-reader,backup,bulk,kill,disk-faults}.test.ts',
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
          exclude: measured,
          execArgv,
          maxWorkers: workers(3),
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'measured',
          include: measured,
          execArgv,
          maxWorkers: workers(2),
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
