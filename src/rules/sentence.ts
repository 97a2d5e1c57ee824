import type { NotChosen } from './eligibility.ts'
import type { EarlierGuide, GuideExplained, Recorded, Stood } from './explain.ts'
import { unitsPerFen, unitsPerOrder } from './fairness.ts'
import type { NameOf } from './names.ts'
import type { Plan } from './plan.ts'

/** The same in Chinese and in English, for a store manager. */
export type Sentence = { zh: string; en: string }

/** Who serves the order, why, and by how much; or why nobody. */
export function sayWhy(
  recorded: Recorded,
  stood: readonly Stood[],
  guides: readonly GuideExplained[],
  fairBy: Plan['fair_by'],
  nameOf: NameOf,
): Sentence {
  const { guideId } = recorded
  if (guideId === null) return sayWhyNobody(recorded, guides)
  const name = nameOf(guideId)
  const chosen = recorded.named
    ? sayNamed(name, recorded.named)
    : sayChoice(name, recorded.reason, stood, fairBy, nameOf)
  const before = (recorded.earlier ?? []).map(earlier => sayEarlier(earlier, nameOf))
  const end = sayEnd(recorded)
  const parts = [chosen, ...before, end]
  return {
    zh: `${parts.map(({ zh }) => zh).join('')}。`,
    en: `${parts.map(({ en }) => en).join('')}.`,
  }
}

function sayNamed(name: string, { by, why }: NonNullable<Recorded['named']>): Sentence {
  return {
    zh: `由 ${name} 服务：${by} 改派，原因：${why}`,
    en: `${name} serves it: ${by} named this guide, for this reason: ${why}`,
  }
}

function sayEarlier({ guideId, ended }: EarlierGuide, nameOf: NameOf): Sentence {
  if (guideId === null) return { zh: '；此前无人服务', en: '; it had been with nobody' }
  const name = nameOf(guideId)
  return ended === 'refused'
    ? {
        zh: `；此前的 ${name} 被微信支付拒绝`,
        en: `; before that WeChat Pay refused ${name}`,
      }
    : { zh: `；此前由 ${name} 服务`, en: `; before that it was with ${name}` }
}

function sayChoice(
  name: string,
  reason: string,
  stood: readonly Stood[],
  fairBy: Plan['fair_by'],
  nameOf: NameOf,
): Sentence {
  switch (reason) {
    case 'FAIR_TURN':
      return sayTurn(name, stood, fairBy, nameOf)
    case 'ONLY_ONE':
      return {
        zh: `由 ${name} 服务：当时只有这一位可以接单`,
        en: `${name} serves it: nobody else could take the order then`,
      }
    case 'HINT':
      return {
        zh: `由 ${name} 服务：收银员指定`,
        en: `${name} serves it: the cashier named this guide`,
      }
    case 'OWNER':
      return {
        zh: `由 ${name} 服务：会员的专属服务人员`,
        en: `${name} serves it: the member is this guide's own customer`,
      }
    case 'OWNER_COVER':
      return {
        zh: `由 ${name} 服务：会员的专属服务人员不在，由其代班`,
        en: `${name} serves it: standing in for the member's own guide, who is away`,
      }
    case 'STICKY_CART':
      return {
        zh: `由 ${name} 服务：同一购物车的上一张订单已由其服务，不另占轮次`,
        en: `${name} serves it: an earlier order of the same cart was theirs, and it takes no second turn`,
      }
    case 'NAMED':
      return { zh: `由 ${name} 服务：规则指定`, en: `${name} serves it: the plan names this guide` }
    case 'RESTORED':
      return {
        zh: `由 ${name} 服务：微信支付此前已接受，改派未成功`,
        en: `${name} serves it: WeChat Pay had accepted this guide, and did not take another`,
      }
    case 'LISTED':
      return {
        zh: `由 ${name} 服务：按名单顺序第一位可以接单`,
        en: `${name} serves it: the first on the list who could take the order`,
      }
    case 'RANDOM':
      return {
        zh: `由 ${name} 服务：按订单号随机抽取`,
        en: `${name} serves it: drawn at random by the order's number`,
      }
    default:
      return { zh: `由 ${name} 服务：${reason}`, en: `${name} serves it: ${reason}` }
  }
}

