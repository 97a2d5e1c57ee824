import { Pool } from 'undici'
import { type Told, toldOf } from './invariants.ts'

/** Numbers in [0, 1) that a seed repeats. https://en.wikipedia.org/wiki/Linear_congruential_generator */
export function seeded(seed: number): () => number {
  let state = BigInt(seed)
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn
    return Number(state >> 32n) / 2 ** 32
  }
}

/** An order whose connection broke, or that was answered with what no till expects. */
export type Failed = { no: string; what: string }

/**
 * The tills of several stores, one connection each: they post new orders, some again that were answered, and first of
 * all those that nobody has answered yet. Each order keeps its number and its facts.
 */
export function createTills(options: {
  key: string
  stores: readonly number[]
  count: number
  random(): number
  /** Of their numbers. */
  prefix?: string
  /** They stay when they are told to go. */
  heedless?: boolean
}) {
  const { key, stores, count, random, prefix = 'N', heedless = false } = options
  const told: Told[] = []
  const unanswered = new Set<string>()
  const broken: Failed[] = []
  const refused: Failed[] = []
  let next = 0

  function storeOf(no: string): number {
    return stores[Number(no.slice(1)) % stores.length] ?? 0
  }

  function choose(): string {
    const [waiting] = unanswered
    const chance = random()
    if (waiting !== undefined && chance < 0.3) return waiting
    const known = chance > 0.9 ? told[Math.floor(random() * told.length)] : undefined
    return known?.outTradeNo ?? `${prefix}${next++}`
  }

  async function ask(pool: Pool, path: string, body: object) {
    const answer = await pool.request({
      method: 'POST',
      path,
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        // Some are answered as soon as they are recorded.
        prefer: random() < 0.3 ? 'respond-async' : 'wait=1',
      },
      body: JSON.stringify(body),
    })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  }

  /** False when the answer says that the connection closes. */
  async function post(pool: Pool, no: string): Promise<boolean> {
    unanswered.add(no)
    const facts = { store_id: storeOf(no), amount: 100 + Number(no.slice(1)) }
    const answer = await ask(pool, `/orders/${no}/assign`, facts)
    if (![200, 202].includes(answer.status)) {
      refused.push({ no, what: answer.text })
      return true
    }
    told.push(toldOf(JSON.parse(answer.text)))
    unanswered.delete(no)
    return stays(answer)
  }

  async function end(pool: Pool, no: string): Promise<boolean> {
    const by = random() < 0.7 ? 'paid' : 'closed'
    const answer = await ask(pool, `/orders/${no}/${by}`, {
      [`${by}_at`]: new Date().toISOString(),
    })
    if (answer.status === 200) {
      told.push({ ...toldOf(JSON.parse(answer.text)), ended: { by, atMs: Date.now() } })
    } else if (answer.status !== 409) {
      // 409: ended the other way before.
      refused.push({ no, what: answer.text })
    }
    return stays(answer)
  }

  function stays({ headers }: Awaited<ReturnType<typeof ask>>): boolean {
    return heedless || headers['connection'] !== 'close'
  }

  return {
    told,
    broken,
    refused,
    posted: () => next,
    wasToldOf: (no: string) => told.some(({ outTradeNo }) => outTradeNo === no),

    /** Posts what nobody has answered yet. */
    async settleUp(url: string): Promise<void> {
      const pool = new Pool(url, { connections: 1, pipelining: 1 })
      for (const no of [...unanswered]) await post(pool, no)
      await pool.close()
    },

    /** Posts to the service there until it is gone, or says that it closes. */
    async sell(url: string, isOver: () => boolean): Promise<void> {
      const till = async () => {
        const pool = new Pool(url, { connections: 1, pipelining: 1 })
        try {
          while (!isOver()) {
            const no = choose()
            try {
              if (!(await post(pool, no))) return
              if (random() < 0.05 && !(await end(pool, no))) return
            } catch (cause) {
              broken.push({ no, what: String(cause) })
              return
            }
          }
        } finally {
          await pool.destroy()
        }
      }
      await Promise.all(Array.from({ length: count }, till))
    },
  }
}
