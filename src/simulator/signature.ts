import { type KeyObject, sign, verify } from 'node:crypto'

const ALGORITHM = 'RSA-SHA256'

// The callback forms run on the thread pool: the event loop stays free while RSA is computed.

export function signMessage(message: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign(ALGORITHM, message, key, (error, signature) =>
      error ? reject(error) : resolve(signature),
    )
  })
}

export function verifyMessage(
  message: Buffer,
  signature: Buffer,
  key: KeyObject,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify(ALGORITHM, message, key, signature, (error, valid) =>
      error ? reject(error) : resolve(valid),
    )
  })
}
