import type { IncomingMessage, ServerResponse } from 'node:http'
import { overloaded } from '../errors.ts'
import { preferredLanguage } from './language.ts'
import { sayProblem } from './problem.ts'

type Listener = (incoming: IncomingMessage, outgoing: ServerResponse) => void

const assignPath = /^\/orders\/[^/?]+\/assign(\?|$)/

/**
 * Turns orders away before the app is asked, when more come than can be served: a refusal must cost next to nothing, or
 * refusing is what the process does all day. Neither key nor body is looked at, and nobody is told more than that.
 */
export function keepDoor(admits: () => boolean, enter: Listener): Listener {
  const refusals = {
    en: sayProblem(overloaded(), 'en'),
    zh: sayProblem(overloaded(), 'zh'),
  }
  return (incoming, outgoing) => {
    const { method, url = '', headers } = incoming
    if (method !== 'POST' || !assignPath.test(url) || admits()) return enter(incoming, outgoing)
    const { status, headers: said, text } = refusals[preferredLanguage(headers['accept-language'])]
    outgoing.writeHead(status, said).end(text)
  }
}
