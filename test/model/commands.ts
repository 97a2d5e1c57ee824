import fc from 'fast-check'
import { expect } from 'vitest'
import { planSchema } from '../../src/rules/plan.ts'
import { rosterSchema } from '../../src/rules/roster.ts'
import { staffSchema } from '../../src/rules/staff.ts'
import type { Fate } from './counterpart.ts'
import { guideIds, storeId, waitMs } from './life.ts'
import type { Sequence } from './sequence.ts'
import { aMember, type Kept, type Member, type Plan, type Posted } from './shop.ts'

/** The model lives in the sequence, which compares it with the service whenever all has come to rest. */
type Command = fc.AsyncCommand<object, Sequence>
type Wait = 'none' | 'usual' | 'long'

const command = (name: string, run: (sequence: Sequence) => Promise<void>): Command => ({
  check: () => true,
  async run(_, sequence) {
    await run(sequence)
    sequence.forgetIntents()
  },
  toString: () => name,
})

/** Of the orders there are, the newest first; null when there is none yet. */
function pick({ shop }: Sequence, index: number): Kept | null {
  return shop.orders.at(-1 - (index % Math.max(1, shop.orders.length))) ?? null
}

function bodyOf(posted: Posted, { hours }: Sequence): Record<string, unknown> {
  const createdAtMs = hours.clock.nowMs() - posted.ageMs
  return {
    store_id: storeId,
    ...(posted.hint === null ? {} : { guide_id: posted.hint }),
    ...(posted.cart === null ? {} : { cart_id: posted.cart }),
    ...(posted.amount === null ? {} : { amount: posted.amount }),
    ...(posted.test ? { test: true } : {}),
    ...(posted.ageMs === 0 ? {} : { created_at: new Date(createdAtMs).toISOString() }),
  }
}

const bodies = new WeakMap<Posted, Record<string, unknown>>()

const waits = { none: 0, usual: waitMs, long: 3000 }
const prefer = (wait: Wait): Record<string, string> => {
  if (wait === 'usual') return {}
  return { prefer: wait === 'none' ? 'respond-async' : 'wait=3' }
}

function ask(sequence: Sequence, no: string, body: object, wait: Wait) {
  return sequence.life().request('POST', `/orders/${no}/assign`, { body, headers: prefer(wait) })
}

/** Posts it, and nobody waits for the answer yet. */
function send(sequence: Sequence, posted: Posted, fates: readonly Fate[], wait: Wait) {
  const no = `order-${++ordersMade}`
  sequence.counterpart.draw(no, fates)
  sequence.intend({ kind: 'post', no, posted })
  const body = bodyOf(posted, sequence)
  bodies.set(posted, body)
  return { no, answering: ask(sequence, no, body, wait) }
}

let ordersMade = 0

async function answerWithin<T>({ hours }: Sequence, work: Promise<T>, wait: Wait): Promise<T> {
  const askedAtMs = hours.clock.nowMs()
  const answer = await hours.until(work)
  expect(hours.clock.nowMs() - askedAtMs).toBeLessThanOrEqual(waits[wait])
  return answer
}

function kept({ shop }: Sequence, no: string): Kept {
  const order = shop.find(no)
  if (!order) throw new Error(`${no} was answered, and is not in the file`)
  return order
}

const assign = (posted: Posted, fates: Fate[], wait: Wait) =>
  command(`assign(${say(posted)}, ${say(fates)}, ${wait})`, async sequence => {
    const { no, answering } = send(sequence, { ...posted }, fates, wait)
    const answer = await answerWithin(sequence, answering, wait)
    sequence.tell(answer, kept(sequence, no))
    expect(answer.headers.get('idempotency-status')).toBe(null)
  })

/** Several tills at once, and each posts its order twice. */
const burst = (all: { posted: Posted; fates: Fate[] }[], wait: Wait) =>
  command(`burst(${say(all)}, ${wait})`, async sequence => {
    const sent = all.flatMap(({ posted, fates }) => {
      const first = send(sequence, { ...posted }, fates, wait)
      return [
        first,
        { ...first, answering: ask(sequence, first.no, bodyOf(posted, sequence), wait) },
      ]
    })
    const answers = await answerWithin(
      sequence,
      Promise.all(sent.map(({ answering }) => answering)),
      wait,
    )
    for (const [index, answer] of answers.entries()) {
      const isSecond = index % 2 === 1
      expect(answer.headers.get('idempotency-status')).toBe(isSecond ? 'replayed' : null)
      expect([200, 202]).toContain(answer.status)
      expect(answer.body.guide_id).toBe(answers[index - (isSecond ? 1 : 0)]?.body.guide_id)
    }
  })

