import { planSchema } from '../rules/plan.ts'
import type { Roster } from '../rules/roster.ts'

type DemoGuide = { name: string; mobile: string; weight: number }
type DemoStore = {
  storeId: number
  name: string
  guides: DemoGuide[]
  /** The guides by their place in `guides`. */
  roster(ids: readonly string[]): Roster
}

const everyDay: Roster['weekly'][number]['days'] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

export const timezone = 'Asia/Shanghai'

/** The customer who has a guide of her own: the second guide of the first store. */
export const regular = 'member-wang'

/** Two stores whose shifts leave no hour of the day without a guide. */
export const demoStores: readonly DemoStore[] = [
  {
    storeId: 1001,
    name: '人民广场旗舰店',
    guides: [
      { name: '林晓', mobile: '13900001001', weight: 2 },
      { name: '陈悦', mobile: '13900001002', weight: 1 },
      { name: '周敏', mobile: '13900001003', weight: 1 },
      { name: '吴桐', mobile: '13900001004', weight: 1 },
    ],
    roster: ids => ({
      weekly: [
        { shift: '白班', days: everyDay, from: '08:00', to: '20:00', guides: [...ids] },
        { shift: '夜班', days: everyDay, from: '20:00', to: '08:00', guides: [...ids] },
      ],
    }),
  },
  {
    storeId: 1002,
    name: '静安寺店',
    guides: [
      { name: '赵宁', mobile: '13900001005', weight: 1 },
      { name: '孙可', mobile: '13900001006', weight: 1 },
      { name: '何帆', mobile: '13900001007', weight: 1 },
      { name: '许诺', mobile: '13900001008', weight: 1 },
    ],
    roster: () => ({
      weekly: [{ shift: '全天', days: everyDay, from: '00:00', to: '00:00', guides: ['*'] }],
    }),
  },
]

/** A store whose people all come tomorrow, for the demo's stream of orders. */
export const closedStore = { storeId: 1003, name: '外滩快闪店' }

export const demoPlan = planSchema.parse({
  steps: [{ use: 'hint' }, { use: 'owner' }, { use: 'rotate' }, { use: 'none' }],
})
