import type { Crew, Member } from './eligibility.ts'
import { rosteredGuides, type Subject, type Warning } from './lint-subject.ts'
import { minutesOf, weekdays } from './names.ts'
import type { Condition, Plan, Step, StepOf, When } from './plan.ts'
import { minutesPerDay } from './roster.ts'
import type { Stretch } from './stretches.ts'

/** Whom a step can choose at all, barred or not, and what is asked of them. */
export type Reach = { who: readonly Member[]; condition: Condition }

export function reachOf(step: Step, { members, byId }: Crew): Reach {
  switch (step.use) {
    case 'none':
      return { who: [], condition: 'always' }
    case 'hint':
    case 'owner':
      return { who: members, condition: step.if }
    case 'guide': {
      const member = byId.get(step.id)
      return { who: member ? [member] : [], condition: step.if }
    }
    case 'rotate':
      return {
        who: members.filter(({ rotates, tags }) => rotates && isTagged(tags, step.among.tag)),
        condition: step.among.on_shift ? 'on_shift' : 'always',
      }
  }
}

function isTagged(tags: readonly string[], tag: string | undefined): boolean {
  return tag === undefined || tags.includes(tag)
}

/** The minutes of any one day that lie in the window. */
export function partsOfDay(between: When['between']): Stretch[] {
  const [from, to] = between ? [minutesOf(between[0]), minutesOf(between[1])] : [0, 0]
  if (to > from) return [{ from, to }]
  if (to === from) return [{ from: 0, to: minutesPerDay }]
  return [
    { from: 0, to },
    { from, to: minutesPerDay },
  ]
}

export function planWarnings(subject: Subject): Warning[] {
  const rostered = rosteredGuides(subject)
  return subject.plan.steps.flatMap((step, index) => {
    if (step.use === 'none') return []
    const empty = step.use === 'rotate' ? emptyPool(step, index, subject.crew, rostered) : null
    const warning = empty ?? unreachable(subject, index)
    return warning ? [warning] : []
  })
}

function emptyPool(
  step: StepOf<'rotate'>,
  index: number,
  crew: Crew,
  rostered: ReadonlySet<string>,
): Warning | null {
  const { who, condition } = reachOf(step, crew)
  const serving = who.filter(({ barred }) => barred === null)
  const about = { code: 'EMPTY_POOL' as const, pointer: `/plan/steps/${index}` }
  const { tag } = step.among
  const [tagged, taggedZh] =
    tag === undefined ? ['', ''] : [` with the tag ${tag}`, `带“${tag}”标签的`]
  if (serving.length === 0) {
    return {
      ...about,
      en: `Step ${index + 1} can choose nobody: no guide on the staff${tagged} takes turns and can get orders.`,
      zh: `第${index + 1}步选不到人：员工名单里没有可参加轮询的${taggedZh}服务人员。`,
    }
  }
  if (condition === 'always' || serving.some(({ id }) => rostered.has(id))) return null
  return {
    ...about,
    en: `Step ${index + 1} can choose nobody: no guide${tagged} who takes turns stands in any shift.`,
    zh: `第${index + 1}步选不到人：可参加轮询的${taggedZh}服务人员都没有班次。`,
  }
}

function unreachable({ plan: { steps }, crew }: Subject, index: number): Warning | null {
  const blockers = blockersOf(steps, index, crew)
  if (blockers === null) return null
  const numbers = blockers.map(blocker => blocker + 1)
  const en = numbers.length === 1 ? `step ${numbers[0]} has` : `steps ${numbers.join(', ')} have`
  return {
    code: 'UNREACHABLE_STEP',
    pointer: `/plan/steps/${index}`,
    en: `Step ${index + 1} is never used: whenever it could choose a guide, ${en} chosen one before.`,
    zh: `第${index + 1}步永远不会用到：凡它能选到人时，第${numbers.join('、')}步已先选出。`,
  }
}

/** The earlier steps that leave a step nothing to choose; null when it may be of use, or could choose nobody anyway. */
function blockersOf(steps: Plan['steps'], index: number, crew: Crew): number[] | null {
  const step = steps[index]
  if (!step) return null
  const earlier = steps.slice(0, index)
  const first = earlier.findIndex(
    before => alwaysYields(before, crew) || isSameAndWider(before, step),
  )
  if (first >= 0) return [first]

  const { who, condition } = reachOf(step, crew)
  if (who.length === 0) return null
  const blockers = new Set<number>()
  const asked = earlier.map(before => takes(before, step, condition, crew))
  for (const { id } of who) {
    const blocker = asked.findIndex(taken => taken.has(id))
    if (blocker < 0) return null
    blockers.add(blocker)
  }
  return [...blockers].sort((a, b) => a - b)
}

function alwaysYields(step: Step, crew: Crew): boolean {
  if (step.use !== 'rotate' && step.use !== 'guide') return false
  const { who, condition } = reachOf(step, crew)
  return (
    condition === 'always' && implies({}, step.when) && who.some(({ barred }) => barred === null)
  )
}

/** The guides for whom the earlier step yields somebody whenever the later could choose them. */
function takes(before: Step, step: Step, condition: Condition, crew: Crew): Set<string> {
  if (before.use !== 'rotate' && before.use !== 'guide') return new Set()
  const { who, condition: asked } = reachOf(before, crew)
  if (!asksAtLeast(condition, asked) || !implies(whenOf(step), before.when)) return new Set()
  return new Set(who.map(({ id }) => id))
}

/** A hint after a hint, an owner after an owner: the order names the same guide to both. */
function isSameAndWider(before: Step, step: Step): boolean {
  if (before.use === 'hint' && step.use === 'hint') {
    return asksAtLeast(step.if, before.if) && implies(step.when, before.when)
  }
  if (before.use !== 'owner' || step.use !== 'owner') return false
  const { max_age_days: ageBefore = Number.POSITIVE_INFINITY } = before
  const { max_age_days: age = Number.POSITIVE_INFINITY } = step
  return (
    before.follow_cover === step.follow_cover &&
    age <= ageBefore &&
    asksAtLeast(step.if, before.if) &&
    implies(step.when, before.when)
  )
}

/** Conditions from the narrowest to the widest. */
const conditions: readonly Condition[] = ['on_shift', 'on_roster_today', 'always']

function asksAtLeast(one: Condition, other: Condition): boolean {
  return conditions.indexOf(one) <= conditions.indexOf(other)
}

function whenOf(step: Step): When | undefined {
  return step.use === 'none' ? undefined : step.when
}

/** True only if any order and moment that meets the one meets the other. */
function implies(one: When = {}, other: When = {}): boolean {
  return (
    isWithin(one.channel, other.channel) &&
    isWithin(one.member_level, other.member_level) &&
    isWithin(one.days ?? weekdays, other.days) &&
    (other.min_amount === undefined || (one.min_amount ?? -1) >= other.min_amount) &&
    (other.max_amount === undefined ||
      (one.max_amount ?? Number.POSITIVE_INFINITY) <= other.max_amount) &&
    partsOfDay(one.between).every(part =>
      partsOfDay(other.between).some(({ from, to }) => part.from >= from && part.to <= to),
    )
  )
}

function isWithin<T>(some: readonly T[] | undefined, all: readonly T[] | undefined): boolean {
  return all === undefined || (some?.every(one => all.includes(one)) ?? false)
}