function sayTurn(
  name: string,
  stood: readonly Stood[],
  fairBy: Plan['fair_by'],
  nameOf: NameOf,
): Sentence {
  const winner = stood.find(one => one.isChosen)
  const rivals = stood.filter(one => !one.isChosen)
  const [next] = rivals.toSorted(
    (a, b) => credit(b) - credit(a) || a.lastServed - b.lastServed || (a.id < b.id ? -1 : 1),
  )
  if (!winner || !next) return { zh: `轮到 ${name}`, en: `It was the turn of ${name}` }
  const other = nameOf(next.id)
  const owed = measure(credit(winner), fairBy)
  const lead = measure(credit(winner) - credit(next), fairBy)
  const zh = `轮到 ${name}：计入本单份额后应得 ${owed.zh}`
  const en = `It was the turn of ${name}: with a share of this order they were due ${owed.en}`
  if (credit(winner) > credit(next)) {
    return {
      zh: `${zh}，比下一位 ${other} 多 ${lead.zh}`,
      en: `${en}, ${lead.en} more than the next, ${other}`,
    }
  }
  return winner.lastServed < next.lastServed
    ? {
        zh: `${zh}，与 ${other} 相同，但上次接单更早`,
        en: `${en}, the same as ${other}, and had served longer ago`,
      }
    : {
        zh: `${zh}，与 ${other} 相同，按编号在前`,
        en: `${en}, the same as ${other}, and comes first by ID`,
      }
}

function credit({ before, share }: Stood): number {
  return before + share
}

function measure(units: number, fairBy: Plan['fair_by']): Sentence {
  if (fairBy === 'amount') {
    const yuan = (units / unitsPerFen / 100).toFixed(2)
    return { zh: `${yuan} 元`, en: `CNY ${yuan} of sales` }
  }
  const orders = (units / unitsPerOrder).toFixed(4).replace(/\.?0+$/, '')
  return { zh: `${orders} 单`, en: `${orders} ${orders === '1' ? 'order' : 'orders'}` }
}

function sayEnd({ status, isClosed }: Recorded): Sentence {
  if (status === 'rejected') return { zh: '；微信支付拒绝了', en: '; WeChat Pay refused it' }
  if (isClosed) return { zh: '；订单未付款已关闭', en: '; the order was closed unpaid' }
  if (status === 'expired') {
    return {
      zh: '；在时限内未得到微信支付确认',
      en: '; WeChat Pay had not confirmed it when the window was over',
    }
  }
  return { zh: '', en: '' }
}

function sayWhyNobody({ reason }: Recorded, guides: readonly GuideExplained[]): Sentence {
  switch (reason) {
    case 'PLATFORM_AUTO_ASSIGN':
      return {
        zh: '未分配：商户已开启微信支付的自动分配，由平台决定服务人员。',
        en: 'Skipped: WeChat Pay itself assigns the guides of this merchant.',
      }
    case 'CHANNEL_UNSUPPORTED':
      return {
        zh: '未分配：商业版不支持公众号（JSAPI）支付的订单。',
        en: 'Skipped: the commercial edition does not show guides on JSAPI orders.',
      }
    case 'WINDOW_OVER':
      return {
        zh: '未分配：订单送达时已超过分配时限。',
        en: 'Too late: the window to assign a guide was over when the order arrived.',
      }
  }
  if (guides.length === 0) {
    return {
      zh: '无人服务：当时员工名单上没有人。',
      en: 'Nobody serves it: nobody was on the staff then.',
    }
  }
  const counts = new Map<string, number>()
  for (const guide of guides) counts.set(guide.reason, (counts.get(guide.reason) ?? 0) + 1)
  const parts = [...counts].sort(([, a], [, b]) => b - a)
  const zh = parts.map(([why, count]) => `${count} 位${absent(why).zh}`).join('、')
  const en = parts.map(([why, count]) => `${count} ${absent(why).en}`).join(', ')
  return { zh: `无人服务：${zh}。`, en: `Nobody serves it: ${en}.` }
}