const repeat = (index: number, wait: Wait) =>
  command(`repeat(${index}, ${wait})`, async sequence => {
    const order = pick(sequence, index)
    if (!order) return
    const body = bodies.get(order.posted) ?? {}
    const answer = await answerWithin(sequence, ask(sequence, order.no, body, wait), wait)
    sequence.tell(answer, order)
    expect(answer.headers.get('idempotency-status')).toBe('replayed')
  })

const mutate = (index: number, field: string) =>
  command(`mutate(${index}, ${field})`, async sequence => {
    const order = pick(sequence, index)
    if (!order) return
    const body = bodies.get(order.posted) ?? {}
    const others: Record<string, unknown> = {
      guide_id: order.posted.hint === 'A' ? 'B' : 'A',
      amount: (order.posted.amount ?? 0) + 1,
      cart_id: 'another',
      test: !order.posted.test,
      member_id: 'somebody',
      channel: 'app',
    }
    const answer = await answerWithin(
      sequence,
      ask(sequence, order.no, { ...body, [field]: others[field] }, 'none'),
      'none',
    )
    expect(answer.status).toBe(422)
    expect(answer.body).toMatchObject({
      code: 'order_mismatch',
      errors: [{ pointer: `/${field}` }],
    })
  })

const read = (index: number) =>
  command(`read(${index})`, async sequence => {
    const order = pick(sequence, index)
    if (!order) return
    const answer = await sequence.hours.until(sequence.life().request('GET', `/orders/${order.no}`))
    expect(answer.status).toBe(200)
    const { guideId, reason } = sequence.shop.newestOf(order)
    expect(answer.body).toMatchObject({
      status: order.status,
      guide_id: guideId,
      reason,
      generation: order.generations.length,
    })
    const before = order.generations.slice(0, -1)
    expect(answer.body.earlier.map((one: { guide_id: string }) => one.guide_id)).toEqual(
      before.map(one => one.guideId),
    )
  })

const endOrder = (end: 'paid' | 'closed', index: number) =>
  command(`${end}(${index})`, async sequence => {
    const order = pick(sequence, index)
    if (!order) return
    const { isPaid, isClosed } = order
    const atMs = sequence.hours.clock.nowMs()
    if (!isPaid && !isClosed) sequence.intend({ kind: end, order, atMs })
    const answer = await sequence.hours.until(
      sequence.life().request('POST', `/orders/${order.no}/${end}`, {
        body: { [`${end}_at`]: new Date(atMs).toISOString() },
      }),
    )
    const isRefused = end === 'paid' ? isClosed : isPaid
    expect(answer.status).toBe(isRefused ? 409 : 200)
    expect(answer.body.code).toBe(
      isRefused ? (end === 'paid' ? 'order_closed' : 'order_paid') : undefined,
    )
    expect(end === 'paid' ? order.isPaid : order.isClosed).toBe(!isRefused)
  })

const reassign = (index: number, guideId: string, isStale: boolean, fates: Fate[], wait: Wait) =>
  command(`reassign(${index}, ${guideId}, ${isStale}, ${say(fates)}, ${wait})`, async sequence => {
    const order = pick(sequence, index)
    if (!order) return
    const generation = order.generations.length
    const allowed = mayReassign(sequence, order, guideId, isStale)
    if (!isStale && allowed.includes('done')) sequence.counterpart.draw(order.no, fates)
    sequence.intend({ kind: 'reassign', order, guideId, generation })
    const answer = await answerWithin(
      sequence,
      sequence.life().request('POST', `/orders/${order.no}/reassign`, {
        scope: 'manage',
        body: { guide_id: guideId, why: 'asked for' },
        headers: { 'if-match': `"${isStale ? generation + 1 : generation}"`, ...prefer(wait) },
      }),
      wait,
    )
    const code = answer.body.code ?? 'done'
    expect(allowed).toContain(code)
    expect(order.generations.length > generation).toBe(code === 'done')
    if (code === 'done') sequence.tell(answer, order)
  })

