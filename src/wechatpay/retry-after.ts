/** A wait that an answer may impose on us at most; a mistyped header must not stop a merchant for days. */
export const maxRetryAfterMs = 5 * 60_000

/**
 * `Retry-After` in milliseconds from now, between 0 and `maxRetryAfterMs`; null when absent or
 * unreadable. RFC 9110, 10.2.3: whole seconds or an HTTP date.
 */
export function retryAfterMs(value: string | null, nowMs: number): number | null {
  if (value === null) return null
  const waitMs = /^\d{1,10}$/.test(value) ? Number(value) * 1000 : httpDateMs(value) - nowMs
  return Number.isNaN(waitMs) ? null : Math.min(Math.max(waitMs, 0), maxRetryAfterMs)
}

// Date.parse alone would read `-5` or `1.5` as years and months.
function httpDateMs(value: string): number {
  return /^[A-Z][a-z]{2,8}, .{10,30} GMT$/.test(value) ? Date.parse(value) : Number.NaN
}
