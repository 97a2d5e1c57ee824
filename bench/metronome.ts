import { parentPort, workerData } from 'node:worker_threads'

/**
 * Tells its parent when the next order is due, in milliseconds of the monotonic clock. A thread of its own can sleep to
 * the microsecond, which timers cannot, and takes no processor time from whoever is measured, which waiting busily would.
 */
const { perSecond, seconds }: { perSecond: number; seconds: number } = workerData
const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6
const nobody = new Int32Array(new SharedArrayBuffer(4))

const startMs = monotonicMs()
let dueMs = startMs
while (dueMs < startMs + seconds * 1000) {
  dueMs += (-Math.log(1 - Math.random()) * 1000) / perSecond
  const restMs = dueMs - monotonicMs()
  if (restMs > 0) Atomics.wait(nobody, 0, 0, restMs)
  parentPort?.postMessage(dueMs)
}
