import type { KnownGuide } from './eligibility.ts'
import { isPast, offsetAt, rosteredGuides, type Subject, type Warning } from './lint-subject.ts'
import { minutesOf, type NameOf } from './names.ts'
import type { StaffMember } from './staff.ts'

const dayMs = 86_400_000

type Said = Omit<Warning, 'pointer' | 'guide'>

export function guideWarnings(subject: Subject): Warning[] {
  const elsewhere = mentionsOutsideStaff(subject)
  const staffIds = new Map(
    subject.staff.guides.map(({ id }, index) => [id, `/staff/guides/${index}`]),
  )
  const rostered = rosteredGuides(subject)
  const strangers = [...elsewhere].filter(([id]) => !staffIds.has(id))
  return [
    ...[...staffIds, ...strangers.map(([id, { pointer }]) => [id, pointer] as const)].flatMap(
      ([id, pointer]) => standing(id, subject).map(said => ({ ...said, pointer, guide: id })),
    ),
    ...strangers.map(([id, mention]) => notOnStaff(id, mention, subject)),
    ...missingFromStaff(subject, staffIds, elsewhere),
    ...subject.staff.guides.flatMap((member, index) =>
      [...unused(member, subject, rostered), ...caps(member, subject)].map(said => ({
        ...said,
        guide: member.id,
        pointer: `/staff/guides/${index}${said.code === 'CAP_CANNOT_HOLD' ? '/caps' : ''}`,
      })),
    ),
  ]
}

type Mention = { pointer: string; en: string; zh: string }

/**
 * Where roster and plan name a guide first. Days that are past are left out, and so is the guide who has left: a
 * member's guide is followed to the cover even when nobody else knows them any more.
 */
function mentionsOutsideStaff(subject: Subject): Map<string, Mention> {
  const { roster, plan, overrides, leaves, nameOf } = subject
  const found = new Map<string, Mention>()
  const note = (id: string, pointer: string, en: string, zh: string) => {
    if (id !== '*' && !found.has(id)) found.set(id, { pointer, en, zh })
  }
  for (const [index, { shift, guides }] of roster.weekly.entries()) {
    for (const [at, id] of guides.entries()) {
      note(
        id,
        `/roster/weekly/${index}/guides/${at}`,
        `in the shift ${shift}`,
        `在班次“${shift}”中`,
      )
    }
  }
  for (const { index, day, override } of overrides) {
    if (isPast(subject, day)) continue
    for (const [nth, { shift, guides }] of (override.shifts ?? []).entries()) {
      for (const [at, id] of guides.entries()) {
        const pointer = `/roster/dates/${index}/shifts/${nth}/guides/${at}`
        const [en, zh] = [
          `on ${override.date} in the shift ${shift}`,
          `在 ${override.date} 班次“${shift}”中`,
        ]
        note(id, pointer, en, zh)
      }
    }
  }
  for (const { index, guide, to, cover, hasLeft } of leaves) {
    if (isPast(subject, to)) continue
    if (!hasLeft) note(guide, `/roster/away/${index}/guide`, 'among those away', '在请假名单中')
    if (cover !== null)
      note(
        cover,
        `/roster/away/${index}/cover`,
        `as cover for ${nameOf(guide)}`,
        `是 ${nameOf(guide)} 的代班`,
      )
  }
  for (const [index, step] of plan.steps.entries()) {
    if (step.use === 'guide')
      note(
        step.id,
        `/plan/steps/${index}/id`,
        `in step ${index + 1} of the plan`,
        `在规则第${index + 1}步中`,
      )
  }
  return found
}

function notOnStaff(id: string, { pointer, en, zh }: Mention, { nameOf }: Subject): Warning {
  return {
    code: 'NOT_ON_STAFF',
    pointer,
    guide: id,
    en: `Guide ${nameOf(id)} is named ${en}, but is not on the staff and gets no orders.`,
    zh: `服务人员 ${nameOf(id)} ${zh}，但不在员工名单里，不会分到订单。`,
  }
}

/** Registered in the store after its staff was written, as a rule; whom the documents name, or who has left, is known to their author. */
function missingFromStaff(
  { world, leaves, nameOf }: Subject,
  staffIds: ReadonlyMap<string, string>,
  elsewhere: ReadonlyMap<string, Mention>,
): Warning[] {
  const gone = new Set(leaves.flatMap(({ guide, hasLeft }) => (hasLeft ? [guide] : [])))
  return (world.registered ?? [])
    .filter(id => !staffIds.has(id) && !elsewhere.has(id) && !gone.has(id))
    .filter(id => world.guides.get(id)?.state === 'registered')
    .map(id => ({
      code: 'MISSING_FROM_STAFF',
      pointer: '/staff/guides',
      guide: id,
      en: `Guide ${nameOf(id)} is registered in this store, but is not on the staff and gets no orders: put them on the staff.`,
      zh: `服务人员 ${nameOf(id)} 已在本店注册，但不在员工名单里，不会分到订单：请加入员工名单。`,
    }))
}

