import { z } from 'zod'

export const calls = ['assign', 'register', 'query', 'update', 'certificates'] as const
export type Call = (typeof calls)[number]

const faults = [
  'refuse',
  'reset_before',
  'reset_after',
  'hang',
  'status_429',
  'status_500',
  'status_502',
  'sign_error',
  'unsigned',
  'wrong_signature',
  'signtest',
  'clock_skew',
  'slow_body',
  'garbage_body',
  'param_error_guide',
  'param_error_order',
  'no_auth',
  'mch_punished',
] as const
export type Fault = (typeof faults)[number]

const rates = z
  .partialRecord(z.enum(faults), z.number().min(0).max(1))
  .refine(
    byFault => sum(Object.values(byFault)) <= 1 + Number.EPSILON,
    'the rates add up to more than 1',
  )

const latency = z
  .strictObject({ p50: z.number().positive(), p99: z.number().positive().max(600_000) })
  .refine(({ p50, p99 }) => p50 <= p99, 'p50 is greater than p99')

export const faultPlan = z.strictObject({
  script: z
    .array(
      z.strictObject({
        on: z.enum(calls).optional(),
        do: z.enum(faults),
        times: z.int().min(1).max(1_000_000).default(1),
      }),
    )
    .max(10_000)
    .default([]),
  rates: rates.default({}),
  latency_ms: latency.optional(),
  rate_limit_per_second: z.number().positive().max(1_000_000).optional(),
  slow_body_ms: z.int().min(0).max(600_000).default(3_000),
  seed: z.int().min(0).max(0xffffffff).optional(),
})

export type FaultPlan = z.infer<typeof faultPlan>

export interface FaultSource {
  plan(): FaultPlan
  replace(plan: FaultPlan): void
  /** Scripted faults first, then the rate limit, then the rates. */
  next(call: Call): Fault | null
  latencyMs(): number
}

export function createFaults(clock: () => number, entropy: () => number): FaultSource {
  let plan = faultPlan.parse({})
  let random = entropy
  let takeToken = unlimited

  function scripted(call: Call): Fault | null {
    const index = plan.script.findIndex(({ on }) => on === undefined || on === call)
    const step = plan.script[index]
    if (!step) return null
    step.times -= 1
    if (step.times === 0) plan.script.splice(index, 1)
    return step.do
  }

  return {
    plan: () => plan,
    replace(next) {
      plan = next
      random = next.seed === undefined ? entropy : seeded(next.seed)
      takeToken = next.rate_limit_per_second
        ? tokenBucket(next.rate_limit_per_second, clock)
        : unlimited
    },
    next(call) {
      return scripted(call) ?? (takeToken() ? drawn(plan.rates, random) : 'status_429')
    },
    latencyMs: () => (plan.latency_ms ? logNormal(plan.latency_ms, random) : 0),
  }
}

function drawn(byFault: FaultPlan['rates'], random: () => number): Fault | null {
  let left = random()
  for (const fault of faults) {
    left -= byFault[fault] ?? 0
    if (left < 0) return fault
  }
  return null
}

/** Holds one second's worth, at least one token. */
function tokenBucket(perSecond: number, clock: () => number): () => boolean {
  const capacity = Math.max(1, perSecond)
  let tokens = capacity
  let filledAtMs = clock()
  return () => {
    const nowMs = clock()
    tokens = Math.min(capacity, tokens + ((nowMs - filledAtMs) / 1000) * perSecond)
    filledAtMs = nowMs
    if (tokens < 1) return false
    tokens -= 1
    return true
  }
}

function unlimited() {
  return true
}

// 2.3263 is the 99th percentile of the standard normal distribution.
function logNormal({ p50, p99 }: { p50: number; p99: number }, random: () => number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return p50 * Math.exp((normal * Math.log(p99 / p50)) / 2.3263)
}

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
