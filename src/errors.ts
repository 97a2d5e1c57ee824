/** Each fault that a caller can make or meet, with the status it is answered with. */
export const errorTable = {
  invalid_request: { status: 400, title: 'The request is not valid', zh: '请求有误' },
  unauthorized: { status: 401, title: 'A valid key is needed', zh: '需要有效的密钥' },
  signature_required: {
    status: 401,
    title: 'This key signs its requests',
    zh: '此密钥须用于签名',
  },
  signature_wrong: { status: 401, title: 'The signature is not right', zh: '签名不正确' },
  clock_skew: {
    status: 401,
    title: 'The timestamp is too far from the time here',
    zh: '时间戳与服务器时间相差过大',
  },
  nonce_used: { status: 401, title: 'The nonce was used before', zh: '随机串已用过' },
  forbidden: { status: 403, title: 'This key may not do that', zh: '此密钥无权这样做' },
  not_found: { status: 404, title: 'There is no such resource', zh: '没有这个地址' },
  store_not_found: { status: 404, title: 'There is no such store', zh: '没有这家门店' },
  order_not_found: { status: 404, title: 'There is no such order', zh: '没有这笔订单' },
  key_not_found: { status: 404, title: 'There is no such key', zh: '没有这个密钥' },
  guide_not_found: { status: 404, title: 'There is no such guide', zh: '没有这位服务人员' },
  import_not_found: { status: 404, title: 'There is no such import', zh: '没有这次导入' },
  owner_not_found: {
    status: 404,
    title: 'The member has no guide of their own',
    zh: '该会员没有专属服务人员',
  },
  version_not_found: { status: 404, title: 'There is no such version', zh: '没有这个版本' },
  method_not_allowed: {
    status: 405,
    title: 'The resource has no such method',
    zh: '此地址不支持这种方法',
  },
  order_closed: { status: 409, title: 'The order was closed', zh: '订单已关闭' },
  order_in_flight: {
    status: 409,
    title: 'The guide of before may still be accepted',
    zh: '之前的服务人员仍可能被接受',
  },
  window_over: {
    status: 409,
    title: 'The window to assign a guide is over',
    zh: '分配服务人员的时限已过',
  },
  not_reassignable: {
    status: 409,
    title: 'The order takes no other guide',
    zh: '此订单不能改派',
  },
  order_paid: { status: 409, title: 'The order was paid', zh: '订单已付款' },
  store_of_another_merchant: {
    status: 409,
    title: 'The store belongs to another merchant',
    zh: '该门店属于其他商户',
  },
  precondition_failed: {
    status: 412,
    title: 'It was changed in the meantime',
    zh: '内容已被他人修改',
  },
  body_too_large: { status: 413, title: 'The body is too large', zh: '内容过大' },
  unsupported_media_type: {
    status: 415,
    title: 'The body is of another media type',
    zh: '内容的类型不对',
  },
  guide_not_eligible: {
    status: 422,
    title: 'The guide cannot take the order',
    zh: '这位服务人员不能接这笔订单',
  },
  refused_upstream: { status: 422, title: 'WeChat Pay refused it', zh: '微信支付拒绝了' },
  personal_guide: {
    status: 422,
    title: 'Not for guides of personal WeChat',
    zh: '不适用于个人微信的服务人员',
  },
  order_mismatch: {
    status: 422,
    title: 'The order was posted before with other facts',
    zh: '同一订单号以前报过，内容不同',
  },
  precondition_required: {
    status: 428,
    title: 'Say which version you read, with If-Match',
    zh: '请用 If-Match 说明您读到的是哪个版本',
  },
  too_many_wrong_keys: {
    status: 429,
    title: 'Too many wrong keys',
    zh: '错误的密钥过多',
  },
  internal: { status: 500, title: 'The service failed', zh: '服务出错' },
  overloaded: { status: 503, title: 'The service has too much to do', zh: '服务过于繁忙' },
  upstream_unavailable: {
    status: 503,
    title: 'WeChat Pay could not be asked',
    zh: '暂时无法询问微信支付',
  },
  storage_full: { status: 503, title: 'The disk is full', zh: '磁盘已满' },
  draining: { status: 503, title: 'The service is stopping', zh: '服务正在停机' },
} as const satisfies Record<string, { status: number; title: string; zh: string }>

export type ErrorCode = keyof typeof errorTable

/** What a caller is told: in both languages, or in the one that there is. */
export type Words = string | { en: string; zh: string }

export function wordsIn(language: 'en' | 'zh', words: Words): string {
  return typeof words === 'string' ? words : words[language]
}

/** Where in the request the fault lies, as a JSON pointer (RFC 6901) or as a cell of a table, and what it is. */
export type FieldError =
  | { pointer: string; message: Words }
  | { row: number; column: string; message: Words }

/** A fault of the caller or of the surroundings, never a defect of ours. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly detail: Words
  readonly fields: readonly FieldError[]
  readonly retryAfterSeconds: number | null

  constructor(
    code: ErrorCode,
    detail: Words,
    more: { fields?: readonly FieldError[]; retryAfterSeconds?: number } = {},
  ) {
    super(wordsIn('en', detail))
    this.name = 'AppError'
    this.code = code
    this.detail = detail
    this.fields = more.fields ?? []
    this.retryAfterSeconds = more.retryAfterSeconds ?? null
  }
}

export type StorageFault = 'full' | 'broken' | 'damaged'

/**
 * What SQLite says of the disk. `full`: nothing was written, reads go on, and later it may be written. `broken`: what is
 * on the disk is known only to whoever reads it anew; after a sync that failed, the next one says nothing of the bytes of
 * the first. `damaged`: the file is not what was written.
 */
export function storageFaultOf(cause: unknown): StorageFault | null {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  // The index of the log that could not grow, for want of space as well; and what the system says of our own files.
  if (/^(SQLITE_FULL|SQLITE_IOERR_SHMSIZE|storage_full|ENOSPC|EDQUOT)$/.test(code)) return 'full'
  if (code.startsWith('SQLITE_IOERR')) return 'broken'
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' ? 'damaged' : null
}

/** With the code, which says more than SQLite's sentence. */
export function sayCause(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  return 'code' in cause ? `${cause.code}: ${cause.message}` : cause.message
}

export const overloaded = (): AppError =>
  new AppError('overloaded', 'Too many orders are in the air.', { retryAfterSeconds: 1 })

export function isStorageFull(cause: unknown): boolean {
  return storageFaultOf(cause) === 'full'
}

export const storageFull = (): AppError =>
  new AppError('storage_full', {
    en: 'Nothing was written; free some disk space.',
    zh: '没有写入任何内容；请清理磁盘空间。',
  })

/** Told alike of an order that does not exist and of one that the key may not see. */
export const orderNotFound = (outTradeNo: string): AppError =>
  new AppError('order_not_found', {
    en: `Order ${outTradeNo} is not known here.`,
    zh: `这里没有订单 ${outTradeNo}。`,
  })

/** EX_CONFIG: started again as it is, it would end again. */
export const startExitCode = 78

/** A mistake in the surroundings that ends the process at start, said in one sentence. */
export class StartError extends Error {
  readonly exitCode: number

  constructor(sentence: string, exitCode = startExitCode) {
    super(sentence)
    this.name = 'StartError'
    this.exitCode = exitCode
  }
}
