import { createCipheriv, randomBytes } from 'node:crypto'
import { type Answer, refusal, success } from '../answer.ts'
import { beijingTime } from '../beijing-time.ts'
import type { PlatformCertificate } from '../key-ring.ts'
import type { Platform } from '../platform.ts'
import type { GatewayRequest } from '../request.ts'

const ASSOCIATED_DATA = 'certificate'

export async function certificates(_request: GatewayRequest, platform: Platform): Promise<Answer> {
  const { world, keyRing, keys } = platform
  if (world.policies().key_mode === 'public_key') {
    return refusal(
      404,
      'RESOURCE_NOT_EXISTS',
      '无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥',
    )
  }
  return success({ data: keyRing.certificates().map(each => rowOf(each, keys.apiv3Key)) })
}

function rowOf(
  { serialNo, effectiveAtMs, expiresAtMs, pem }: PlatformCertificate,
  apiv3Key: string,
) {
  const nonce = randomBytes(6).toString('hex')
  const cipher = createCipheriv('aes-256-gcm', apiv3Key, nonce).setAAD(Buffer.from(ASSOCIATED_DATA))
  const sealed = Buffer.concat([cipher.update(pem), cipher.final(), cipher.getAuthTag()])
  return {
    serial_no: serialNo,
    effective_time: beijingTime(effectiveAtMs),
    expire_time: beijingTime(expiresAtMs),
    encrypt_certificate: {
      algorithm: 'AEAD_AES_256_GCM',
      nonce,
      associated_data: ASSOCIATED_DATA,
      ciphertext: sealed.toString('base64'),
    },
  }
}
