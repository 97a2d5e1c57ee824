import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

/** What each room may import, by the names of the other rooms and of the files beside them. */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  'clock.ts': [],
  'errors.ts': [],
  'distribution.ts': [],
  'log.ts': [],
  'quick-start.ts': [],
  'traffic.ts': [],
  'width.ts': [],
  rules: [],
  db: ['errors.ts'],
  mirror: ['rules', 'db', 'errors.ts', 'clock.ts'],
  ledger: ['rules', 'db', 'errors.ts', 'clock.ts', 'distribution.ts'],
  wechatpay: ['errors.ts', 'clock.ts'],
  access: ['db', 'errors.ts', 'clock.ts'],
  assignment: [
    'rules',
    'mirror',
    'ledger',
    'wechatpay',
    'errors.ts',
    'clock.ts',
    'distribution.ts',
  ],
  guides: ['rules', 'mirror', 'wechatpay', 'errors.ts', 'clock.ts'],
  'metrics.ts': ['assignment', 'ledger', 'mirror', 'clock.ts', 'distribution.ts'],
  'order-line.ts': ['assignment', 'ledger'],
  telemetry: ['collector.ts', 'assignment', 'ledger', 'wechatpay'],
  http: [
    'metrics.ts',
    'assignment',
    'guides',
    'access',
    'rules',
    'mirror',
    'ledger',
    'errors.ts',
    'clock.ts',
  ],
  'app.ts': [
    'http',
    'metrics.ts',
    'assignment',
    'guides',
    'access',
    'mirror',
    'ledger',
    'errors.ts',
    'clock.ts',
  ],
  'collector.ts': ['errors.ts'],
  'config.ts': ['collector.ts', 'wechatpay', 'errors.ts'],
  'service.ts': [
    'app.ts',
    'config.ts',
    'order-line.ts',
    'telemetry',
    'assignment',
    'guides',
    'access',
    'mirror',
    'ledger',
    'wechatpay',
    'db',
    'errors.ts',
    'clock.ts',
    'log.ts',
    'traffic.ts',
  ],
  demo: [
    'quick-start.ts',
    'width.ts',
    'service.ts',
    'config.ts',
    'access',
    'mirror',
    'rules',
    'wechatpay',
    'errors.ts',
    'log.ts',
    'assignment',
    'ledger',
  ],
  top: ['config.ts', 'wechatpay', 'errors.ts', 'width.ts'],
  keys: ['quick-start.ts', 'config.ts', 'access', 'mirror', 'db', 'errors.ts'],
  doctor: ['quick-start.ts', 'config.ts', 'wechatpay', 'db', 'clock.ts'],
  backup: ['quick-start.ts', 'config.ts', 'db', 'clock.ts', 'errors.ts'],
  'main.ts': ['quick-start.ts', 'service.ts', 'config.ts', 'demo', 'errors.ts', 'log.ts'],
  'locked.ts': ['config.ts', 'errors.ts'],
  simulator: [],
}

/** Packages that only some rooms may know. */
export const packagesOf: Readonly<Record<string, readonly string[]>> = {
  rules: ['zod'],
  simulator: ['hono', '@hono/node-server', 'zod'],
  wechatpay: ['undici', 'zod'],
  assignment: [],
}

export type Sources = ReadonlyMap<string, string>

/** Every source below `src`, by its path from there. */
export function readSources(src: string): Map<string, string> {
  const names = readdirSync(src, { recursive: true, encoding: 'utf8' })
  return new Map(
    names
      .filter(name => name.endsWith('.ts'))
      .map(name => [name, readFileSync(join(src, name), 'utf8')]),
  )
}

/** The imports that the map of the house forbids, one sentence each. */
export function violations(sources: Sources): string[] {
  const found: string[] = []
  for (const [path, text] of sources) {
    const room = roomOf(path)
    const allowed = mayImport[room]
    if (!allowed) {
      found.push(`${path}: there is no room ${room}`)
      continue
    }
    for (const target of importsOf(text)) {
      const why = refuse(path, room, target, allowed)
      if (why) found.push(`${path}: ${why}`)
    }
  }
  return found
}

function refuse(
  path: string,
  room: string,
  target: string,
  allowed: readonly string[],
): string | null {
  if (target.startsWith('.')) {
    const other = roomOf(relative('.', normalize(join(dirname(path), target))))
    return other === room || allowed.includes(other) ? null : `${room} may not import ${other}`
  }
  if (target.startsWith('node:')) {
    return room === 'rules' ? 'rules is pure and may not import node' : null
  }
  const packages = packagesOf[room]
  const name = target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')
  return !packages || packages.includes(name) ? null : `${room} may not import the package ${name}`
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? path
}

function importsOf(text: string): string[] {
  const statements = text.matchAll(
    /^(?:import|export)\b[^;'"]*?\bfrom\s+['"]([^'"\n]+)['"]|^import\s+['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]/gm,
  )
  return [...statements].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? '')
}
