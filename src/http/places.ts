import type { MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'
import type { Env } from './env.ts'

/** Lets a key have `maxEach` requests under way at once, so that no key takes every place there is. */
export function createPlaces(maxEach: number): MiddlewareHandler<Env> {
  const taken = new Map<string, number>()

  return async (context, next) => {
    const { id } = context.var.key
    const before = taken.get(id) ?? 0
    if (before >= maxEach) {
      throw new AppError(
        'overloaded',
        {
          en: `This key has ${maxEach} reports being made already.`,
          zh: `此密钥已有 ${maxEach} 份报表正在生成。`,
        },
        { retryAfterSeconds: 5 },
      )
    }
    taken.set(id, before + 1)
    try {
      await next()
    } finally {
      const left = (taken.get(id) ?? 1) - 1
      if (left > 0) taken.set(id, left)
      else taken.delete(id)
    }
  }
}
