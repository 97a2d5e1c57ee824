import type { HostReport } from './ask-host.ts'
import { type Check, fail, ok, warn } from './check.ts'
import { checkClock } from './clock-skew.ts'

/** Whether the host can be reached and answers; one that is down does not stop the service while another is up. */
export function checkConnection(report: HostReport, isOtherUp: boolean): Check {
  const { origin, reached, certificates } = report
  const down = (found: string, todo: string): Check =>
    isOtherUp
      ? warn('host', `${found}; orders go to the other host, after a wait`, todo)
      : fail('host', found, todo)
  if (reached.kind === 'unreached') {
    const { stage, why, address } = reached
    return down(`${stage} fails: ${why}`, todoFor(stage, why, new URL(origin), address))
  }
  if (certificates?.kind === 'lost') {
    return down(
      `connects, and then gives no answer: ${certificates.detail}`,
      'A firewall or proxy lets the connection through and not the call; ask whoever runs it, or wait out WeChat Pay’s trouble.',
    )
  }
  const { address, dnsMs, tcpMs, tlsMs } = reached
  const tls = tlsMs === null ? '' : `, TLS ${ms(tlsMs)}`
  return ok('host', `reached at ${address}: DNS ${ms(dnsMs)}, TCP ${ms(tcpMs)}${tls}`)
}

export function isUp({ reached, certificates }: HostReport): boolean {
  return reached.kind === 'reached' && certificates?.kind === 'answered'
}

/** By an answer that is signed, if there is one: it tells the time twice. */
export function checkHostClock({ certificates, guides }: HostReport): Check | null {
  if (guides?.kind === 'answered' && guides.timestampMs !== null) return checkClock(guides)
  return certificates?.kind === 'answered' ? checkClock(certificates) : null
}

function todoFor(
  stage: 'DNS' | 'TCP' | 'TLS',
  why: string,
  { hostname, port }: URL,
  address: string | null,
): string {
  switch (stage) {
    case 'DNS':
      return `No address for ${hostname}: look at its spelling in WECHATPAY_BASE_URLS and at this machine’s resolver (/etc/resolv.conf).`
    case 'TCP':
      return `Nothing answers at ${address} port ${port || 443}: open the firewall for outgoing calls; WeChat Pay’s addresses change, so allow the host name.`
    case 'TLS':
      return /certificate|CERT|issuer/i.test(why)
        ? 'Somebody between shows a certificate of their own, or this machine lacks the root certificates (ca-certificates, NODE_EXTRA_CA_CERTS).'
        : 'What answers there speaks no TLS: a proxy, a firewall, or the wrong port.'
  }
}

function ms(value: number): string {
  return `${Math.round(value)} ms`
}