/** The answers that are right, the one if that can be told from here. */
function mayReassign(
  { shop, hours, counterpart, callsOf, isHarmless, life }: Sequence,
  order: Kept,
  guideId: string,
  isStale: boolean,
): string[] {
  if (isStale) return ['precondition_failed']
  // A call that is under way is what is said first.
  const calls = callsOf(order)
  const isUnderWay = calls.some(one => one.outcome === null && one.life === life().number)
  const underWay = isUnderWay ? ['order_in_flight'] : []
  const ended = () => {
    if (order.isPaid) return 'order_paid'
    if (order.isClosed) return 'order_closed'
    if (order.expiresAtMs <= hours.clock.nowMs() || order.status === 'expired') return 'window_over'
    if (order.status === 'rejected') return 'not_reassignable'
    return null
  }
  const end = ended()
  if (end) return [end, ...underWay]
  if (order.status === 'pending' && !calls.every(isHarmless) && !order.mayBeInterrupted)
    return ['order_in_flight']
  const eligible = () => {
    if (!guideIds.includes(guideId)) return 'guide_not_found'
    const isFit = shop.isOnStaff(guideId) && !shop.isQuarantined(guideId)
    const hasIt = shop.newestOf(order).guideId === guideId
    return isFit && !hasIt ? 'done' : 'guide_not_eligible'
  }
  // Once WeChat Pay has said 429, an order may wait for its turn to leave, and is in flight before any call is.
  const isPaced = counterpart.calls.some(
    ({ outcome }) => outcome?.kind === 'unknown' && outcome.reason === 'throttled',
  )
  const isDoubtful = order.status === 'pending' && (order.mayBeInterrupted || isPaced)
  return [eligible(), ...(isDoubtful ? ['order_in_flight'] : [])]
}

const pass = (ms: number) => command(`pass(${ms})`, ({ hours }) => hours.pass(ms))

const restart = (isGraceful: boolean, downMs: number) =>
  command(`restart(${isGraceful ? 'stopped' : 'killed'}, ${downMs})`, sequence =>
    sequence.restart(isGraceful, downMs),
  )

/** Killed so many turns of the event loop after an order was posted, or after WeChat Pay answered. */
const killAmid = (posted: Posted | null, fates: Fate[], turns: number) =>
  command(`killAmid(${say(posted)}, ${say(fates)}, ${turns})`, async sequence => {
    const { hours } = sequence
    const sent = posted && send(sequence, { ...posted }, fates, 'usual')
    if (!posted) hours.fire()
    for (let turn = 0; turn < turns; turn++) await hours.turn()
    await sequence.restart(false, 0)
    if (!sent || sequence.shop.find(sent.no)) return
    expect(sequence.counterpart.calls.filter(({ no }) => no === sent.no)).toEqual([])
  })

const publish = (edit: { staff?: Member[]; onShift?: string[] | null; plan?: Plan }) =>
  command(`publish(${say(edit)})`, async sequence => {
    const { mirror } = sequence.life()
    const written = { author: 'test', atMs: sequence.hours.clock.nowMs() }
    if (edit.staff) mirror.putDocument(storeId, 'staff', staffOf(edit.staff), written)
    if (edit.onShift !== undefined)
      mirror.putDocument(storeId, 'roster', rosterOf(edit.onShift), written)
    if (edit.plan) mirror.putDocument(storeId, 'plan', planOf(edit.plan), written)
    sequence.shop.publish(edit)
  })

function staffOf(staff: readonly Member[]) {
  return staffSchema.parse({
    timezone: 'Asia/Shanghai',
    day_starts_at: '04:00',
    guides: staff.map(({ id, weight, rotates, perDay, perHour }) => ({
      id,
      weight,
      rotates,
      caps: {
        ...(perDay === null ? {} : { per_day: perDay }),
        ...(perHour === null ? {} : { per_hour: perHour }),
      },
    })),
  })
}

function rosterOf(onShift: readonly string[] | null) {
  const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
  const shift = { shift: 'all', days, from: '00:00', to: '00:00', guides: onShift ?? ['*'] }
  return rosterSchema.parse({ weekly: [shift] })
}

function planOf({ hint, named, rotates }: Plan) {
  return planSchema.parse({
    steps: [
      ...(hint === 'not_asked' ? [] : [{ use: 'hint', counts: hint }]),
      ...(rotates ? [{ use: 'rotate' }] : []),
      ...(named === null ? [] : [{ use: 'guide', id: named, if: 'always' }]),
      { use: 'none' },
    ],
  })
}

const pause = (guideId: string, minutes: number | null) =>
  command(`pause(${guideId}, ${minutes})`, async sequence => {
    const { hours, shop } = sequence
    const path = `/stores/${storeId}/guides/${guideId}/pause`
    const answer = await hours.until(
      minutes === null
        ? sequence.life().request('DELETE', path, { scope: 'manage' })
        : sequence.life().request('PUT', path, { scope: 'manage', body: { minutes, why: 'tea' } }),
    )
    if (answer.status === 404) return expect(shop.isOnStaff(guideId)).toBe(false)
    expect(answer.status).toBe(minutes === null ? 204 : 200)
    shop.pause(guideId, minutes === null ? 0 : hours.clock.nowMs() + minutes * 60_000)
  })

