import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  randomInt,
} from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createRsaKey, privatePem, publicPem } from './rsa-key.ts'
import { parseStored, readIfThere, writeAtomically } from './state-file.ts'

const SECRET = 0o600
const PUBLIC = 0o644

/** The merchant's are the newest ones. */
export interface Keys {
  mchid: string
  merchantSerialNo: string
  merchantPrivateKeyPem: string
  merchantPublicKey: KeyObject
  platformKeyId: string
  platformPrivateKey: KeyObject
  platformPublicKeyPem: string
  apiv3Key: string
}

/** Reads the keys of both sides from the state directory; makes those that are missing. */
export async function openKeys(stateDir: string): Promise<Keys> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const keep = (name: string, mode: number, make: () => string | Promise<string>) =>
    readOrMake(join(stateDir, name), mode, make)

  const [mchid, merchantSerialNo, platformKeyId, apiv3Key, merchantPem, platformPem] =
    await Promise.all([
      keep('mchid', PUBLIC, () => `1900${randomDigits(6)}`),
      keep('merchant.serial', PUBLIC, randomSerialNo),
      keep('platform.id', PUBLIC, () => `PUB_KEY_ID_011${randomDigits(31)}`),
      keep('apiv3.key', SECRET, () => randomBytes(16).toString('hex')),
      keep('merchant.key', SECRET, newPrivatePem),
      keep('platform.key', SECRET, newPrivatePem),
    ])
  const platformPrivateKey = parseStored(
    join(stateDir, 'platform.key'),
    platformPem,
    createPrivateKey,
  )
  const merchantPublicKey = parseStored(
    join(stateDir, 'merchant.key'),
    merchantPem,
    createPublicKey,
  )
  const platformPublicKeyPem = publicPem(createPublicKey(platformPem))
  await keep('platform.pub', PUBLIC, () => platformPublicKeyPem)

  return {
    mchid,
    merchantSerialNo,
    merchantPrivateKeyPem: merchantPem,
    merchantPublicKey,
    platformKeyId,
    platformPrivateKey,
    platformPublicKeyPem,
    apiv3Key,
  }
}

async function readOrMake(path: string, mode: number, make: () => string | Promise<string>) {
  const found = await readIfThere(path)
  if (found !== null) return found.trim()
  const made = await make()
  await writeAtomically(path, made, mode)
  return made.trim()
}

async function newPrivatePem(): Promise<string> {
  return privatePem((await createRsaKey()).privateKey)
}

function randomSerialNo(): string {
  return `4${randomBytes(20).toString('hex').toUpperCase().slice(1)}`
}

function randomDigits(count: number): string {
  return Array.from({ length: count }, () => randomInt(10)).join('')
}
