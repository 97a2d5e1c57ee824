import { isPast, type Leave, type Subject, type Warning } from './lint-subject.ts'
import { dateOf } from './names.ts'

/**
 * How many leaves each of the two checks of covers reads, those read again included: many times what a full list of
 * leaves needs, but for chains that nobody writes. What is not looked at is not told of.
 */
const maxLeavesRead = 300_000

export function rosterWarnings(subject: Subject): Warning[] {
  return [
    ...coverCycles(subject),
    ...coversAwayToo(subject),
    ...overlappingOverrides(subject),
    ...pastDates(subject),
  ]
}

/**
 * Each circle of covers, on its first day. A circle comes about on a day when one of its guides goes over to a new
 * cover: when a leave begins, or when one that hid it has ended; so only those days are looked at, and from those guides.
 */
function coverCycles(subject: Subject): Warning[] {
  const { leaves, today } = subject
  const covers = createCovers(subject)
  const days = leaves
    .flatMap(({ guide, from, to }) => [
      { guide, day: Math.max(from, today) },
      { guide, day: Math.max(to + 1, today) },
    ])
    .filter(({ day }) => Number.isFinite(day))
    .sort((a, b) => a.day - b.day)
  const seen = new Set<string>()
  return days.flatMap(({ guide, day }) => {
    const circle = circleFrom(guide, day, covers)
    const key = circle?.toSorted().join(' ')
    if (!circle || key === undefined || seen.has(key)) return []
    seen.add(key)
    return [cycleWarning(circle, day, subject)]
  })
}

type Covers = ReturnType<typeof createCovers>

/** Who is away and who stands in, for as long as reading on is worth it. */
function createCovers({ leaves, crew: { presence } }: Subject) {
  const byGuide = Map.groupBy(leaves, ({ guide }) => guide)
  let left = maxLeavesRead

  function leavesOf(guide: string): readonly Leave[] {
    const own = byGuide.get(guide) ?? []
    left -= own.length + 1
    return own
  }

  return {
    isSpent: () => left <= 0,

    absenceOn: (guide: string, day: number) =>
      leavesOf(guide).length === 0 ? null : presence.absenceOn(guide, day),

    /** The next day on which one of them comes or goes. */
    nextChange: (guides: readonly string[], day: number): number =>
      guides
        .flatMap(guide => leavesOf(guide).flatMap(({ from, to }) => [from, to + 1]))
        .reduce(
          (next, change) => (change > day && change < next ? change : next),
          Number.POSITIVE_INFINITY,
        ),
  }
}

function circleFrom(guide: string, day: number, covers: Covers): string[] | null {
  const path = new Set<string>()
  let at: string | null = guide
  while (at !== null && !path.has(at)) {
    if (covers.isSpent()) return null
    path.add(at)
    at = covers.absenceOn(at, day)?.cover ?? null
  }
  return at === guide ? [...path] : null
}

function cycleWarning(
  circle: readonly string[],
  day: number,
  { leaves, nameOf }: Subject,
): Warning {
  const [guide, cover = circle[0]] = circle
  const names = circle.map(nameOf)
  const leave = leaves.find(
    one => one.guide === guide && one.cover === cover && one.from <= day && day <= one.to,
  )
  return {
    code: 'COVER_CYCLE',
    pointer: `/roster/away/${leave?.index ?? 0}/cover`,
    en: `On ${dateOf(day)} ${names.join(', ')} are all away and cover for one another in a circle, so nobody stands in.`,
    zh: `${dateOf(day)} ${names.join('、')} 都不在，又互相代班，实际无人代班。`,
  }
}

function coversAwayToo(subject: Subject): Warning[] {
  const covers = createCovers(subject)
  const { nameOf } = subject
  return subject.leaves.flatMap(leave => {
    const { index, guide, from, to, cover } = leave
    if (cover === null || to < subject.today) return []
    if (!isAwayToo(leave, cover, subject.today, covers)) return []
    const [since, sinceZh] = Number.isFinite(to)
      ? [`from ${dateOf(from)} to ${dateOf(to)}`, `${dateOf(from)} 至 ${dateOf(to)}`]
      : [`from ${dateOf(from)} on`, `${dateOf(from)} 起`]
    return [
      {
        code: 'COVER_AWAY_TOO' as const,
        pointer: `/roster/away/${index}/cover`,
        guide,
        en: `Nobody stands in for ${nameOf(guide)} ${since}: ${nameOf(cover)}, who should, is away then too.`,
        zh: `${sinceZh} 无人替 ${nameOf(guide)} 代班：代班的 ${nameOf(cover)} 也都不在。`,
      },
    ]
  })
}

/** Whether nobody at the end of the chain of covers is there on any day that is left of the leave; a circle has its own warning. */
function isAwayToo(
  { guide, from, to }: Leave,
  cover: string,
  today: number,
  covers: Covers,
): boolean {
  for (let day = Math.max(from, today); day <= to; ) {
    const chain = new Set([guide])
    let at = cover
    for (let next: string | null = cover; next !== null; ) {
      if (chain.has(next) || covers.isSpent()) return false
      at = next
      chain.add(at)
      next = covers.absenceOn(at, day)?.cover ?? null
    }
    if (covers.absenceOn(at, day) === null) return false
    day = covers.nextChange([...chain], day)
    if (!Number.isFinite(day)) return true
  }
  return true
}

function overlappingOverrides(subject: Subject): Warning[] {
  const current = subject.overrides.filter(({ day }) => !isPast(subject, day))
  const byDay = Map.groupBy(current, ({ day }) => day)
  return [...byDay].flatMap(([day, alike]) => {
    const [, second] = alike
    if (!second) return []
    const has = (mode: string) => alike.filter(({ override }) => override.mode === mode).length
    const about = {
      code: 'OVERLAPPING_OVERRIDE' as const,
      pointer: `/roster/dates/${second.index}`,
    }
    const date = dateOf(day)
    if (has('closed') > 0) {
      return [
        {
          ...about,
          en: `${date} is marked closed and stands in the special dates more than once: it is closed, whatever the others say.`,
          zh: `特殊时期中 ${date} 已设为休业，又重复出现：当天按休业处理，其余设置不起作用。`,
        },
      ]
    }
    if (has('replace') < 2) return []
    return [
      {
        ...about,
        en: `The shifts of ${date} are replaced more than once: all of those shifts count together.`,
        zh: `特殊时期中 ${date} 的班次被替换了多次：这些班次会同时生效。`,
      },
    ]
  })
}

function pastDates(subject: Subject): Warning[] {
  const dates = subject.overrides
    .filter(({ day }) => isPast(subject, day))
    .map(
      ({ index, override: { date } }): Warning => ({
        code: 'PAST_DATES',
        pointer: `/roster/dates/${index}`,
        en: `The special date ${date} is over and changes nothing any more.`,
        zh: `特殊时期 ${date} 已过，不再起作用。`,
      }),
    )
  const leaves = subject.leaves
    .filter(({ to }) => isPast(subject, to))
    .map(
      ({ index, guide, to }): Warning => ({
        code: 'PAST_DATES',
        pointer: `/roster/away/${index}`,
        guide,
        en: `The leave of ${subject.nameOf(guide)} ended on ${dateOf(to)} and changes nothing any more.`,
        zh: `${subject.nameOf(guide)} 的请假已于 ${dateOf(to)} 结束，不再起作用。`,
      }),
    )
  return [...dates, ...leaves]
}
