import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { createNonces } from '../../src/access/nonces.ts'
import { messageOf, parseSigned, signatureOf } from '../../src/access/signature.ts'
import { sign } from '../support/signing.ts'

describe('the worked example', () => {
  it.each(['docs/signing.md', 'docs/signing.zh-CN.md'])(
    'of %s is what the service computes',
    name => {
      const example = /```\n(key {4}[\s\S]+?)\n```/.exec(readFileSync(name, 'utf8'))?.[1] ?? ''
      const [keyLine = '', method = '', target = '', timestamp = '', nonce = '', digest, signLine] =
        example.split('\n')
      const key = keyLine.replace('key    ', '')
      const body = '{"store_id": 1001}'
      const arrived = { method, target, body: Buffer.from(body) }
      const message = messageOf({ timestamp: Number(timestamp), nonce }, arrived)
      expect(message.toString()).toBe(`${[method, target, timestamp, nonce, digest].join('\n')}\n`)
      expect(`sign   ${signatureOf(key, message).toString('base64')}`).toBe(signLine)
      const parsed = parseSigned(sign({ key, method, target, body, timestamp, nonce }))
      expect(parsed).toEqual({
        keyId: '0123456789abcdef',
        timestamp: Number(timestamp),
        nonce,
        signature: signatureOf(key, message),
      })
    },
  )

  it('signs bytes as they came, whatever letters they are', () => {
    const signed = { timestamp: 1, nonce: 'n' }
    const arrived = { method: 'GET', target: '/\xe4', body: Buffer.of(0xff, 0) }
    expect(messageOf(signed, arrived).subarray(0, 7)).toEqual(
      Buffer.from([...Buffer.from('GET\n/'), 0xe4, 10]),
    )
  })
})

describe('nonces', () => {
  it('are taken once for as long as their timestamp is good, and forgotten after', () => {
    const nonces = createNonces()
    expect(nonces.use('k', 'n', 1000, 700)).toBe('new')
    for (let now = 700; now <= 1300; now++) {
      expect(nonces.use('k', 'n', 1000, now)).toBe('used')
    }
    expect(nonces.use('k', 'n', 1001, 1300)).toBe('new')
    expect(nonces.use('other', 'n', 1000, 1300)).toBe('new')
    expect(nonces.use('k', 'x', 1700, 1700)).toBe('new')
    expect(nonces.size()).toBe(1)
  })

  it('are bounded for each key: the oldest second is closed, and nothing is ever taken twice', () => {
    const nonces = createNonces({ ofKey: 100 })
    const taken: [string, number][] = []
    for (let second = 1000; second < 1060; second++) {
      for (let n = 0; n < 5; n++) {
        expect(nonces.use('k', `${n}`, second, second)).toBe('new')
        taken.push([`${n}`, second])
      }
      expect(nonces.size()).toBeLessThanOrEqual(100)
    }
    for (const [nonce, second] of taken)
      expect(nonces.use('k', nonce, second, 1060)).not.toBe('new')
    expect(nonces.use('k', 'slow', 1030, 1060)).toBe('late')
    expect(nonces.use('quiet', 'slow', 1030, 1060)).toBe('new')
  })

  it('are bounded in all: the key that has most gives way, and no other', () => {
    const nonces = createNonces({ ofKey: 100, ofAll: 150 })
    for (let n = 0; n < 20; n++) nonces.use('quiet', `q${n}`, 1000 + n, 1030)
    for (let n = 0; n < 1000; n++) {
      nonces.use(`loud${n % 3}`, `l${n}`, 1000 + (n % 30), 1030)
      expect(nonces.size()).toBeLessThanOrEqual(150)
    }
    for (let n = 0; n < 20; n++) expect(nonces.use('quiet', `q${n}`, 1000 + n, 1030)).toBe('used')
  })

  it.each([700, 1e6])('are not taken again when the clock goes %d s ahead and back', ahead => {
    const nonces = createNonces()
    expect(nonces.use('k', 'n', 1000, 1000)).toBe('new')
    expect(nonces.use('other', 'x', 1000 + ahead, 1000 + ahead)).toBe('new')
    expect(nonces.use('k', 'n', 1000, 1000)).toBe('late')
    // And what was never forgotten is not closed: a clock that was ahead for a moment stops no till.
    expect(nonces.use('k', 'n', 1001, 1001)).toBe('new')
    expect(nonces.use('k', 'n', 1001, 1001)).toBe('used')
  })

  it('of a second that was closed are not taken again when the clock goes ahead and back', () => {
    const nonces = createNonces({ ofKey: 2 })
    for (const nonce of ['a', 'b', 'c']) nonces.use('full', nonce, 1000, 1000)
    expect(nonces.size()).toBe(0)
    nonces.use('other', 'x', 1700, 1700)
    expect(nonces.use('full', 'a', 1000, 1000)).toBe('late')
  })

  it('keep nothing alive of the header that they were read from', () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const nonces = createNonces()
    const count = 2000
    collect()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < count; n++) {
      const header = Buffer.alloc(8192, `${n} `).toString('latin1')
      nonces.use('k', /^.{32}/.exec(header)?.[0] ?? '', 1000, 1000)
    }
    collect()
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(count * 1000)
    expect(nonces.size()).toBe(count)
  })

  it('of many keys are forgotten with their time', () => {
    const nonces = createNonces()
    for (let n = 0; n < 1000; n++) nonces.use(`k${n}`, 'n', 1000, 1000)
    nonces.use('k', 'n', 1400, 1400)
    expect(nonces.size()).toBe(1)
  })
})
