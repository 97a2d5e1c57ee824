import type { Check } from './check.ts'

const marks = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const

export function isSound(checks: readonly Check[]): boolean {
  return checks.every(({ status }) => status !== 'fail')
}

/** For eyes: a line for each check, and below what is not well what to do about it. */
export function asText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ check }) => check.length))
  let text = ''
  for (const { check, host, status, found, todo, lines = [] } of checks) {
    const where = host === undefined ? '' : `${host}: `
    text += `${marks[status]}  ${check.padEnd(width)}  ${where}${found}\n`
    for (const line of lines) text += `      ${line}\n`
    if (todo) text += `      → ${todo}\n`
  }
  return `${text}${summary(checks)}\n`
}

function summary(checks: readonly Check[]): string {
  const count = (status: Check['status']) => checks.filter(check => check.status === status).length
  const [fails, warns] = [count('fail'), count('warn')]
  if (fails === 0 && warns === 0) return 'All is well.'
  const failing = fails === 1 ? '1 check fails' : `${fails} checks fail`
  const warning = warns === 1 ? '1 warning' : `${warns} warnings`
  return fails === 0 ? `Nothing fails, ${warning}.` : `${failing}${warns ? `, ${warning}` : ''}.`
}

export function asJson(checks: readonly Check[]): string {
  return `${JSON.stringify({ ok: isSound(checks), checks }, null, 2)}\n`
}
