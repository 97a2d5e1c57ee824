import { type ErrorCode, errorTable } from '../errors.ts'

/** What a caller may read in `detail`; the titles are those of the table. */
const details = {
  invalid_request: 'The body has a mistake: store_id: is missing.',
  unauthorized: 'Send Authorization: Bearer KEY with a valid key.',
  signature_required: 'This key is never sent: sign each request with it, as docs/signing.md says.',
  signature_wrong: 'It must be the base64 of HMAC-SHA-256, with a valid key that signs.',
  clock_skew:
    'The time here is 2026-11-23T10:00:00.000Z (1795428000), and the timestamp 1795427000 is more than 300 s away: set the clock.',
  nonce_used: 'Sign each request anew, with a nonce and a timestamp of its own.',
  too_many_wrong_keys: 'No more wrong keys are heard from here for now; a right one is.',
  forbidden: 'This key is for other stores.',
  not_found: 'See /docs for what there is.',
  store_not_found: 'Store 1001 is not known here.',
  order_not_found: 'Order A20261123-0001 is not known here.',
  key_not_found: 'Key 73b508bf9f9033e6 is not known here.',
  guide_not_found: 'There is no such guide here.',
  import_not_found: 'Import 3f0c9a52 is not known here.',
  owner_not_found: 'The member has no guide of their own.',
  version_not_found: 'Version 7 of the plan is not known here.',
  method_not_allowed: 'Here there is GET and PUT.',
  order_closed: 'Order A20261123-0001 was closed unpaid.',
  order_in_flight: 'The guide of before may still be accepted; ask again in a moment.',
  window_over: 'The window to assign a guide is over.',
  not_reassignable: 'The order has had 8 generations.',
  order_paid: 'Order A20261123-0001 was paid.',
  store_of_another_merchant: 'Store 1001 is known here as a store of another merchant.',
  precondition_failed: 'The newest version is 3 by now: read it, and decide again.',
  body_too_large: 'A body has at most 65536 bytes here.',
  unsupported_media_type: 'Send Content-Type: application/json.',
  guide_not_eligible: 'Guide LLA3WJ6DSZUfiaZDS79FH5Wm5m4X69TBic has the order already.',
  refused_upstream: 'WeChat Pay: 400 PARAM_ERROR.',
  personal_guide: 'QR codes are for guides of WeCom.',
  order_mismatch: 'The order was posted before with another store_id.',
  precondition_required: 'Read the newest version first and send its ETag in If-Match.',
  internal: 'This is a defect of the service; its log has the cause.',
  overloaded: 'Too many orders are in the air.',
  upstream_unavailable: 'WeChat Pay did not answer; ask again later.',
  storage_full: 'Nothing was written; free some disk space.',
  draining: 'Post the order to another node, or again later.',
} as const satisfies Record<ErrorCode, string>

const errors: Partial<Record<ErrorCode, { pointer: string; message: string }[]>> = {
  invalid_request: [{ pointer: '/store_id', message: 'store_id: is missing' }],
  order_mismatch: [{ pointer: '/store_id', message: 'differs from the first post' }],
}

/** As an example of the API's description: what the code means, in both languages, and a problem that has it. */
export function problemExample(code: ErrorCode) {
  const { title, status, zh } = errorTable[code]
  const fields = errors[code]
  return {
    summary: title,
    'x-summary-zh': zh,
    value: {
      type: 'about:blank',
      title,
      status,
      detail: details[code],
      code,
      ...(fields ? { errors: fields } : {}),
    },
  }
}
