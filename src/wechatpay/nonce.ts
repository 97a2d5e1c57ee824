import { randomFillSync } from 'node:crypto'

const nonceBytes = 16
const batch = Buffer.alloc(nonceBytes * 256)
let used = batch.length

/** 32 hexadecimal digits that nobody can guess. Drawn in batches: one system call for 256. */
export function nextNonce(): string {
  if (used === batch.length) {
    randomFillSync(batch)
    used = 0
  }
  used += nonceBytes
  return batch.toString('hex', used - nonceBytes, used)
}