const absences: Readonly<Record<NotChosen, Sentence>> = {
  OFF_SHIFT: { zh: '不在班', en: 'off shift' },
  AWAY: { zh: '请假', en: 'away' },
  LEFT: { zh: '已离职', en: 'no longer there' },
  PAUSED: { zh: '暂停接单', en: 'paused' },
  CAP_DAY: { zh: '已达当日上限', en: 'at their cap for the day' },
  CAP_HOUR: { zh: '已达当小时上限', en: 'at their cap for the hour' },
  NOT_IN_POOL: { zh: '不在本单的候选中', en: 'in no pool of the plan for this order' },
  WRONG_STORE: { zh: '属于其他商户', en: 'of another merchant' },
  QUARANTINED: { zh: '被微信支付拒绝过', en: 'refused by WeChat Pay before' },
  UNREGISTERED: { zh: '未注册', en: 'not registered' },
  OWNER_EXPIRED: { zh: '专属关系已过期', en: 'whose ownership of the member has expired' },
  LOWER_BALANCE: { zh: '未轮到', en: 'whose turn it was not' },
  TIE_SERVED_LATER: { zh: '未轮到', en: 'whose turn it was not' },
  LISTED_LATER: { zh: '名单上在后', en: 'later on the list' },
  NOT_DRAWN: { zh: '未抽中', en: 'not drawn' },
  STEP_NOT_REACHED: { zh: '未被任何一步问到', en: 'never asked for by a step' },
}

function absent(reason: string): Sentence {
  return isNotChosen(reason) ? absences[reason] : { zh: '未能接单', en: 'unable to take it' }
}

function isNotChosen(reason: string): reason is NotChosen {
  return Object.hasOwn(absences, reason)
}

const missedBecause: Readonly<Record<NotChosen, Sentence>> = {
  OFF_SHIFT: { zh: '当时不在班。', en: 'The guide was off shift.' },
  AWAY: { zh: '当时请假。', en: 'The guide was away.' },
  LEFT: { zh: '已离职。', en: 'The guide had left.' },
  PAUSED: { zh: '当时暂停接单。', en: 'The guide was taking a break.' },
  CAP_DAY: {
    zh: '已达当日上限。',
    en: 'The guide had had as many orders that day as the cap allows.',
  },
  CAP_HOUR: {
    zh: '已达当小时上限。',
    en: 'The guide had had as many orders that hour as the cap allows.',
  },
  NOT_IN_POOL: {
    zh: '规则中选出人选的那一步不包括这位服务人员（标签不符，或不参加轮换）。',
    en: 'The step of the plan that chose does not include the guide: another tag, or they take no turns.',
  },
  WRONG_STORE: {
    zh: '这位服务人员属于其他商户，不能在本店接单。',
    en: 'The guide belongs to another merchant and cannot serve here.',
  },
  QUARANTINED: {
    zh: '微信支付拒绝过这位服务人员，问题解决前不会分到订单。',
    en: 'WeChat Pay refused the guide before; until that is cleared up they get no orders.',
  },
  UNREGISTERED: {
    zh: '当时没有这位服务人员的微信支付注册记录。',
    en: 'The guide was not registered at WeChat Pay then, as far as we knew.',
  },
  LOWER_BALANCE: {
    zh: '轮到了另一位：那位按份额应得的更多。',
    en: 'It was the turn of another, who was due more of their share.',
  },
  TIE_SERVED_LATER: {
    zh: '两位应得的一样多，另一位上次接单更早。',
    en: 'Both were due the same, and the other had served longer ago.',
  },
  LISTED_LATER: {
    zh: '按名单顺序，前面有人可以接单。',
    en: 'Somebody before the guide on the list could take the order.',
  },
  NOT_DRAWN: { zh: '随机抽取时抽中了另一位。', en: 'The draw fell on another guide.' },
  OWNER_EXPIRED: {
    zh: '会员曾是这位服务人员的专属客户，但关系已过期。',
    en: "The member had been the guide's own customer, but that has expired.",
  },
  STEP_NOT_REACHED: {
    zh: '前面的步骤已选出人选（例如收银员指定，或会员有专属服务人员），未到轮换。',
    en: "An earlier step had chosen already, such as the cashier's word or the member's own guide.",
  },
}

/** What a reason means to the guide who asks why an order went elsewhere. */
export function sayMissed(reason: string, language: keyof Sentence): string {
  return isNotChosen(reason) ? missedBecause[reason][language] : reason
}
