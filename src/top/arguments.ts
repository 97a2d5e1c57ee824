import { parseArgs } from 'node:util'

export const usage = `npm run top -- [--url URL] [--interval SECONDS] [--store ID …] [--key-file FILE] [--once]

A running service at a glance, refreshed in place: orders, times, outcomes, hosts, what is in hand, shares per store.

  --url        where it listens (http://127.0.0.1:8080)
  --interval   seconds from one look to the next, 0.2 to 60 (1)
  --store      a store whose shares are shown; again for each further one; absent: the first three
  --key-file   an API key for the shares; absent: the admin key in the data directory of npm start, for a service on
               this machine alone
  --once       one frame, of one interval, without control characters; so also where the output is no terminal

Ctrl-C ends it. Exit code: 0; 1 with --once when the service was not reached; 64 wrong usage.
`

export type Asked = {
  url: string
  intervalMs: number
  stores: number[]
  keyFile: string | null
  once: boolean
}

export function readArguments(args: readonly string[]): Asked | { wrong: string } | 'help' {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        url: { type: 'string', default: 'http://127.0.0.1:8080' },
        interval: { type: 'string', default: '1' },
        store: { type: 'string', multiple: true, default: [] },
        'key-file': { type: 'string' },
        once: { type: 'boolean', default: false },
      },
    })
    if (values.help) return 'help'
    const url = URL.parse(values.url)
    if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.pathname !== '/') {
      return { wrong: '--url takes an address such as http://127.0.0.1:8080.' }
    }
    const seconds = /^\d{1,2}(\.\d{1,3})?$/.test(values.interval) ? Number(values.interval) : 0
    if (seconds < 0.2 || seconds > 60) return { wrong: '--interval takes seconds, 0.2 to 60.' }
    const stray = values.store.find(text => !/^[1-9]\d{0,14}$/.test(text))
    if (stray !== undefined) return { wrong: '--store takes a store_id.' }
    return {
      url: url.origin,
      intervalMs: seconds * 1000,
      stores: [...new Set(values.store.map(Number))],
      keyFile: values['key-file'] ?? null,
      once: values.once,
    }
  } catch (cause) {
    return { wrong: cause instanceof Error ? cause.message : String(cause) }
  }
}
