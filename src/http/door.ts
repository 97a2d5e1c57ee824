import type { RequestListener } from 'node:http'
import { overloaded } from '../errors.ts'
import { preferredLanguage } from './language.ts'
import { tellProblem } from './problem.ts'

const assignPath = /^\/orders\/[^/?]+\/assign(\?|$)/
/** A target that the router may read as another than the one that stands there. */
const odd = /^[^/]|[%#\\]|\/\./

function postsOrder(target: string): boolean {
  if (assignPath.test(target)) return true
  if (!odd.test(target)) return false
  try {
    return assignPath.test(decodeURI(new URL(target, 'http://any').pathname))
  } catch {
    // Whatever it is, the router has to find out.
    return true
  }
}

/**
 * Turns orders away before the app is asked, when more come than can be served: a refusal must cost next to nothing, or
 * refusing is what the process does all day. Neither key nor body is looked at, and nobody is told more than that.
 */
export function keepDoor(admits: () => boolean, enter: RequestListener): RequestListener {
  const refusals = {
    en: tellProblem(overloaded(), 'en'),
    zh: tellProblem(overloaded(), 'zh'),
  }
  return (incoming, outgoing) => {
    const { method, url = '', headers } = incoming
    if (method !== 'POST' || !postsOrder(url) || admits()) return enter(incoming, outgoing)
    const { status, headers: said, body } = refusals[preferredLanguage(headers['accept-language'])]
    outgoing.writeHead(status, said).end(body)
  }
}
