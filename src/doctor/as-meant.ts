import { accountSettings, type Environment, merchantSettings, unknownSettings } from '../config.ts'
import { type Check, fail } from './check.ts'

/** The settings as they were meant: a slip is told once, and what it would hide is looked at all the same. */
export function readAsMeant(given: Environment): { env: Environment; checks: Check[] } {
  const env = { ...given }
  const checks: Check[] = []
  for (const name of unknownSettings(given)) {
    const found = `${name} is not a setting of this service`
    const meant = likelyMeant(name, env)
    if (meant === null) {
      checks.push(fail('settings', found, 'Mend its spelling or take it out.'))
      continue
    }
    const taken = `${found}; below it is taken for ${meant}`
    checks.push(fail('settings', taken, `Mend its spelling, or take it out: ${meant} is not set.`))
    env[meant] = env[name]
    delete env[name]
  }
  if (env['WECHATPAY_SERIAL_NO'] && env['WECHATPAY_CERTIFICATE_FILE']) {
    const found = 'WECHATPAY_SERIAL_NO and WECHATPAY_CERTIFICATE_FILE are both set'
    const todo = 'Take WECHATPAY_SERIAL_NO out: the certificate has the serial number in it.'
    checks.push(fail('settings', found, todo))
    delete env['WECHATPAY_SERIAL_NO']
  }
  return { env, checks }
}

/** The one setting that is not there, and that is a slip or two away or has the same beginning. */
function likelyMeant(name: string, env: Environment): string | null {
  const set = accountSettings(env)
  const [first, second] = merchantSettings.filter(
    known =>
      !set.includes(known) &&
      (known.startsWith(name) || name.startsWith(known) || distance(name, known) <= 2),
  )
  return first !== undefined && second === undefined ? first : null
}

/** How many letters are put in, left out or changed (Levenshtein). */
function distance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, column) => column)
  for (const [row, letter] of [...one].entries()) {
    const here = [row + 1]
    for (const [column, meant] of [...other].entries()) {
      const changed = (above[column] ?? 0) + (letter === meant ? 0 : 1)
      here.push(Math.min(changed, (above[column + 1] ?? 0) + 1, (here[column] ?? 0) + 1))
    }
    above = here
  }
  return above[other.length] ?? 0
}
