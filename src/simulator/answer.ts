/** An answer before it is signed. The body is text already: what is signed is what is sent. */
export interface Answer {
  status: number
  code: string | null
  headers: Record<string, string>
  body: string
}

export type Checked<T> = { ok: true; value: T } | { ok: false; refusal: Answer }

const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' }

export function success(body: object): Answer {
  return { status: 200, code: null, headers: JSON_TYPE, body: JSON.stringify(body) }
}

/** 204, 405, 413 and the 404 of an unknown path come without a body. */
export function bare(status: number): Answer {
  return { status, code: null, headers: {}, body: '' }
}

export function refusal(
  status: number,
  code: string,
  message: string,
  detail?: object,
  headers: Record<string, string> = {},
): Answer {
  const body = JSON.stringify({ code, message, ...(detail && { detail }) })
  return { status, code, headers: { ...JSON_TYPE, ...headers }, body }
}

export function paramError(location: 'body' | 'query' | 'path', field: string, issue: string) {
  const message = `输入源“/${location}/${field}”校验失败：${issue}`
  return refusal(400, 'PARAM_ERROR', message, { field: `/${field}`, issue, location })
}

export function refuse(answer: Answer): { ok: false; refusal: Answer } {
  return { ok: false, refusal: answer }
}

export function pass<T>(value: T): { ok: true; value: T } {
  return { ok: true, value }
}
