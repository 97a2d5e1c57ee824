import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import Database from 'better-sqlite3'

const pageBytes = 4096

export type Random = () => number

export function seeded(seed: number): Random {
  let state = (seed * 2_654_435_761) >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const below = (random: Random, limit: number) => Math.floor(random() * limit)

type Damage = (path: string, random: Random) => void

/** Rows may be as they were before the last commit, or the last two: a log that is damaged there looks as after a power cut. */
type Kind = { name: string; damage: Damage; mayLoseLastCommits?: true }

const newer = "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('newer', 9999999999999)"

/** What a disk, a copy, or a hand can do to a database and its log. */
export const damages: readonly Kind[] = [
  { name: 'cut off in the middle', damage: (path, random) => cut(path, random, 1) },
  { name: 'cut off at a page', damage: (path, random) => cut(path, random, pageBytes) },
  { name: 'a page of zeros', damage: edit((bytes, random) => pageOf(bytes, random).fill(0)) },
  { name: 'pages of zeros', damage: edit(zeroPages) },
  { name: 'a sector of noise', damage: edit(noise) },
  {
    name: 'a bit of the file header',
    damage: edit((bytes, random) => flip(bytes, random, 0, 100)),
  },
  { name: 'a bit of a page header', damage: edit(flipPageHeader) },
  { name: 'a bit of a cell pointer', damage: edit(flipPointer) },
  {
    name: 'a bit of the schema',
    damage: edit((bytes, random) => flip(bytes, random, 100, pageBytes)),
  },
  { name: 'two pages swapped', damage: edit(swapPages) },
  { name: 'a page written in the wrong place', damage: edit(misplacePage) },
  { name: 'a table dropped', damage: meddle('DROP TABLE books') },
  { name: 'an index dropped', damage: meddle('DROP INDEX orders_number') },
  { name: 'a newer version of the schema', damage: meddle(newer) },
  { name: "another program's database", damage: foreign },
  { name: 'an empty file', damage: path => truncateSync(path, 0) },
  { name: 'a file of zeros', damage: edit(bytes => bytes.fill(0)) },
  { name: 'a text', damage: path => writeFileSync(path, 'orders, and all that\n'.repeat(400)) },
  { name: 'a directory', damage: makeDirectory },
  { name: 'gone, its log left', damage: path => rmSync(path) },
  {
    name: 'a bit of the header of the log',
    damage: editLog((bytes, random) => flip(bytes, random, 0, 32)),
  },
  { name: 'a bit of the log', damage: editLog(flipAnywhere), mayLoseLastCommits: true },
  { name: 'a frame of the log zeroed', damage: editLog(zeroFrame), mayLoseLastCommits: true },
  { name: 'noise behind the log', damage: appendNoise },
]

function edit(change: (bytes: Buffer, random: Random) => unknown): Damage {
  return (path, random) => {
    const bytes = readFileSync(path)
    change(bytes, random)
    writeFileSync(path, bytes)
  }
}

function editLog(change: (bytes: Buffer, random: Random) => unknown): Damage {
  return (path, random) => edit(change)(`${path}-wal`, random)
}

function meddle(sql: string): Damage {
  return path => {
    const client = new Database(path)
    client.pragma('foreign_keys = OFF')
    client.exec(sql)
    client.close()
  }
}

function foreign(path: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
  meddle('CREATE TABLE invoices (number TEXT)')(path, Math.random)
}

function makeDirectory(path: string): void {
  rmSync(path)
  mkdirSync(path)
}

function cut(path: string, random: Random, unit: number): void {
  const units = Math.floor(readFileSync(path).length / unit)
  truncateSync(path, (1 + below(random, units - 1)) * unit)
}

function pageOf(bytes: Buffer, random: Random): Buffer {
  const at = below(random, bytes.length / pageBytes) * pageBytes
  return bytes.subarray(at, at + pageBytes)
}

function zeroPages(bytes: Buffer, random: Random): void {
  const from = below(random, bytes.length / pageBytes) * pageBytes
  bytes.fill(0, from, Math.min(bytes.length, from + (1 + below(random, 8)) * pageBytes))
}

/** Half a sector is of the head of a page, where its cells are listed. */
function noise(bytes: Buffer, random: Random): void {
  const page = pageOf(bytes, random)
  for (let at = 0; at < 512; at++) page[at] = below(random, 256)
}

function flip(bytes: Buffer, random: Random, from: number, to: number): void {
  const at = from + below(random, to - from)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8))
}

function flipAnywhere(bytes: Buffer, random: Random): void {
  flip(bytes, random, 32, bytes.length)
}

function headOf(bytes: Buffer, random: Random): { page: Buffer; head: number } {
  const pages = bytes.length / pageBytes
  const number = below(random, pages)
  const page = bytes.subarray(number * pageBytes, (number + 1) * pageBytes)
  return { page, head: number === 0 ? 100 : 0 }
}

function flipPageHeader(bytes: Buffer, random: Random): void {
  const { page, head } = headOf(bytes, random)
  flip(page, random, head, head + 12)
}

function flipPointer(bytes: Buffer, random: Random): void {
  const { page, head } = headOf(bytes, random)
  const cells = page.readUInt16BE(head + 3)
  flip(page, random, head + 8, head + 8 + Math.max(2, Math.min(2 * cells, 1000)))
}

function swapPages(bytes: Buffer, random: Random): void {
  const [one, other] = [pageOf(bytes, random), pageOf(bytes, random)]
  const kept = Buffer.from(one)
  one.set(other)
  other.set(kept)
}

function misplacePage(bytes: Buffer, random: Random): void {
  pageOf(bytes, random).set(pageOf(bytes, random))
}

const frameBytes = 24 + pageBytes

function zeroFrame(bytes: Buffer, random: Random): void {
  const frame = below(random, (bytes.length - 32) / frameBytes)
  bytes.fill(0, 32 + frame * frameBytes, 32 + (frame + 1) * frameBytes)
}

function appendNoise(path: string, random: Random): void {
  const log = existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`) : Buffer.alloc(0)
  const more = Buffer.from(Array.from({ length: 3 * frameBytes }, () => below(random, 256)))
  writeFileSync(`${path}-wal`, Buffer.concat([log, more]))
}
