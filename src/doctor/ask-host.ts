import { createExaminer, type Examined, type ExaminerOptions } from '../wechatpay/examine.ts'
import { type Reached, reach } from './reach.ts'

/** `isNamed`: by the operator, and not taken from the database. */
export type StoreAsked = { storeId: number; subMchid: string | null; isNamed: boolean }

/** All that one host told; null where it was not asked because an earlier step failed or nothing is to be asked. */
export type HostReport = {
  origin: string
  reached: Reached
  certificates: Examined | null
  guides: Examined | null
}

/** At most three waits of `timeoutMs`: the connection, the harmless call, the store. */
export async function askHost(
  options: ExaminerOptions,
  store: StoreAsked | null,
): Promise<HostReport> {
  const { origin, timeoutMs, signer } = options
  const reached = await reach(origin, timeoutMs)
  const report: HostReport = { origin, reached, certificates: null, guides: null }
  if (reached.kind === 'unreached') return report
  const examiner = createExaminer(options)
  try {
    report.certificates = await examiner.askCertificates()
    const mayAsk = signer !== null && report.certificates.kind === 'answered'
    if (store && mayAsk && !wasRefused(report.certificates)) {
      report.guides = await examiner.askGuides(store.storeId, store.subMchid)
    }
  } finally {
    await examiner.close()
  }
  return report
}

/** A caller that is not known by its signature is refused everywhere. */
export function wasRefused(exam: Examined): boolean {
  return exam.kind === 'answered' && (exam.status === 401 || exam.code === 'MCH_NOT_EXISTS')
}
