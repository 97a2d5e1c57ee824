import { cpSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { openDatabase, takeDataDir } from '../../src/db/open.ts'

// Takes DIRECTORY, opens its smartguide.db, and so migrates it, and counts the places between its statements: one before each and
// one after. At place AT it is killed with -9; with a directory as COPIES it leaves there how the files are at each.
const [dir = '', at = 'nowhere', copies = ''] = process.argv.slice(2)
let place = 0

function pass(): void {
  if (copies !== '') cpSync(dir, join(copies, String(place)), { recursive: true })
  if (place === Number(at)) process.kill(process.pid, 'SIGKILL')
  place += 1
}

function between<T>(client: { name: string }, work: () => T): T {
  if (!client.name.startsWith(dir)) return work()
  pass()
  const done = work()
  pass()
  return done
}

const { exec, pragma, prepare } = Database.prototype
Database.prototype.exec = function (sql) {
  return between(this, () => exec.call(this, sql))
}
Database.prototype.pragma = function (...told) {
  return between(this, () => pragma.apply(this, told))
}
Database.prototype.prepare = new Proxy(prepare, {
  apply(target, client, told: [string]) {
    const statement = target.apply(client, told)
    const { run } = statement
    const counted = (...values: object[]) => between(client, () => run.apply(statement, values))
    return Object.assign(statement, { run: counted })
  },
})

const lock = takeDataDir(dir)
openDatabase(join(dir, 'smartguide.db')).$client.close()
lock.release()
process.stdout.write(String(place))
