import '../quick-start.ts'
import { openKeys, sealedKeys } from '../access/keys.ts'
import { findDataDir, readPiiKeyFile } from '../config.ts'
import { openBeside } from '../db/beside.ts'
import { StartError, sayCause, startExitCode } from '../errors.ts'
import { openVaultBeside } from '../mirror/open-vault.ts'
import { type Asked, readArguments, usage } from './arguments.ts'
import { asJson, asText, sayKeyFile, sayMade, sayRevoked } from './print.ts'

type Told = { code: number; out?: string; err?: string }

function main(): Told {
  // What is made here is for the service's own user.
  process.umask(0o077)
  const asked = readArguments(process.argv.slice(2), Date.now())
  if (asked.kind === 'wrong') return { code: 64, err: `${asked.why}\n\n${usage}` }
  if (asked.kind === 'help') return { code: 0, out: usage }
  const dataDir = findDataDir(process.env)
  const { db, isNew, close } = openBeside(dataDir, { mayMake: asked.kind === 'create' })
  try {
    const path = db.$client.name
    if (asked.kind !== 'create' || !asked.key.signed) return carryOut(asked, openKeys(db), path)
    const keyFile = readPiiKeyFile(process.env, dataDir)
    const opened = openVaultBeside(db, keyFile, sealedKeys(db), { mayMake: isNew })
    const told = carryOut(asked, openKeys(db, opened.vault), path)
    return { ...told, err: `${told.err ?? ''}${sayKeyFile(keyFile, opened)}` }
  } finally {
    close()
  }
}

type Work = Exclude<Asked, { kind: 'help' | 'wrong' }>

function carryOut(asked: Work, keys: ReturnType<typeof openKeys>, path: string): Told {
  switch (asked.kind) {
    case 'create': {
      const made = keys.create(asked.key, Date.now())
      return { code: 0, out: `${made.key}\n`, err: sayMade(made, path) }
    }
    case 'list':
      return { code: 0, out: asked.json ? asJson(keys.list()) : asText(keys.list()) }
    case 'revoke': {
      const key = keys.list().find(({ id }) => id === asked.id)
      if (!key || !keys.remove(asked.id)) {
        return { code: 1, err: `There is no key ${JSON.stringify(asked.id)} in ${path}.\n` }
      }
      return { code: 0, err: sayRevoked(key) }
    }
  }
}

function told(): Told {
  try {
    return main()
  } catch (cause) {
    if (cause instanceof StartError) return { code: cause.exitCode, err: `${cause.message}\n` }
    return { code: startExitCode, err: `${sayCause(cause)}\n` }
  }
}

const { code, out = '', err = '' } = told()
process.exitCode = code
process.stderr.write(err)
process.stdout.write(out)