const register = (guideId: string) =>
  command(`register(${guideId})`, async sequence => {
    sequence.life().mirror.putGuide({ id: guideId, storeId, state: 'registered' })
    sequence.shop.register(guideId)
  })

const say = (words: unknown) => JSON.stringify(words)

const guide = fc.constantFrom(...guideIds)
const index = fc.nat(15)
const wait = fc.constantFrom<Wait>('none', 'usual', 'usual', 'long')
const posted = fc.record({
  hint: fc.option(guide, { freq: 3 }),
  cart: fc.constantFrom(null, null, 'c1', 'c2'),
  test: fc.constantFrom(false, false, false, false, true),
  amount: fc.constantFrom(null, 100),
  ageMs: fc.constantFrom(0, 0, 0, 8000, 10_000),
})
const afterMs = fc.constantFrom(1, 1, 1, 53, 907, 1901, 5000)
const kind = fc.constantFrom<Fate['kind']>(
  'accept',
  'refuse_guide',
  'refuse_guide',
  'refuse_order',
  'refuse_account',
  'throttle',
  'not_sent',
  'fail',
  'lose',
  'forge',
)
const fates = fc.oneof(
  { weight: 5, arbitrary: fc.array(fc.record({ kind, afterMs }), { maxLength: 4 }) },
  // Carried out, and the answer is long in coming; whoever asks again meanwhile is told to wait.
  {
    weight: 1,
    arbitrary: fc.constant<Fate[]>([
      { kind: 'accept', afterMs: 5000 },
      { kind: 'throttle', afterMs: 1 },
      { kind: 'throttle', afterMs: 1 },
    ]),
  },
)
const member = fc
  .record({
    id: fc.constantFrom(...guideIds, 'NOBODY'),
    weight: fc.integer({ min: 1, max: 4 }),
    rotates: fc.constantFrom(true, true, true, false),
    perDay: fc.constantFrom(null, null, 1, 3),
    perHour: fc.constantFrom(null, null, null, 2),
  })
  .map(({ id, ...more }) => aMember(id, more))
const staff = fc.uniqueArray(member, { selector: ({ id }) => id, minLength: 1, maxLength: 5 })
const onShift = fc.option(fc.uniqueArray(guide, { minLength: 1, maxLength: 3 }), { freq: 2 })
const plan = fc.record<Plan>({
  hint: fc.constantFrom('not_asked', 'none', 'full'),
  named: fc.option(guide, { freq: 2 }),
  rotates: fc.constantFrom(true, true, true, false),
})
const hourMs = 3_600_000

export const anyCommands = [
  fc.tuple(posted, fates, wait).map(drawn => assign(...drawn)),
  fc.tuple(posted, fates, wait).map(drawn => assign(...drawn)),
  fc.tuple(posted, fates, wait).map(drawn => assign(...drawn)),
  fc
    .tuple(fc.array(fc.record({ posted, fates }), { minLength: 2, maxLength: 4 }), wait)
    .map(drawn => burst(...drawn)),
  fc.tuple(index, wait).map(drawn => repeat(...drawn)),
  fc
    .tuple(index, fc.constantFrom('guide_id', 'amount', 'cart_id', 'test', 'member_id', 'channel'))
    .map(drawn => mutate(...drawn)),
  index.map(read),
  fc
    .tuple(index, guide, fc.constantFrom(false, false, false, true), fates, wait)
    .map(drawn => reassign(...drawn)),
  fc.tuple(index, guide, fc.constant(false), fates, wait).map(drawn => reassign(...drawn)),
  fc
    .tuple(fc.constantFrom('paid' as const, 'closed' as const), index)
    .map(drawn => endOrder(...drawn)),
  fc.constantFrom(1, 100, 1000, 3000, 11_000).map(pass),
  fc.oneof(
    fc
      .tuple(fc.boolean(), fc.constantFrom(0, 500, 9000, hourMs, 9 * hourMs, 25 * hourMs))
      .map(drawn => restart(...drawn)),
    fc.tuple(fc.option(posted), fates, fc.nat(4)).map(drawn => killAmid(...drawn)),
  ),
  fc.oneof(
    staff.map(staff => publish({ staff })),
    onShift.map(onShift => publish({ onShift })),
    plan.map(plan => publish({ plan })),
  ),
  fc.tuple(guide, fc.constantFrom(null, 1, 60)).map(drawn => pause(...drawn)),
  guide.map(register),
] satisfies fc.Arbitrary<Command>[]
