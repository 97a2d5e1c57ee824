import { join } from 'node:path'
import {
  type Env,
  fillMirror,
  guidesEach,
  makeBed,
  merchant,
  prepareData,
  type Running,
  startProcess,
  stores,
} from './bed.ts'

export type Contender = Running & { name: 'floor' | 'service' | 'peer'; key: string }

/** An upstream, and what is measured before it, each in a process of its own. */
export async function startContenders(names: readonly Contender['name'][]) {
  const bed = makeBed()
  const upstream = await bed.startUpstream()
  const account: Env = { ...bed.account, WECHATPAY_BASE_URLS: upstream.url }
  const dataDir = join(bed.dir, 'data')
  const key = prepareData(dataDir, mirror => {
    fillMirror(mirror, stores, guidesEach)
    const sinceMs = Date.now() - 1000
    for (let member = 0; member < 1000; member++) {
      const storeId = 1 + (member % stores)
      const guideId = `G${storeId}-${member % guidesEach}`
      mirror.setOwner({ merchant, memberId: `m${member}`, guideId, sinceMs, expiresAtMs: null })
    }
  })
  const start: Record<Contender['name'], () => Promise<Running>> = {
    floor: () => startProcess('bench/floor.ts', account),
    service: () =>
      startProcess('src/main.ts', {
        ...account,
        // As in production: a second host, where hedges go.
        WECHATPAY_BASE_URLS: `${upstream.url},http://localhost:${new URL(upstream.url).port}`,
        PORT: '0',
        DATA_DIR: dataDir,
        UPSTREAM_RATE_PER_SECOND: '10000',
      }),
    peer: () => startProcess('bench/peer.ts', { ...account, ...peerSettings(bed.dir, key) }),
  }
  const contenders: Contender[] = []
  for (const name of names) contenders.push({ ...(await start[name]()), name, key })
  return {
    dir: bed.dir,
    upstream,
    contenders,
    async stop(): Promise<void> {
      await Promise.all(contenders.map(contender => contender.stop()))
      await upstream.stop()
      bed.remove()
    },
  }
}

function peerSettings(dir: string, key: string): Env {
  const guides = Array.from({ length: stores }, (_, index) => index + 1).flatMap(storeId =>
    Array.from({ length: guidesEach }, (_, index) => ({ id: `G${storeId}-${index}`, storeId })),
  )
  return { API_KEY: key, DATA_FILE: join(dir, 'peer.db'), GUIDES: JSON.stringify(guides) }
}
