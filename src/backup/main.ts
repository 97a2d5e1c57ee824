import '../quick-start.ts'
import { statSync } from 'node:fs'
import { systemClock } from '../clock.ts'
import { findDataDir } from '../config.ts'
import { StartError } from '../errors.ts'

const usage = `npm run backup -- FILE     copies the database into FILE, while the service runs
npm run restore -- FILE    puts FILE in the place of the database, while it does not
Both look at DATA_DIR as npm start does.
`

async function main(): Promise<number> {
  process.umask(0o077)
  const [verb, file, ...rest] = process.argv.slice(2)
  if (file === undefined || file.startsWith('-') || rest.length > 0) {
    process.stderr.write(usage)
    return 64
  }
  const dataDir = findDataDir(process.env)
  if (verb === 'backup') {
    const { backUp } = await import('./backup.ts')
    const unmarked = backUp(dataDir, file)
    const mebibytes = (statSync(file).size / 1024 / 1024).toFixed(1)
    process.stdout.write(
      `${file} is a whole copy of the database in ${dataDir} (${mebibytes} MiB). The keys in PII_KEY_FILE and ADMIN_KEY_FILE are not in it: keep them apart.\n`,
    )
    if (unmarked !== null) {
      process.stderr.write(
        `The backup is good; that it was made could not be noted in ${dataDir} (${unmarked}), and the metrics do not tell of it.\n`,
      )
    }
    return 0
  }
  const { restore } = await import('./restore.ts')
  const { kept, orders, pending } = restore(dataDir, file, systemClock)
  process.stdout.write(
    `The database in ${dataDir} is ${file} now: ${orders} orders, ${pending} of them pending; npm start sends those inside their window again, with the same guide.\n`,
  )
  if (kept !== null) process.stdout.write(`The one of before is ${kept}.\n`)
  return 0
}

main().then(
  code => {
    process.exitCode = code
  },
  cause => {
    const isOurs = cause instanceof StartError
    process.stderr.write(
      `${isOurs ? cause.message : cause instanceof Error ? cause.stack : cause}\n`,
    )
    process.exitCode = isOurs ? cause.exitCode : 1
  },
)