/** What WeChat Pay and this service know of a guide. */
function standing(id: string, { world, nameOf }: Subject): Said[] {
  const known = world.guides.get(id)
  if (!known) {
    return [
      {
        code: 'UNKNOWN_GUIDE',
        en: `Guide ${nameOf(id)} is not registered at WeChat Pay, as far as we know, and gets no orders.`,
        zh: `未找到服务人员 ${nameOf(id)} 的微信支付注册记录，不会分到订单。`,
      },
    ]
  }
  if (known.merchant !== world.merchant) {
    return [
      {
        code: 'WRONG_MERCHANT',
        en: `Guide ${nameOf(id)} belongs to another merchant and cannot get orders here.`,
        zh: `服务人员 ${nameOf(id)} 属于其他商户，不能在本店分到订单。`,
      },
    ]
  }
  return [...quarantined(known, nameOf), ...foreign(known, world.storeId, nameOf)]
}

function quarantined({ id, state }: KnownGuide, nameOf: NameOf): Said[] {
  if (state !== 'quarantined') return []
  return [
    {
      code: 'QUARANTINED_GUIDE',
      en: `WeChat Pay refused guide ${nameOf(id)}, who gets no orders until that is cleared up.`,
      zh: `微信支付拒绝了服务人员 ${nameOf(id)}，在问题解决前不会分到订单。`,
    },
  ]
}

function foreign({ id, storeId }: KnownGuide, ownStoreId: number, nameOf: NameOf): Said[] {
  if (storeId === ownStoreId) return []
  return [
    {
      code: 'FOREIGN_GUIDE',
      en: `Guide ${nameOf(id)} belongs to store ${storeId} and is borrowed here.`,
      zh: `服务人员 ${nameOf(id)} 属于门店 ${storeId}，在本店为借调。`,
    },
  ]
}

function unused(
  { id, rotates, tags = [] }: StaffMember,
  { plan, leaves, nameOf }: Subject,
  rostered: ReadonlySet<string>,
): Said[] {
  if (!rotates || rostered.has(id)) return []
  if (leaves.some(({ guide, hasLeft }) => hasLeft && guide === id)) return []
  const isReached = plan.steps.some(step => {
    if (step.use === 'guide') return step.id === id
    if (step.use !== 'rotate' || step.among.on_shift) return false
    return step.among.tag === undefined || tags.includes(step.among.tag)
  })
  if (isReached) return []
  return [
    {
      code: 'UNUSED_GUIDE',
      en: `Guide ${nameOf(id)} is on the staff but in no shift and in no step of the plan, and never gets a turn.`,
      zh: `服务人员 ${nameOf(id)} 在员工名单里，但没有班次，规则也未指定，永远轮不到。`,
    },
  ]
}

function caps({ id, caps: limits }: StaffMember, subject: Subject): Said[] {
  const { nameOf } = subject
  const { per_day: perDay, per_hour: perHour } = limits ?? {}
  if (perDay === undefined || perHour === undefined) return []
  const code = 'CAP_CANNOT_HOLD'
  if (perHour > perDay) {
    return [
      {
        code,
        en: `Guide ${nameOf(id)} may have ${perHour} orders an hour but only ${perDay} a day: the limit by the hour never counts.`,
        zh: `服务人员 ${nameOf(id)} 每小时上限 ${perHour} 单，高于每日上限 ${perDay} 单，每小时上限不起作用。`,
      },
    ]
  }
  if (perDay <= 24 * perHour) return []
  const most = perHour * clockHours(subject)
  if (perDay <= most) return []
  return [
    {
      code,
      en: `Guide ${nameOf(id)} may have ${perDay} orders a day, but ${perHour} an hour is never more than ${most}: the limit by the day never counts.`,
      zh: `服务人员 ${nameOf(id)} 每日上限 ${perDay} 单，但每小时上限 ${perHour} 单，一天最多 ${most} 单，每日上限不起作用。`,
    },
  ]
}

/** The most hours by the clock that a business day touches; one that the clocks repeat counts again. */
function clockHours({ staff, calendar, fromMs }: Subject): number {
  const offset = offsetAt(calendar, fromMs)
  const weeks = Array.from({ length: 53 }, (_, week) => fromMs + week * 7 * dayMs)
  const isLonger = weeks.some(atMs => offsetAt(calendar, atMs) !== offset)
  const isSplit = minutesOf(staff.day_starts_at) % 60 !== 0
  return 24 + Number(isLonger) + Number(isSplit)
}
