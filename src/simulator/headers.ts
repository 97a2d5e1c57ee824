import { type Answer, refusal } from './answer.ts'
import type { GatewayRequest } from './request.ts'

const ACCEPTABLE = ['*/*', 'application/*', 'application/json']

export function checkHeaders({ headers, body }: GatewayRequest): Answer | null {
  if (!headers['user-agent'] || !headers.accept) {
    return refusal(400, 'PARAM_ERROR', 'Http头缺少Accept或User-Agent')
  }
  if (!mediaTypes(headers.accept).some(type => ACCEPTABLE.includes(type))) {
    return refusal(400, 'PARAM_ERROR', 'Http头Accept必须接受application/json')
  }
  if (body.length === 0) return null
  if (!headers['content-type']) {
    return refusal(400, 'PARAM_ERROR', 'Http头缺少Content-Type，请设置为application/json')
  }
  if (!mediaTypes(headers['content-type']).includes('application/json')) {
    return refusal(415, 'PARAM_ERROR', 'Http头Content-Type必须为application/json')
  }
  return null
}

function mediaTypes(header: string): string[] {
  return header.split(',').map(part => (part.split(';', 1)[0] ?? '').trim().toLowerCase())
}
