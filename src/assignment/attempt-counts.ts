import type { Outcome } from '../wechatpay/outcome.ts'

const outcomes = [
  'accepted',
  'rejected',
  'not_sent',
  'timeout',
  'network',
  'throttled',
  'server_error',
  'unverified',
] as const

export type AttemptOutcome = (typeof outcomes)[number]
export type AttemptCount = { host: number; outcome: AttemptOutcome; count: number }

/** How the attempts ended, by host. */
export function createAttemptCounts(hosts: number) {
  const counts = Array.from({ length: hosts }, () => ({
    accepted: 0,
    rejected: 0,
    not_sent: 0,
    timeout: 0,
    network: 0,
    throttled: 0,
    server_error: 0,
    unverified: 0,
  }))

  return {
    add(host: number, outcome: Outcome): void {
      const ofHost = counts[host]
      if (ofHost) ofHost[outcome.kind === 'unknown' ? outcome.reason : outcome.kind] += 1
    },
    read: (): AttemptCount[] =>
      counts.flatMap((ofHost, host) =>
        outcomes.map(outcome => ({ host, outcome, count: ofHost[outcome] })),
      ),
  }
}
