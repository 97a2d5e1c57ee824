import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { setTimeout as after, setImmediate as nextTick } from 'node:timers/promises'

/** How long others are waited for. */
export type TrafficLimits = {
  /** A caller who leaves a whole answer where it is. */
  untakenMs: number
  /** At the end: callers who do not know yet that it is the end. */
  lingerMs: number
  /** Once the door is closed: the rest of a body, or whoever takes an answer. */
  graceMs: number
}

const usual: TrafficLimits = { untakenMs: 60_000, lingerMs: 3_000, graceMs: 1_000 }
const quietMs = 150

export type Traffic = ReturnType<typeof watchTraffic>

type Exchange = { incoming: IncomingMessage; outgoing: ServerResponse }

/** Knows what is under way on the connections of a server, and lets go of those who take no answer. */
export function watchTraffic(server: Server, limits = usual) {
  const underWay = new Set<Exchange>()
  let lastMs = 0

  server.on('request', (incoming, outgoing) => {
    const exchange = { incoming, outgoing }
    underWay.add(exchange)
    outgoing.once('close', () => {
      underWay.delete(exchange)
      lastMs = performance.now()
    })
  })
  // Told of a connection on which nothing has moved for so long: it may wait for us, or we for it.
  server.setTimeout(limits.untakenMs, socket => {
    const waitsForUs = [...underWay].some(one => one.incoming.socket === socket && isInHand(one))
    if (!waitsForUs) socket.destroy()
  })

  const isQuietSince = (startMs: number, isOver: (exchange: Exchange) => boolean): boolean => {
    if (performance.now() - Math.max(lastMs, startMs) <= quietMs) return false
    for (const exchange of underWay) if (!isOver(exchange)) return false
    return true
  }

  return {
    /**
     * Lets the traffic end, and closes: answers say by now that the connection closes, and a listener that is shut at once
     * would cut off requests already on the wire. Who was let in whole is answered as long as there is time; who asks
     * nothing, sends a body without end or takes no answer holds up nobody for long.
     */
    async end(leftMs: () => number): Promise<void> {
      const startMs = performance.now()
      do {
        await after(10)
        // Once the sockets were read: a busy loop leaves requests unread, and to close is to cut them off.
        await nextTick()
      } while (!isQuietSince(startMs, () => false) && performance.now() - startMs < limits.lingerMs)
      server.close()
      // Who was let in at the last moment is heard.
      const closedMs = performance.now()
      const isLost = (exchange: Exchange) =>
        !isInHand(exchange) && performance.now() - closedMs > limits.graceMs
      while (!isQuietSince(closedMs, isLost) && leftMs() > 0) await after(10)
      server.closeAllConnections()
    },
  }
}

/** Ours to answer: what was asked is here, and the answer is not made yet. */
function isInHand({ incoming, outgoing }: Exchange): boolean {
  return incoming.complete && !outgoing.writableEnded
}
