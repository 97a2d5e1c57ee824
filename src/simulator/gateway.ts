import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { type Answer, bare } from './answer.ts'
import { type Authentication, authenticate } from './authorization.ts'
import { beijingTime } from './beijing-time.ts'
import { assign } from './calls/assign.ts'
import { certificates } from './calls/certificates.ts'
import { query } from './calls/query.ts'
import { register } from './calls/register.ts'
import { update } from './calls/update.ts'
import type { Call, Fault, FaultSource } from './faults.ts'
import { checkHeaders } from './headers.ts'
import type { Platform } from './platform.ts'
import { type GatewayRequest, readBody } from './request.ts'
import type { LogEntry, RequestLog } from './request-log.ts'
import { type Route, routeOf } from './route.ts'
import { sealOf } from './seal.ts'
import { substituteFor } from './substitutes.ts'
import { send, sendGarbage, sendSlowly } from './transmit.ts'

const calls: Record<Call, (request: GatewayRequest, platform: Platform) => Promise<Answer>> = {
  assign,
  certificates,
  query,
  register,
  update,
}

const untouched = {
  body: '',
  signature_valid: null,
  mchid: null,
  answer: { status: null, code: null },
  carried_out: false,
}

/**
 * Everything under /v3: fault, checks, call, log, seal, answer.
 *
 * A call is in the log before its answer leaves, so that who has an answer finds the entry.
 */
export function createGateway(platform: Platform, faults: FaultSource, log: RequestLog) {
  const { keys, merchantKeys, keyRing, world, clock } = platform

  return async function gateway(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<void> {
    const { method = '', url: target = '', headers, socket } = incoming
    const route = routeOf(method, target)
    const fault = route.kind === 'call' ? faults.next(route.call) : null
    const requestId = randomUUID()
    const received = {
      at: beijingTime(clock()),
      host: headers.host ?? '',
      method,
      path: target,
      ...untouched,
      fault,
      request_id: requestId,
    }
    if (fault === 'refuse') {
      log.append(received)
      socket.resetAndDestroy()
      return
    }

    const latencyMs = faults.latencyMs()
    const body = await readBody(incoming)
    if (body === 'aborted') return
    if (body === 'too_large') {
      log.append({ ...received, answer: { status: 413, code: null } })
      send(outgoing, { ...bare(413), headers: { 'Request-ID': requestId, Connection: 'close' } })
      return
    }
    if (latencyMs > 0) await pause(latencyMs / 2)

    const guideId = route.kind === 'call' ? route.guideId : ''
    const request = { method, target, headers, body, guideId }
    const authentication = await authenticate(request, keys, merchantKeys, clock())
    const answer = await answerTo(request, route, authentication, fault, platform)
    log.append({
      ...received,
      body: body.toString(),
      signature_valid: authentication.signatureValid,
      mchid: authentication.mchid,
      answer: sentAs(answer, fault),
      carried_out: answer !== null && isSuccess(answer),
    })
    if (answer === null) {
      socket.resetAndDestroy()
      return
    }

    const signer = keyRing.signer(world.policies().key_mode)
    const seal = isSuccess(answer) ? await sealOf(answer, signer, clock(), fault) : {}
    const sealed = { ...answer, headers: { ...answer.headers, ...seal, 'Request-ID': requestId } }
    if (latencyMs > 0) await pause(latencyMs / 2)
    await deliver(outgoing, sealed, fault, faults.plan().slow_body_ms)
  }
}

/** Null when the connection breaks before anything was carried out. */
async function answerTo(
  request: GatewayRequest,
  route: Route,
  authentication: Authentication,
  fault: Fault | null,
  platform: Platform,
): Promise<Answer | null> {
  switch (route.kind) {
    case 'not_found':
      return bare(404)
    case 'method_not_allowed':
      return bare(405)
    case 'call':
      if (fault === 'reset_before') return null
      return (
        substituteFor(fault, request) ??
        checkHeaders(request) ??
        authentication.refusal ??
        calls[route.call](request, platform)
      )
  }
}

/** What the caller gets to see of the answer. */
function sentAs(answer: Answer | null, fault: Fault | null): LogEntry['answer'] {
  if (answer === null || fault === 'reset_after' || fault === 'hang') {
    return { status: null, code: null }
  }
  const status = fault === 'garbage_body' && isSuccess(answer) ? 200 : answer.status
  return { status, code: answer.code }
}

async function deliver(
  outgoing: ServerResponse,
  answer: Answer,
  fault: Fault | null,
  slowBodyMs: number,
): Promise<void> {
  const { socket } = outgoing
  if (!socket || socket.destroyed) return
  if (fault === 'reset_after') socket.resetAndDestroy()
  else if (fault === 'slow_body') await sendSlowly(socket, answer, slowBodyMs)
  else if (fault === 'garbage_body' && isSuccess(answer)) sendGarbage(outgoing, answer)
  else if (fault !== 'hang') send(outgoing, answer)
}

function isSuccess({ status }: Answer): boolean {
  return status >= 200 && status < 300
}
