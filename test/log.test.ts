import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readTraceparent } from '../src/http/trace-context.ts'
import { createLines } from '../src/log.ts'
import { eventually, openRig, type Rig, readJson } from './support/rig.ts'

describe('the line of an order', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await openRig({ windowMs: 3000 })
    await rig.openStore(1001, 3)
    await rig.openStore(1002, 0)
  })
  afterEach(async () => {
    await rig.close()
    expect(rig.failures).toEqual([])
  })

  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'

  it('says who serves, why, after how many attempts and milliseconds, and by which requests, and nothing of the payer', async () => {
    await rig.faults('status_500')
    const answer = await rig.assign(
      'L1',
      {
        store_id: 1001,
        member_id: 'oSecretMember',
        member_level: 'gold',
        cart_id: 'cart-of-theirs',
      },
      { 'x-request-id': 'till-7', traceparent: `00-${trace}-00f067aa0ba902b7-01` },
    )
    const { guide_id, reason } = await readJson(answer)
    await rig.assign('L1', {
      store_id: 1001,
      member_id: 'oSecretMember',
      member_level: 'gold',
      cart_id: 'cart-of-theirs',
    })
    expect(rig.lines).toHaveLength(1)
    const [line] = rig.lines
    expect(line).toMatchObject({
      out_trade_no: 'L1',
      store_id: 1001,
      status: 'assigned',
      reason,
      guide_id,
      generation: 1,
      attempts: 2,
      outcomes: ['server_error', 'accepted'],
      request_id: 'till-7',
      trace_id: trace,
    })
    expect(line?.upstream_request_ids.at(-1)).toMatch(/\w{8}/)
    const { recorded, first_answer, settled } = line?.ms ?? {}
    expect(recorded).toBeGreaterThan(0)
    expect(first_answer).toBeGreaterThanOrEqual(Math.floor(recorded ?? 0) - 1)
    expect(settled).toBeGreaterThanOrEqual(Math.floor(first_answer ?? 0) - 1)
    expect(JSON.stringify(rig.lines)).not.toMatch(/oSecretMember|gold|cart-of-theirs/)
  })

  it('is there for each order that ends, however it ends, and once', async () => {
    await rig.assign('NOBODY', { store_id: 1002 })
    await rig.faults('param_error_order')
    await rig.assign('REFUSED', { store_id: 1001 })
    await rig.faults('param_error_guide')
    await rig.assign('NEXT', { store_id: 1001 })
    await rig.control('PUT', '/faults', { rates: { status_500: 1 } })
    await rig.assign('OVER', { store_id: 1001 }, { prefer: 'respond-async' })
    await eventually(async () => rig.lines.length >= 4, 8000)
    const seen = rig.lines.map(({ out_trade_no, status, generation, guide_id }) => [
      out_trade_no,
      status,
      generation,
      guide_id !== null,
    ])
    expect(seen).toEqual([
      ['NOBODY', 'unassigned', 1, false],
      ['REFUSED', 'rejected', 1, true],
      ['NEXT', 'assigned', 2, true],
      ['OVER', 'expired', 1, true],
    ])
    expect(rig.lines.every(({ ms }) => (ms.settled ?? -1) >= 0)).toBe(true)
  })
})

it.each([
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '4bf92f3577b34da6a3ce929d0e0e4736'],
  // A later version may say more behind.
  ['01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x', '4bf92f3577b34da6a3ce929d0e0e4736'],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x', null],
  ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', null],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', null],
  ['ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', null],
  ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01', null],
  ['张三', null],
  [undefined, null],
])('of the traceparent %s the trace is %s', (header, traceId) => {
  expect(readTraceparent(header)?.traceId ?? null).toBe(traceId)
})

describe('the lines', () => {
  const busy = Object.assign(new Error('busy'), { code: 'EAGAIN' })
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' })
  const turn = () => new Promise(done => setImmediate(done))

  it('of one turn go out in one piece, in order, and none is cut where only a part is taken', async () => {
    const taken: string[] = []
    const lines = createLines(text => {
      const part = text.subarray(0, 10)
      taken.push(part.toString())
      return part.length
    })
    for (let n = 0; n < 5; n++) lines.write(`line ${n}\n`)
    expect(taken).toEqual([])
    await turn()
    expect(taken.join('')).toBe('line 0\nline 1\nline 2\nline 3\nline 4\n')
  })

  it('wait for a reader who is busy, hold nobody up, and say how many were lost once they are taken again', async () => {
    let isBusy = true
    const taken: string[] = []
    const lines = createLines(text => {
      if (isBusy) throw busy
      taken.push(text.toString())
      return text.length
    })
    const line = `${'x'.repeat(1023)}\n`
    for (let n = 0; n < 5000; n++) lines.write(line)
    await turn()
    lines.write('after\n')
    const startMs = performance.now()
    lines.flushSync()
    expect(performance.now() - startMs).toBeLessThan(2000)
    isBusy = false
    await eventually(async () => taken.join('').includes('lost'))
    const all = taken.join('')
    expect(all.split(line)).toHaveLength(4096 + 1)
    expect(all).toContain('{"level":40,"lost":904,"msg":"log lines were lost"}\n')
    expect(all).toContain('after\n')
  })

  it('are lost on a full disk, and the next ones are not', async () => {
    let isFull = true
    const taken: string[] = []
    const lines = createLines(text => {
      if (isFull) throw full
      taken.push(text.toString())
      return text.length
    })
    lines.write('lost\n')
    await turn()
    isFull = false
    lines.write('kept\n')
    lines.flushSync()
    expect(taken).toEqual(['kept\n'])
  })
})
