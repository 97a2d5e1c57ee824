import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { merchantSettings } from '../../src/config.ts'

const unit = readFileSync('deploy/smartguide-assign.service', 'utf8')
const valuesOf = (name: string) =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)
const only = (name: string) => {
  const found = valuesOf(name)
  if (found.length !== 1) throw new Error(`${found.length} times ${name}`)
  return found[0] ?? ''
}

it('starts what there is, with settings that there are, from the credentials that it loads', () => {
  const [node, main = ''] = only('ExecStart').split(' ')
  expect(node).toBe('/usr/bin/node')
  expect(existsSync(main)).toBe(true)
  const set = new Map(
    valuesOf('Environment')
      .flatMap(line => line.split(' '))
      .map(pair => pair.split('=', 2) as [string, string]),
  )
  const named = [...set.keys()].filter(name => name.startsWith('WECHATPAY_'))
  expect(named.length).toBeGreaterThan(0)
  expect(named.filter(name => !merchantSettings.includes(name))).toEqual([])
  const loaded = valuesOf('LoadCredential').map(line => `%d/${line.split(':')[0]}`)
  expect(named.map(name => set.get(name))).toEqual(loaded)
  expect(set.get('DATA_DIR')).toBe(`%S/${only('StateDirectory')}`)
})

const stopLimitSeconds =
  Number(
    /const stopLimitMs = ([\d_]+)/
      .exec(readFileSync('src/service.ts', 'utf8'))?.[1]
      ?.replace('_', ''),
  ) / 1000

it('gives it the time to stop, and no second start after a mistake in the settings', () => {
  expect(Number(only('TimeoutStopSec'))).toBeGreaterThan(stopLimitSeconds + 2)
  expect(only('Restart')).toBe('on-failure')
  expect(only('RestartPreventExitStatus')).toBe('78')
  expect(only('ExecReload')).toContain('-HUP $MAINPID')
})

it('forbids all but what V8 and the network need', () => {
  expect(unit).not.toMatch(/^MemoryDenyWriteExecute=/m)
  expect(only('CapabilityBoundingSet')).toBe('')
  const on = [
    'NoNewPrivileges',
    'PrivateTmp',
    'PrivateDevices',
    'PrivateUsers',
    'RestrictNamespaces',
  ]
  expect(on.map(only)).toEqual(on.map(() => 'yes'))
  expect(only('ProtectSystem')).toBe('strict')
})

describe.each(['compose.yaml', 'compose.merchant.yaml'])('%s', file => {
  const text = readFileSync(file, 'utf8').replace(/^ *#.*\n/gm, '')

  it('starts what there is, with settings that there are', () => {
    const mains = [...text.matchAll(/src\/[\w/]+\.ts/g)].map(([main]) => main)
    expect(mains.filter(main => !existsSync(main))).toEqual([])
    const named = [...text.matchAll(/\bWECHATPAY_\w+/g)].map(([name]) => name)
    expect(named.length).toBeGreaterThan(1)
    expect(named.filter(name => !merchantSettings.includes(name))).toEqual([])
  })

  it('lets it write its volume alone, takes its rights away, and gives it the time to stop', () => {
    for (const line of [
      'read_only: true',
      'cap_drop: ["ALL"]',
      'no-new-privileges:true',
      ':/data"]',
    ]) {
      expect(text).toContain(line)
    }
    expect(text).not.toMatch(/privileged: true|docker\.sock|cap_add|0\.0\.0\.0:\d/)
    const [, grace] = /^ +stop_grace_period: (\d+)s$/m.exec(text) ?? []
    expect(Number(grace)).toBeGreaterThan(stopLimitSeconds + 2)
  })
})
