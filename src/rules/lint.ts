import { coverageHoles } from './lint-coverage.ts'
import { guideWarnings } from './lint-guides.ts'
import { planWarnings } from './lint-plan.ts'
import { rosterWarnings } from './lint-roster.ts'
import { type Documents, readSubject, type Warning, type World } from './lint-subject.ts'

export type { Warning, WarningCode } from './lint-subject.ts'
export { warningCodes } from './lint-subject.ts'

const maxPerCode = 100

/**
 * What a store manager should look at before these documents count: `days` times 24 hours from `fromMs` for holes, the
 * documents as a whole for the rest. Says only what is certain; at most 100 warnings of a code, the last of which tells
 * how many more there are.
 */
export function lint(
  documents: Documents,
  world: World,
  span: { fromMs: number; days: number },
): Warning[] {
  const subject = readSubject(documents, world, span)
  return bounded([
    ...coverageHoles(subject),
    ...planWarnings(subject),
    ...guideWarnings(subject),
    ...rosterWarnings(subject),
  ])
}

function bounded(warnings: readonly Warning[]): Warning[] {
  const byCode = Map.groupBy(warnings, ({ code }) => code)
  return [...byCode.values()].flatMap(alike => {
    const more = alike.length - maxPerCode
    const last = alike[maxPerCode - 1]
    if (more <= 0 || !last) return alike
    const en = `${last.en} There are ${more} more like this.`
    const zh = `${last.zh}另有${more}处类似。`
    return [...alike.slice(0, maxPerCode - 1), { ...last, en, zh }]
  })
}
