import { defineConfig } from 'vitest/config'

/** On a machine of CI, of which nothing else is known, one file at a time. */
const workers = (most: number) => (process.env['CI'] ? 1 : most)

/** Processes that are killed, measured or starved: two at a time, when the others are through. */
const hard = [
  'test/process/**/*.test.ts',
  'test/assignment/**/*.test.ts',
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
          exclude: hard,
          execArgv,
          maxWorkers: workers(3),
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'hard',
          include: hard,
          execArgv,
          maxWorkers: workers(2),
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
