/** Each fault that a caller can make or meet, with the status it is answered with. */
export const errorTable = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'A valid key is needed' },
  forbidden: { status: 403, title: 'This key may not do that' },
  not_found: { status: 404, title: 'There is no such resource' },
  store_not_found: { status: 404, title: 'There is no such store' },
  order_not_found: { status: 404, title: 'There is no such order' },
  key_not_found: { status: 404, title: 'There is no such key' },
  guide_not_found: { status: 404, title: 'There is no such guide' },
  import_not_found: { status: 404, title: 'There is no such import' },
  owner_not_found: { status: 404, title: 'The member has no guide of their own' },
  version_not_found: { status: 404, title: 'There is no such version' },
  method_not_allowed: { status: 405, title: 'The resource has no such method' },
  order_closed: { status: 409, title: 'The order was closed' },
  order_in_flight: { status: 409, title: 'The guide of before may still be accepted' },
  order_paid: { status: 409, title: 'The order was paid' },
  window_over: { status: 409, title: 'The window to assign a guide is over' },
  not_reassignable: { status: 409, title: 'The order takes no other guide' },
  store_of_another_merchant: { status: 409, title: 'The store belongs to another merchant' },
  precondition_failed: { status: 412, title: 'It was changed in the meantime' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body is of another media type' },
  refused_upstream: { status: 422, title: 'WeChat Pay refused it' },
  personal_guide: { status: 422, title: 'Not for guides of personal WeChat' },
  guide_not_eligible: { status: 422, title: 'The guide cannot take the order' },
  order_mismatch: { status: 422, title: 'The order was posted before with other facts' },
  precondition_required: { status: 428, title: 'Say which version you read, with If-Match' },
  internal: { status: 500, title: 'The service failed' },
  overloaded: { status: 503, title: 'The service has too much to do' },
  upstream_unavailable: { status: 503, title: 'WeChat Pay could not be asked' },
  storage_full: { status: 503, title: 'The disk is full' },
  draining: { status: 503, title: 'The service is stopping' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errorTable

/** Where in the request the fault lies, as a JSON pointer (RFC 6901) or as a cell of a table, and what it is. */
export type FieldError =
  | { pointer: string; message: string }
  | { row: number; column: string; message: string }

/** A fault of the caller or of the surroundings, never a defect of ours. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly fields: readonly FieldError[]
  readonly retryAfterSeconds: number | null

  constructor(
    code: ErrorCode,
    detail: string,
    more: { fields?: readonly FieldError[]; retryAfterSeconds?: number } = {},
  ) {
    super(detail)
    this.name = 'AppError'
    this.code = code
    this.fields = more.fields ?? []
    this.retryAfterSeconds = more.retryAfterSeconds ?? null
  }
}

/** The disk is full: nothing was written, and reads go on. */
export function isStorageFull(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'SQLITE_FULL'
}

export const storageFull = (): AppError =>
  new AppError('storage_full', 'Nothing was written; free some disk space.')

/** A mistake in the surroundings that ends the process at start, said in one sentence (exit 78, EX_CONFIG). */
export class StartError extends Error {
  readonly exitCode: number

  constructor(sentence: string, exitCode = 78) {
    super(sentence)
    this.name = 'StartError'
    this.exitCode = exitCode
  }
}
