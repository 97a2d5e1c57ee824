import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

type Locked = Record<string, unknown> & { version?: string; hasInstallScript?: boolean }
type Manifest = {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  allowScripts: Record<string, boolean>
}

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'))
const manifest: Manifest = read('package.json')
const lock: { lockfileVersion: number; packages: Record<string, Locked> } =
  read('package-lock.json')

const exact = /^\d+\.\d+\.\d+(-[\w.]+)?$/
const nameOf = (place: string) => place.slice(place.lastIndexOf('node_modules/') + 13)

/** What a package could be besides what its name and version say. */
function faultsOf(place: string, one: Locked, scripts: Record<string, boolean>): string[] {
  const { integrity, resolved, version, link, hasInstallScript } = one
  const faults: string[] = []
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(String(integrity))) faults.push('no sha512')
  if (!exact.test(String(version))) faults.push('no version of a registry')
  // Where it comes from is the installer's to say: a host here would be that of one machine.
  if (resolved !== undefined) faults.push('a place of its own')
  if (link !== undefined || !place.startsWith('node_modules/')) faults.push('a directory')
  if (hasInstallScript && !Object.hasOwn(scripts, nameOf(place))) {
    faults.push('an install script that nobody decided on')
  }
  return faults
}

function faultsIn(packages: Record<string, Locked>, scripts = manifest.allowScripts): string[] {
  return Object.entries(packages)
    .filter(([place]) => place !== '')
    .flatMap(([place, one]) => faultsOf(place, one, scripts).map(fault => `${place}: ${fault}`))
}

describe('the lockfile', () => {
  it('names each package by version and SHA-512, and no place to fetch it from', () => {
    expect(lock.lockfileVersion).toBe(3)
    expect(Object.keys(lock.packages).length).toBeGreaterThan(200)
    expect(faultsIn(lock.packages)).toEqual([])
  })

  it('locks the exact versions that package.json names', () => {
    const { dependencies, devDependencies } = manifest
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expect(version, name).toMatch(exact)
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version)
    }
    expect(lock.packages['']).toMatchObject({ dependencies, devDependencies })
  })

  it('lets no package run a script at its installation but the one that brings Node', () => {
    const scripts = Object.entries(manifest.allowScripts)
    expect(scripts.filter(([, isAllowed]) => isAllowed)).toEqual([['node', true]])
  })

  it.each<[what: string, place: string, planted: Locked]>([
    ['a package without a hash', 'node_modules/x', { integrity: undefined }],
    ['a hash that is weak', 'node_modules/x', { integrity: 'sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=' }],
    ['a repository', 'node_modules/x', { version: 'git+ssh://git@example.com/x.git#1' }],
    ['a tarball', 'node_modules/x', { resolved: 'http://example.com/x.tgz' }],
    ['a link', 'node_modules/x', { link: true }],
    ['a directory', 'packages/x', {}],
    ['an install script', 'node_modules/y/node_modules/x', { hasInstallScript: true }],
  ])('would not pass with %s', (_, place, planted) => {
    const sound = { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==` }
    expect(faultsIn({ 'node_modules/x': sound })).toEqual([])
    expect(faultsIn({ [place]: { ...sound, ...planted } })).toHaveLength(1)
  })
})
