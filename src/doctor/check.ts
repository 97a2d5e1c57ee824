export type Status = 'ok' | 'warn' | 'fail'

/**
 * One thing looked at: what was found, and what to do about it.
 *
 * Holds no key, secret, name or mobile. `host` tells apart what is asked of each host.
 */
export type Check = {
  check: string
  host?: string
  status: Status
  found: string
  todo?: string
  /** Two texts side by side, for those who must compare them. */
  lines?: string[]
}

export function ok(check: string, found: string): Check {
  return { check, status: 'ok', found }
}

export function warn(check: string, found: string, todo: string): Check {
  return { check, status: 'warn', found, todo }
}

export function fail(check: string, found: string, todo: string): Check {
  return { check, status: 'fail', found, todo }
}

export function isFailing({ status }: Check): boolean {
  return status === 'fail'
}

export const apiSecurity = '商户平台 → 账户中心 → API安全'

export function saidBy(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
